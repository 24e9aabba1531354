"""Panasonic MEWTOCOL-COM, for both ends of a line. No port, no clock.

    request   % uu # RDD aaaaa bbbbb           cc CR    data registers a to b, in decimal
              % uu # WDD aaaaa bbbbb dddd dddd.. cc CR
              % uu # RCC Y aaaa bbbb           cc CR    relays in words a to b; also R and X
    reply     % uu $ RD dddd dddd..            cc CR
              % uu $ WD                        cc CR
              % uu $ RC dddd dddd..            cc CR
    refusal   % uu ! ee                        cc CR    error code

uu is the unit in decimal, d a word in hexadecimal with its low byte first, cc the exclusive or of
what stands before it. The protocol lets `**` stand for cc; a reply without its check is damaged.

    register n            DTn          FC03 -> RD, FC16 -> WD
    coil 0..2047          Y0..Y127F    FC01 -> RCC; bit 16 x word + place
    coil 2048..34815      R0..R2047F   FC01 -> RCC; the numbers of Panasonic's own Modbus
    discrete input n      X            FC02 -> RCC

A reply names unit and command, not the registers: two reads of one length can be taken for each
other if the first comes late.

Source: FP2 Computer Communication Unit Technical Manual, chapters 1 and 6; FP7 CPU Unit COM Port
Communication, section 8.2; KW8M Eco-POWER METER User's Manual, section 7.3.
"""

import re

from edge.plc.hex_words import digits_of, words_of
from edge.plc.text_line import LineReader, Lines, LineSlave, check_of
from edge.plc.transaction import (
    READ_COILS,
    READ_DISCRETE_INPUTS,
    READ_HOLDING_REGISTERS,
    WRITE_REGISTERS,
    Answer,
    Answering,
    Broken,
    Refused,
    Reply,
    Request,
)

UNITS = range(1, 100)
MOST_READ, MOST_WRITTEN = 27, 24  # words in one frame of 118 characters
LONGEST = 118
R_BASE, R_BITS = 2048, 32_768

MEANINGS = {
    0x21: "it takes no requests from this port",
    0x40: "it read a damaged request",
    0x41: "request of a wrong form",
    0x42: "unknown command",
    0x53: "busy",
    0x60: "no such area",
    0x61: "no such registers in this PLC",
    0x65: "the program is protected",
    0x66: "no such registers in this PLC",
}
"""What error codes say."""

_FRAME = re.compile(rb"%(\d\d)([#$!])([0-9A-Z]*)([0-9A-F]{2})\r")
_HEX = re.compile(rb"[0-9A-F]*")
_REPLIES = {READ_HOLDING_REGISTERS: b"RD", WRITE_REGISTERS: b"WD"}


class Mewtocol:
    """The master's codec."""

    pause_s = float("inf")

    def encode(self, request: Request) -> bytes:
        """The request as it goes out.

        Raises:
            ValueError: no such unit, area or length in this protocol.
        """
        return sealed(b"%%%02d#%s" % (request.unit, _command(request)))

    def reader(self, request: Request) -> LineReader:
        """For the reply to this request."""
        return LineReader(Lines(b"%", LONGEST), lambda line: _meaning(request, line))

    def request_size(self, request: Request) -> int:
        """Characters of the request."""
        return len(self.encode(request))

    def reply_size(self, request: Request) -> int:
        """Characters of a good reply."""
        return 9 + 4 * _words_expected(request)

    def silence_s(self, character_s: float) -> float:
        """None: frames have marks."""
        return 0.0


def _command(request: Request) -> bytes:
    """What the request asks for, without head and check.

    Raises:
        ValueError: the protocol has no such request.
    """
    if request.unit not in UNITS:
        raise ValueError(f"unit {request.unit}; MEWTOCOL has {UNITS[0]} to {UNITS[-1]}")
    first, last = request.address, request.address + request.count - 1
    if request.function == WRITE_REGISTERS:
        if request.count > MOST_WRITTEN:
            raise ValueError(f"{request.count} registers; one frame writes {MOST_WRITTEN}")
        return b"WDD%05d%05d%s" % (first, last, digits_of(request.values, "<"))
    if _words_expected(request) > MOST_READ:
        raise ValueError(f"{request.count} are more than the {MOST_READ} words of one frame")
    if request.function == READ_HOLDING_REGISTERS:
        return b"RDD%05d%05d" % (first, last)
    area = _area(request)
    if area == b"R":
        first, last = first - R_BASE, last - R_BASE
    return b"RCC%s%04d%04d" % (area, first // 16, last // 16)


def _area(request: Request) -> bytes:
    """The relays that a bit request names.

    Raises:
        ValueError: none.
    """
    first, end = request.address, request.address + request.count
    if request.function == READ_DISCRETE_INPUTS and end <= R_BASE:
        return b"X"
    if request.function == READ_COILS and end <= R_BASE:
        return b"Y"
    if request.function == READ_COILS and first >= R_BASE and end <= R_BASE + R_BITS:
        return b"R"
    raise ValueError(
        f"function {request.function}, bits {first} to {end - 1}; MEWTOCOL has functions 1, 2, 3 "
        f"and 16, coils Y below {R_BASE} and R from there"
    )


def _words_expected(request: Request) -> int:
    if request.function == WRITE_REGISTERS:
        return 0
    if request.function == READ_HOLDING_REGISTERS:
        return request.count
    first, last = request.address, request.address + request.count - 1
    return last // 16 - first // 16 + 1


def sealed(text: bytes) -> bytes:
    """The frame on the wire."""
    return text + check_of(text) + b"\r"


def _meaning(asked: Request, line: bytes) -> Reply | None:
    """What one line is to the request; None: a frame of another unit."""
    parts = _FRAME.fullmatch(line)
    if parts is None:
        return Broken("noise")
    if check_of(line[:-3]) != parts[4]:
        return Broken("checksum")
    unit, kind, text = int(parts[1]), parts[2], parts[3]
    if unit != asked.unit:
        return None
    if kind == b"#":
        return Broken("echo" if line == Mewtocol().encode(asked) else "foreign")
    if kind == b"!":
        known = len(text) == 2 and _HEX.fullmatch(text)
        return Refused(int(text, 16)) if known else Broken("count")
    if text[:2] != _REPLIES.get(asked.function, b"RC"):
        return Broken("function")
    data = text[2:]
    if len(data) != 4 * _words_expected(asked):
        return Broken("count")
    if not _HEX.fullmatch(data):
        return Broken("noise")
    words = words_of(data, "<")
    if asked.function in _REPLIES:
        return Answer(words)
    bits = [word >> place & 1 for word in words for place in range(16)]
    begin = asked.address % 16
    return Answer(tuple(bits[begin : begin + asked.count]))


class MewtocolSlave(LineSlave):
    """The PLC's side, for the simulated line; data registers only."""

    def __init__(self, answering: Answering) -> None:
        super().__init__(b"%", LONGEST, self._reply)
        self._answering = answering

    def _reply(self, line: bytes) -> bytes:
        parts = _FRAME.fullmatch(line)
        if parts is None or parts[2] != b"#" or check_of(line[:-3]) != parts[4]:
            return b""
        unit, text = int(parts[1]), parts[3]
        if text[:3] not in (b"RDD", b"WDD"):
            return sealed(line[:3] + b"!42")
        asked = _asked(unit, text)
        if asked is None:
            return sealed(line[:3] + b"!41")
        said = self._answering(asked)
        if said is None:
            return b""
        if isinstance(said, Refused):
            return sealed(line[:3] + b"!61")
        return sealed(line[:3] + b"$" + text[:2] + digits_of(said.values, "<"))


def _asked(unit: int, text: bytes) -> Request | None:
    """The request in a frame's text; None if it has not its form."""
    parts = re.fullmatch(rb"([RW])DD(\d{5})(\d{5})((?:[0-9A-F]{4})*)", text)
    if parts is None:
        return None
    first, last, values = int(parts[2]), int(parts[3]), words_of(parts[4], "<")
    count = last - first + 1
    if not (1 <= count <= MOST_READ and last <= 0xFFFF):
        return None
    if parts[1] == b"R":
        return None if values else Request(unit, READ_HOLDING_REGISTERS, first, count)
    if len(values) != count:
        return None
    return Request(unit, WRITE_REGISTERS, first, count, values)
