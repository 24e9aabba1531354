"""Expressions understood: each with its type, and a function that evaluates it.

Types are strict: nothing is converted unasked. A bare number takes the type of its surroundings,
and must be one of that type.
"""

from edge.plc.structured_text import functions, operators
from edge.plc.structured_text.code import Constant, Memory, Read, Value, constant_value
from edge.plc.structured_text.datatypes import BOOL, DINT, ELEMENTARY, INT, TIME, Elementary
from edge.plc.structured_text.scope import Scope
from edge.plc.structured_text.tokens import Place
from edge.plc.structured_text.tree import (
    Binary,
    Call,
    Expression,
    Index,
    Name,
    Number,
    Output,
    Truth,
    Unary,
)


def of_type(scope: Scope, node: Expression, wanted: Elementary, what: str) -> Value:
    """An expression that must be of this type.

    Args:
        what: for the error, as "the index".

    Raises:
        PlcProgramError: with the place of the mistake.
    """
    value = understood(scope, node, wanted)
    if value.type != wanted:
        raise node.at.wrong(
            f"{what}: expected {wanted}, got {value.type}{_way(value.type, wanted)}"
        )
    return value


def whole(scope: Scope, node: Expression, what: str) -> Value:
    """An expression of any integer type.

    Raises:
        PlcProgramError: with the place of the mistake.
    """
    value = understood(scope, node, natural(scope, node) or DINT)
    if value.type.family != "integer":
        raise node.at.wrong(f"{what}: expected an integer, got {value.type}")
    return value


def natural(scope: Scope, node: Expression) -> Elementary | None:
    """The type that an expression has by itself; None if it is made of bare numbers.

    Raises:
        PlcProgramError: a name without meaning.
    """
    match node:
        case Number():
            return None if node.type_name is None else _named_type(node)
        case Truth():
            return BOOL
        case Name() | Index():
            return scope.elementary(node)
        case Output():
            return scope.output(node.block, node.output, node.at)[2]
        case Unary():
            return natural(scope, node.operand)
        case Binary():
            if node.operator in operators.COMPARISONS:
                return BOOL
            return natural(scope, node.left) or natural(scope, node.right)
        case Call():
            if types := functions.conversion_types(node.function):
                return types[1]
            typed = node.arguments[:1] if node.function in ("shl", "shr") else node.arguments
            return next(filter(None, (natural(scope, a) for a in typed)), None)


def understood(scope: Scope, node: Expression, wanted: Elementary | None) -> Value:
    """An expression; `wanted` is the type for bare numbers in it, INT if there is none.

    Raises:
        PlcProgramError: with the place of the mistake.
    """
    match node:
        case Number():
            return _number(node, wanted)
        case Truth():
            return constant_value(BOOL, node.value)
        case Name():
            return _name(scope, node)
        case Index():
            return Value(scope.elementary(node), element(scope, node))
        case Output():
            block, output, type_ = scope.output(node.block, node.output, node.at)
            return Value(type_, _inside(block.slot, output.slot))
        case Unary():
            return _unary(scope, node, wanted)
        case Binary():
            return _binary(scope, node, wanted)
        case Call():
            return _call(scope, node, wanted)


def element(scope: Scope, node: Index) -> Read:
    """Evaluates an element of an array; an index outside of it is an error of the scan."""
    where, slot = position(scope, node), scope.array(node)[0].slot
    if isinstance(where, int):
        return lambda m: m[slot][where]
    return lambda m: m[slot][where(m)]


def position(scope: Scope, node: Index) -> Read | int:
    """Where in its list an element lies: a number, or what computes and checks it."""
    _, array = scope.array(node)
    index = whole(scope, node.index, f"the index of `{node.name}`")
    low, high, read, at = array.low, array.high, index.read, node.index.at
    outside = f"index {{}} of `{node.name}` is outside {low}..{high}"
    if index.constant is not None:
        if not low <= index.constant <= high:
            raise at.wrong(outside.format(index.constant))
        return index.constant - low

    def checked(m: Memory) -> int:
        place: int = read(m)
        if not low <= place <= high:
            raise at.wrong(outside.format(place))
        return place - low

    return checked


def _named_type(node: Number) -> Elementary:
    found = ELEMENTARY.get(node.type_name or "")
    if found is None or found is BOOL:
        raise node.at.wrong(f"{(node.type_name or '').upper()}# is no type of a number here")
    return found


def _number(node: Number, wanted: Elementary | None) -> Value:
    kind = wanted or INT
    if node.type_name is not None:
        kind = _named_type(node)
    elif kind in (BOOL, TIME):
        raise node.at.wrong(f"expected {kind}, got the number {node.value}")
    if not kind.holds(node.value):
        raise node.at.wrong(f"{node.value} is no {kind}: expected {kind.low} to {kind.high}")
    return constant_value(kind, node.value)


def _name(scope: Scope, node: Name) -> Value:
    type_ = scope.elementary(node)
    symbol = scope.found(node.name, node.at)
    if isinstance(symbol, Constant):
        return constant_value(type_, symbol.value)
    slot = symbol.slot
    return Value(type_, lambda m: m[slot])


def _inside(block: int, output: int) -> Read:
    return lambda m: m[block][output]


def _unary(scope: Scope, node: Unary, wanted: Elementary | None) -> Value:
    if node.operator == "-" and isinstance(node.operand, Number):  # so that -32768 is an INT
        number = node.operand
        return _number(Number(node.at, -number.value, number.type_name), wanted)
    operand = understood(scope, node.operand, natural(scope, node.operand) or wanted)
    if node.operator == "not":
        if operand.type.family not in ("bool", "bits"):
            raise node.at.wrong(f"NOT is for BOOL and bits, got {operand.type}")
        return Value(operand.type, operators.negated(operand.type, operand.read))
    if not operand.type.signed:
        raise node.at.wrong(f"- in front of {operand.type}, which has no sign")
    return Value(operand.type, operators.minus(operand.type, operand.read))


def _binary(scope: Scope, node: Binary, wanted: Elementary | None) -> Value:
    compares = node.operator in operators.COMPARISONS
    kind = natural(scope, node.left) or natural(scope, node.right)
    kind = kind or (DINT if compares else wanted) or INT
    sign = node.operator.upper()
    left = of_type(scope, node.left, kind, f"left of {sign}")
    right = of_type(scope, node.right, kind, f"right of {sign}")
    if not operators.allowed(node.operator, kind):
        raise node.at.wrong(f"{sign} is not for {kind}")
    read = operators.binary(node.operator, kind, left, right, node.at)
    return Value(BOOL if compares else kind, read)


def _call(scope: Scope, node: Call, wanted: Elementary | None) -> Value:
    name, given = node.function.upper(), len(node.arguments)
    types = functions.conversion_types(node.function)
    expected = 1 if types else functions.ARGUMENTS.get(node.function)
    if expected is None:
        raise node.at.wrong(f"there is no function {name} in this subset")
    if given != expected:
        raise node.at.wrong(f"{name} takes {expected} value(s), got {given}")
    if types:
        operand = of_type(scope, node.arguments[0], types[0], f"the value of {name}")
        return Value(types[1], functions.conversion(*types, operand.read, node.at))
    kind = natural(scope, node) or wanted or DINT
    if node.function in ("shl", "shr"):
        bits = of_type(scope, node.arguments[0], kind, f"the bits of {name}")
        places = whole(scope, node.arguments[1], f"the places of {name}")
        _demand(kind.family == "bits", node.at, f"{name} is for WORD and DWORD, got {kind}")
        return Value(kind, functions.shifted(node.function, kind, bits.read, places.read, node.at))
    values = [of_type(scope, a, kind, f"a value of {name}") for a in node.arguments]
    _demand(kind.family in ("integer", "time"), node.at, f"{name} is for numbers, got {kind}")
    return Value(kind, functions.chosen(node.function, kind, values))


def _demand(good: bool, at: Place, text: str) -> None:
    if not good:
        raise at.wrong(text)


def _way(source: Elementary, target: Elementary) -> str:
    """How to get from one type to the other, if there is a way."""
    if BOOL in (source, target):
        return ""
    return f"; convert it with {source}_TO_{target}"
