"""A played line with an even belt: parts at one pitch, and what a test asks of it."""

from dataclasses import dataclass, field

from edge.plc.handshake import EpochOpened, Resume, Sampled, Triggered
from edge.plc.images import Settled
from edge.plc.program import Program, Site
from edge.plc.structured_text.code import BlockCode
from edge.terms import Code
from tests.played_line import Conveyor, Judge, PlayedLine

WAY_S = 0.6  # from the eye to the gate eye


def all_ok(_: Triggered) -> Code:
    return Code.OK


def all_ng(_: Triggered) -> Code:
    return Code.NG


def conveyor(rate: float = 4.0, way_s: float = WAY_S, code: BlockCode | None = None) -> Conveyor:
    """`code`: of another program than the shipped one."""
    site = Site(eye_to_gate_eye_mm=way_s * rate * 190.0)
    return Conveyor(Program(site, 1, code=code), rate)


@dataclass
class Line(PlayedLine):
    """A played line whose belt is the even one."""

    belt: Conveyor = field(default_factory=conveyor)

    def __post_init__(self) -> None:
        self.field_side = self.belt
        super().__post_init__()

    def parts(self, count: int) -> "Line":
        """So many parts more, until the last one is in its bin."""
        upto = self.belt.fed + count
        self.belt.feeding = True
        self.until(lambda: self.belt.fed >= upto, within_s=count / self.belt.rate + 1)
        self.belt.feeding = False
        self.run(WAY_S + 0.6)
        return self

    def passed(self) -> list[int | None]:
        """Numbers that the gate let pass."""
        return [one.number for one in self.recorded(Settled) if one.action == "pass"]

    def power_cycle(self) -> None:
        """The PLC starts anew: counter 0, next start number; what the node wrote is retentive."""
        self.belt.program = self.belt.program.power_cycled()


def line(judge: Judge = all_ok, **changes: object) -> Line:
    """Ready for parts."""
    made = Line(None, judge, **changes)  # type: ignore[arg-type]
    made.until(lambda: made.belt.program.node_ready)
    return made


def known(line: PlayedLine, age_s: float) -> Resume:
    """What the ledger of a node that died `age_s` ago knows."""
    opened = line.of(EpochOpened)[-1]
    counters = [one.counter for one in line.of(Sampled) if one.epoch == opened.epoch]
    counter = max([opened.base, *counters, *line.on_disk])
    return Resume(opened.epoch, opened.base, counter, opened.plc_start, age_s)
