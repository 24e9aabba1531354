"""Arithmetic of structured text against Python's whole numbers: types wrap as a PLC's do."""

import functools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import PlcProgramError
from edge.plc.structured_text.compiler import compiled
from edge.plc.structured_text.datatypes import DINT, DWORD, INT, UDINT, UINT, WORD, Elementary
from edge.plc.structured_text.machine import Machine

INTEGERS = (INT, UINT, DINT, UDINT)
BITS = (WORD, DWORD)


@functools.cache
def machine(expression: str, kind: str, result: str) -> Machine:
    """`expression` of the inputs a and b."""
    declared = f"VAR_INPUT a, b : {kind}; END_VAR VAR_OUTPUT y : {result}; END_VAR"
    text = f"FUNCTION_BLOCK t {declared} y := {expression}; END_FUNCTION_BLOCK"
    return Machine(compiled(text, "t.st"))


def calculated(expression: str, kind: Elementary, a: int, b: int, result: str = "") -> int:
    """What the expression is for these inputs."""
    found = machine(expression, kind.name, result or kind.name)
    found.put("a", a)
    found.put("b", b)
    found.scan(0)
    return found.value("y")


def wrapped(value: int, kind: Elementary) -> int:
    """`value` in the kind's bits, by way of bytes."""
    size = kind.bits // 8
    low_bytes = (value % (1 << 8 * size)).to_bytes(size, "little")
    return int.from_bytes(low_bytes, "little", signed=kind.signed)


def pairs(kinds: tuple[Elementary, ...]) -> st.SearchStrategy[tuple[Elementary, int, int]]:
    """A type and two of its values, often at its ends."""

    def values(kind: Elementary) -> st.SearchStrategy[int]:
        ends = st.sampled_from([kind.low, kind.low + 1, kind.high - 1, kind.high, 0, 1])
        return ends | st.integers(kind.low, kind.high)

    return st.sampled_from(kinds).flatmap(
        lambda kind: st.tuples(st.just(kind), values(kind), values(kind))
    )


@given(pairs(INTEGERS))
def test_sums_differences_and_products_wrap_around(drawn: tuple[Elementary, int, int]) -> None:
    kind, a, b = drawn
    assert calculated("a + b", kind, a, b) == wrapped(a + b, kind)
    assert calculated("a - b", kind, a, b) == wrapped(a - b, kind)
    assert calculated("a * b", kind, a, b) == wrapped(a * b, kind)
    assert calculated("a + 7", kind, a, b) == wrapped(a + 7, kind)
    assert calculated("a - 7", kind, a, b) == wrapped(a - 7, kind)


@given(pairs(INTEGERS))
def test_division_truncates_towards_zero_and_mod_has_the_sign_of_the_dividend(
    drawn: tuple[Elementary, int, int],
) -> None:
    kind, a, b = drawn
    if b == 0:
        for expression in ("a / b", "a MOD b"):
            with pytest.raises(PlcProgramError, match="division by zero"):
                calculated(expression, kind, a, b)
        return
    quotient = math.trunc(Fraction(a, b))
    assert calculated("a / b", kind, a, b) == wrapped(quotient, kind)
    assert calculated("a MOD b", kind, a, b) == a - b * quotient


@given(pairs((INT, DINT)))
def test_minus_and_abs_of_the_lowest_number_wrap_around(
    drawn: tuple[Elementary, int, int],
) -> None:
    kind, a, b = drawn
    assert calculated("-a", kind, a, b) == wrapped(-a, kind)
    assert calculated("ABS(a)", kind, a, b) == wrapped(abs(a), kind)


@given(pairs(INTEGERS))
def test_comparisons_min_and_max(drawn: tuple[Elementary, int, int]) -> None:
    kind, a, b = drawn
    expected = {"=": a == b, "<>": a != b, "<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}
    for sign, truth in expected.items():
        assert calculated(f"a {sign} b", kind, a, b, "BOOL") is truth
    assert calculated("MIN(a, b)", kind, a, b) == min(a, b)
    assert calculated("MAX(a, b)", kind, a, b) == max(a, b)


@given(pairs(BITS), st.integers(0, 40))
def test_bits(drawn: tuple[Elementary, int, int], places: int) -> None:
    kind, a, b = drawn
    assert calculated("a AND b", kind, a, b) == a & b
    assert calculated("a OR b", kind, a, b) == a | b
    assert calculated("a XOR b", kind, a, b) == a ^ b
    assert calculated("NOT a", kind, a, b) == wrapped(~a, kind)
    assert calculated(f"SHL(a, {places})", kind, a, b) == wrapped(a << places, kind)
    assert calculated(f"SHR(a, {places})", kind, a, b) == a >> places


@given(pairs(INTEGERS), st.sampled_from(INTEGERS))
def test_an_integer_becomes_another_only_if_it_fits(
    drawn: tuple[Elementary, int, int], target: Elementary
) -> None:
    kind, a, _ = drawn
    expression = f"{kind}_TO_{target}(a)"
    if kind is target:
        return
    if target.low <= a <= target.high:
        assert calculated(expression, kind, a, 0, target.name) == a
        return
    with pytest.raises(PlcProgramError, match=f"{a} does not fit into {target}"):
        calculated(expression, kind, a, 0, target.name)


@given(pairs((INT, UINT)))
def test_integers_and_bits_of_one_width_are_the_same_bits(
    drawn: tuple[Elementary, int, int],
) -> None:
    kind, a, _ = drawn
    word = calculated(f"{kind}_TO_WORD(a)", kind, a, 0, "WORD")
    assert word == a % 65536
    assert calculated(f"WORD_TO_{kind}(a)", WORD, word, 0, kind.name) == a


@given(pairs((DWORD,)))
def test_a_word_is_the_low_half_of_a_double_word(drawn: tuple[Elementary, int, int]) -> None:
    _, a, _ = drawn
    assert calculated("DWORD_TO_WORD(a)", DWORD, a, 0, "WORD") == a % 65536
    assert calculated("WORD_TO_DWORD(DWORD_TO_WORD(a))", DWORD, a, 0) == a % 65536


@pytest.mark.parametrize(
    ("expression", "same_as"),
    [
        ("a + b * 3", "a + (b * 3)"),
        ("a - b - 1", "(a - b) - 1"),
        ("a / 2 * b", "(a / 2) * b"),
        ("a MOD 7 + b", "(a MOD 7) + b"),
        ("-a + b", "(-a) + b"),
        ("-a * b", "(-a) * b"),
        ("a - -b", "a - (-b)"),
    ],
)
@given(a=st.integers(-100, 100), b=st.integers(-100, 100))
def test_arithmetic_binds_as_in_the_standard(expression: str, same_as: str, a: int, b: int) -> None:
    assert calculated(expression, INT, a, b) == calculated(same_as, INT, a, b)


@pytest.mark.parametrize(
    ("expression", "same_as"),
    [
        ("a OR b AND NOT a", "a OR (b AND (NOT a))"),
        ("a XOR b OR a", "(a XOR b) OR a"),
        ("a AND b XOR b", "(a AND b) XOR b"),
        ("NOT a AND b", "(NOT a) AND b"),
        ("a = b AND a", "(a = b) AND a"),
        ("a & b OR b", "(a AND b) OR b"),
        ("NOT a = b", "(NOT a) = b"),
        ("1 + 1 < 3 = a", "((1 + 1) < 3) = a"),
    ],
)
@pytest.mark.parametrize("a", [False, True])
@pytest.mark.parametrize("b", [False, True])
def test_logic_binds_as_in_the_standard(expression: str, same_as: str, a: bool, b: bool) -> None:
    bool_ = Elementary("BOOL", "bool", 1)
    assert calculated(expression, bool_, a, b) is calculated(same_as, bool_, a, b)
