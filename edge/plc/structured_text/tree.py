"""A program as its grammar sees it: what was written, and where. No meaning yet.

Words are in lower case. A binary operator is one of
or xor and = <> < > <= >= + - * / mod, a unary one `-` or `not`.
"""

from dataclasses import dataclass
from typing import Literal

from edge.plc.structured_text.tokens import Place

Section = Literal["var", "input", "output", "retain", "constant"]


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number, or a time in ms. `type_name` stands in front of it, or takes what fits."""

    at: Place
    value: int
    type_name: str | None = None


@dataclass(frozen=True, slots=True)
class Truth:
    """TRUE or FALSE."""

    at: Place
    value: bool


@dataclass(frozen=True, slots=True)
class Name:
    """A variable or a constant."""

    at: Place
    name: str


@dataclass(frozen=True, slots=True)
class Index:
    """name[index]."""

    at: Place
    name: str
    index: "Expression"


@dataclass(frozen=True, slots=True)
class Output:
    """block.output: what a function block says."""

    at: Place
    block: str
    output: str


@dataclass(frozen=True, slots=True)
class Unary:
    """An operator and what it is for."""

    at: Place
    operator: str
    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Binary:
    """left operator right; `at` is the operator's place."""

    at: Place
    operator: str
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True)
class Call:
    """function(argument, ...)."""

    at: Place
    function: str
    arguments: tuple["Expression", ...]


Expression = Number | Truth | Name | Index | Output | Unary | Binary | Call


@dataclass(frozen=True, slots=True)
class Assign:
    """target := value;"""

    at: Place
    target: Name | Index
    value: Expression


@dataclass(frozen=True, slots=True)
class If:
    """IF, ELSIF: conditions with their statements, in order; ELSE."""

    at: Place
    branches: tuple[tuple[Expression, "Statements"], ...]
    otherwise: "Statements"


@dataclass(frozen=True, slots=True)
class Label:
    """A value or a range of values before the `:` of a CASE."""

    at: Place
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Case:
    """CASE selector OF labels: statements ... ELSE."""

    at: Place
    selector: Expression
    arms: tuple[tuple[tuple[Label, ...], "Statements"], ...]
    otherwise: "Statements"


@dataclass(frozen=True, slots=True)
class For:
    """FOR variable := first TO last BY step DO."""

    at: Place
    variable: Name
    first: Expression
    last: Expression
    step: Expression
    body: "Statements"


@dataclass(frozen=True, slots=True)
class While:
    """WHILE condition DO."""

    at: Place
    condition: Expression
    body: "Statements"


@dataclass(frozen=True, slots=True)
class Exit:
    """EXIT: leaves the innermost loop."""

    at: Place


@dataclass(frozen=True, slots=True)
class Invoke:
    """block(input := value, ...); runs a function block."""

    at: Place
    block: str
    inputs: tuple[tuple[str, Expression], ...]


Statement = Assign | If | Case | For | While | Exit | Invoke
Statements = tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Bounds:
    """ARRAY[low..high]."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Declaration:
    """One variable: `type_name` is an elementary type or a function block."""

    at: Place
    name: str
    section: Section
    type_name: str
    bounds: Bounds | None
    initial: Number | Truth | None


@dataclass(frozen=True, slots=True)
class FunctionBlock:
    """FUNCTION_BLOCK name ... END_FUNCTION_BLOCK."""

    at: Place
    name: str
    declarations: tuple[Declaration, ...]
    body: Statements
