"""Where a box lies against a polygon: geometry of the [[zone]]s of a recipe. Pure.

    ┌──────────────┐      forbidden          a box that touches the polygon anywhere is in it
    │ zone   ┌─┐   │      tolerant, ignored  only a box wholly inside is in it
    │        └─┘ ┌─┼─┐
    └────────────┼─┘ │    so where a box lies across the edge, the stricter rule holds
                 └───┘

Corners are (x, y) in px, boxes (x1, y1, x2, y2). The edge of a polygon belongs to it. Where a
polygon crosses itself, a doubly covered place is forbidden, but not tolerant or ignored.
"""

import functools

import numpy as np
import numpy.typing as npt

Polygon = tuple[tuple[float, float], ...]
Box = tuple[float, float, float, float]
_Points = npt.NDArray[np.float64]


def touches(polygon: Polygon, box: Box) -> bool:
    """Has the box a point in common with the polygon?"""
    starts, ends, lowest, highest = _edges(polygon)
    if _apart(box, lowest, highest):
        return False
    on_an_edge = bool(_crossed(starts, ends, box, open_box=False).any())
    return on_an_edge or _turns(starts, ends, box) != 0


def holds(polygon: Polygon, box: Box) -> bool:
    """Does the whole box lie in the polygon?"""
    starts, ends, lowest, highest = _edges(polygon)
    if _apart(box, lowest, highest):
        return False
    # a box without an inside has only its line, which no edge may meet
    has_inside = box[2] > box[0] and box[3] > box[1]
    cut = bool(_crossed(starts, ends, box, open_box=has_inside).any())
    return not cut and _turns(starts, ends, box) % 2 == 1


@functools.lru_cache(maxsize=256)
def _edges(polygon: Polygon) -> tuple[_Points, _Points, _Points, _Points]:
    """First and second end of each edge, (n, 2), and the corners of what lies around them."""
    starts = np.array(polygon, np.float64)
    return starts, np.roll(starts, -1, axis=0), starts.min(axis=0), starts.max(axis=0)


def _apart(box: Box, lowest: _Points, highest: _Points) -> bool:
    x1, y1, x2, y2 = box
    return bool(x2 < lowest[0] or y2 < lowest[1] or x1 > highest[0] or y1 > highest[1])


def _crossed(starts: _Points, ends: _Points, box: Box, open_box: bool) -> npt.NDArray[np.bool_]:
    """Which edges meet the box, (n,): no axis separates them. An open box is without its border."""
    x1, y1, x2, y2 = box
    half = np.array([(x2 - x1) / 2, (y2 - y1) / 2])
    middle = (starts + ends) / 2 - np.array([(x1 + x2) / 2, (y1 + y2) / 2])
    reach = np.abs(ends - starts) / 2
    way = (ends - starts) / 2
    aside = np.abs(middle[:, 0] * way[:, 1] - middle[:, 1] * way[:, 0])
    across = half[0] * reach[:, 1] + half[1] * reach[:, 0]
    distance, most = np.abs(middle), half + reach
    if open_box:
        return np.asarray((distance < most).all(axis=1) & (aside < across), np.bool_)
    return np.asarray((distance <= most).all(axis=1) & (aside <= across), np.bool_)


def _turns(starts: _Points, ends: _Points, box: Box) -> int:
    """How often the polygon goes round the middle of the box: 0 = the middle lies outside."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    up = (starts[:, 1] <= y) & (ends[:, 1] > y)
    down = (starts[:, 1] > y) & (ends[:, 1] <= y)
    side = (ends[:, 0] - starts[:, 0]) * (y - starts[:, 1]) - (x - starts[:, 0]) * (
        ends[:, 1] - starts[:, 1]
    )
    return int(np.count_nonzero(up & (side > 0)) - np.count_nonzero(down & (side < 0)))
