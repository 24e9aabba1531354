"""A PLC whose block a test changes by hand, and the handshake that reads it, in played time."""

from dataclasses import dataclass, field, replace
from typing import TypeVar

from edge.plc.blocks import NO_RESULT, Control, PlcBlock, Result, verdict_word
from edge.plc.handshake import EpochOpened, Handshake, Observation, Resume
from edge.settings import Station
from edge.terms import MAP_VERSION, Code

STATION = Station(name="s", bus="b", trigger="hardware", cameras=("c",), deadline_ms=400)
Seen = TypeVar("Seen")

START = PlcBlock(
    Control.ENABLE | Control.LINE_RUNNING, 1000, 2, 5, 1000, 0, MAP_VERSION, 0, 0, 9, 2
)


@dataclass
class Plc:
    """A PLC whose block a test changes and a handshake reads every 10 ms."""

    handshake: Handshake
    block: PlcBlock = START
    now_s: float = 50.0
    seen: list[Observation] = field(default_factory=list)

    def read(self, step_s: float = 0.01, **changes: int) -> list[Observation]:
        """Change fields, keep the trigger number with the counter, let the node read once."""
        self.block = replace(self.block, **changes)  # type: ignore[arg-type]
        if "trigger_number" not in changes:
            self.block = replace(self.block, trigger_number=self.block.counter & 0xFFFF)
        self.now_s += step_s
        seen = self.handshake.observe(self.block.encode(), self.now_s)
        self.seen += seen
        return seen

    def part(self, count: int = 1, step_s: float = 0.01, age_ms: int = 5) -> list[Observation]:
        """`count` parts came since the last read."""
        counter = (self.block.counter + count) % 2**32
        return self.read(step_s, counter=counter, trigger_age_ms=age_ms)

    def submit(self, number: int, code: Code = Code.OK) -> None:
        self.handshake.submit(self.handshake_epoch, Result(number, code, 0, 0.5, 20), self.now_s)

    @property
    def handshake_epoch(self) -> int:
        return of(self.seen, EpochOpened)[-1].epoch

    def take(self) -> list[Observation]:
        """The PLC takes what the node writes now."""
        registers = self.handshake.due(self.now_s)
        assert registers is not None
        result = Result.decode(registers)
        assert result is not None
        return self.read(
            result_taken=result.number, word_taken=verdict_word(result.number, result.code)
        )


def of(seen: list[Observation], kind: type[Seen]) -> list[Seen]:
    return [one for one in seen if isinstance(one, kind)]


def met(resume: Resume | None = None, counter: int = 1000, **changes: int) -> Plc:
    """A PLC at first contact, read twice, result 0 written."""
    plc = Plc(Handshake(STATION, resume))
    plc.read(counter=counter, **changes)
    plc.read()
    assert plc.handshake.due(plc.now_s) == NO_RESULT
    plc.handshake.acknowledged(NO_RESULT, plc.now_s)
    plc.handshake.ready = True
    return plc
