"""What the command line says about a step; None = the person is asked, or the default holds."""

from dataclasses import dataclass
from pathlib import Path

from edge.commissioning.comparison import LEAST_PARTS, MOST_OVERKILL
from edge.commissioning.golden import LEAST_TIMES, Expect
from edge.commissioning.journal import Person
from edge.commissioning.scale import Axis, Box

WITHIN_S = 120.0  # a person must have done what was asked within this
MONITOR_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Options:
    """Of every step; each takes its own."""

    within_s: float = WITHIN_S
    unsigned: bool = False
    box: Box | None = None  # region
    width_mm: float | None = None  # region
    axis: Axis = "x"  # region
    point: str | None = None  # plc: only this one
    part: str | None = None  # golden
    expect: Expect | None = None  # golden
    times: int = LEAST_TIMES  # golden
    parts: int = LEAST_PARTS  # monitor and manual: so many at least
    monitor_s: float = MONITOR_S  # monitor: so long at the most
    csv: Path | None = None  # manual
    most_escapes: int = 0  # manual
    most_overkill: float = MOST_OVERKILL  # manual
    signers: tuple[Person, Person] | None = None  # sign
