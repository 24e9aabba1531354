"""The words of the line, as types. Imports nothing of ours; edge and hub share it.

Codes are those of OPC 40001-101 and travel on every wire: every code but 1 means "not OK".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # the hub reads these words too and needs no arrays
    import numpy as np
    import numpy.typing as npt

MAP_VERSION = 1
"""Version of the register map both sides must agree on (PLC register 7)."""

TriggerMode = Literal["hardware", "software", "free_run"]
"""What starts an exposure: the sensor's wire, our request, or the camera itself."""


class Code(IntEnum):
    """A verdict on any wire."""

    UNDEFINED = 0
    OK = 1
    NG = 2
    UNDECIDED = 3


class Reason(str, Enum):
    """Why a part is undecided. The node never passes a part for any of them."""

    NO_FRAME = "no_frame"  # no picture of this part arrived in time
    BAD_IMAGE = "bad_image"  # frozen, dark, saturated, unreadable
    PAIRING = "pairing"  # pictures and PLC numbers do not agree
    VIEW_MISSING = "view_missing"  # one camera's view is missing
    MODEL_FAULT = "model_fault"  # no verified model, or it failed
    UNCERTAIN = "uncertain"  # score inside the recipe's undecided band: a person must judge
    LATE = "late"  # the verdict came after the part's deadline
    NOT_DELIVERED = "not_delivered"  # the PLC did not echo the verdict in time
    UNCONFIRMED = "unconfirmed"  # restart between verdict and echo


class Cause(str, Enum):
    """Why a part that the PLC counted was never judged (a `missed` row)."""

    NO_TRIGGER = "no_trigger"  # the number went by between two polls
    OVERRUN = "overrun"  # parts came faster than they could be judged
    NODE_RESTART = "node_restart"  # the node was down
    NOT_READY = "not_ready"  # TriggerReady was off
    LEDGER = "ledger"  # the row could not be written


class Mode(str, Enum):
    """What the PLC's key switch says about a part; stored in every row."""

    AUTO = "auto"
    MONITOR = "monitor"  # verdicts recorded, PLC does not act
    BYPASS = "bypass"  # passed uninspected
    SAMPLE = "sample"  # golden sample, always rejected, never in a KPI


@dataclass(frozen=True, slots=True)
class Part:
    """One workpiece. `number` is the PLC's u32 part counter, unwrapped inside the epoch."""

    station: str
    epoch: int
    number: int


@dataclass(frozen=True, slots=True)
class Trigger:
    """Part N is in place: the sensor edge as the node knows it, on its monotonic clock."""

    part: Part
    edge_s: float  # estimated time of the sensor edge, time.monotonic()
    edge_error_s: float  # the edge lies in [edge_s - edge_error_s, edge_s]
    mode: Mode
    recipe: int  # number latched by the PLC at this trigger


@dataclass(frozen=True, slots=True)
class Frame:
    """One image: (H, W) uint8 gray or (H, W, 3) uint8 BGR, with the start of its exposure.

    Nobody writes into `image` any more, a camera into its next one: it is judged where it lies.
    """

    camera: str
    number: int  # frame counter of the source, from 0, gaps are dropped frames
    exposed_s: float  # time.monotonic() at the start of exposure
    image: npt.NDArray[np.uint8] = field(repr=False)
    trigger_count: int | None = None  # the camera's own hardware-trigger counter, if it has one
    path: str | None = None  # the file it came from, for folder sources
    setup: int = 0  # which setup of the camera it was taken under; 0 = as the camera was found


@dataclass(frozen=True, slots=True)
class Detection:
    """One suspected defect. `box` is (x1, y1, x2, y2) in full-frame pixels."""

    label: str
    score: float  # 0..1
    box: tuple[float, float, float, float]
    width_mm: float | None = None
    height_mm: float | None = None
    area_mm2: float | None = None  # of a segmented defect, where calibrated

    @property
    def is_finite(self) -> bool:
        """Are all of them numbers? No frame has a place for what is not."""
        sizes = (self.width_mm, self.height_mm, self.area_mm2)
        known = [size for size in sizes if size is not None]
        return all(map(math.isfinite, (self.score, *self.box, *known)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a part is. `reason` is set exactly when the code is UNDECIDED."""

    code: Code
    reason: Reason | None = None
    worst: Detection | None = None  # the detection that decided, if one did

    def __post_init__(self) -> None:
        if (self.code is Code.UNDECIDED) != (self.reason is not None):
            raise ValueError(f"reason {self.reason} does not go with {self.code.name}")
