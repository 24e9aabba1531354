"""From the model's output to boxes in the frame. No IO.

    raw head     (1, 4 + classes + masks, anchors): cx cy w h in input px, one score per class
    end to end   (1, rows, 6 + masks): x1 y1 x2 y2 in input px, score, class; chosen by the graph

`masks` is the number of mask coefficients, 0 where nothing is segmented. A raw head needs NMS.

Every (anchor, class) whose score reaches the floor is a candidate, not only an anchor's best class:
a recipe may have a low limit for the second best. A second guess never pushes out what is the best
class of another anchor, so that everything ultralytics finds is found. Numbers that are not finite
are refused: they would fall through every comparison and look like a good part.

Right after the model nothing of this lies in a cache: each step for a handful of boxes takes five
times as long as in a loop of its own, whatever their number. What counts is how many steps.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import ModelError
from edge.vision.preprocess import Fit

Layout = Literal["raw", "end_to_end"]
Array = npt.NDArray[np.float32]

MAX_CANDIDATES = 3000
"""More is no picture of a part: NMS of 1,000 takes 12 ms, of all 8,400 anchors nearly 1 s.
Nothing is cut off (ultralytics cuts at 300): what is cut off may be the one defect that counts."""

_FAR_PX = 1e6
_LEAST_PX = 0.01  # a box without width still says that there is a defect, and where
_SLACK = 1e-3  # scores of half-precision graphs can be a little above 1


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Detections, best first: `boxes` (n, 4) x1 y1 x2 y2 in frame px; `kinds` = class numbers."""

    boxes: Array
    scores: Array
    kinds: npt.NDArray[np.int64]
    input_boxes: Array  # (n, 4) in input px, not cut at the frame
    coefficients: Array  # (n, masks)


def layout_of(
    shape: tuple[int, ...], classes: int, says_end_to_end: bool | None, masks: int = 0
) -> Layout:
    """Which layout an output has, by its shape and by what the model's metadata says.

    Args:
        shape: of the output of one real run.
        classes: number of class names.
        says_end_to_end: the metadata's word, None where it has none.
        masks: number of mask prototypes.

    Raises:
        ModelError: neither layout, or the metadata says the other one.
    """
    rows, columns = 4 + classes + masks, 6 + masks
    end_to_end = len(shape) == 3 and shape[0] == 1 and shape[2] == columns
    raw = len(shape) == 3 and shape[0] == 1 and shape[1] == rows and shape[2] > 0
    if end_to_end and raw:  # 6 anchors and 2 classes: only the metadata knows
        end_to_end, raw = bool(says_end_to_end), not says_end_to_end
    if not end_to_end and not raw:
        raise ModelError(
            f"output {list(shape)} is no detection head of {classes} classes; expected "
            f"[1, {rows}, anchors] or [1, rows, {columns}]"
        )
    if says_end_to_end is not None and says_end_to_end != end_to_end:
        said = (
            f"end to end [1, rows, {columns}]" if says_end_to_end else f"raw [1, {rows}, anchors]"
        )
        raise ModelError(f"the metadata says {said}, but the output is {list(shape)}")
    return "end_to_end" if end_to_end else "raw"


def check(output: Array, layout: Layout, classes: int) -> None:
    """Refuse scores that mean nothing, whatever the picture was.

    Raises:
        ModelError: scores that are not finite or outside 0..1.
    """
    _check_range(output[0, 4 : 4 + classes] if layout == "raw" else output[0, :, 4])


def find(
    output: Array, layout: Layout, classes: int, placed: Fit, floor: float, overlap: float
) -> Found:
    """Detections of one output, as `layout` reads it.

    Args:
        output: as in the module's drawing.
        placed: how the frame lies in the input.
        floor: lowest score given back.
        overlap: of two boxes of one class with an IoU above this, the better one stays. Measured in
            input px before boxes are cut at the frame, as in training.

    Raises:
        ModelError: scores or boxes are not finite, scores outside 0..1, a class that is not there,
            or more candidates than a picture can have.
    """
    rows = output[0]
    if layout == "raw":
        corners, scores, kinds, coefficients, firsts = _raw_candidates(rows, classes, floor)
    else:
        corners, scores, kinds, coefficients = _end_to_end_candidates(rows, classes, floor)
        firsts = None
    if not (corners.max(initial=0) <= _FAR_PX and corners.min(initial=0) >= -_FAR_PX):
        raise ModelError("the model gave a box that is not a number or far outside its input")
    np.minimum(scores, 1.0, out=scores)  # half precision may round a little above
    boxes = _in_frame(corners, placed)
    visible = _are_open(boxes)
    if not visible.all() and not _are_open(corners).all():
        corners = _opened(corners)
        boxes = _in_frame(corners, placed)
        visible = _are_open(boxes)
    seen = visible.nonzero()[0]
    if layout == "raw" and len(seen) > 1:
        seen = _without_overlaps(seen.tolist(), corners, scores, kinds, firsts, overlap)
    return Found(boxes[seen], scores[seen], kinds[seen], corners[seen], coefficients[seen])


_Candidates = tuple[Array, Array, npt.NDArray[np.int64], Array]
"""Corners in input px, scores, class numbers, mask coefficients."""


def _raw_candidates(
    rows: Array, classes: int, floor: float
) -> tuple[Array, Array, npt.NDArray[np.int64], Array, npt.NDArray[np.bool_] | None]:
    """One pass over the scores; only anchors with a class above the floor are looked at again.

    Read as whole numbers, floats from 0 on keep their order, and what is below 0, infinite or no
    number at all stands above every score: no anchor is left out that has to be refused.

    Last comes which candidates are the best class of their anchor; None: all.
    """
    top = rows[4 : 4 + classes].view(np.uint32).max(axis=0)
    near = (top >= _as_whole(floor)).nonzero()[0]
    few = rows.take(near, axis=1)
    high = few[4 : 4 + classes]
    _check_range(high)
    kinds, which = (high >= floor).nonzero()
    _check_count(len(kinds))
    columns = few.T.take(which, axis=0)
    half, middle = columns[:, 2:4] / 2, columns[:, :2]
    corners = np.concatenate((middle - half, middle + half), axis=1)
    firsts = None if len(which) == len(near) else kinds == high.argmax(axis=0)[which]
    return corners, high[kinds, which], kinds, columns[:, 4 + classes :], firsts


@lru_cache
def _as_whole(floor: float) -> np.uint32:
    """The bits of a score; of 0 for what lies below."""
    return np.float32(max(0.0, floor)).view(np.uint32)


def _end_to_end_candidates(rows: Array, classes: int, floor: float) -> _Candidates:
    """Best first."""
    _check_range(rows[:, 4])
    rows = rows[rows[:, 4] >= floor]
    _check_count(len(rows))
    rows = rows[(-rows[:, 4]).argsort(kind="stable")]
    kinds = rows[:, 5]
    if not ((kinds >= 0) & (kinds < classes)).all():  # not so for NaN, either
        raise ModelError(f"the model gave classes {kinds.tolist()}; expected 0..{classes - 1}")
    return rows[:, :4], rows[:, 4].copy(), kinds.astype(np.int64), rows[:, 6:]


def _check_count(candidates: int) -> None:
    if candidates > MAX_CANDIDATES:
        raise ModelError(f"{candidates} candidates, expected at most {MAX_CANDIDATES}")


def _check_range(scores: Array) -> None:
    """NaN survives min and max, so nothing that is not a number gets by."""
    if scores.size == 0:
        return
    low, high = float(scores.min()), float(scores.max())
    if not (low >= -_SLACK and high <= 1 + _SLACK):
        raise ModelError(f"the model gave scores from {low:g} to {high:g}; expected 0..1")


def _are_open(corners: Array) -> npt.NDArray[np.bool_]:
    """Which boxes have a width and a height."""
    return (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])


def _opened(corners: Array) -> Array:
    """Boxes turned round the right way, and none without width or height."""
    low = np.minimum(corners[:, :2], corners[:, 2:])
    high = np.maximum(corners[:, :2], corners[:, 2:])
    return np.hstack((low, np.maximum(high, low + np.float32(_LEAST_PX))))


def _in_frame(corners: Array, placed: Fit) -> Array:
    """Boxes in frame px, cut at the frame."""
    offset, scale, most = _edges(placed)
    moved = corners - offset
    moved /= scale
    np.maximum(moved, 0, out=moved)
    np.minimum(moved, most, out=moved)
    return moved


@lru_cache
def _edges(placed: Fit) -> tuple[Array, Array, Array]:
    """Of a box's four edges: offset and scale in the input, largest value in the frame."""
    width, height = placed.frame_width, placed.frame_height
    pairs = (placed.left, placed.top), placed.scale, (width, height)
    offset, scale, most = (np.array(pair * 2, np.float32) for pair in pairs)
    return offset, scale, most


def _without_overlaps(
    seen: list[int],
    corners: Array,
    scores: Array,
    kinds: npt.NDArray[np.int64],
    firsts: npt.NDArray[np.bool_] | None,
    overlap: float,
) -> npt.NDArray[np.intp]:
    """Non-maximum suppression per class: of the candidates `seen` those that stay, best first.

    That is what would stay of the best classes alone, and of the second guesses what no better box
    of its class overlaps.
    """
    sides = corners.astype(np.float64)
    sides[:, 2:] -= sides[:, :2]
    sides[:, :2] -= sides[:, :2].min()  # OpenCV lays the classes side by side from 0 on
    columns = sides.tolist(), scores.tolist(), kinds.tolist()

    def stay(some: list[int]) -> list[int]:
        boxes, best, classes = ([column[place] for place in some] for column in columns)
        kept = cv2.dnn.NMSBoxesBatched(boxes, best, classes, -1.0, overlap)
        return [some[place] for place in np.asarray(kept).tolist()]

    if firsts is None:
        return np.array(stay(seen), np.intp)
    first = firsts.tolist()
    kept = set(stay([place for place in seen if first[place]]))
    kept.update(stay([place for place in seen if place in kept or not first[place]]))
    return np.array(sorted(kept, key=lambda place: (-columns[1][place], place)), np.intp)
