"""Omron Host Link in C-mode, for both ends of a line. No port, no clock.

    request   @ uu RD bbbb nnnn        ff *CR    n words from word b, both in decimal
              @ uu WD bbbb dddd dddd.. ff *CR    words written from word b
    reply     @ uu RD ee dddd dddd..   ff *CR    end code ee is 00; a refusal has nothing after it
              @ uu WD ee               ff *CR
              @ uu IC                  ff *CR    the PLC has no such command

RD and WD are the data memory, RR and WR do the same in the CIO area. uu is the unit in decimal, d a
word in hexadecimal, ff the exclusive or of what stands before it.

    register 0..9999       D0..D9999              FC03 -> RD, FC16 -> WD
    register 10000..16143  CIO 0..CIO 6143        FC03 -> RR, FC16 -> WR
    coil 16 x word + bit   CIO 0.00..CIO 4095.15  FC01 -> RR; C-mode writes no single bit

A reply names unit and command, not the words: two reads of one length can be taken for each other
if the first comes late. In RUN mode the PLC refuses WD and WR with end code 01; MONITOR takes them.

Source: SYSMAC CS/CJ/CP Series Communications Commands Reference Manual (2009-07), sections 4-1 to
4-3; C200HX/HG/HE Operation Manual, sections 8-2-2 and 10-3.
"""

import re

from edge.plc.hex_words import digits_of, words_of
from edge.plc.text_line import LineReader, Lines, LineSlave, check_of
from edge.plc.transaction import (
    READ_COILS,
    READ_HOLDING_REGISTERS,
    WRITE_REGISTERS,
    Answer,
    Answering,
    Broken,
    Refused,
    Reply,
    Request,
)

UNITS = 32
D_WORDS = 10_000
CIO_BASE, CIO_WORDS = 10_000, 6144
MOST_READ, MOST_WRITTEN = 30, 29  # words in one frame of 131 characters
LONGEST = 131
UNKNOWN_COMMAND = 0xFF  # IC, which has no end code of its own

MEANINGS = {
    0x01: "the PLC is in RUN mode, where it takes no writes; set it to MONITOR",
    0x02: "the PLC is in MONITOR mode",
    0x13: "it read a damaged request",
    0x14: "request of a wrong form",
    0x15: "no such words in this PLC",
    0x18: "request too long",
    0x21: "the CPU unit has an error",
    UNKNOWN_COMMAND: "unknown command",
}
"""What end codes say."""

_FRAME = re.compile(rb"@(\d\d)([A-Z]{2})([0-9A-F]*)([0-9A-F]{2})\*\r")


class HostLink:
    """The master's codec."""

    pause_s = float("inf")

    def encode(self, request: Request) -> bytes:
        """The request as it goes out.

        Raises:
            ValueError: no such unit, area or length in C-mode.
        """
        command, first, count = _command(request)
        writes = request.function == WRITE_REGISTERS
        text = digits_of(request.values, ">") if writes else b"%04d" % count
        return sealed(b"@%02d%s%04d%s" % (request.unit, command, first, text))

    def reader(self, request: Request) -> LineReader:
        """For the reply to this request."""
        return LineReader(Lines(b"@", LONGEST), lambda line: _meaning(request, line))

    def request_size(self, request: Request) -> int:
        """Characters of the request."""
        return len(self.encode(request))

    def reply_size(self, request: Request) -> int:
        """Characters of a good reply."""
        count = 0 if request.function == WRITE_REGISTERS else _command(request)[2]
        return 11 + 4 * count

    def silence_s(self, character_s: float) -> float:
        """None: frames have marks."""
        return 0.0


def _command(request: Request) -> tuple[bytes, int, int]:
    """Command, first word and number of words.

    Raises:
        ValueError: C-mode has no such request.
    """
    if request.unit >= UNITS:
        raise ValueError(f"unit {request.unit}; Host Link has 0 to {UNITS - 1}")
    first, count, writes = request.address, request.count, request.function == WRITE_REGISTERS
    if request.function == READ_COILS:
        first, last = first // 16, (first + count - 1) // 16
        count, commands = last - first + 1, (b"RR", b"")
    elif not (writes or request.function == READ_HOLDING_REGISTERS):
        raise ValueError(f"function {request.function}; Host Link has 1, 3 and 16")
    elif first + count <= D_WORDS:
        commands = b"RD", b"WD"
    elif first >= CIO_BASE and first + count <= CIO_BASE + CIO_WORDS:
        first, commands = first - CIO_BASE, (b"RR", b"WR")
    else:
        raise ValueError(f"registers {first} to {first + count - 1} are neither D nor CIO")
    if count > (MOST_WRITTEN if writes else MOST_READ):
        raise ValueError(f"{count} words are more than one frame of {LONGEST} characters holds")
    return commands[writes], first, count


def sealed(text: bytes) -> bytes:
    """The frame on the wire."""
    return text + check_of(text) + b"*\r"


def _meaning(asked: Request, line: bytes) -> Reply | None:
    """What one line is to the request; None: a frame of another unit."""
    parts = _FRAME.fullmatch(line)
    if parts is None:
        return Broken("noise")
    if check_of(line[:-4]) != parts[4]:
        return Broken("checksum")
    unit, header, text = int(parts[1]), parts[2], parts[3]
    if unit != asked.unit:
        return None
    if line == HostLink().encode(asked):
        return Broken("echo")
    if header == b"IC":
        return Refused(UNKNOWN_COMMAND) if not text else Broken("count")
    if header != _command(asked)[0]:
        return Broken("function")
    return _said(asked, text) if len(text) >= 2 else Broken("count")


def _said(asked: Request, text: bytes) -> Reply:
    """End code and data of a reply to this very command."""
    _, first, count = _command(asked)
    code, data = int(text[:2], 16), text[2:]
    if code:
        return Refused(code) if not data else Broken("count")
    if len(data) != (0 if asked.function == WRITE_REGISTERS else 4 * count):
        return Broken("count")
    if asked.function != READ_COILS:
        return Answer(words_of(data, ">"))
    bits = [word >> place & 1 for word in words_of(data, ">") for place in range(16)]
    begin = asked.address - 16 * first
    return Answer(tuple(bits[begin : begin + asked.count]))


class HostLinkSlave(LineSlave):
    """The PLC's side, for the simulated line; words only."""

    def __init__(self, answering: Answering) -> None:
        super().__init__(b"@", LONGEST, self._reply)
        self._answering = answering

    def _reply(self, line: bytes) -> bytes:
        parts = _FRAME.fullmatch(line)
        if parts is None or check_of(line[:-4]) != parts[4] or int(parts[1]) >= UNITS:
            return b""
        head, header = line[:5], parts[2]
        asked = _asked(int(parts[1]), header, parts[3])
        if header not in (b"RD", b"RR", b"WD", b"WR"):
            return sealed(line[:3] + b"IC")
        if asked is None:
            return sealed(head + b"14")
        said = self._answering(asked)
        if said is None:
            return b""
        if isinstance(said, Refused):
            return sealed(head + b"15")
        return sealed(head + b"00" + digits_of(said.values, ">"))


def _asked(unit: int, header: bytes, text: bytes) -> Request | None:
    """The request in a frame's text; None if it has not its form."""
    if not re.fullmatch(rb"\d{4}(\d{4}|([0-9A-F]{4})+)", text):
        return None
    first = int(text[:4]) + (CIO_BASE if header in (b"RR", b"WR") else 0)
    writes = header in (b"WD", b"WR")
    if not writes and len(text) != 8:
        return None
    values = words_of(text[4:], ">") if writes else ()
    count = len(values) if writes else int(text[4:])
    if not 1 <= count <= (MOST_WRITTEN if writes else MOST_READ):
        return None
    if writes:
        return Request(unit, WRITE_REGISTERS, first, count, values)
    return Request(unit, READ_HOLDING_REGISTERS, first, count)
