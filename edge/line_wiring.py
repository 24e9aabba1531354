"""What does not fit together among [[slave]] and [[tag]] in edge.toml. Pure.

Keys that are missing or wrong by themselves are None here and told already.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.settings import Settings, Slave, Tag

MOST_DIGITS = 6
"""Of an exact scale: a u32 times it is still a whole number that every reader of JSON can hold."""

MOST_EXPONENT = 9


def crossed(settings: Settings) -> list[str]:
    """Every such mistake, as `[section] key: what was expected`."""
    return [*_slaves(settings), *_tags(settings)]


def _slaves(settings: Settings) -> Iterator[str]:
    slaves = [slave for slave in settings.slave or () if slave.name]
    buses = {bus.name for bus in settings.bus or () if bus.name}
    stations = [station for station in settings.station or () if station.name]
    used = Counter([*(s.name for s in slaves), *(s.name for s in stations)])
    for slave in slaves:
        where = f"[slave {slave.name}]"
        if slave.bus and slave.bus not in buses:
            yield f"{where} bus: no [[bus]] is named {slave.bus!r}; there are {sorted(buses)}"
        if used[slave.name] > 1:
            yield f"{where} name: {slave.name!r} is used twice; rows name stations and slaves alike"
        same = [s for s in slaves if (s.bus, s.unit) == (slave.bus, slave.unit) and s is not slave]
        if same and slave.unit is not None:
            yield f"{where} unit: {slave.unit} is also [slave {same[0].name}]"
        plc = _plc_of(settings, slave)
        if plc is not None:
            yield (
                f"{where} unit: {slave.unit} is the PLC of [station {plc}]; "
                f'expected tags with station = "{plc}" and no slave'
            )


def _plc_of(settings: Settings, slave: Slave) -> str | None:
    """The station whose PLC has this slave's place."""
    found = (s for s in settings.station or () if (s.bus, s.unit) == (slave.bus, slave.unit))
    return next((s.name for s in found if slave.unit is not None), None)


def _tags(settings: Settings) -> Iterator[str]:
    tags = [tag for tag in settings.tag or () if tag.name]
    used = Counter((tag.station, tag.slave, tag.name) for tag in tags)
    roles = Counter((tag.station, tag.role) for tag in tags if tag.role != "value")
    for tag in tags:
        where = f"[tag {tag.name}]"
        yield from (f"{where} {problem}" for problem in _source(settings, tag))
        yield from (f"{where} {problem}" for problem in (*_place(tag), *_scale(tag), *_role(tag)))
        if used[tag.station, tag.slave, tag.name] > 1:
            yield f"{where} name: used twice for the same station or slave"
        if tag.role != "value" and roles[tag.station, tag.role] > 1:
            yield f"{where} role: a station has one tag that is its {tag.role}"


def _source(settings: Settings, tag: Tag) -> Iterator[str]:
    stations = {station.name: station for station in settings.station or () if station.name}
    slaves = {slave.name for slave in settings.slave or () if slave.name}
    if (tag.station is None) == (tag.slave is None):
        yield "station, slave: expected one of them, that it is read from"
    elif tag.station is not None and tag.station not in stations:
        yield f"station: no [[station]] is named {tag.station!r}; there are {sorted(stations)}"
    elif tag.station is not None and stations[tag.station].bus is None:
        yield f"station: {tag.station!r} has no bus that it could be read by; expected a slave"
    elif tag.slave is not None and tag.slave not in slaves:
        yield f"slave: no [[slave]] is named {tag.slave!r}; there are {sorted(slaves)}"


def _place(tag: Tag) -> Iterator[str]:
    if tag.type is None or tag.area is None or tag.address is None:
        return  # an address that is no device says nothing of its area either
    bits = tag.area in ("coil", "discrete")
    if bits and tag.type != "bit":
        yield f"type: {tag.type!r} in an area of bits; expected 'bit'"
    if tag.type == "bit" and not bits and tag.bit is None:
        yield "bit: missing; expected which bit of the register, 0 to 15"
    if tag.bit is not None and (bits or tag.type != "bit"):
        yield "bit: only for type 'bit' in a register"
    if tag.address is not None and tag.address + tag.size > 0x10000:
        yield f"address: {tag.address} and {tag.size} registers leave 0 to 65535"


def _scale(tag: Tag) -> Iterator[str]:
    if tag.scale is None or tag.type is None:
        return
    if not math.isfinite(tag.scale) or tag.scale == 0:
        yield f"scale: got {tag.scale}, expected what one count is in `unit`, such as 0.1"
        return
    digits, exponent = tag.factor
    if tag.type == "bit" and tag.scale != 1:
        yield "scale: a bit has none"
    elif tag.type == "f32":
        if abs(exponent) > MOST_EXPONENT or abs(digits) >= 10**MOST_EXPONENT:
            yield f"scale: got {tag.scale:g}, expected at most {MOST_EXPONENT} digits"
    elif abs(digits) >= 10**MOST_DIGITS or abs(exponent) > MOST_EXPONENT:
        yield f"scale: got {tag.scale:g}, expected at most {MOST_DIGITS} digits that count"
    if tag.dead_band is not None and not math.isfinite(tag.dead_band):
        yield f"dead_band: got {tag.dead_band}, expected a number in `unit`"


def _role(tag: Tag) -> Iterator[str]:
    if tag.role in ("stop_cause", "line_state"):
        if tag.station is None:
            yield f"role: {tag.role} is told by a station's PLC; expected station"
        if tag.type in ("f32", "bit", "i16", "i32") or tag.scale != 1:
            yield f"role: {tag.role} is a number of the PLC; expected type u16 or u32, scale 1"
    if tag.counts and tag.type == "bit":
        yield "counts: a bit does not count"
    odd = [word for word in tag.words or {} if not word.lstrip("-").isdecimal()]
    if odd:
        yield f'words: {odd[0]!r} is no value; expected whole numbers, such as {{ "3" = "..." }}'
    elif tag.words and (tag.type == "f32" or tag.scale != 1):
        yield "words: only for a whole number without a scale"
    long = [name for name in (tag.words or {}).values() if len(name) > 40]
    if long:
        yield f"words: {long[0]!r} has more than 40 characters"
