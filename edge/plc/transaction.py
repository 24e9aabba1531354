"""One transaction with a PLC in any protocol: what is asked, what comes of it. No port or clock.

    master   Codec.encode(request) -> bytes      the line      bytes -> Reader.feed -> Reply
    PLC      bytes -> SlaveCodec.feed -> replies, answered by the slaves behind it

`function` names area and direction; the numbers are Modbus's, and other protocols translate them.
05 and 06, one bit and one register, are missing on purpose: in Modbus their reply equals their
request, so an adapter that echoes makes a dead PLC look like success.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

READ_COILS = 1
READ_DISCRETE_INPUTS = 2
READ_HOLDING_REGISTERS = 3
READ_INPUT_REGISTERS = 4
WRITE_COILS = 15
WRITE_REGISTERS = 16

READS = (READ_COILS, READ_DISCRETE_INPUTS, READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS)
WRITES = (WRITE_COILS, WRITE_REGISTERS)
REGISTER_READS = (READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS)
BITS = (READ_COILS, READ_DISCRETE_INPUTS, WRITE_COILS)

AREAS = {
    "holding": READ_HOLDING_REGISTERS,
    "input": READ_INPUT_REGISTERS,
    "coil": READ_COILS,
    "discrete": READ_DISCRETE_INPUTS,
}
"""What reads an area, by its name in edge.toml."""

MAX_COUNT = {1: 2000, 2: 2000, 3: 125, 4: 125, 15: 1968, 16: 123}
"""Most bits or registers of one frame, by function: Modbus's, which no protocol here exceeds."""


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
        if len(self.values) != (self.count if self.function in WRITES else 0):
            raise ValueError(f"{len(self.values)} values for {self.count} addresses")
        top = 1 if self.function in BITS else 0xFFFF
        if not all(0 <= value <= top for value in self.values):
            raise ValueError(f"a value of {self.values} lies outside 0..{top}")


def read_registers(unit: int, address: int, count: int) -> Request:
    """`count` holding registers from `address`, in one frame."""
    return Request(unit, READ_HOLDING_REGISTERS, address, count)


def write_registers(unit: int, address: int, values: Sequence[int]) -> Request:
    """`values` from `address`: one frame, so one scan of the PLC sees all or none."""
    return Request(unit, WRITE_REGISTERS, address, len(values), tuple(values))


class Answer(Struct, frozen=True):  # made in an eighth of the time of a frozen dataclass
    """The reply that was asked for; `values` is empty for a write."""

    values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The PLC understood and refused; codes are the protocol's own.

    Modbus: 1 function, 2 address, 3 value, 4 failure, 6 busy.
    """

    code: int


@dataclass(frozen=True, slots=True)
class Broken:
    """Bytes came that are not the reply; the line must be listened out before its next use.

    `cause` is one of checksum (the reply itself, damaged), noise, function, count, address,
    trailing, short, echo (our own request), foreign (another master's to this unit).
    """

    cause: str


Reply = Answer | Refused | Broken


class Reader(Protocol):
    """Finds the reply to one request in what the line says, in any chunking.

    An intact frame of another unit is skipped and counted in `foreign`; bytes that stand between
    frames, where the protocol knows such, are skipped and counted in `stray`. Every other surprise
    is `Broken`. Never raises, whatever the bytes.
    """

    @property
    def foreign(self) -> int: ...

    @property
    def stray(self) -> int: ...

    def feed(self, received: bytes) -> Reply | None:
        """Take bytes from the line; None means more are needed."""

    def end(self) -> Broken | None:
        """No more bytes will be waited for: Broken if a frame was cut short, None if silent."""


class Codec(Protocol):
    """A protocol as its master speaks it. One per link: it may number its requests."""

    pause_s: float
    """Longest pause between two characters of one reply; inf where only the deadline ends it."""

    def encode(self, request: Request) -> bytes:
        """The request as it goes out.

        Raises:
            ValueError: the protocol has no such request (too long, no such area or unit).
        """

    def reader(self, request: Request) -> Reader:
        """For the reply to the request that was encoded last."""

    def request_size(self, request: Request) -> int:
        """Characters of the request on the wire, for the timetable."""

    def reply_size(self, request: Request) -> int:
        """Characters of a good reply."""

    def silence_s(self, character_s: float) -> float:
        """Silence before a request and after its last character; 0 where frames have marks."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An intact request that the protocol lets no slave serve; the slave of this unit says so."""

    unit: int
    function: int
    code: int


Answering = Callable[[Request | Refusal], Answer | Refused | None]
"""What the slaves on a line say to one request; None: nobody is there, or nobody answers."""


class SlaveCodec(Protocol):
    """A protocol as its slaves speak it, for simulators. Made with the `Answering` behind it."""

    def feed(self, received: bytes) -> bytes:
        """Bytes of the line in; the replies that are due now out, empty for none."""

    def silence(self) -> bytes:
        """The line was silent for `silence_s` after what was fed; the replies due now."""

    def silence_s(self, character_s: float) -> float:
        """The silence that ends or breaks an unfinished frame; inf where none does."""
