"""Statements understood: each a function that changes the memory of its block."""

from edge.plc.structured_text.code import Memory, Read, Step, Value
from edge.plc.structured_text.datatypes import BOOL, Elementary
from edge.plc.structured_text.scope import Scope
from edge.plc.structured_text.tokens import Place
from edge.plc.structured_text.tree import (
    Assign,
    Case,
    Exit,
    For,
    If,
    Index,
    Invoke,
    Statement,
    Statements,
    While,
)
from edge.plc.structured_text.values import of_type, position, whole

MOST_LABELS = 1000
"""Values of one CASE."""


def steps(scope: Scope, statements: Statements) -> Step:
    """Carries out statements one after the other, up to an EXIT.

    Raises:
        PlcProgramError: with the place of the mistake.
    """
    found = tuple(_step(scope, statement) for statement in statements)
    if len(found) == 1:
        return found[0]

    def run(m: Memory) -> object:
        for step in found:  # noqa: SIM110 - a generator would cost more than the statement
            if step(m):
                return True
        return False

    return run


def _step(scope: Scope, node: Statement) -> Step:
    match node:
        case Assign():
            return _assign(scope, node)
        case If():
            return _if(scope, node)
        case Case():
            return _case(scope, node)
        case For():
            return _for(scope, node)
        case While():
            return _while(scope, node)
        case Invoke():
            return _invoke(scope, node)
        case Exit():
            if not scope.loop_depth:
                raise node.at.wrong("EXIT stands in no loop")
            return lambda _: True


def _assign(scope: Scope, node: Assign) -> Step:
    target = node.target
    kind, slot = scope.elementary(target), scope.assignable(target).slot
    value = of_type(scope, node.value, kind, f"`{target.name}`")
    read = value.read
    if isinstance(target, Index):
        return _assign_element(position(scope, target), slot, read)

    def step(m: Memory) -> None:
        m[slot] = read(m)

    return step


def _assign_element(where: Read | int, slot: int, read: Read) -> Step:
    if isinstance(where, int):
        fixed = where

        def step_fixed(m: Memory) -> None:
            m[slot][fixed] = read(m)

        return step_fixed
    computed = where

    def step(m: Memory) -> None:
        m[slot][computed(m)] = read(m)

    return step


def _if(scope: Scope, node: If) -> Step:
    branches = tuple(
        (of_type(scope, condition, BOOL, "the condition of IF").read, steps(scope, body))
        for condition, body in node.branches
    )
    otherwise = steps(scope, node.otherwise)
    if len(branches) == 1 and not node.otherwise:
        condition, body = branches[0]
        return lambda m: condition(m) and body(m)

    def step(m: Memory) -> object:
        for condition, body in branches:
            if condition(m):
                return body(m)
        return otherwise(m)

    return step


def _case(scope: Scope, node: Case) -> Step:
    selector = whole(scope, node.selector, "the selector of CASE")
    read, otherwise = selector.read, steps(scope, node.otherwise)
    arms: dict[int, Step] = {}
    for labels, body in node.arms:
        arm = steps(scope, body)
        for label in labels:
            _check_label(selector.type, label.first, label.last, label.at)
            for value in range(label.first, label.last + 1):
                if value in arms:
                    raise label.at.wrong(f"{value} stands in this CASE already")
                arms[value] = arm
    return lambda m: arms.get(read(m), otherwise)(m)


def _check_label(kind: Elementary, first: int, last: int, at: Place) -> None:
    if last - first >= MOST_LABELS:
        raise at.wrong(f"{first}..{last} holds more than {MOST_LABELS} values")
    if not (kind.holds(first) and kind.holds(last)):
        raise at.wrong(f"{first}..{last} is not within {kind}")


def _for(scope: Scope, node: For) -> Step:
    name = node.variable.name
    kind, slot = scope.elementary(node.variable), scope.assignable(node.variable).slot
    if kind.family != "integer":
        raise node.at.wrong(f"FOR counts with an integer, `{name}` is {kind}")
    first, last, by = (
        of_type(scope, n, kind, "a limit of FOR").read for n in (node.first, node.last, node.step)
    )
    body, at, wrapped = _looped(scope, node.body, name), node.at, kind.wrapper()

    def step(m: Memory) -> None:
        value, end, pace, run = first(m), last(m), by(m), m[0]
        if pace == 0:
            raise at.wrong("FOR by steps of 0 has no end")
        while value <= end if pace > 0 else value >= end:
            run.turns_left -= 1
            if run.turns_left < 0:
                raise at.wrong("this FOR does not end within a scan")
            m[slot] = value
            if body(m):
                return
            value = wrapped(value + pace)

    return step


def _while(scope: Scope, node: While) -> Step:
    condition: Value = of_type(scope, node.condition, BOOL, "the condition of WHILE")
    goes_on, body, at = condition.read, _looped(scope, node.body), node.at

    def step(m: Memory) -> None:
        run = m[0]
        while goes_on(m):
            run.turns_left -= 1
            if run.turns_left < 0:
                raise at.wrong("this WHILE does not end within a scan")
            if body(m):
                return

    return step


def _looped(scope: Scope, body: Statements, *variable: str) -> Step:
    """The body of a loop, in which EXIT has a meaning and its variable must not be set."""
    scope.loop_depth += 1
    scope.loops += variable
    found = steps(scope, body)
    scope.loop_depth -= 1
    del scope.loops[len(scope.loops) - len(variable) :]
    return found


def _invoke(scope: Scope, node: Invoke) -> Step:
    block, code = scope.block(node.block, node.at)
    given: list[tuple[int, Read]] = []
    for name, expression in node.inputs:
        variable = code.variables.get(name)
        if variable is None or variable.section != "input":
            raise node.at.wrong(f"{code} has no input `{name}`")
        if not isinstance(variable.type, Elementary):
            raise node.at.wrong(f"`{name}` of {code} is no single value")
        value = of_type(scope, expression, variable.type, f"`{name}` of {code}")
        given.append((variable.slot, value.read))
    slot, body, inputs = block.slot, code.body, tuple(given)

    def step(m: Memory) -> None:
        inner = m[slot]
        for into, read in inputs:
            inner[into] = read(m)
        body(inner)

    return step
