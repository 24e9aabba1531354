"""From a text to code that runs: every name, type and number in it is checked here, once."""

from edge.plc.structured_text.code import BlockCode, Constant, Variable
from edge.plc.structured_text.datatypes import BOOL, ELEMENTARY, TIME, Array, Elementary
from edge.plc.structured_text.grammar import parse
from edge.plc.structured_text.scope import Scope
from edge.plc.structured_text.standard import STANDARD
from edge.plc.structured_text.steps import steps
from edge.plc.structured_text.tree import Declaration, FunctionBlock, Truth


def compiled(text: str, source: str) -> BlockCode:
    """The last block of a text, with the blocks before it that it uses.

    Args:
        source: the text's name in errors.

    Raises:
        PlcProgramError: the first mistake, with line and column.
    """
    known = dict(STANDARD)
    code = None
    for block in parse(text, source):
        if block.name in known or block.name in ELEMENTARY:
            raise block.at.wrong(f"there is a {block.name.upper()} already")
        code = known[block.name] = _block(block, known)
    assert code is not None  # a text without a block was refused
    return code


def _block(block: FunctionBlock, known: dict[str, BlockCode]) -> BlockCode:
    names: dict[str, Variable | Constant] = {}
    variables: dict[str, Variable] = {}
    for declared in block.declarations:
        if declared.name in names or declared.name in known or declared.name in ELEMENTARY:
            raise declared.at.wrong(f"there is a `{declared.name}` already")
        symbol = _symbol(declared, known, len(variables) + 1)
        names[declared.name] = symbol
        if isinstance(symbol, Variable):
            variables[declared.name] = symbol
    return BlockCode(block.name, variables, steps(Scope(names), block.body))


def _symbol(declared: Declaration, known: dict[str, BlockCode], slot: int) -> Variable | Constant:
    section = declared.section
    if declared.type_name in known:
        if section != "var" or declared.bounds or declared.initial:
            raise declared.at.wrong("a block stands in VAR, alone and without a first value")
        return Variable(known[declared.type_name], slot, section)
    kind = ELEMENTARY.get(declared.type_name)
    if kind is None:
        raise declared.at.wrong(f"there is no type {declared.type_name.upper()} in this subset")
    if section == "constant":
        if declared.bounds or declared.initial is None:
            raise declared.at.wrong(f"`{declared.name}` is a constant: it needs one value")
        return Constant(kind, _initial(declared, kind))
    if declared.bounds is None:
        return Variable(kind, slot, section, _initial(declared, kind))
    if declared.initial is not None:
        raise declared.at.wrong("an array begins with zeros: assign in the first scan")
    return Variable(Array(declared.bounds.low, declared.bounds.high, kind), slot, section)


def _initial(declared: Declaration, kind: Elementary) -> int:
    first = declared.initial
    if first is None:
        return kind.zero
    wanted = kind.name.lower()
    if isinstance(first, Truth):
        fits = kind is BOOL
    else:
        typed = first.type_name == wanted
        fits = (
            typed or (first.type_name is None and kind not in (BOOL, TIME))
        ) and kind is not BOOL
    if not fits or not kind.holds(first.value):
        raise first.at.wrong(
            f"{str(first.value).upper()} is no {kind} to begin `{declared.name}` with"
        )
    return first.value
