"""Continuous material under a line-scan camera: strips in, each defect once, with its place. No IO.

    rows of the web   0 ......................................................................
    frames            |---- 0 ----|---- 1 ----|     lost     |---- 3 ----|
    strips            |--- 0 ---------|             |        |
                              |--- 1 -|             |        |--- 2 -----|  after a gap: alone
                              |//| overlap >= the largest defect

`Rows` puts frames in their place and says which rows nobody saw; `Seams` joins what two strips see
of one defect. The place along the web is the encoder's count where the camera has it (the count at
the first row of a frame), else the frames' own numbers; rows that were lost keep their length, so
that metre 100 stays metre 100. Boxes are (x, y) with y in rows from the start of the web.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge.errors import CameraError
from edge.terms import Detection, Frame, Reason
from edge.vision import tiling
from edge.vision.tiling import EDGE_PX, Seen

Image = npt.NDArray[np.uint8]

MAX_OPEN = 1000
"""Defects that may go on into the next strip; more is no web with defects."""

MAX_LOST_ROWS = 10_000_000
"""Between two frames; more is no loss but a counter that cannot be believed."""

TELL_AFTER = 4
"""A streak so many overlaps long is told before it ends, and then not again."""

_BEFORE, _NOW, _TOLD = 0, 1, 2  # who saw a defect: a strip before this one, this one, the caller


@dataclass(frozen=True, slots=True)
class Strip:
    """A picture to look at: rows [top, bottom) of the web; those from `fresh` on are new."""

    top: int
    fresh: int
    image: Image = field(repr=False)

    @property
    def bottom(self) -> int:
        """First row after it."""
        return self.top + int(self.image.shape[0])


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows [first, last) that nobody looked at: undecided, never OK."""

    first: int
    last: int
    reason: Reason
    text: str


class Rows:
    """Puts frames one behind the other. Keeps the last `overlap` rows, nothing else."""

    def __init__(self, overlap_rows: int, *, row_counter: bool = False) -> None:
        """`row_counter`: a frame's trigger count is the encoder's count at its first row."""
        self.overlap_rows = overlap_rows
        self._counted = row_counter
        self.row = 0
        """First row of the web that has not come yet."""
        self.lost = 0
        """Rows that the camera counted and we did not get."""
        self._kept: Image | None = None
        self._sides: tuple[int, ...] | None = None  # of a row: pixels, and channels of colour
        self._number: int | None = None  # of the next frame
        self._count: int | None = None  # of the encoder, at the next frame
        self._height = 0

    def add(self, frame: Frame, fault: str | None = None) -> list[Stretch | Strip]:
        """What comes of one frame: rows lost before it, and the strip to look at or why not.

        Args:
            frame: rows of the web.
            fault: why the picture cannot be judged, None where it can.

        Raises:
            CameraError: a counter leapt so far that the place on the web is not known any more.
        """
        found: list[Stretch | Strip] = []
        lost = self._lost_before(frame)
        if lost > MAX_LOST_ROWS:
            raise CameraError(f"{lost} rows lost before frame {frame.number}: a counter leapt")
        if lost:
            self.lost += lost
            text = f"{lost} rows lost before frame {frame.number}"
            found.append(self._leave_out(lost, Reason.NO_FRAME, text))
        height = frame.image.shape[0]
        fault = fault or self._misfit(frame)
        if fault is not None:
            # a picture that could not be read has no rows; its place on the web has
            found.append(self._leave_out(height or self._height, Reason.BAD_IMAGE, fault))
        else:
            found.append(self._strip(frame.image))
            self._height = height
        if height or self._height:
            self._number = frame.number + 1
        elif self._number is None:  # of unknown length: lost before the first one that has rows
            self._number = frame.number
        if self._counted and frame.trigger_count is not None:
            self._count = frame.trigger_count + (height or self._height)
        return found

    def _lost_before(self, frame: Frame) -> int:
        """Rows between the frame before and this one; the larger of what both counters say."""
        by_number = by_count = 0
        if self._number is not None:
            by_number = (frame.number - self._number) * (self._height or frame.image.shape[0])
        if self._count is not None and frame.trigger_count is not None:
            by_count = frame.trigger_count - self._count
        return max(0, by_number, by_count)

    def _misfit(self, frame: Frame) -> str | None:
        if self._number is not None and frame.number < self._number:
            return f"frame {frame.number} came after frame {self._number - 1}"
        came = frame.trigger_count
        if self._count is not None and came is not None and came < self._count:
            return f"the encoder went back from {self._count} to {came}"
        sides = frame.image.shape[1:]
        if self._sides is not None and sides != self._sides:
            return f"rows of {sides}, expected {self._sides}"
        return None

    def _leave_out(self, rows: int, reason: Reason, text: str) -> Stretch:
        first, self.row = self.row, self.row + rows
        self._kept = None
        return Stretch(first, self.row, reason, text)

    def _strip(self, image: Image) -> Strip:
        kept, self._sides = self._kept, image.shape[1:]
        whole = image if kept is None else np.concatenate((kept, image))
        strip = Strip(self.row - (whole.shape[0] - image.shape[0]), self.row, whole)
        self.row = strip.bottom
        self._kept = whole[max(0, whole.shape[0] - self.overlap_rows) :].copy()
        return strip


class Seams:
    """Joins the detections of consecutive strips. Remembers only what may go on."""

    def __init__(self, overlap_rows: int) -> None:
        self._overlap_rows = overlap_rows
        self._open: list[Seen] = []
        self._bottom = 0  # of the last strip
        self.ended: list[Detection] = []
        """Streaks told before that ended with the last piece, as long as they became."""

    @property
    def settled_row(self) -> int:
        """Every defect that begins before this row has been told."""
        known = max(0, self._bottom - self._overlap_rows - round(EDGE_PX))
        begun = [s.detection.box[1] for s in self._open if _TOLD not in s.looks]
        return int(min([float(known), *begun]))

    @property
    def growing(self) -> list[Detection]:
        """Streaks that were told and have not ended, as long as they are by now."""
        return [seen.detection for seen in self._open if _TOLD in seen.looks]

    def add(self, strip: Strip, found: list[Detection]) -> list[Detection]:
        """Defects that no later strip can add to, each once; boxes in rows of the web.

        Args:
            strip: the next one.
            found: what the detector saw in it, px of the strip.
        """
        height = strip.image.shape[0]
        now = []
        for one in found:
            cut = one.box[1] < EDGE_PX or one.box[3] > height - EDGE_PX
            now.append(Seen(tiling.moved(one, 0, strip.top), cut, frozenset({_NOW})))
        self._bottom = strip.bottom
        return self._settle(tiling.merge([*self._open, *now]), strip.bottom - self._overlap_rows)

    def skip(self, stretch: Stretch) -> list[Detection]:
        """Rows that nobody looked at, and what is settled behind them; as `add`."""
        self._bottom = stretch.last
        return self._settle(self._open, stretch.last - self._overlap_rows)

    def finish(self) -> list[Detection]:
        """The web has ended: everything that was not told yet."""
        left, self._open, self.ended = self._open, [], []
        return [seen.detection for seen in left if _TOLD not in seen.looks]

    def _settle(self, merged: list[Seen], next_top: int) -> list[Detection]:
        """Tell what the next strip cannot show, and streaks that have grown long."""
        told, still = [], []
        self.ended = []
        for seen in merged:
            _, y1, _, y2 = seen.detection.box
            ended = y2 <= next_top - EDGE_PX
            long = y2 - y1 > TELL_AFTER * self._overlap_rows
            known = _TOLD in seen.looks
            if (ended or long) and not known:
                told.append(seen.detection)
            elif ended:
                self.ended.append(seen.detection)
            if not ended:
                looks = {_BEFORE, _TOLD} if known or long else {_BEFORE}
                still.append(Seen(seen.detection, seen.cut, frozenset(looks)))
        if len(still) > MAX_OPEN:  # never more memory: what is over is told as it is
            told += [s.detection for s in still[MAX_OPEN:] if _TOLD not in s.looks]
            self.ended += [s.detection for s in still[MAX_OPEN:] if _TOLD in s.looks]
            del still[MAX_OPEN:]
        self._open = still
        return told
