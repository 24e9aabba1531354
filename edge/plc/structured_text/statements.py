"""Statements of the subset: assignment, IF, CASE, FOR, WHILE, EXIT, the call of a block."""

from edge.plc.structured_text.expressions import expression
from edge.plc.structured_text.reader import RESERVED, Reader
from edge.plc.structured_text.tokens import Place
from edge.plc.structured_text.tree import (
    Assign,
    Case,
    Exit,
    Expression,
    For,
    If,
    Index,
    Invoke,
    Label,
    Name,
    Number,
    Statement,
    Statements,
    While,
)


def statements(reader: Reader, *ends: str) -> Statements:
    """Statements up to one of the words `ends`, which is left to be taken.

    Raises:
        PlcProgramError: what is no statement, or no end.
    """
    found: list[Statement] = []
    with reader.deeper():
        while not reader.sees(*ends):
            if reader.accept(";"):
                continue
            found.append(_statement(reader, ends))
            reader.expect(";", "after the statement")
    return tuple(found)


def _statement(reader: Reader, ends: tuple[str, ...]) -> Statement:
    token = reader.token
    if reader.accept("if"):
        return _if(reader, token.at)
    if reader.accept("case"):
        return _case(reader, token.at)
    if reader.accept("for"):
        return _for(reader)
    if reader.accept("while"):
        condition = expression(reader)
        reader.expect("do", "after the condition of WHILE")
        body = statements(reader, "end_while")
        reader.take()
        return While(token.at, condition, body)
    if reader.accept("exit"):
        return Exit(token.at)
    if token.kind != "word" or token.text in RESERVED:
        reader.fail(f"expected a statement or `{ends[-1].upper()}`")
    return _assignment_or_call(reader)


def _if(reader: Reader, at: Place) -> If:
    branches: list[tuple[Expression, Statements]] = []
    otherwise: Statements = ()
    while True:
        condition = expression(reader)
        reader.expect("then", "after the condition of IF")
        branches.append((condition, statements(reader, "elsif", "else", "end_if")))
        if not reader.accept("elsif"):
            break
    if reader.accept("else"):
        otherwise = statements(reader, "end_if")
    reader.expect("end_if", "after ELSE")
    return If(at, tuple(branches), otherwise)


def _case(reader: Reader, at: Place) -> Case:
    selector = expression(reader)
    reader.expect("of", "after the selector of CASE")
    arms: list[tuple[tuple[Label, ...], Statements]] = []
    otherwise: Statements = ()
    while not reader.sees("else", "end_case"):
        labels = [_label(reader)]
        while reader.accept(","):
            labels.append(_label(reader))
        reader.expect(":", "after the values of this case")
        arms.append((tuple(labels), _arm(reader)))
    if reader.accept("else"):
        otherwise = statements(reader, "end_case")
    reader.expect("end_case", "after the cases")
    return Case(at, selector, tuple(arms), otherwise)


def _arm(reader: Reader) -> Statements:
    """Statements up to the next value of a CASE."""
    found: list[Statement] = []
    while not reader.sees("else", "end_case", "-") and reader.token.kind != "number":
        if reader.accept(";"):
            continue
        with reader.deeper():
            found.append(_statement(reader, ("end_case",)))
        reader.expect(";", "after the statement")
    return tuple(found)


def _label(reader: Reader) -> Label:
    at = reader.token.at
    first = signed(reader, "a value of CASE")
    last = signed(reader, "the last value") if reader.accept("..") else first
    if last.value < first.value:
        raise at.wrong(f"{first.value}..{last.value} holds nothing")
    return Label(at, first.value, last.value)


def signed(reader: Reader, what: str) -> Number:
    """A number as it stands in a CASE or a declaration, maybe with a minus.

    Raises:
        PlcProgramError: something else.
    """
    minus = reader.accept("-")
    token = reader.token
    if token.kind != "number" and not (token.kind == "time" and minus is None):
        reader.fail(f"expected {what}, a number")
    reader.take()
    return Number(token.at, -token.value if minus else token.value, token.type_name)


def _for(reader: Reader) -> For:
    token = reader.name("the variable of FOR")
    reader.expect(":=", "after the variable of FOR")
    first = expression(reader)
    reader.expect("to", "after the first value of FOR")
    last = expression(reader)
    step: Expression = Number(reader.token.at, 1)
    if reader.accept("by"):
        step = expression(reader)
    reader.expect("do", "after the last value of FOR")
    body = statements(reader, "end_for")
    reader.take()
    return For(token.at, Name(token.at, token.text), first, last, step, body)


def _assignment_or_call(reader: Reader) -> Statement:
    token = reader.name("a variable or a block")
    if reader.accept("("):
        return Invoke(token.at, token.text, _inputs(reader))
    target: Name | Index = Name(token.at, token.text)
    if reader.accept("["):
        target = Index(token.at, token.text, expression(reader))
        reader.expect("]", "after the index")
    reader.expect(":=", "after the variable")
    return Assign(token.at, target, expression(reader))


def _inputs(reader: Reader) -> tuple[tuple[str, Expression], ...]:
    """`input := value, ...)`."""
    found: list[tuple[str, Expression]] = []
    while not reader.sees(")"):
        if found:
            reader.expect(",", "between two inputs")
        token = reader.name("an input of the block")
        reader.expect(":=", "after the name of the input")
        if token.text in dict(found):
            raise token.at.wrong(f"`{token.text}` is given twice")
        found.append((token.text, expression(reader)))
    reader.take()
    return tuple(found)
