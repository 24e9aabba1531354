"""Short texts of structured text, under power."""

from edge.plc.structured_text.compiler import compiled
from edge.plc.structured_text.machine import Machine

DECLARED = """
VAR_INPUT x : INT; b : BOOL; END_VAR
VAR_OUTPUT y : INT; z : BOOL; w : WORD; END_VAR
VAR n : INT := -3; list : ARRAY[1..4] OF INT; long : DINT; span : TIME; edge : R_TRIG; END_VAR
VAR CONSTANT TOP : INT := 4; END_VAR
"""


def block(body: str, declared: str = DECLARED) -> str:
    """A text of one block; the body begins in line BODY_LINE."""
    return f"FUNCTION_BLOCK t {declared}{body}\nEND_FUNCTION_BLOCK"


BODY_LINE = 1 + DECLARED.count("\n")


def powered(body: str, declared: str = DECLARED) -> Machine:
    """The block, not yet scanned."""
    return Machine(compiled(block(body, declared), "t.st"))


def after(body: str, x: int = 0) -> Machine:
    """The block after one scan with this input."""
    machine = powered(body)
    machine.put("x", x)
    machine.scan(0)
    return machine
