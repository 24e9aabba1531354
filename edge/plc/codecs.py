"""The protocols of a bus, by the name that `protocol` of a [[bus]] has for them. No port, no clock.

A further protocol is one row here and its word in edge/settings.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from edge import settings
from edge.plc import fx, hostlink, mewtocol
from edge.plc.modbus_ascii import Ascii, AsciiSlaveCodec
from edge.plc.modbus_rtu import Rtu, RtuSlaveCodec
from edge.plc.modbus_tcp import Tcp, TcpSlaveCodec
from edge.plc.transaction import Answering, Codec, Request, SlaveCodec


@dataclass(frozen=True, slots=True)
class Spoken:
    """One protocol: both ends of it, and the data bits of its characters where nobody says."""

    master: Callable[[], Codec]
    slave: Callable[[Answering], SlaveCodec]
    data_bits: int = 8
    refusals: Mapping[int, str] = field(default_factory=dict)  # what its codes mean


PROTOCOLS: Mapping[str, Spoken] = {
    "modbus_rtu": Spoken(Rtu, RtuSlaveCodec),
    "modbus_ascii": Spoken(Ascii, AsciiSlaveCodec, data_bits=7),
    "modbus_tcp": Spoken(Tcp, TcpSlaveCodec),
    "mitsubishi_fx": Spoken(fx.Fx, fx.FxSlave, 7, fx.MEANINGS),
    "host_link": Spoken(hostlink.HostLink, hostlink.HostLinkSlave, 7, hostlink.MEANINGS),
    "mewtocol": Spoken(mewtocol.Mewtocol, mewtocol.MewtocolSlave, 8, mewtocol.MEANINGS),
}


SERIAL = tuple(name for name in PROTOCOLS if name != "modbus_tcp")
"""Those of a serial line."""


def codec_of(bus: settings.Bus) -> Codec:
    """The master's codec of a bus, to be used by one link."""
    return PROTOCOLS[bus.protocol].master()


def speaks(bus: settings.Bus, request: Request) -> bool:
    """Can the protocol of this bus ask that with one frame?"""
    try:
        codec_of(bus).encode(request)
    except ValueError:
        return False
    return True


def refusal_of(bus: settings.Bus, code: int) -> str:
    """The code a PLC refuses with, and what it means where the protocol says so."""
    meaning = PROTOCOLS[bus.protocol].refusals.get(code)
    return f"code {code}" if meaning is None else f"code {code:02X}h: {meaning}"


def data_bits_of(bus: settings.Bus) -> int:
    """Of one character on its wire."""
    return bus.data_bits or PROTOCOLS[bus.protocol].data_bits


def character_s(bus: settings.Bus) -> float:
    """Time of one character on its wire: start, data, parity and stop bits; 0 over TCP."""
    if bus.host is not None:
        return 0.0
    return wire_s(bus.baudrate, bus.parity, bus.stop_bits, data_bits_of(bus))


def wire_s(baudrate: int, parity: str, stop_bits: int, data_bits: int = 8) -> float:
    """Time of one character: start, data, parity and stop bits."""
    return (1 + data_bits + (parity != "N") + stop_bits) / baudrate


def silence_s(bus: settings.Bus, codec: Codec) -> float:
    """Silence before a request: what the protocol needs, or this PLC if that is longer."""
    return max(codec.silence_s(character_s(bus)), bus.gap_ms / 1000)
