"""What the names in one block mean, and what may be done with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.plc.structured_text.code import BlockCode, Constant, Variable
from edge.plc.structured_text.datatypes import Array, Elementary
from edge.plc.structured_text.tokens import Place
from edge.plc.structured_text.tree import Index, Name


@dataclass(slots=True)
class Scope:
    """The names of one block. `loops` holds the variables of the FOR around a statement."""

    names: Mapping[str, Variable | Constant]
    loops: list[str] = field(default_factory=list)
    loop_depth: int = 0

    def found(self, name: str, at: Place) -> Variable | Constant:
        """What a name means.

        Raises:
            PlcProgramError: it was not declared.
        """
        symbol = self.names.get(name)
        if symbol is None:
            raise at.wrong(f"`{name}` is not declared in this block")
        return symbol

    def elementary(self, node: Name | Index) -> Elementary:
        """The type of a variable, a constant or an element.

        Raises:
            PlcProgramError: not declared, an index too many or none where one is needed.
        """
        type_ = self.found(node.name, node.at).type
        if isinstance(node, Index):
            return self.array(node)[1].of
        if not isinstance(type_, Elementary):
            raise node.at.wrong(f"`{node.name}` is {_article(type_)}, expected a single value")
        return type_

    def array(self, node: Index) -> tuple[Variable, Array]:
        """The array whose element this is.

        Raises:
            PlcProgramError: it is none.
        """
        symbol = self.found(node.name, node.at)
        if not isinstance(symbol, Variable) or not isinstance(symbol.type, Array):
            raise node.at.wrong(f"`{node.name}` is {_article(symbol.type)}, expected an array")
        return symbol, symbol.type

    def block(self, name: str, at: Place) -> tuple[Variable, BlockCode]:
        """The function block of this name.

        Raises:
            PlcProgramError: it is none.
        """
        symbol = self.found(name, at)
        if not isinstance(symbol, Variable) or not isinstance(symbol.type, BlockCode):
            raise at.wrong(f"`{name}` is {_article(symbol.type)}, expected a function block")
        return symbol, symbol.type

    def output(self, name: str, output: str, at: Place) -> tuple[Variable, Variable, Elementary]:
        """A block and one of its outputs.

        Raises:
            PlcProgramError: there is no such output.
        """
        block, code = self.block(name, at)
        found = code.variables.get(output)
        if found is None or found.section != "output" or not isinstance(found.type, Elementary):
            raise at.wrong(f"{code} has no output `{output}`")
        return block, found, found.type

    def assignable(self, node: Name | Index) -> Variable:
        """The variable that an assignment changes.

        Raises:
            PlcProgramError: a constant, an input, or the variable of a FOR around it.
        """
        symbol = self.found(node.name, node.at)
        if isinstance(symbol, Constant):
            raise node.at.wrong(f"`{node.name}` is a constant")
        if symbol.section == "input":
            raise node.at.wrong(f"`{node.name}` is an input: only who calls the block sets it")
        if node.name in self.loops:
            raise node.at.wrong(f"`{node.name}` counts the FOR around this; nothing else sets it")
        return symbol


def _article(type_: object) -> str:
    if isinstance(type_, BlockCode):
        return f"a block ({type_})"
    return f"of type {type_}"
