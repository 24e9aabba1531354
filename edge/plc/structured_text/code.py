"""What a block becomes once it is understood: slots of memory and functions on them.

A block's memory is a list. Slot 0 holds the run it belongs to; every variable has a slot of its
own, an array its list, a function block inside another the memory of that block.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge.plc.structured_text.datatypes import Array, Elementary
from edge.plc.structured_text.tree import Section

Memory = list[Any]
Read = Callable[[Memory], Any]
"""Evaluates an expression."""

Step = Callable[[Memory], object]
"""Carries out a statement; something true means that EXIT was met."""

TURNS = 20_000
"""Turns of loops in one scan; a PLC's watchdog would have stopped it by then."""


@dataclass(slots=True)
class Run:
    """What all blocks of one machine share."""

    now_ms: int = 0
    turns_left: int = TURNS


@dataclass(frozen=True, slots=True)
class Constant:
    """A name with a value that never changes."""

    type: Elementary
    value: int


@dataclass(frozen=True, slots=True)
class Variable:
    """Where a variable lies and what it holds first."""

    type: "Elementary | Array | BlockCode"
    slot: int
    section: Section
    initial: int = 0

    def first(self, run: Run) -> object:
        """Its content at power-up."""
        if isinstance(self.type, BlockCode):
            return self.type.memory(run)
        if isinstance(self.type, Array):
            return [self.type.of.zero] * self.type.size
        return self.initial


@dataclass(frozen=True, slots=True)
class BlockCode:
    """One type of function block, ready to run."""

    name: str
    variables: Mapping[str, Variable] = field(repr=False)
    body: Step = field(repr=False)

    def memory(self, run: Run) -> Memory:
        """Fresh memory of one block."""
        return [run, *(variable.first(run) for variable in self.variables.values())]

    def __str__(self) -> str:
        return self.name.upper()


@dataclass(frozen=True, slots=True)
class Value:
    """An expression, understood; `constant` is set where nothing can change it."""

    type: Elementary
    read: Read
    constant: int | None = None


def constant_value(type_: Elementary, value: int) -> Value:
    """A value that is known before the program runs."""
    return Value(type_, lambda _: value, value)
