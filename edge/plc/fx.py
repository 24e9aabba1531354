"""The programming port of Mitsubishi FX, for both ends of a line. No port, no clock.

    request   STX E00 aaaa nn       ETX ss    nn bytes from the PLC's own address a; data registers
              STX E10 aaaa nn dd..  ETX ss    bytes written from there
              STX 0   aaaa nn       ETX ss    nn bytes of relays, eight relays a byte
    reply     STX dd dd..           ETX ss    what was read
              ACK                             written
              NAK                             refused

Everything but the marks is hexadecimal text; a register's low byte comes first; ss is the low byte
of the sum of what stands between STX and ss, ETX with it. ENQ, which asks whether anybody is there,
is not needed.

    register n = Dn, 0..7999    at 4000h + 2 n                     FC03 -> E00, FC16 -> E10
    coil, 8 x address + place   S0 = 0, X0 = 400h, Y0 = 500h,      FC01 -> 0; nothing writes one bit
                                M0 = 800h, M8000 = F00h

The port is point to point and knows no units. A reply names nothing at all: a read of equal length,
or any ACK, answers any request that waits for one. So a late reply is dangerous here more than
anywhere: see the quarantine of edge/plc/links.py, and that only the PLC's echo makes a verdict
taken.

Source: published descriptions of the port, as Mitsubishi's own is not public: the protocol overview
of the FX programming port at ntdcjs.com.cn (read of D123), that of H2U/H3U at
blog.csdn.net/weixin_40314351/article/details/134304064 (E00, E10); both agree with the FX driver of
HslCommunication. 9600 baud, 7 data bits, even, 1 stop bit, fixed.
"""

import re

from edge.plc.hex_words import digits_of, words_of
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

STX, ETX, ACK, NAK = b"\x02", b"\x03", b"\x06", b"\x15"
REGISTERS_AT = 0x4000
REGISTERS = 8000
COILS = 0x1000
MOST_BYTES = 64
REFUSED = 0x15  # NAK, the only code there is

MEANINGS = {REFUSED: "NAK: damaged request, or no such registers in this PLC"}
"""What the one refusal says."""

_HEX = re.compile(rb"[0-9A-F]*")


class Fx:
    """The master's codec."""

    pause_s = float("inf")

    def encode(self, request: Request) -> bytes:
        """The request as it goes out.

        Raises:
            ValueError: the port has no such unit, registers or length.
        """
        address, size = _place(request)
        if request.function == READ_COILS:
            return sealed(b"0%04X%02X" % (address, size))
        if request.function == READ_HOLDING_REGISTERS:
            return sealed(b"E00%04X%02X" % (address, size))
        return sealed(b"E10%04X%02X%s" % (address, size, digits_of(request.values, "<")))

    def reader(self, request: Request) -> "FxReader":
        """For the reply to this request."""
        return FxReader(request)

    def request_size(self, request: Request) -> int:
        """Characters of the request."""
        return len(self.encode(request))

    def reply_size(self, request: Request) -> int:
        """Characters of a good reply."""
        return 1 if request.function == WRITE_REGISTERS else 4 + 2 * _place(request)[1]

    def silence_s(self, character_s: float) -> float:
        """None: frames have marks."""
        return 0.0


class FxReader:
    """Finds the reply to one request; every surprise is `Broken`. Never raises."""

    foreign = 0  # there are no units
    stray = 0  # nothing stands between frames

    def __init__(self, request: Request) -> None:
        self._asked = request
        self._size = 2 * _place(request)[1]  # hexadecimal digits of a read
        self._echo = Fx().encode(request)
        self._buffer = b""

    def feed(self, received: bytes) -> Reply | None:
        """Take bytes from the line; None means more are needed."""
        self._buffer += received
        if self._echo.startswith(self._buffer):  # no reply begins like a whole request
            return Broken("echo") if self._buffer == self._echo else None
        first, rest = self._buffer[:1], self._buffer[1:]
        if first in (ACK, NAK):
            if first == ACK and self._asked.function != WRITE_REGISTERS:
                return Broken("function")
            if rest:
                return Broken("trailing")
            return Answer() if first == ACK else Refused(REFUSED)
        if first != STX:
            return Broken("noise")
        if self._asked.function == WRITE_REGISTERS:
            return Broken("function")
        return self._read(rest)

    def end(self) -> Broken | None:
        """No more bytes will be waited for: Broken if a frame was cut short, None if silent."""
        return Broken("short") if self._buffer else None

    def _read(self, rest: bytes) -> Reply | None:
        """What stands after STX, as far as it came."""
        end = rest.find(ETX)
        data = rest if end < 0 else rest[:end]
        if not _HEX.fullmatch(data):
            return Broken("noise")
        if len(data) > self._size or (end >= 0 and len(data) != self._size):
            return Broken("count")
        if end < 0 or len(rest) < end + 3:
            return None
        if len(rest) > end + 3:
            return Broken("trailing")
        if _sum(rest[: end + 1]) != rest[end + 1 :]:
            return Broken("checksum")
        if self._asked.function == READ_HOLDING_REGISTERS:
            return Answer(words_of(data, "<"))
        bits = int.from_bytes(bytes.fromhex(data.decode("ascii")), "little") >> (
            self._asked.address % 8
        )
        return Answer(tuple(bits >> place & 1 for place in range(self._asked.count)))


def _place(request: Request) -> tuple[int, int]:
    """The PLC's own address and how many bytes from there.

    Raises:
        ValueError: the port has no such unit, registers or length.
    """
    if request.unit != 1:
        raise ValueError(f"unit {request.unit}; the FX programming port is one PLC, unit 1")
    first, end = request.address, request.address + request.count
    if request.function == READ_COILS and end <= COILS:
        address, size = first // 8, (end - 1) // 8 - first // 8 + 1
    elif request.function in (READ_HOLDING_REGISTERS, WRITE_REGISTERS) and end <= REGISTERS:
        address, size = REGISTERS_AT + 2 * first, 2 * request.count
    else:
        raise ValueError(
            f"function {request.function}, {first} to {end - 1}; the FX programming port has "
            f"D0 to D{REGISTERS - 1} by 3 and 16, and coils 0 to {COILS - 1} by 1"
        )
    if size > MOST_BYTES:
        raise ValueError(f"{size} bytes; one frame of the FX programming port holds {MOST_BYTES}")
    return address, size


def _sum(text: bytes) -> bytes:
    return b"%02X" % (sum(text) & 0xFF)


def sealed(text: bytes) -> bytes:
    """The frame on the wire."""
    return STX + text + ETX + _sum(text + ETX)


class FxSlave:
    """The PLC's side, for the simulated line; data registers only."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._buffer = b""

    def feed(self, received: bytes) -> bytes:
        """Bytes of the line in; the replies that are due now out."""
        self._buffer += received
        replies = b""
        while (begin := self._buffer.find(STX)) >= 0:
            end = self._buffer.find(ETX, begin)
            if end < 0 or len(self._buffer) < end + 3:
                self._buffer = self._buffer[begin:][-4 * MOST_BYTES :]
                return replies
            text, check = self._buffer[begin + 1 : end], self._buffer[end + 1 : end + 3]
            self._buffer = self._buffer[end + 3 :]
            replies += self._reply(text) if _sum(text + ETX) == check else NAK
        self._buffer = b""
        return replies

    def silence(self) -> bytes:
        """Nothing: frames have marks."""
        return b""

    def silence_s(self, character_s: float) -> float:
        """No silence ends a frame."""
        return float("inf")

    def _reply(self, text: bytes) -> bytes:
        asked = _asked(text)
        said = Refused(REFUSED) if asked is None else self._answering(asked)
        if said is None:
            return b""
        if isinstance(said, Refused):
            return NAK
        return sealed(digits_of(said.values, "<")) if said.values else ACK


def _asked(text: bytes) -> Request | None:
    """The request in a frame's text; None if it is none that is served."""
    parts = re.fullmatch(rb"E([01])0([0-9A-F]{4})([0-9A-F]{2})((?:[0-9A-F]{4})*)", text)
    if parts is None:
        return None
    address, size, values = (
        int(parts[2], 16) - REGISTERS_AT,
        int(parts[3], 16),
        words_of(parts[4], "<"),
    )
    if not 2 <= size <= MOST_BYTES or size % 2 or address % 2:
        return None
    first, count = address // 2, size // 2
    if not 0 <= first <= REGISTERS - count:
        return None
    if parts[1] == b"0":
        return None if values else Request(1, READ_HOLDING_REGISTERS, first, count)
    return Request(1, WRITE_REGISTERS, first, count, values) if len(values) == count else None
