"""Modbus RTU frames for both ends of a line, without a port or a clock.

    request read    | unit | 01-04 | address 2 | count 2 | crc 2 |
    reply read      | unit | 01-04 | bytes 1 | values | crc 2 |
    request write   | unit | 15,16 | address 2 | count 2 | bytes 1 | values | crc 2 |
    reply write     | unit | 15,16 | address 2 | count 2 | crc 2 |
    refusal         | unit | function + 128 | code 1 | crc 2 |

Numbers are big-endian, the crc is little-endian. Functions 05 and 06 are missing on purpose: their
reply equals their request, so an adapter that echoes makes a dead PLC look like success.

Source: MODBUS Application Protocol 1.1b3, sections 6.1-6.4, 6.11, 6.12 and 7; MODBUS over Serial
Line 1.02, section 2.5.1.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

READ_COILS = 1
READ_DISCRETE_INPUTS = 2
READ_HOLDING_REGISTERS = 3
READ_INPUT_REGISTERS = 4
WRITE_COILS = 15
WRITE_REGISTERS = 16

ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3

_BITS = (READ_COILS, READ_DISCRETE_INPUTS, WRITE_COILS)
_READS = (READ_COILS, READ_DISCRETE_INPUTS, READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS)
_WRITES = (WRITE_COILS, WRITE_REGISTERS)
MAX_COUNT = {1: 2000, 2: 2000, 3: 125, 4: 125, 15: 1968, 16: 123}
"""Most bits or registers of one frame, by function (sections 6.1-6.4, 6.11, 6.12)."""


def _crc_table() -> tuple[int, ...]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC_TABLE = _crc_table()


def crc16(frame: bytes) -> int:
    """CRC-16 of Modbus: polynomial 0xA001 reflected, start 0xFFFF."""
    crc = 0xFFFF
    for byte in frame:
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


def sealed(body: bytes) -> bytes:
    """The frame on the wire: unit and PDU with their crc."""
    return body + struct.pack("<H", crc16(body))


def intact(frame: bytes) -> bool:
    """True if the last two bytes are the crc of what stands before them."""
    return len(frame) >= 4 and crc16(frame[:-2]) == frame[-2] | frame[-1] << 8


def character_s(baudrate: int, parity: str, stop_bits: int) -> float:
    """Time of one character on the wire: start, 8 data, parity and stop bits."""
    return (9 + (parity != "N") + stop_bits) / baudrate


def silence_s(baudrate: int, parity: str, stop_bits: int) -> float:
    """t3.5, the silence that ends a frame; 1.75 ms above 19200 baud (Serial Line 2.5.1.1)."""
    return 0.00175 if baudrate > 19200 else 3.5 * character_s(baudrate, parity, stop_bits)


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `values` are registers 0..65535 or bits 0/1, empty for a read.

    Raises:
        ValueError: a field is out of range; that is a fault of the program, never of the line.
    """

    unit: int
    function: int
    address: int
    count: int
    values: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        most = MAX_COUNT.get(self.function, 0)
        if not (0 <= self.unit <= 247 and 1 <= self.count <= most):
            raise ValueError(f"unit {self.unit}, function {self.function}, count {self.count}")
        if not 0 <= self.address <= 0x10000 - self.count:
            raise ValueError(f"address {self.address} and count {self.count} leave 0..65535")
        if len(self.values) != (self.count if self.function in _WRITES else 0):
            raise ValueError(f"{len(self.values)} values for {self.count} addresses")
        top = 1 if self.function in _BITS else 0xFFFF
        if not all(0 <= value <= top for value in self.values):
            raise ValueError(f"a value of {self.values} lies outside 0..{top}")

    def encode(self) -> bytes:
        """The request frame with its crc."""
        body = struct.pack(">BBHH", self.unit, self.function, self.address, self.count)
        if self.function in _WRITES:
            packed = _packed(self.function, self.values)
            body += bytes([len(packed)]) + packed
        return sealed(body)

    @property
    def reply_size(self) -> int:
        """Bytes of a good reply frame."""
        return 5 + _packed_size(self.function, self.count) if self.function in _READS else 8


def read_registers(unit: int, address: int, count: int) -> Request:
    """FC03 for `count` holding registers from `address`."""
    return Request(unit, READ_HOLDING_REGISTERS, address, count)


def write_registers(unit: int, address: int, values: Sequence[int]) -> Request:
    """FC16 of `values` from `address`: one frame, so one scan of the PLC sees all or none."""
    return Request(unit, WRITE_REGISTERS, address, len(values), tuple(values))


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply that was asked for; `values` is empty for a write."""

    values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The PLC understood and refused: 1 function, 2 address, 3 value, 4 failure, 6 busy."""

    code: int


@dataclass(frozen=True, slots=True)
class Broken:
    """Bytes came that are not the reply; the line must be listened out before its next use.

    `cause` is one of crc (the reply itself, damaged), noise, function, count, address, trailing,
    short.
    """

    cause: str


Reply = Answer | Refused | Broken


class ReplyReader:
    """Finds the reply to one request in what the line says, in any chunking.

    A whole, intact frame of another unit is skipped and counted in `foreign` (Serial Line 2.4.1:
    keep waiting); every other surprise is `Broken`. Never raises, whatever the bytes.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.foreign = 0
        self._buffer = b""

    def feed(self, received: bytes) -> Reply | None:
        """Take bytes from the line; None means more are needed."""
        self._buffer += received
        while len(self._buffer) >= 3:
            size = _reply_size(self._buffer)
            if size is None:
                return Broken("function")
            mine = self._buffer[0] == self.request.unit
            if mine and self._buffer[1] not in (self.request.function, self.request.function | 128):
                return Broken("function")
            if mine and self._buffer[1] < 128 and size != self.request.reply_size:
                return Broken("count")
            if len(self._buffer) < size:
                return None
            frame, self._buffer = self._buffer[:size], self._buffer[size:]
            if not intact(frame):
                return Broken("crc" if mine and not self._buffer else "noise")
            if mine:
                return Broken("trailing") if self._buffer else self._meaning(frame)
            self.foreign += 1
        return None

    def end(self) -> Broken | None:
        """No more bytes will be waited for: Broken if a frame was cut short, None if silent."""
        return Broken("short") if self._buffer else None

    def _meaning(self, frame: bytes) -> Reply:
        asked = self.request
        if frame[1] & 128:
            return Refused(frame[2])
        if asked.function in _READS:
            return Answer(_unpacked(asked.function, frame[3:-2], asked.count))
        address, count = struct.unpack(">HH", frame[2:6])
        if address != asked.address:
            return Broken("address")
        return Answer() if count == asked.count else Broken("count")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a slave answers to an intact request that it does not serve."""

    unit: int
    function: int
    code: int

    def encode(self) -> bytes:
        """The refusal frame with its crc."""
        return sealed(bytes([self.unit, self.function | 128, self.code]))


def decode_request(frame: bytes) -> Request | Refusal | None:
    """Slave side: the request in one frame as cut by silence; None for noise."""
    if not intact(frame) or frame[1] & 128:
        return None
    unit, function, body = frame[0], frame[1], frame[2:-2]
    if function not in MAX_COUNT:
        return Refusal(unit, function, ILLEGAL_FUNCTION)
    if len(body) < 4 or unit > 247:
        return None
    address, count = struct.unpack(">HH", body[:4])
    if not 1 <= count <= MAX_COUNT[function]:
        return Refusal(unit, function, ILLEGAL_VALUE)
    if address + count > 0x10000:
        return Refusal(unit, function, ILLEGAL_ADDRESS)
    if function in _READS:
        return Request(unit, function, address, count) if len(body) == 4 else None
    size = _packed_size(function, count)
    if len(body) != 5 + size or body[4] != size:
        return Refusal(unit, function, ILLEGAL_VALUE)
    values = _unpacked(function, body[5:], count)
    return Request(unit, function, address, count, values)


def encode_reply(request: Request, values: Sequence[int] = ()) -> bytes:
    """Slave side: the good reply; `values` are those of a read.

    Raises:
        ValueError: not as many values as were asked for.
    """
    if request.function in _WRITES:
        return sealed(
            struct.pack(">BBHH", request.unit, request.function, request.address, request.count)
        )
    if len(values) != request.count:
        raise ValueError(f"{len(values)} values for {request.count} addresses")
    packed = _packed(request.function, values)
    return sealed(bytes([request.unit, request.function, len(packed)]) + packed)


def _reply_size(start: bytes) -> int | None:
    """Bytes of the reply frame that starts like this (3 bytes or more); None: no reply does."""
    function = start[1]
    if function in _READS:
        return 5 + start[2]
    if function in _WRITES:
        return 8
    return 5 if function & 128 and function & 127 in MAX_COUNT else None


def _packed_size(function: int, count: int) -> int:
    return (count + 7) // 8 if function in _BITS else 2 * count


def _packed(function: int, values: Sequence[int]) -> bytes:
    if function not in _BITS:
        return struct.pack(f">{len(values)}H", *values)
    bits = sum(bool(value) << place for place, value in enumerate(values))
    return bits.to_bytes(_packed_size(function, len(values)), "little")


def _unpacked(function: int, packed: bytes, count: int) -> tuple[int, ...]:
    if function not in _BITS:
        return struct.unpack(f">{count}H", packed)
    bits = int.from_bytes(packed, "little")
    return tuple(bits >> place & 1 for place in range(count))
