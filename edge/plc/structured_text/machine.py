"""A compiled block under power: its memory, scan after scan. No clock: time is passed in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.errors import PlcProgramError
from edge.plc.structured_text.code import TURNS, BlockCode, Memory, Run, Variable
from edge.plc.structured_text.datatypes import Array, Elementary

Retained = Mapping[str, int | tuple[int, ...]]
"""VAR RETAIN by name."""


class Machine:
    """One block, its memory, and everything it calls.

    Names are in lower case; `block.name` is a name inside an inner block.
    """

    def __init__(self, code: BlockCode, retained: Retained | None = None) -> None:
        """Power-up.

        Args:
            retained: what `retained()` said before the power went.

        Raises:
            KeyError: `retained` names what is not VAR RETAIN.
        """
        self.code = code
        self._run = Run()
        self._memory = code.memory(self._run)
        self._places: dict[str, _Place] = {}
        for name, value in (retained or {}).items():
            if code.variables[name].section != "retain":
                raise KeyError(f"{name} is not VAR RETAIN")
            self.put(name, value)

    def scan(self, now_ms: int) -> None:
        """One scan at `now_ms` of the machine's own clock, which wraps around at 32 bits.

        Raises:
            PlcProgramError: what a PLC would stop with, and where in the text.
        """
        self._run.now_ms = now_ms & 0xFFFFFFFF
        self._run.turns_left = TURNS
        self.code.body(self._memory)

    def put(self, name: str, value: int | Sequence[int]) -> None:
        """Set a variable, or the first elements of an array.

        Raises:
            KeyError: there is none of this name.
            ValueError: what does not fit into it.
        """
        place = self._place(name)
        if isinstance(value, int):
            if place.size or not place.low <= value <= place.high:
                raise ValueError(f"{name} is {place.type}, not {value}")
            place.memory[place.slot] = value
            return
        if len(value) > place.size:
            raise ValueError(f"{name} is {place.type}: {len(value)} values do not fit")
        if value and not (place.low <= min(value) and max(value) <= place.high):
            raise ValueError(f"{name} is {place.type}: {min(value)} to {max(value)} do not fit")
        place.memory[place.slot][: len(value)] = value

    def value(self, name: str) -> int:
        """The value of a variable.

        Raises:
            KeyError: there is none of this name.
        """
        place = self._place(name)
        found: int = place.memory[place.slot]
        return found

    def values(self, name: str) -> tuple[int, ...]:
        """The elements of an array.

        Raises:
            KeyError: there is none of this name.
        """
        place = self._place(name)
        return tuple(place.memory[place.slot])

    def retained(self) -> Retained:
        """What stays when the power goes: VAR RETAIN."""
        kept = {n: v.type for n, v in self.code.variables.items() if v.section == "retain"}
        return {
            n: self.values(n) if isinstance(t, Array) else self.value(n) for n, t in kept.items()
        }

    def _place(self, name: str) -> "_Place":
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = self._find(name)
        return place

    def _find(self, name: str) -> "_Place":
        memory, code = self._memory, self.code
        *blocks, last = name.split(".")
        for block in blocks:
            outer = code.variables[block]
            if not isinstance(outer.type, BlockCode):
                raise KeyError(f"{block} is no block")
            memory, code = memory[outer.slot], outer.type
        variable = code.variables[last]
        kind = variable.type
        if isinstance(kind, BlockCode):
            raise KeyError(f"{name} is a block")
        single, size = (kind.of, kind.size) if isinstance(kind, Array) else (kind, 0)
        return _Place(memory, variable.slot, kind, size, single.low, single.high)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a variable lies; looked up once, as the surroundings ask for it in every scan."""

    memory: Memory
    slot: int
    type: Elementary | Array
    size: int  # of an array, else 0
    low: int
    high: int


def _variable(code: BlockCode, name: str) -> Variable | None:
    """The variable of a name that may have dots; None if there is none."""
    *blocks, last = name.split(".")
    for block in blocks:
        outer = code.variables.get(block)
        if outer is None or not isinstance(outer.type, BlockCode):
            return None
        code = outer.type
    return code.variables.get(last)


def check_interface(code: BlockCode, wanted: Mapping[str, str], source: str) -> None:
    """See that a program has the variables that its surroundings use.

    Args:
        wanted: by name, of an inner block with a dot: section and type, as
            "input ARRAY[0..9] OF WORD".

    Raises:
        PlcProgramError: naming every one that is missing or different.
    """
    missing = []
    for name, expected in wanted.items():
        found = _variable(code, name)
        got = "nothing" if found is None else f"{found.section} {found.type}"
        if got != expected:
            missing.append(f"  {name}: expected {expected}, got {got}")
    if missing:
        lines = "\n".join(missing)
        raise PlcProgramError(f"{source}: {code} does not fit its surroundings\n{lines}")
