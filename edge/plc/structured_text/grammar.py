"""A text of function blocks, read whole: declarations here, what they do in `statements`.

FUNCTION_BLOCK name
  VAR_INPUT | VAR_OUTPUT | VAR | VAR RETAIN | VAR CONSTANT   name, name : type := value;  END_VAR
  statements
END_FUNCTION_BLOCK
"""

from edge.plc.structured_text.datatypes import MOST_ELEMENTS
from edge.plc.structured_text.reader import Reader
from edge.plc.structured_text.statements import signed, statements
from edge.plc.structured_text.tree import Bounds, Declaration, FunctionBlock, Number, Section, Truth

_SECTIONS: dict[str, Section] = {"var": "var", "var_input": "input", "var_output": "output"}


def parse(text: str, source: str) -> tuple[FunctionBlock, ...]:
    """The blocks of a text, in its order.

    Args:
        source: the text's name in errors.

    Raises:
        PlcProgramError: the first thing that is not in the subset, with line and column.
    """
    reader = Reader(text, source)
    blocks: list[FunctionBlock] = []
    while reader.token.kind != "end" or not blocks:
        reader.expect("function_block", "where a block begins")
        blocks.append(_block(reader))
    return tuple(blocks)


def _block(reader: Reader) -> FunctionBlock:
    token = reader.name("the function block")
    declared: list[Declaration] = []
    while begins := reader.accept(*_SECTIONS):
        declared += _section(reader, _SECTIONS[begins.text])
    body = statements(reader, "end_function_block")
    reader.take()
    reader.accept(";")
    return FunctionBlock(token.at, token.text, tuple(declared), body)


def _section(reader: Reader, section: Section) -> list[Declaration]:
    """One VAR ... END_VAR."""
    if section == "var" and (kind := reader.accept("retain", "constant")):
        section = "retain" if kind.text == "retain" else "constant"
    found: list[Declaration] = []
    while not reader.accept("end_var"):
        names = [reader.name("a variable, or `END_VAR`")]
        while reader.accept(","):
            names.append(reader.name("a variable"))
        reader.expect(":", "after the name of the variable")
        bounds = _bounds(reader) if reader.accept("array") else None
        type_name = reader.name("a type").text
        initial = _initial(reader) if reader.accept(":=") else None
        reader.expect(";", "after the declaration")
        found += [Declaration(n.at, n.text, section, type_name, bounds, initial) for n in names]
    return found


def _bounds(reader: Reader) -> Bounds:
    at = reader.expect("[", "after ARRAY").at
    low = signed(reader, "the first index").value
    reader.expect("..", "between the first and the last index")
    high = signed(reader, "the last index").value
    reader.expect("]", "after the last index")
    reader.expect("of", "after the bounds")
    if not 1 <= high - low + 1 <= MOST_ELEMENTS:
        raise at.wrong(f"ARRAY[{low}..{high}]: expected 1 to {MOST_ELEMENTS} elements")
    return Bounds(low, high)


def _initial(reader: Reader) -> Number | Truth:
    if truth := reader.accept("true", "false"):
        return Truth(truth.at, truth.text == "true")
    return signed(reader, "the first value")
