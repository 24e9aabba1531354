"""Families of PLCs as data: what a factory's PLC speaks, how, and where its devices are.

profiles/NAME.toml; each value with the page or document it stands in, and `verified` true only
where that is the maker's own. A profile gives defaults, edge.toml overrides them; it is never code.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from typing import Annotated, Literal

from msgspec import Meta, Struct

from edge import sections
from edge.errors import SettingsError
from edge.plc.devices import Area

Speaks = Literal[
    "modbus_rtu", "modbus_ascii", "modbus_tcp", "mitsubishi_fx", "host_link", "mewtocol"
]


class Known(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file that says where its value stands."""

    source: str  # key of [source]
    verified: bool  # the maker's own document says so


class Protocols(Known, frozen=True, kw_only=True):
    """What the family speaks, the usual one first."""

    value: Annotated[tuple[Speaks, ...], Meta(min_length=1)]


class Baudrate(Known, frozen=True, kw_only=True):
    """As the PLC leaves its factory."""

    value: Literal[9600, 19200, 38400, 57600, 115200]


class DataBits(Known, frozen=True, kw_only=True):
    """Of one character."""

    value: Literal[7, 8]


class Parity(Known, frozen=True, kw_only=True):
    """As the PLC leaves its factory."""

    value: Literal["N", "E", "O"]


class StopBits(Known, frozen=True, kw_only=True):
    """As the PLC leaves its factory."""

    value: Literal[1, 2]


class Gap(Known, frozen=True, kw_only=True):
    """Silence before a request that the PLC needs beyond 3.5 characters, ms."""

    value: Annotated[float, Meta(ge=0, le=100)]


class WordOrder(Known, frozen=True, kw_only=True):
    """Of the two registers of a 32-bit value as the PLC's own instructions keep it."""

    value: Literal["low_first", "high_first"]


class Step(Known, frozen=True, kw_only=True):
    """[[set_up]] what to do in the PLC, in Chinese."""

    text: str


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    family: str  # in Chinese
    protocols: Protocols
    baudrate: Baudrate | None = None
    data_bits: DataBits | None = None
    parity: Parity | None = None
    stop_bits: StopBits | None = None
    gap_ms: Gap | None = None
    word_order: WordOrder | None = None
    set_up: Annotated[tuple[Step, ...], Meta(min_length=1)]
    area: Annotated[tuple[Area, ...], Meta(min_length=1)]
    source: dict[str, str]

    def defaults(self, protocol: str) -> dict[str, object]:
        """Keys of a [[bus]] that speaks `protocol` to this family, with their values.

        Serial values are those of the usual protocol: Modbus ASCII has other data bits than RTU.
        """
        keys = {
            "baudrate": self.baudrate,
            "data_bits": self.data_bits if protocol == self.protocols.value[0] else None,
            "parity": self.parity,
            "stop_bits": self.stop_bits,
            "gap_ms": self.gap_ms,
        }
        if protocol == "modbus_tcp":
            return {}
        return {key: known.value for key, known in keys.items() if known is not None}

    def values(self) -> Iterator[tuple[str, str, Known | Area]]:
        """Everything it says: name, value as text, and where it stands."""
        yield "protocol", ", ".join(self.protocols.value), self.protocols
        for name in ("baudrate", "data_bits", "parity", "stop_bits", "gap_ms", "word_order"):
            known = getattr(self, name)
            if known is not None:
                yield name, f"{known.value:g}" if name == "gap_ms" else str(known.value), known
        for area in self.area:
            yield area.kind, f"{area.extent} = {area.base} ({area.base:04X}h)", area


def names() -> list[str]:
    """Of all profiles."""
    folder = resources.files("edge.plc").joinpath("profiles")
    found = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml"))


@cache
def read(name: str) -> Profile:
    """The profile of this name.

    Raises:
        SettingsError: there is none of this name, or with every mistake in its file.
    """
    if name not in names():
        raise SettingsError("profile", [f"no profile is named {name!r}; there are {names()}"])
    path = resources.files("edge.plc").joinpath("profiles", f"{name}.toml")
    return parse(path.read_bytes(), f"{name}.toml")


def parse(content: bytes, where: str) -> Profile:
    """A profile from its file's bytes.

    Raises:
        SettingsError: with every mistake in it.
    """
    profile, problems = sections.parse(content, Profile, crossed)
    if profile is None:
        raise SettingsError(where, problems)
    return profile


def crossed(profile: Profile) -> list[str]:
    """Mistakes that no single key shows; keys that are missing or wrong are None, told already."""
    areas = [area for area in profile.area or () if area.device]
    problems = [
        f"{place} source: {key!r} is no key of [source]; there are {sorted(profile.source or {})}"
        for place, key in _sources(profile)
        if key is not None and key not in (profile.source or {})
    ]
    return [*problems, *unreadable(areas), *overlapping(areas)]


def _sources(profile: Profile) -> Iterator[tuple[str, str | None]]:
    for name in ("protocols", "baudrate", "data_bits", "parity", "stop_bits", "gap_ms"):
        known = getattr(profile, name)
        if known is not None:
            yield f"[{name}]", known.source
    if profile.word_order is not None:
        yield "[word_order]", profile.word_order.source
    for number, step in enumerate(profile.set_up or (), 1):
        yield f"[set_up {number}]", step.source
    for area in profile.area or ():
        yield f"[area {area.device}]", area.source


def unreadable(areas: Sequence[Area]) -> list[str]:
    """Areas whose first or last device is none, or whose addresses leave 0..65535."""
    problems = []
    for area in areas:
        if area.first is None or area.last is None or area.notation is None:
            continue
        for key, text in (("first", area.first), ("last", area.last)):
            if area.number(text) is None:
                problems.append(f"[area {area.device}] {key}: {text!r} is not {area.notation}")
        first, last = area.span
        if last < first and (first, last) != (0, -1):
            problems.append(f"[area {area.device}] last: {area.last} comes before {area.first}")
        elif None not in (area.base, area.step) and area.addresses and area.addresses[-1] > 0xFFFF:
            problems.append(
                f"[area {area.device}] last: {area.last} has address {area.addresses[-1]}; "
                "expected 65535 at most"
            )
    return problems


def overlapping(areas: Sequence[Area]) -> list[str]:
    """Two areas of one kind that share an address, or a name that two areas have."""
    whole = [a for a in areas if None not in (a.kind, a.notation, a.first, a.last, a.step, a.base)]
    problems = []
    for index, one in enumerate(whole):
        for other in whole[:index]:
            if one.kind == other.kind and _share(one.addresses, other.addresses):
                problems.append(f"[area {one.device}] base: shares addresses with {other.extent}")
            same = (one.device, one.notation) == (other.device, other.notation)
            if same and _share(range(*_ends(one)), range(*_ends(other))):
                problems.append(f"[area {one.device}] first: shares devices with {other.extent}")
    return problems


def _ends(area: Area) -> tuple[int, int]:
    first, last = area.span
    return first, last + 1


def _share(one: range, other: range) -> bool:
    return bool(one and other) and one[0] <= other[-1] and other[0] <= one[-1]


def known(verified: bool) -> str:
    """On screens: whether the maker's own document says so."""
    return "已核实" if verified else "未核实"


def lines(name: str) -> Iterator[str]:
    """A profile for a person to read: every value with its source, the sources at the end.

    Raises:
        SettingsError: as `read`.
    """
    profile = read(name)
    yield f"{name}: {profile.family}"
    for key, value, told in profile.values():
        yield f"{key:10} {value}  {known(told.verified)} [{told.source}]"
    for step in profile.set_up:
        yield f"in the PLC {step.text}  {known(step.verified)} [{step.source}]"
    for key, text in profile.source.items():
        yield f"[{key}] {text}"
