"""Registers, bits and units of edge.toml that the protocol of their bus cannot name. Pure.

Keys that are missing or wrong by themselves are None here and told already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from edge.plc.blocks import BLOCK_SIZE, COUNTERS_SIZE, RESULT_OFFSET, RESULT_SIZE
from edge.plc.fx import Fx
from edge.plc.hostlink import HostLink
from edge.plc.mewtocol import Mewtocol
from edge.plc.transaction import AREAS, Codec, Request, read_registers, write_registers

if TYPE_CHECKING:
    from edge.settings import Settings, Station, Tag

MASTERS: Mapping[str, Codec] = {
    "mitsubishi_fx": Fx(),
    "host_link": HostLink(),
    "mewtocol": Mewtocol(),
}
"""Protocols that cannot name every register and unit, by the name of `protocol` in [[bus]]."""


def unspeakable(settings: Settings) -> list[str]:
    """Every such mistake, as `[section] key: what was expected`."""
    protocols = {bus.name: bus.protocol for bus in settings.bus or () if bus.name}
    problems: list[str] = []
    for station in settings.station or ():
        protocol = protocols.get(station.bus or "")
        if protocol is None or station.unit is None:
            continue
        if protocol in MASTERS:
            problems += _of_station(station, MASTERS[protocol])
        elif station.unit == 0:
            problems.append(
                f"[station {station.name}] unit: 0 is every unit in Modbus; expected 1 to 247"
            )
    for slave in settings.slave or ():
        master = MASTERS.get(protocols.get(slave.bus) or "")
        if master is not None and slave.unit is not None:
            text = _refused(read_registers(slave.unit, 0, 1), master)
            problems += [f"[slave {slave.name}]: {text}"] if text else []
    buses = {("station", station.name): station.bus for station in settings.station or ()}
    buses |= {("slave", slave.name): slave.bus for slave in settings.slave or ()}
    for tag in settings.tag or ():
        bus = buses.get(("slave", tag.slave) if tag.slave else ("station", tag.station or ""))
        master = MASTERS.get(protocols.get(bus or "") or "")
        problems += _of_tag(tag, master) if master is not None else []
    return problems


def _of_station(station: Station, master: Codec) -> list[str]:
    wrong = (_refused(request, master) for request in _requests(station))
    return [*dict.fromkeys(f"[station {station.name}]: {text}" for text in wrong if text)]


def _of_tag(tag: Tag, master: Codec) -> list[str]:
    if None in (tag.area, tag.address, tag.type) or tag.address + tag.size > 0x10000:
        return []
    text = _refused(Request(1, AREAS[tag.area], tag.address, tag.size), master)
    return [f"[tag {tag.name}] address: {tag.area} {tag.address}: {text}"] if text else []


def _refused(request: Request, master: Codec) -> str | None:
    """What the protocol says of a request that it cannot make."""
    try:
        master.encode(request)
    except ValueError as wrong:
        return str(wrong)
    return None


def _requests(station: Station) -> Iterator[Request]:
    """Each block of this station as one request: none may begin in one area and end in another."""
    unit, base = station.unit, station.write_base
    if station.read_base is not None:
        yield read_registers(unit, station.read_base, BLOCK_SIZE)
    if base is not None:
        yield write_registers(unit, base, (0,) * (RESULT_OFFSET + RESULT_SIZE))
    if station.counters_base is not None:
        yield read_registers(unit, station.counters_base, COUNTERS_SIZE)
