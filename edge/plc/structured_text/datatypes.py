"""The types of the subset, and what fits into them. IEC 61131-3, clause 6.4.

BOOL                      TRUE, FALSE
INT, UINT, DINT, UDINT    arithmetic; wraps around at 16 or 32 bits
WORD, DWORD               bits: AND, OR, XOR, NOT, SHL, SHR, comparison; no arithmetic
TIME                      milliseconds in 32 bits with sign, as on Siemens and Mitsubishi
ARRAY[low..high] OF       one dimension, of one of these
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Family = Literal["bool", "integer", "bits", "time"]

MOST_ELEMENTS = 1024
"""Of one array."""


@dataclass(frozen=True, slots=True)
class Elementary:
    """A type without parts; values are int, of BOOL bool."""

    name: str
    family: Family
    bits: int
    signed: bool = False

    @property
    def low(self) -> int:
        """The smallest value."""
        return -(1 << self.bits - 1) if self.signed else 0

    @property
    def high(self) -> int:
        """The largest value."""
        return (1 << self.bits - self.signed) - 1

    @property
    def zero(self) -> int:
        """What a variable holds before anything is assigned."""
        return False if self.family == "bool" else 0

    def holds(self, value: int) -> bool:
        """True if `value` is one of this type."""
        return self.low <= value <= self.high

    def wrapper(self) -> Callable[[int], int]:
        """The function that wraps any whole number around into this type."""
        mask, half = (1 << self.bits) - 1, 1 << self.bits - 1
        if self.signed:
            return lambda value: (value + half & mask) - half
        return lambda value: value & mask

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Array:
    """ARRAY[low..high] OF `of`."""

    low: int
    high: int
    of: Elementary

    @property
    def size(self) -> int:
        """How many elements."""
        return self.high - self.low + 1

    def __str__(self) -> str:
        return f"ARRAY[{self.low}..{self.high}] OF {self.of}"


BOOL = Elementary("BOOL", "bool", 1)
INT = Elementary("INT", "integer", 16, signed=True)
UINT = Elementary("UINT", "integer", 16)
DINT = Elementary("DINT", "integer", 32, signed=True)
UDINT = Elementary("UDINT", "integer", 32)
WORD = Elementary("WORD", "bits", 16)
DWORD = Elementary("DWORD", "bits", 32)
TIME = Elementary("TIME", "time", 32, signed=True)

ELEMENTARY = {t.name.lower(): t for t in (BOOL, INT, UINT, DINT, UDINT, WORD, DWORD, TIME)}
"""Every elementary type by its name in lower case."""
