"""One figure of the line: registers of a PLC or meter -> a whole number. No port, no clock.

    figure in `unit` = what the registers say x scale = value x 10 ** exponent

    u16 to i32, bit   exact: the scale 0.05 is 5 x 10**-2, so 7 counts are the value 35, exponent -2
    f32               rounded to `decimals` of the figure, as a float has no exact row

Rows hold only whole numbers (docs/decisions/0018): a hash must not depend on how a language prints.
"""

import math
import struct
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal

from edge.settings import Tag

MOST = 2**53
"""No value reaches this: every reader of JSON can hold a smaller one exactly."""


def exponent_of(tag: Tag) -> int:
    """Where the point of this tag's values stands."""
    return -tag.decimals if tag.type == "f32" else tag.factor[1]


def value_of(tag: Tag, registers: Sequence[int]) -> int | None:
    """The value in these registers or bits, as read from `tag.address`; None if it is none.

    No value is a float that is infinite or no number, or one too large for a row.
    """
    if tag.type == "f32":
        return _rounded(tag, registers)
    digits, _ = tag.factor
    return _whole(tag, registers) * digits


def moved(tag: Tag, before: int, now: int) -> bool:
    """Is the change beyond the tag's dead band?"""
    change = Decimal(abs(now - before)).scaleb(exponent_of(tag))
    return change > Decimal(repr(tag.dead_band))


def _words(tag: Tag, registers: Sequence[int]) -> bytes:
    """The registers of a number with its high word first."""
    order = registers if tag.word_order == "high_first" else [*reversed(registers)]
    return struct.pack(f">{len(order)}H", *order)


def _whole(tag: Tag, registers: Sequence[int]) -> int:
    if tag.type == "bit":
        return registers[0] >> (tag.bit or 0) & 1
    signed = tag.type in ("i16", "i32")
    return int.from_bytes(_words(tag, registers), "big", signed=signed)


def _rounded(tag: Tag, registers: Sequence[int]) -> int | None:
    (said,) = struct.unpack(">f", _words(tag, registers))
    if not math.isfinite(said):
        return None
    figure = Decimal(said) * Decimal(repr(tag.scale))
    value = int(figure.scaleb(tag.decimals).to_integral_value(ROUND_HALF_EVEN))
    return value if abs(value) < MOST else None
