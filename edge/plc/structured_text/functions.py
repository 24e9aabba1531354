"""The functions of the subset: ABS, MIN, MAX, SHL, SHR, and conversions such as UINT_TO_UDINT.

Conversions exist where every PLC means the same by them:

    integer -> integer     must fit, else the scan fails: PLCs differ there
    integer <-> bits       of equal width: the same bits
    bits -> bits           zeros in front, or the low bits
    BOOL -> integer, bits  0 or 1; back, compare with 0
    TIME <-> DINT, UDINT   milliseconds, must fit
"""

import re

from edge.plc.structured_text.code import Memory, Read, Value
from edge.plc.structured_text.datatypes import ELEMENTARY, Elementary
from edge.plc.structured_text.tokens import Place

ARGUMENTS = {"abs": 1, "min": 2, "max": 2, "shl": 2, "shr": 2}
"""Functions that take any type of their family, and how many arguments."""

_CONVERSION = re.compile(r"([a-z]+)_to_([a-z]+)")


def conversion_types(function: str) -> tuple[Elementary, Elementary] | None:
    """From what to what, of a name such as uint_to_udint; None if it is no conversion."""
    found = _CONVERSION.fullmatch(function)
    if found is None or not ELEMENTARY.keys() >= set(found.groups()):
        return None
    return ELEMENTARY[found[1]], ELEMENTARY[found[2]]


def conversion(source: Elementary, target: Elementary, operand: Read, at: Place) -> Read:
    """`operand` as `target`.

    Raises:
        PlcProgramError: PLCs do not agree about this conversion.
    """
    match source.family, target.family:
        case ("integer", "integer") | ("time", "integer") | ("integer", "time"):
            if target.low <= source.low and source.high <= target.high:
                return operand
            return _fitting(source, target, operand, at)
        case ("integer", "bits") | ("bits", "integer") if source.bits == target.bits:
            return operand if source.signed == target.signed else _rebuilt(target, operand)
        case ("bits", "bits") if source.bits != target.bits:
            return _rebuilt(target, operand)
        case ("bool", "integer" | "bits"):
            return lambda m: int(operand(m))
    raise at.wrong(f"{source} to {target}: PLCs do not agree about this; go by another type")


def _rebuilt(target: Elementary, operand: Read) -> Read:
    wrapped = target.wrapper()
    return lambda m: wrapped(operand(m))


def _fitting(source: Elementary, target: Elementary, operand: Read, at: Place) -> Read:
    low, high = target.low, target.high

    def read(m: Memory) -> int:
        value: int = operand(m)
        if not low <= value <= high:
            raise at.wrong(f"{source} {value} does not fit into {target}; cut it with MOD first")
        return value

    return read


def chosen(function: str, kind: Elementary, values: list[Value]) -> Read:
    """ABS, MIN or MAX of values of one type; ABS of the lowest number wraps around to itself."""
    first = values[0].read
    if function == "abs":
        wrapped = kind.wrapper()
        return lambda m: wrapped(abs(first(m)))
    second = values[1].read
    if function == "min":
        return lambda m: min(first(m), second(m))
    return lambda m: max(first(m), second(m))


def shifted(function: str, kind: Elementary, bits: Read, places: Read, at: Place) -> Read:
    """SHL or SHR: zeros follow; what goes over the end is lost."""
    mask, width, left = kind.high, kind.bits, function == "shl"

    def read(m: Memory) -> int:
        value, by = bits(m), places(m)
        if by < 0:
            raise at.wrong(f"{function.upper()} by {by} places")
        by = min(by, width)
        return int(value << by & mask if left else value >> by)

    return read
