"""The parts of a web: intervals of equal length, each with a number and a verdict. Pure.

    rows     0 ........ 1000 ........ 2000 ........ 3000
    parts    |-- 0: ok --|-- 1: ng --|-- 2: undecided --|      self-counted: no PLC counts them

A defect makes every interval NG that it reaches into, and is counted in the one where it begins.
An interval with a row that nobody looked at is never OK.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge import judgement
from edge.recipe import Recipe
from edge.terms import Code, Detection, Reason, Verdict
from edge.vision.tiling import moved
from edge.vision.web import Stretch

MAX_KEPT = 10_000
"""Detections remembered until their intervals are closed; where there are more, none is OK."""


@dataclass(frozen=True, slots=True)
class Interval:
    """One part of a web: rows [first, last)."""

    number: int
    first: int
    last: int
    verdict: Verdict
    defects: int  # that begin in it


class Intervals:
    """Closes one interval after the other as soon as all of it is known."""

    def __init__(self, recipe: Recipe, rows: int) -> None:
        """`rows`: of one interval."""
        self._recipe, self._rows = recipe, rows
        self._camera = recipe.web.camera if recipe.web is not None else None
        self._next = 0
        self._defects: list[Detection] = []
        self._streaks: list[Detection] = []  # of which an earlier, shorter box is in _defects
        self._stretches: list[Stretch] = []

    def add(self, defects: Sequence[Detection], streaks: Sequence[Detection] = ()) -> None:
        """Defects that are settled, boxes in rows of the web; `streaks`: `ended` of Seams."""
        self._keep(self._defects, defects)
        self._keep(self._streaks, streaks)

    def _keep(self, kept: list[Detection], more: Sequence[Detection]) -> None:
        room = MAX_KEPT - len(kept)
        kept += more[:room]
        left = more[room:]
        if left:  # what is not kept is not judged, and may have been the one that counts
            first, last = min(d.box[1] for d in left), max(d.box[3] for d in left)
            text = f"more than {MAX_KEPT} defects"
            rows = math.floor(first), math.ceil(last)
            self.leave_out(Stretch(*rows, Reason.MODEL_FAULT, text))

    def leave_out(self, stretch: Stretch) -> None:
        """Rows that nobody looked at."""
        last = self._stretches[-1] if self._stretches else None
        if last is not None and last.last == stretch.first and last.reason is stretch.reason:
            self._stretches[-1] = Stretch(last.first, stretch.last, last.reason, last.text)
        else:
            self._stretches.append(stretch)

    def close(self, settled_row: int, growing: Sequence[Detection] = ()) -> list[Interval]:
        """The intervals that end at or before `settled_row`; `growing`: as Seams has them."""
        closed = []
        while (self._next + 1) * self._rows <= settled_row:
            closed.append(self._close(self._next * self._rows + self._rows, growing))
        return closed

    def finish(self, end_row: int, growing: Sequence[Detection] = ()) -> list[Interval]:
        """As `close`, and the last, shorter one: the web has ended before `end_row`."""
        closed = self.close(end_row, growing)
        if end_row > self._next * self._rows:
            closed.append(self._close(end_row, growing))
        return closed

    def _close(self, last: int, growing: Sequence[Detection]) -> Interval:
        number, first = self._next, self._next * self._rows
        self._next += 1
        inside = [
            moved(d, 0, -first)
            for d in (*self._defects, *self._streaks, *growing)
            if d.box[1] < last and d.box[3] > first
        ]
        views = [judgement.judge(inside, self._recipe, self._camera)]
        views += [
            Verdict(Code.UNDECIDED, s.reason)
            for s in self._stretches
            if s.first < last and s.last > first
        ]
        begun = sum(first <= d.box[1] < last for d in self._defects)
        self._defects = [d for d in self._defects if d.box[3] > last]
        self._streaks = [d for d in self._streaks if d.box[3] > last]
        self._stretches = [s for s in self._stretches if s.last > last]
        return Interval(number, first, last, judgement.fuse(views), begun)
