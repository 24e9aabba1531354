"""What the PLC's program sees and says in one scan: input image, output image, its record.

The record is for the simulated line's truth file; a PLC has nothing like it.
"""

from dataclasses import dataclass
from typing import Literal

from edge.terms import Mode

Why = Literal[
    "ok", "ng", "undecided", "no_verdict", "not_ready", "heartbeat", "length", "tracking",
    "bypass", "monitor", "sample", "unexplained", "lost",
]  # fmt: skip


WhyNot = Literal["never_triggered", "conflict", "gone", "not_ready"]


@dataclass(frozen=True, slots=True)
class EyeEdge:
    """An edge of a photo-eye, latched by a fast input with its time and encoder count."""

    at_s: float
    encoder_mm: float
    rising: bool


@dataclass(frozen=True, slots=True)
class Inputs:
    """The input image of one scan. `node` holds the 10 registers the node writes."""

    node: tuple[int, ...]
    encoder_mm: float
    eye: tuple[EyeEdge, ...] = ()
    gate_eye: tuple[EyeEdge, ...] = ()
    good_pulses: int = 0
    reject_pulses: int = 0
    bin_full: bool = False
    bypass_key: bool = False
    monitor_key: bool = False
    sample_button: bool = False
    reset_button: bool = False
    recipe: int = 1


@dataclass(frozen=True, slots=True)
class Counted:
    """For the record: a part was counted."""

    number: int
    edge_s: float
    mode: Mode


@dataclass(frozen=True, slots=True)
class Taken:
    """For the record: a verdict was taken in this scan."""

    number: int
    word: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Refused:
    """For the record: a whole result that the program may not take."""

    number: int  # low word
    word: int
    why: WhyNot


@dataclass(frozen=True, slots=True)
class Settled:
    """For the record: what was done with a part at the gate. None: a part nobody counted."""

    number: int | None
    action: Literal["pass", "reject", "lost"]
    why: Why


Record = Counted | Taken | Refused | Settled


@dataclass(frozen=True, slots=True)
class Outputs:
    """The output image: registers for the node, the gate's valve, the drive."""

    block: tuple[int, ...]  # 12 registers
    counters: tuple[int, ...]  # 10: good, rejected, rejects confirmed, bypassed, reject faults
    gate_pass: bool
    run: bool
    records: tuple[Record, ...]
