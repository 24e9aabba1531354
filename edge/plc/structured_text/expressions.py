"""Expressions by the precedence of IEC 61131-3, table 71, from the weakest to the strongest:

OR    XOR    AND &    = <>    < > <= >=    + -    * / MOD    - NOT    call, index, brackets
"""

from edge.plc.structured_text.reader import ELSEWHERE, RESERVED, Reader
from edge.plc.structured_text.tokens import Token
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

LONGEST_CHAIN = 100
"""Operands of one strength without brackets."""

_LEVELS = (
    ("or",),
    ("xor",),
    ("and",),
    ("=", "<>"),
    ("<", ">", "<=", ">="),
    ("+", "-"),
    ("*", "/", "mod"),
)


def expression(reader: Reader, level: int = 0) -> Expression:
    """One expression; binary operators group from the left.

    Raises:
        PlcProgramError: what is none.
    """
    if level == len(_LEVELS):
        return _unary(reader)
    left = expression(reader, level + 1)
    for _ in range(LONGEST_CHAIN + 1):
        operator = reader.accept(*_LEVELS[level])
        if operator is None:
            return left
        left = Binary(operator.at, operator.text, left, expression(reader, level + 1))
    raise reader.token.at.wrong(f"more than {LONGEST_CHAIN} operators in a row")


def _unary(reader: Reader) -> Expression:
    operator = reader.accept("-", "not")
    if operator is None:
        return _primary(reader)
    with reader.deeper():
        return Unary(operator.at, operator.text, _unary(reader))


def _primary(reader: Reader) -> Expression:
    token = reader.token
    if token.kind in ("number", "time"):
        reader.take()
        return Number(token.at, token.value, token.type_name)
    if reader.accept("true", "false"):
        return Truth(token.at, token.text == "true")
    if reader.accept("("):
        with reader.deeper():
            inner = expression(reader)
        reader.expect(")", "after the expression in brackets")
        return inner
    if token.kind != "word" or token.text in RESERVED or token.text in ELSEWHERE:
        reader.fail("expected a value")
    reader.take()
    return _named(reader, token)


def _named(reader: Reader, token: Token) -> Expression:
    """What a name begins: a variable, an element, an output, a call."""
    at, name = token.at, token.text
    begins = reader.accept("[", "(", ".")
    if begins is None:
        return Name(at, name)
    if begins.text == ".":
        return Output(at, name, reader.name("an output of the block").text)
    with reader.deeper():
        if begins.text == "[":
            index = expression(reader)
            reader.expect("]", "after the index")
            return Index(at, name, index)
        arguments = [expression(reader)]
        while reader.accept(","):
            arguments.append(expression(reader))
    reader.expect(")", "after the arguments")
    return Call(at, name, tuple(arguments))
