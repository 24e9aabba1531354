"""What the operators do to values of one type. Both sides are always evaluated, as on most PLCs.

Sums, differences, products and quotients wrap around; division truncates towards zero, and MOD has
the sign of what is divided (IEC 61131-3, tables 29 and 30).
"""

from collections.abc import Callable

from edge.plc.structured_text.code import Memory, Read, Value
from edge.plc.structured_text.datatypes import Elementary
from edge.plc.structured_text.tokens import Place

COMPARISONS = ("=", "<>", "<", ">", "<=", ">=")
ARITHMETIC = ("+", "-", "*", "/", "mod")
LOGIC = ("and", "or", "xor")

_OF_FAMILY = {
    "bool": (*LOGIC, "=", "<>"),
    "bits": (*LOGIC, "=", "<>"),
    "integer": (*ARITHMETIC, *COMPARISONS),
    "time": ("+", "-", *COMPARISONS),
}


def allowed(operator: str, kind: Elementary) -> bool:
    """True if every PLC knows this operator for this type."""
    return operator in _OF_FAMILY[kind.family]


def binary(operator: str, kind: Elementary, left: Value, right: Value, at: Place) -> Read:
    """`left operator right`, both of type `kind`."""
    if operator in COMPARISONS:
        return _compared(operator, left.read, right)
    if operator in LOGIC:
        return _combined(operator, left.read, right.read)
    if operator in ("/", "mod"):
        return _divided(operator, kind, left.read, right, at)
    return _calculated(operator, kind, left.read, right)


def negated(kind: Elementary, operand: Read) -> Read:
    """NOT operand."""
    if kind.family == "bool":
        return lambda m: not operand(m)
    ones = kind.high
    return lambda m: operand(m) ^ ones


def minus(kind: Elementary, operand: Read) -> Read:
    """- operand, wrapped around: the lowest number is its own."""
    wrapped = kind.wrapper()
    return lambda m: wrapped(-operand(m))


def _compared(operator: str, a: Read, right: Value) -> Read:
    b, c = right.read, right.constant
    if c is not None:  # most comparisons of a program are with a constant
        with_constant: dict[str, Read] = {
            "=": lambda m: a(m) == c,
            "<>": lambda m: a(m) != c,
            "<": lambda m: a(m) < c,
            ">": lambda m: a(m) > c,
            "<=": lambda m: a(m) <= c,
            ">=": lambda m: a(m) >= c,
        }
        return with_constant[operator]
    both: dict[str, Read] = {
        "=": lambda m: a(m) == b(m),
        "<>": lambda m: a(m) != b(m),
        "<": lambda m: a(m) < b(m),
        ">": lambda m: a(m) > b(m),
        "<=": lambda m: a(m) <= b(m),
        ">=": lambda m: a(m) >= b(m),
    }
    return both[operator]


def _combined(operator: str, a: Read, b: Read) -> Read:
    found: dict[str, Read] = {
        "and": lambda m: a(m) & b(m),
        "or": lambda m: a(m) | b(m),
        "xor": lambda m: a(m) ^ b(m),
    }
    return found[operator]


def _calculated(operator: str, kind: Elementary, a: Read, right: Value) -> Read:
    """+, - and *; the wrapping of `Elementary.wrapper` written out, as every part needs it."""
    b, c = right.read, right.constant
    mask, half = (1 << kind.bits) - 1, (1 << kind.bits - 1) * kind.signed
    if c is not None and operator != "*":
        shift = half + (c if operator == "+" else -c)
        return lambda m: (a(m) + shift & mask) - half
    found: dict[str, Read] = {
        "+": lambda m: (a(m) + b(m) + half & mask) - half,
        "-": lambda m: (a(m) - b(m) + half & mask) - half,
        "*": lambda m: (a(m) * b(m) + half & mask) - half,
    }
    return found[operator]


def _divided(operator: str, kind: Elementary, a: Read, right: Value, at: Place) -> Read:
    b, c = right.read, right.constant
    if c == 0:
        raise at.wrong("division by zero")
    if c is not None and not kind.signed:  # a program cuts registers with this all the time
        return (lambda m: a(m) // c) if operator == "/" else (lambda m: a(m) % c)
    wrapped = kind.wrapper()
    divide: Callable[[int, int], int] = _quotient if operator == "/" else _remainder

    def read(m: Memory) -> int:
        dividend, divisor = a(m), b(m)
        if divisor == 0:
            raise at.wrong("division by zero")
        return wrapped(divide(dividend, divisor))

    return read


def _quotient(dividend: int, divisor: int) -> int:
    whole = abs(dividend) // abs(divisor)
    return whole if (dividend < 0) == (divisor < 0) else -whole


def _remainder(dividend: int, divisor: int) -> int:
    return dividend - divisor * _quotient(dividend, divisor)
