"""The protocols of PLCs that speak no Modbus, for tests: both ends, and what a request may be."""

import dataclasses
from collections.abc import Callable

from hypothesis import strategies as st

from edge.plc import fx, hostlink, mewtocol
from edge.plc.fx import Fx, FxSlave
from edge.plc.hostlink import HostLink, HostLinkSlave
from edge.plc.mewtocol import Mewtocol, MewtocolSlave
from edge.plc.transaction import (
    READ_HOLDING_REGISTERS,
    WRITE_REGISTERS,
    Answer,
    Codec,
    Reader,
    Refusal,
    Refused,
    Reply,
    Request,
    SlaveCodec,
)


@dataclasses.dataclass(frozen=True)
class Tongue:
    """One protocol: both ends, and what a request may be."""

    name: str
    master: Codec
    slave: Callable[[Callable[[Request | Refusal], Answer | Refused | None]], SlaveCodec]
    units: tuple[int, int]
    registers: int
    most_read: int
    most_written: int
    seal: Callable[[bytes], bytes]

    def __repr__(self) -> str:
        return self.name


TONGUES = (
    Tongue("mitsubishi_fx", Fx(), FxSlave, (1, 1), 8000, 32, 32, fx.sealed),
    Tongue("host_link", HostLink(), HostLinkSlave, (0, 31), 10_000, 30, 29, hostlink.sealed),
    Tongue("mewtocol", Mewtocol(), MewtocolSlave, (1, 99), 65_536, 27, 24, mewtocol.sealed),
)
WITH_UNITS = TONGUES[1:]
tongues = st.sampled_from(TONGUES)


@st.composite
def requests(draw: st.DrawFn, tongue: Tongue) -> Request:
    """A read or write of registers that this protocol has."""
    unit = draw(st.integers(*tongue.units))
    writes = draw(st.booleans())
    count = draw(st.integers(1, tongue.most_written if writes else tongue.most_read))
    address = draw(st.integers(0, tongue.registers - count))
    if not writes:
        return Request(unit, READ_HOLDING_REGISTERS, address, count)
    fill = draw(st.integers(0, 0xFFFF))
    values = tuple((fill + 9973 * place) & 0xFFFF for place in range(count))
    return Request(unit, WRITE_REGISTERS, address, count, values)


spoken = tongues.flatmap(lambda tongue: st.tuples(st.just(tongue), requests(tongue)))


def held(request: Request, fill: int = 7) -> tuple[int, ...]:
    """What a slave holds there; () for a write."""
    reads = request.count * (request.function == READ_HOLDING_REGISTERS)
    return tuple((fill * 257 + 31 * (request.address + i)) & 0xFFFF for i in range(reads))


def good(tongue: Tongue, request: Request, fill: int = 7) -> bytes:
    """The good reply as the slave's codec makes it."""
    slave = tongue.slave(lambda asked: Answer(held(request, fill)))
    return slave.feed(tongue.master.encode(request))


def fed(reader: Reader, stream: bytes, chunk: int) -> Reply | None:
    for first in range(0, len(stream), chunk):
        reply = reader.feed(stream[first : first + chunk])
        if reply is not None:
            return reply
    return None
