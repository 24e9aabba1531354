"""A web from its camera to its verdicts: every defect once, with its metre.

    camera --> reader thread: check, put in place --> 2 wait --> detector --> seams --> intervals

Nothing waits longer than that: when the line is faster than the detector, the camera's own buffer
runs over, and the rows lost are an undecided stretch with its metres, never OK.
"""

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from edge import stopping
from edge.errors import CameraError, ImageError, ModelError, SettingsError
from edge.intervals import Interval, Intervals
from edge.limits import Web
from edge.recipe import Recipe
from edge.terms import Code, Detection, Frame, Reason
from edge.vision.image import BadFrame
from edge.vision.quality import ImageCheck
from edge.vision.tiled import Sees
from edge.vision.web import Rows, Seams, Stretch, Strip

WAITING = 2
"""Strips between camera and detector: one is looked at while the next one comes."""

_READ_S = 0.25

Told = Mapping[str, object]
"""A defect, a stretch, an interval, a stop or the summary, with its `kind`."""


class Source(Protocol):
    """As much of a Camera as a web needs."""

    def read(self, timeout_s: float) -> Frame | None:
        """The next strip of rows; None when none came in time."""

    def request(self) -> None:
        """Ask a source on demand."""


class WebInspection:
    """One run of a web. `run` is called once."""

    def __init__(
        self, camera: Source, sees: Sees, recipe: Recipe, mm_per_px: float, *, ends: bool = False
    ) -> None:
        """Ready to run.

        Args:
            camera: gives strips; closed by whoever opened it.
            sees: the recipe's detector.
            recipe: with its [web].
            mm_per_px: across the web.
            ends: a source on demand, whose end is the end of the web: a folder.

        Raises:
            SettingsError: the recipe is not for a web.
        """
        if recipe.web is None:
            raise SettingsError(recipe.name, ["[web]: missing; this product is no web"])
        self._camera, self._sees, self._recipe = camera, sees, recipe
        self._mm_per_px, self._ends = mm_per_px, ends
        self._place = Place(recipe.web, mm_per_px)
        self._rows = Rows(
            self._place.rows(recipe.web.overlap_mm), row_counter=recipe.web.row_counter
        )
        self._seams = Seams(self._rows.overlap_rows)
        self._intervals = Intervals(recipe, self._place.rows(recipe.web.interval_mm))
        self._pieces: queue.Queue[Strip | Stretch | None] = queue.Queue(WAITING)
        self._over = threading.Event()  # nobody takes from the queue any more
        self._fault: CameraError | None = CameraError("the reader of the camera ended by itself")
        self._undecided = self._defects = 0
        self._judged = stopping.Run()
        self._verdicts = dict.fromkeys((Code.OK, Code.NG, Code.UNDECIDED), 0)

    def run(self, stop: threading.Event, tell: Callable[[Told], None]) -> None:
        """Inspect until `stop`, the end of the source, or the loss of the camera.

        Raises:
            CameraError: the camera is lost; what came before it has been told.
        """
        reader = threading.Thread(target=self._read, args=(stop,), name="web reader", daemon=True)
        started_s = time.monotonic()
        reader.start()
        end_row = 0
        try:
            while (piece := self._pieces.get()) is not None:
                end_row = piece.last if isinstance(piece, Stretch) else piece.bottom
                self._tell(self._look(piece, tell), tell)
        finally:
            self._over.set()
            reader.join()
        growing = self._seams.growing
        self._tell(self._seams.finish(), tell, end_row, growing)
        tell(self._summary(end_row, time.monotonic() - started_s))
        if self._fault is not None:
            raise CameraError(f"the web ends at {self._place.m(end_row):.3f} m: {self._fault}")

    def _look(self, piece: Strip | Stretch, tell: Callable[[Told], None]) -> list[Detection]:
        """Defects that this piece settles."""
        if isinstance(piece, Strip):
            try:
                found = self._sees.detect(piece.image, self._mm_per_px)
            except (ModelError, ImageError) as wrong:
                piece = Stretch(piece.fresh, piece.bottom, Reason.MODEL_FAULT, str(wrong))
            else:
                counted = [d for d in found if d.score >= self._recipe.score_floor]
                return self._seams.add(piece, counted)
        self._undecided += piece.last - piece.first
        self._intervals.leave_out(piece)
        tell(self._place.stretch(piece))
        return self._seams.skip(piece)

    def _tell(
        self,
        settled: Sequence[Detection],
        tell: Callable[[Told], None],
        end_row: int | None = None,
        growing: Sequence[Detection] = (),
    ) -> None:
        self._defects += len(settled)
        for defect in settled:
            tell(self._place.defect(defect))
        self._intervals.add(settled, self._seams.ended)
        if end_row is None:
            closed = self._intervals.close(self._seams.settled_row, self._seams.growing)
        else:
            closed = self._intervals.finish(end_row, growing)
        for interval in closed:
            self._verdicts[interval.verdict.code] += 1
            tell(self._place.interval(interval))
            self._follow(interval, tell)

    def _follow(self, interval: Interval, tell: Callable[[Told], None]) -> None:
        """The recipe's [stop] rules; told once, then they begin anew: nobody resets them here."""
        rules = self._recipe.stop
        self._judged = stopping.follow(self._judged, 0, interval.verdict.code, rules)
        why = stopping.reason(self._judged, rules)
        if why is not None:
            self._judged = stopping.Run()
            tell(self._place.stop(interval, why))

    def _summary(self, end_row: int, seconds: float) -> Told:
        metres = self._place.m(end_row)
        return {
            "kind": "summary",
            "length_m": round(metres, 4),
            "inspected_m": round(self._place.m(end_row - self._undecided), 4),
            "undecided_m": round(self._place.m(self._undecided), 4),
            "rows_lost": self._rows.lost,
            "defects": self._defects,
            "intervals": {code.name.lower(): n for code, n in self._verdicts.items()},
            "speed_m_min": round(metres / max(seconds, 1e-9) * 60, 2),
            "rows_per_s": round(end_row / max(seconds, 1e-9), 1),
        }

    def _read(self, stop: threading.Event) -> None:
        """The reader thread."""
        check = ImageCheck()
        try:
            for frame in self._frames(stop):
                fault = frame.text if isinstance(frame, BadFrame) else None
                fault = fault or check.fault(frame.image, self._recipe.image)
                for piece in self._rows.add(frame, fault):
                    self._put(piece)
            self._fault = None
        except CameraError as lost:
            self._fault = lost
        finally:
            self._put(None)

    def _frames(self, stop: threading.Event) -> Iterator[Frame]:
        while not stop.is_set() and not self._over.is_set():
            if self._ends:
                self._camera.request()
            frame = self._camera.read(_READ_S)
            if frame is not None:
                yield frame
            elif self._ends:
                return

    def _put(self, piece: Strip | Stretch | None) -> None:
        while not self._over.is_set():
            try:
                self._pieces.put(piece, timeout=_READ_S)
            except queue.Full:
                continue
            return


class Place:
    """Rows and columns of a web as metres along it and mm across it, for what is told."""

    def __init__(self, web: Web, mm_per_px: float) -> None:
        self._web, self._mm_per_px = web, mm_per_px

    def m(self, row: float) -> float:
        """Metres from the start of the web."""
        return row / self._web.rows_per_mm / 1000

    def rows(self, length_mm: float) -> int:
        """So many rows are at least this long."""
        return max(1, math.ceil(length_mm * self._web.rows_per_mm))

    def defect(self, found: Detection) -> Told:
        """A defect, told once."""
        x1, y1, x2, y2 = found.box
        return {
            "kind": "defect",
            "class": found.label,
            "score": round(found.score, 4),
            "from_m": round(self.m(y1), 5),
            "to_m": round(self.m(y2), 5),
            "across_mm": [round(x1 * self._mm_per_px, 2), round(x2 * self._mm_per_px, 2)],
            "interval": int(y1 // self.rows(self._web.interval_mm)),
        }

    def stretch(self, stretch: Stretch) -> Told:
        """Rows that nobody looked at."""
        return {
            "kind": "undecided",
            "from_m": round(self.m(stretch.first), 5),
            "to_m": round(self.m(stretch.last), 5),
            "reason": stretch.reason.value,
            "text": stretch.text,
        }

    def interval(self, interval: Interval) -> Told:
        """A part of the web with its verdict."""
        reason = interval.verdict.reason
        return {
            "kind": "interval",
            "number": interval.number,
            "from_m": round(self.m(interval.first), 5),
            "to_m": round(self.m(interval.last), 5),
            "verdict": interval.verdict.code.name.lower(),
            "reason": reason.value if reason is not None else None,
            "defects": interval.defects,
        }

    def stop(self, interval: Interval, why: str) -> Told:
        """The recipe's [stop] rules ask for the web to be stopped, since the end of this part."""
        return {
            "kind": "stop",
            "at_m": round(self.m(interval.last), 5),
            "interval": interval.number,
            "text": why,
        }
