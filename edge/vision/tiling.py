"""How a large picture is cut into tiles that overlap, and how what they show becomes one. No IO.

    +---------+--+---------+        consecutive tiles share at least `overlap` px, so a defect
    |  tile 0 |//|  tile 1 |        not larger than that lies whole in at least one of them;
    +---------+--+---------+        the one beside it may see it cut

A detection is *cut* where it touches a side of its tile that lies inside the picture. `merge` takes
several looks at one defect together: the box becomes the union and the score the highest, so a
merge never makes a defect smaller, weaker or hidden; it only counts it once.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge import zones
from edge.terms import Detection

Box = tuple[float, float, float, float]
Polygon = tuple[tuple[float, float], ...]

EDGE_PX = 4.0
"""A box that ends so near to a side of its tile may go on behind it."""

SAME = 0.5
"""Two whole boxes of two tiles are one defect if they share this part of the smaller one ..."""

ALIKE = 0.25
"""... and the smaller has at least this part of the larger one's area: a pit in a stain is two."""

INSIDE = 0.3
"""A cut box with this part of it inside a whole one, or EDGE_PX around it, is a piece of that."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A window of a picture, px."""

    left: int
    top: int
    width: int
    height: int

    @property
    def box(self) -> Box:
        """The same as x1, y1, x2, y2."""
        return self.left, self.top, self.left + self.width, self.top + self.height


@dataclass(frozen=True, slots=True)
class Seen:
    """A detection in px of the whole picture, and who saw it."""

    detection: Detection
    cut: bool  # touches a side behind which the picture goes on
    looks: frozenset[int]  # numbers of the tiles that saw it


def plan(height: int, width: int, side: tuple[int, int], overlap_px: int) -> tuple[Tile, ...]:
    """Tiles of at most `side` that cover a picture, row by row.

    Args:
        height: of the picture, >= 1; `width` likewise.
        side: height and width of a tile.
        overlap_px: consecutive tiles share at least this; below both sides.
    """
    rows = _starts(height, side[0], overlap_px)
    columns = _starts(width, side[1], overlap_px)
    size = min(side[1], width), min(side[0], height)
    return tuple(Tile(left, top, *size) for top in rows for left in columns)


def _starts(length: int, side: int, overlap_px: int) -> list[int]:
    """Where the tiles of one axis begin, evenly spread."""
    if length <= side:
        return [0]
    count = math.ceil((length - overlap_px) / (side - overlap_px))
    return [i * (length - side) // (count - 1) for i in range(count)]


def visible(tiles: Iterable[Tile], hidden: Sequence[Polygon]) -> tuple[Tile, ...]:
    """The tiles that are not wholly inside one of the `hidden` polygons.

    One that is partly outside stays: a mask must not hide a defect that is only partly inside it.
    """
    return tuple(t for t in tiles if not any(zones.holds(p, t.box) for p in hidden))


def is_cut(box: Box, tile: Tile, height: int, width: int) -> bool:
    """Whether a box, in px of the picture, touches a side of its tile inside the picture."""
    left, top, right, bottom = tile.box
    return (
        (left > 0 and box[0] < left + EDGE_PX)
        or (top > 0 and box[1] < top + EDGE_PX)
        or (right < width and box[2] > right - EDGE_PX)
        or (bottom < height and box[3] > bottom - EDGE_PX)
    )


def moved(detection: Detection, x: float, y: float) -> Detection:
    """The same detection in a picture whose corner lies (x, y) px farther out."""
    x1, y1, x2, y2 = detection.box
    return replace(detection, box=(x1 + x, y1 + y, x2 + x, y2 + y))


def merge(found: Iterable[Seen]) -> list[Seen]:
    """Every defect once, best score first; the order of `found` does not matter.

    Merging the outcome again changes nothing, and each box of `found` lies inside one of the same
    class with at least its score.
    """
    now = sorted(found, key=_order)
    while True:
        alone, near = _parted(now)
        joined = sorted([*alone, *_joined(near)], key=_order)
        if len(joined) == len(now):
            return sorted(joined, key=lambda seen: -seen.detection.score)
        now = joined


def _order(seen: Seen) -> tuple[object, ...]:
    """Whole boxes first, then the best; nothing in it depends on who came first."""
    d = seen.detection
    mm = (d.width_mm or 0.0, d.height_mm or 0.0, d.area_mm2 or 0.0)
    return seen.cut, -d.score, -_area(d.box), d.label, d.box, mm, sorted(seen.looks)


def _parted(found: Sequence[Seen]) -> tuple[list[Seen], list[Seen]]:
    """Those that are near no other, which are most of them, and the rest."""
    x1, y1, x2, y2 = np.array([s.detection.box for s in found], np.float64).reshape(-1, 4).T
    x1, y1, x2, y2 = x1 - EDGE_PX, y1 - EDGE_PX, x2 + EDGE_PX, y2 + EDGE_PX
    meet = (x1[:, None] < x2) & (x1 < x2[:, None]) & (y1[:, None] < y2) & (y1 < y2[:, None])
    near = meet.sum(axis=0) > 1  # each meets itself
    return (
        [s for s, n in zip(found, near, strict=True) if not n],
        [s for s, n in zip(found, near, strict=True) if n],
    )


def _joined(ordered: Sequence[Seen]) -> list[Seen]:
    kept: list[Seen] = []
    for seen in ordered:
        partners = [n for n, other in enumerate(kept) if _one_defect(other, seen)]
        if partners:
            best = max(partners, key=lambda n: (not kept[n].cut, _nearness(kept[n], seen), -n))
            kept[best] = _union(kept[best], seen)
        else:
            kept.append(seen)
    return kept


def _one_defect(one: Seen, other: Seen) -> bool:
    """Whether two looks show one defect; `one` is not cut unless `other` is, too."""
    if one.detection.label != other.detection.label:
        return False
    a, b = one.detection.box, other.detection.box
    apart = one.looks.isdisjoint(other.looks)
    if other.cut and not one.cut:
        # in another tile's eyes the whole one may end a little short of what the piece shows
        slack = EDGE_PX if apart else 0.0
        near = a[0] - slack, a[1] - slack, a[2] + slack, a[3] + slack
        return _shared(near, b) >= INSIDE * _area(b)
    shared = _shared(a, b)
    if one.cut or shared <= 0:  # cut both: larger than the overlap, so in pieces everywhere
        return shared > 0
    smaller, larger = sorted((_area(a), _area(b)))
    # a tile that shows two boxes means two: only different tiles can mean the same
    return apart and shared >= SAME * smaller and smaller >= ALIKE * larger


def _union(one: Seen, other: Seen) -> Seen:
    a, b = one.detection, other.detection
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.box, b.box
    box = min(ax1, bx1), min(ay1, by1), max(ax2, bx2), max(ay2, by2)
    pieces = one.cut and other.cut
    whole = Detection(
        a.label,
        max(a.score, b.score),
        box,
        _mm(a.width_mm, ax2 - ax1, box[2] - box[0]),
        _mm(a.height_mm, ay2 - ay1, box[3] - box[1]),
        _area_mm2(a.area_mm2, b.area_mm2, pieces),
    )
    return Seen(whole, pieces, one.looks | other.looks)


def _area_mm2(one: float | None, other: float | None, pieces: bool) -> float | None:
    """Of both looks together; not known if it is not of one: a part of it would be too small."""
    if one is None or other is None:
        return None
    return one + other if pieces else max(one, other)


def _mm(measured_mm: float | None, px: float, now_px: float) -> float | None:
    """A side in mm after it grew from `px` to `now_px`."""
    return None if measured_mm is None else measured_mm * now_px / px


def _nearness(one: Seen, other: Seen) -> float:
    a, b = one.detection.box, other.detection.box
    shared = _shared(a, b)
    return shared / (_area(a) + _area(b) - shared)


def _shared(a: Box, b: Box) -> float:
    """Area that two boxes have in common, px^2."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
