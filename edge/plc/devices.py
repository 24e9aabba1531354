"""Device names of PLCs, such as D100, X17 or CIO1.05: names <-> addresses. No port, clock or file.

    notation    counts                          device of bit 15
    decimal     0 1 .. 9 10                     M15
    octal       0 1 .. 7 10                     X17
    byte_bit    0.0 .. 0.7 1.0                  I1.7
    word_bit    0.00 .. 0.15 1.00               CIO0.15
    word_hex    0 .. 9 A .. F 10                R0F, RF
    word_two    0 .. 15 100                     R15

An area says which devices there are, how they count, and which address the first of them has.
`step` is what a name grows by from one register to the next: 2 where names count bytes, as VW and
DBW do.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta, Struct

Kind = Literal["holding", "input", "coil", "discrete"]
Notation = Literal["decimal", "octal", "byte_bit", "word_bit", "word_hex", "word_two"]

WORDS = ("holding", "input")
"""Kinds whose devices are registers; those of the others are single bits."""


def _split(pattern: str, base: int, bits: int) -> Callable[[str], int | None]:
    """Reads names of a word in decimal and a bit in `base`."""

    def read(text: str) -> int | None:
        parts = re.fullmatch(pattern, text, re.ASCII)
        if parts is None:
            return None
        word, bit = int(parts[1] or 0), int(parts[2], base)
        return word * bits + bit if bit < bits else None

    return read


def _plain(pattern: str, base: int) -> Callable[[str], int | None]:
    def read(text: str) -> int | None:
        return int(text, base) if re.fullmatch(pattern, text, re.ASCII) else None

    return read


_READ: dict[Notation, Callable[[str], int | None]] = {
    "decimal": _plain(r"\d{1,9}", 10),
    "octal": _plain(r"[0-7]{1,9}", 8),
    "byte_bit": _split(r"(\d{1,6})\.(\d)", 10, 8),
    "word_bit": _split(r"(\d{1,6})\.(\d\d)", 10, 16),
    "word_hex": _split(r"(\d{0,6})([0-9A-F])", 16, 16),
    "word_two": _split(r"(\d{0,6}?)(\d{1,2})", 10, 16),
}

_SHOW: dict[Notation, Callable[[int], str]] = {
    "decimal": str,
    "octal": "{:o}".format,
    "byte_bit": lambda n: f"{n // 8}.{n % 8}",
    "word_bit": lambda n: f"{n // 16}.{n % 16:02}",
    "word_hex": lambda n: f"{n // 16 or ''}{n % 16:X}",
    "word_two": lambda n: f"{n // 16}{n % 16:02}" if n >= 16 else str(n),
}

_COUNTS: dict[Notation, str] = {
    "decimal": "0 to 9, 10, 11",
    "octal": "0 to 7, 10 to 17, 20",
    "byte_bit": "0.0 to 0.7, 1.0",
    "word_bit": "0.00 to 0.15, 1.00",
    "word_hex": "0 to 9, A to F, 10",
    "word_two": "0 to 15, 100 to 115",
}


class Area(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[[area]] devices with consecutive addresses."""

    device: Annotated[str, Meta(pattern="^[A-Z]{1,4}$", description="1 to 4 capital letters")]
    kind: Kind
    notation: Notation = "decimal"
    first: str  # in its notation
    last: str
    step: Annotated[int, Meta(ge=1, le=4)] = 1
    base: Annotated[int, Meta(ge=0, le=65535)]  # address of the first
    source: str
    verified: bool

    def number(self, text: str) -> int | None:
        """What the device's name says after its letters; None if it is not of this notation."""
        return _READ[self.notation](text)

    @property
    def span(self) -> tuple[int, int]:
        """Numbers of the first and the last device; (0, -1) if they cannot be read."""
        first, last = self.number(self.first), self.number(self.last)
        return (0, -1) if first is None or last is None else (first, last)

    @property
    def addresses(self) -> range:
        """All of them."""
        first, last = self.span
        return range(self.base, self.base + (last - first) // self.step + 1)

    @property
    def extent(self) -> str:
        """Such as `X0 to X377`."""
        return f"{self.device}{self.first} to {self.device}{self.last}"

    def name(self, address: int) -> str:
        """The device at one of the `addresses`."""
        number = self.span[0] + (address - self.base) * self.step
        return self.device + _SHOW[self.notation](number)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a device is."""

    kind: Kind
    address: int


def place(areas: Sequence[Area], name: str) -> Place:
    """The device of this name.

    Raises:
        ValueError: there is none; says why, and what there is.
    """
    spoken = [a for a in areas if name.startswith(a.device)]
    longest = max((len(area.device) for area in spoken), default=0)
    spoken = [area for area in spoken if len(area.device) == longest]
    if not spoken:
        known = ", ".join(dict.fromkeys(area.device for area in areas))
        raise ValueError(f"{name!r} is no device of this PLC; there are {known}")
    counted = [(area, area.number(name[longest:])) for area in spoken]
    for area, number in counted:
        first, last = area.span
        if number is None or not first <= number <= last:
            continue
        if (number - first) % area.step:
            raise ValueError(f"{name!r} lies between two registers; they are {area.step} apart")
        return Place(area.kind, area.base + (number - first) // area.step)
    extents = ", ".join(area.extent for area in spoken)
    if all(number is None for _, number in counted):
        counts = " or ".join(dict.fromkeys(_COUNTS[area.notation] for area in spoken))
        raise ValueError(f"{name!r} is no number of {spoken[0].device}, which counts {counts}")
    raise ValueError(f"{name!r} does not exist; there are {extents}")


def name_of(areas: Sequence[Area], kind: Kind, address: int) -> str | None:
    """The device at an address; None if the profile knows none there."""
    area = _area_at(areas, kind, address)
    return None if area is None else area.name(address)


def reaches(areas: Sequence[Area], first: Place, count: int) -> bool:
    """Do so many addresses from this one on all have devices of its letter?

    Areas of two letters may touch, as D9999 and CIO0 of an Omron do.
    """
    found = [_area_at(areas, first.kind, first.address + n) for n in range(count)]
    return None not in found and len({area.device for area in found if area is not None}) == 1


def _area_at(areas: Sequence[Area], kind: Kind, address: int) -> Area | None:
    return next((a for a in areas if a.kind == kind and address in a.addresses), None)
