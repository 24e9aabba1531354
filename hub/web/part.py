"""A part as a page shows it: its views with boxes, and whether each picture is here. No IO."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec

from edge.mqtt.message import View
from edge.terms import Code
from hub.web import draw

Picture = Literal["here", "waiting", "evicted", "purged", "none"]
Arrivals = Mapping[str, Mapping[str, Any]]
"""Rows of the query pictures_of by sha256."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One view as it can be shown now: the picture, else its thumbnail, else why there is none."""

    view: View
    picture: Picture
    sha256: str | None  # of the file to show
    width: int  # px of the frame; boxes are in these
    height: int
    boxes: tuple[draw.Box, ...]
    letter: float  # height of the labels, px of the frame
    close: tuple[float, float, float] | None  # left, top, side of a close-up of what decided

    @property
    def camera(self) -> str:
        return self.view.camera


@dataclass(frozen=True, slots=True)
class Part:
    """One judged part for lists and boards."""

    stream: str
    seq: int
    at: datetime
    plant: str
    line: str
    station: str
    number: int
    code: Code
    reason: str | None
    defect: str | None
    score: float | None  # 0..1
    mode: str
    recipe: str
    model: str | None
    trust: str
    latency_ms: int | None
    views: tuple[Shown, ...]

    @property
    def deciding(self) -> Shown:
        """The view that made the part what it is; only for parts that have a view."""
        return max(self.views, key=self._weight)

    def _weight(self, shown: Shown) -> tuple[bool, bool, int]:
        scores = (mark.score for mark in shown.view.marks if mark.label == self.defect)
        return shown.view.code == self.code, shown.view.code != Code.OK, max(scores, default=-1)


def views_of(row: Mapping[str, Any]) -> tuple[View, ...]:
    """The views of a row of `part`, as they were on the wire."""
    return msgspec.convert(row["views"], tuple[View, ...])


def hashes_of(rows: list[dict[str, Any]]) -> list[str]:
    """Every picture and thumbnail that these rows name."""
    named = {
        sha256
        for row in rows
        for view in views_of(row)
        for sha256 in (view.picture, view.thumbnail)
        if sha256 is not None
    }
    return sorted(named)


def part_of(row: Mapping[str, Any], arrivals: Arrivals, small: bool = False) -> Part:
    """A part from a row of `part`; `small` prefers thumbnails."""
    return Part(
        stream=row["stream"],
        seq=row["seq"],
        at=row["at"],
        plant=row["plant"],
        line=row["line"],
        station=row["station"],
        number=row["number"],
        code=Code(row["code"]),
        reason=row["reason"],
        defect=row["defect"],
        score=None if row["score"] is None else row["score"] / 10_000,
        mode=row["mode"],
        recipe=row["recipe"],
        model=row["model"],
        trust=row["trust"],
        latency_ms=row["latency_ms"],
        views=tuple(shown(view, arrivals, row["defect"], small) for view in views_of(row)),
    )


def shown(view: View, arrivals: Arrivals, defect: str | None, small: bool) -> Shown:
    """What can be shown of a view now; `defect` is the class that decided the part."""
    wanted = [view.thumbnail, view.picture] if small else [view.picture, view.thumbnail]
    named = [sha256 for sha256 in wanted if sha256 is not None]
    here = [sha256 for sha256 in named if arrivals.get(sha256, {}).get("received")]
    gone = [sha256 for sha256 in named if arrivals.get(sha256, {}).get("evicted")]
    purged = any(arrivals.get(sha256, {}).get("purged") for sha256 in named)
    picture: Picture = "none"
    if here:
        picture = "here"
    elif purged:
        picture = "purged"
    elif named:
        picture = "evicted" if len(gone) == len(named) else "waiting"
    if here and not (view.width and view.height):
        picture = "none"  # a frame without size cannot carry boxes
    return Shown(
        view,
        picture,
        here[0] if here else None,
        view.width or 0,
        view.height or 0,
        draw.boxes(view),
        round(draw.letter_size(view), 1),
        draw.close_up(view, defect),
    )
