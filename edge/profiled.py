"""edge.toml with what profiles say filled in; reads nothing but the profiles.

    [[bus]] profile = "delta-dvp"         -> protocol, baudrate, parity, gap_ms ... where not given
    [[station]] read_base = "D100"        -> the address of D100
    [[tag]] address = "D100"              -> area and address of D100; the family's word order
    [[slave]] profile = "xinje-xd"        -> the same for its tags; the longest least gap of its bus

A station's PLC is of its bus's family. A slave has a profile of its own or none: an energy meter is
no PLC of that family. Works on the parsed document, before its keys are checked: what is not as it
should be is left for the reader of the settings to tell; what only a profile knows is told here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edge.errors import SettingsError
from edge.plc.blocks import BLOCK_SIZE, COUNTERS_SIZE, RESULT_OFFSET, RESULT_SIZE
from edge.plc.devices import WORDS, Place, place, reaches
from edge.plc.profile import Profile, read
from edge.sections import TOLD

BASES = {
    "read_base": BLOCK_SIZE,
    "write_base": RESULT_OFFSET + RESULT_SIZE,
    "counters_base": COUNTERS_SIZE,
}
"""Keys of a [[station]] that may be a device, and how many registers begin there."""

TYPES = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "f32": 2}
"""Types of a [[tag]] that take whole registers, and how many."""

Table = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Family:
    """What is known of the PLCs of one bus, or of one slave."""

    section: str  # where its profile stands, or could
    profile: Profile | None
    broken: bool = False  # it has a profile that is none, which is told already


def fill(document: Table) -> list[str]:
    """Fill in, in place; every mistake found, as `[section] key: what was expected`."""
    problems: list[str] = []
    timed = [bus.get("name") for bus in _tables(document, "bus") if "gap_ms" in bus]
    buses = _families(document, "bus", problems)
    for bus in _tables(document, "bus"):
        profile = _of(buses, bus.get("name")).profile
        if profile is not None:
            problems += _defaults(bus, bus["profile"], profile)
    slaves = _families(document, "slave", problems)
    for slave in _tables(document, "slave"):
        profile, its = _of(slaves, slave.get("name")).profile, _named(document, "bus", slave)
        if profile is not None and its is not None:
            problems += _on_bus(slave, profile, its, its.get("name") in timed)
    for station in _tables(document, "station"):
        for key in BASES:
            if isinstance(station.get(key), str):
                problems += _base(station, key, _of(buses, station.get("bus"), "bus"))
    for tag in _tables(document, "tag"):
        problems += _tag(tag, _source(document, tag, buses, slaves))
    return problems


# -- who is of which family ----------------------------------------------------------------------


def _tables(document: Table, key: str) -> Iterator[Table]:
    tables = document.get(key)
    yield from (t for t in tables if isinstance(t, dict)) if isinstance(tables, list) else ()


def _named(document: Table, key: str, table: Table) -> Table | None:
    """The bus or station whose name stands in this table, under `key`."""
    return next((t for t in _tables(document, key) if t.get("name") == table.get(key)), None)


def _families(document: Table, key: str, problems: list[str]) -> dict[str, Family]:
    """Of every bus, or of every slave, by its name."""
    found = {}
    for table in _tables(document, key):
        section, name = f"[{key} {table.get('name')}]", table.get("profile")
        family = Family(section, None)
        if isinstance(name, str):
            try:
                family = Family(section, read(name))
            except SettingsError as wrong:
                problems += [f"{section} profile: {problem}" for problem in wrong.problems]
                family = Family(section, None, broken=True)
        found[str(table.get("name"))] = family
    return found


def _of(families: Mapping[str, Family], name: object, key: str = "") -> Family:
    return families.get(str(name), Family(f"[{key} {name}]", None))


def _source(
    document: Table, tag: Table, buses: Mapping[str, Family], slaves: Mapping[str, Family]
) -> Family | None:
    """The family of the PLC or slave that a tag is read from; None: it is not clear which."""
    if ("station" in tag) == ("slave" in tag):
        return None
    if "slave" in tag:
        return slaves.get(str(tag["slave"]))
    station = _named(document, "station", tag)
    return buses.get(str(station.get("bus"))) if station is not None else None


# -- what a profile gives ------------------------------------------------------------------------


def _defaults(bus: Table, name: str, profile: Profile) -> list[str]:
    """The keys that are not given; a protocol that its devices have no addresses in is told."""
    spoken = profile.protocols.value
    protocol = bus.setdefault("protocol", _usual(bus, spoken))
    if not isinstance(protocol, str):
        return []
    if protocol not in spoken:
        expected = " or ".join(map(repr, spoken))
        return [f"[bus {bus.get('name')}] protocol: {name} speaks {expected}, not {protocol!r}"]
    for key, value in profile.defaults(protocol).items():
        bus.setdefault(key, value)
    return []


def _usual(bus: Table, spoken: tuple[str, ...]) -> str:
    """What a bus speaks that does not say so: a network address has no serial protocol."""
    return "modbus_tcp" if "host" in bus and "modbus_tcp" in spoken else spoken[0]


def _on_bus(slave: Table, profile: Profile, bus: Table, timed: bool) -> list[str]:
    """The silence that a slave needs is kept on its whole bus, if edge.toml does not say it."""
    protocol = bus.get("protocol", "modbus_rtu")
    if protocol not in profile.protocols.value:
        expected = " or ".join(map(repr, profile.protocols.value))
        return [
            f"[slave {slave.get('name')}] profile: {slave['profile']} speaks {expected}, but "
            f"[bus {bus.get('name')}] is {protocol!r}"
        ]
    gap_ms = profile.defaults(protocol).get("gap_ms")
    if isinstance(gap_ms, float) and not timed:
        bus["gap_ms"] = max(gap_ms, bus.get("gap_ms", 0.0))
    return []


# -- devices in the place of addresses -----------------------------------------------------------


def _base(station: Table, key: str, family: Family) -> list[str]:
    """Put the address in the device's place."""
    device, where = station[key], f"[station {station.get('name')}] {key}"
    station[key] = TOLD
    found = _place(family, device, where, 65_000)
    if isinstance(found, list):
        return found
    profile, at = found
    if at.kind not in WORDS:
        return [f"{where}: {device!r} is a single bit; expected {_extents(profile, 'holding')}"]
    if at.kind != "holding":
        return [f"{where}: {device!r} can only be read; expected {_extents(profile, 'holding')}"]
    if not reaches(profile.area, at, BASES[key]):
        return [
            f"{where}: {device} and the {BASES[key] - 1} registers after it do not all exist; "
            f"there are {_extents(profile, 'holding')}"
        ]
    station[key] = at.address
    return []


def _tag(tag: Table, family: Family | None) -> list[str]:
    """Put area and address in the device's place, and the family's word order where none is."""
    if family is not None and family.profile is not None and family.profile.word_order is not None:
        tag.setdefault("word_order", family.profile.word_order.value)
    device, section = tag.get("address"), f"[tag {tag.get('name')}]"
    if not isinstance(device, str):
        return []
    tag["address"] = TOLD
    if family is None:
        return []  # where it is read from is missing or wrong, and told
    found = _place(family, device, f"{section} address", 65_535)
    if isinstance(found, list):
        return found
    profile, at = found
    tag["address"] = at.address
    problems = []
    if tag.get("area", at.kind) != at.kind:
        problems.append(f"{section} area: {device!r} is in {at.kind!r}; expected no area")
    tag["area"] = at.kind
    type_ = str(tag.get("type", "u16"))
    if at.kind not in WORDS and type_ in TYPES:
        tag["type"] = TOLD
        problems.append(
            f"{section} type: {device!r} is a single bit, and {type_!r} takes registers; expected "
            f"'bit', or one of {_extents(profile, *WORDS)}"
        )
    elif not reaches(profile.area, at, TYPES.get(type_, 1)):
        tag["address"] = TOLD
        problems.append(
            f"{section} address: {device} and the register after it, as {type_!r} takes both, do "
            f"not both exist; there are {_extents(profile, at.kind)}"
        )
    return problems


def _place(family: Family, device: str, where: str, most: int) -> tuple[Profile, Place] | list[str]:
    """Where the device is, or what is wrong."""
    if family.broken:
        return []
    if family.profile is None:
        return [
            f"{where}: got {device!r}, expected a whole number from 0 to {most}, or a profile in "
            f"{family.section} that knows this device"
        ]
    try:
        return family.profile, place(family.profile.area, device)
    except ValueError as wrong:
        return [f"{where}: {wrong}"]


def _extents(profile: Profile, *kinds: str) -> str:
    return ", ".join(area.extent for area in profile.area if area.kind in kinds)
