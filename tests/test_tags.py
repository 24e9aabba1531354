"""A figure of the line: registers in, a whole number and its exponent out."""

import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.plc.tags import exponent_of, moved, value_of
from edge.settings import Tag

WORDS = {"low_first": -1, "high_first": 1}
PACKED = {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "f32": ">f"}


def tag(**keys: Any) -> Tag:
    return Tag(name="t", station="s", address=0, **keys)


def registers(kind: str, number: float, order: str = "low_first") -> list[int]:
    """As a PLC holds the number."""
    packed = struct.pack(PACKED[kind], number)
    return list(struct.unpack(f">{len(packed) // 2}H", packed))[:: WORDS[order]]


BOUNDS = {"u16": (0, 2**16), "i16": (-(2**15), 2**15), "u32": (0, 2**32), "i32": (-(2**31), 2**31)}
whole = st.sampled_from(sorted(BOUNDS)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.integers(BOUNDS[kind][0], BOUNDS[kind][1] - 1))
)


@given(whole, st.sampled_from(sorted(WORDS)), st.sampled_from([1.0, 0.1, 0.05, -2.5, 1000.0]))
def test_a_whole_number_times_its_scale_is_exact(
    number: tuple[str, int], order: str, scale: float
) -> None:
    kind, said = number
    read = tag(type=kind, word_order=order, scale=scale)
    value = value_of(read, registers(kind, said, order))
    assert value is not None
    assert Decimal(value).scaleb(exponent_of(read)) == said * Decimal(repr(scale))


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(0, 6))
def test_a_float_is_rounded_to_its_decimals_or_is_no_value(said: float, decimals: int) -> None:
    read = tag(type="f32", decimals=decimals)
    value = value_of(read, registers("f32", said))
    if abs(said) * 10**decimals >= 2**53:
        assert value is None
    else:
        assert value is not None
        off = abs(Decimal(value).scaleb(exponent_of(read)) - Decimal(said))
        assert off <= Decimal("0.5").scaleb(-decimals)


@pytest.mark.parametrize("said", [float("nan"), float("inf"), float("-inf")])
def test_a_float_that_is_no_number_is_no_value(said: float) -> None:
    assert value_of(tag(type="f32"), registers("f32", said)) is None


def test_the_word_order_says_which_register_is_the_high_one() -> None:
    assert value_of(tag(type="u32"), [1, 0]) == 1
    assert value_of(tag(type="u32", word_order="high_first"), [1, 0]) == 65536


@given(st.integers(0, 0xFFFF), st.integers(0, 15))
def test_a_bit_of_a_register_is_that_bit(word: int, bit: int) -> None:
    assert value_of(tag(type="bit", bit=bit), [word]) == (word >> bit) % 2


def test_a_coil_is_a_bit() -> None:
    assert [value_of(tag(type="bit", area="coil"), [said]) for said in (0, 1)] == [0, 1]


@given(st.integers(-10_000, 10_000), st.integers(-10_000, 10_000))
def test_a_change_beyond_the_dead_band_has_moved(before: int, now: int) -> None:
    read = tag(scale=0.1, dead_band=0.5)  # 0.5 is 5 counts
    assert moved(read, before, now) == (abs(now - before) > 5)


def test_without_a_dead_band_every_change_has_moved() -> None:
    assert moved(tag(), 7, 8)
    assert not moved(tag(), 7, 7)
