"""From the model's output to boxes in the frame. No IO.

    raw head     (1, 4 + classes + masks, anchors): cx cy w h in input px, one score per class
    end to end   (1, rows, 6 + masks): x1 y1 x2 y2 in input px, score, class; chosen by the graph

`masks` is the number of mask coefficients, 0 where nothing is segmented. A raw head needs NMS.

Every (anchor, class) whose score reaches the floor is a candidate, not only an anchor's best class:
a recipe may have a low limit for the second best. A second guess never pushes out what is the best
class of another anchor, so that everything ultralytics finds is found. Numbers that are not finite
are refused: they would fall through every comparison and look like a good part.
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
    if not (np.abs(corners) <= _FAR_PX).all():  # not so for NaN, either
        raise ModelError("the model gave a box that is not a number or far outside its input")
    np.minimum(scores, 1.0, out=scores)  # half precision may round a little above
    boxes = _in_frame(corners, placed)
    found = (boxes, scores, kinds, corners, coefficients)
    if not (boxes[:, 2:] > boxes[:, :2]).all():  # a box without width, turned round or not seen
        corners = _opened(corners)
        boxes = _in_frame(corners, placed)
        visible = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        found = _only((boxes, scores, kinds, corners, coefficients), visible)
        firsts = None if firsts is None else firsts[visible]
    if layout == "raw" and len(found[0]) > 1:
        found = _only(found, _kept(found, firsts, overlap))
    return Found(*found)


_Candidates = tuple[Array, Array, npt.NDArray[np.int64], Array]
"""Corners in input px, scores, class numbers, mask coefficients; best first."""


def _raw_candidates(
    rows: Array, classes: int, floor: float
) -> tuple[Array, Array, npt.NDArray[np.int64], Array, npt.NDArray[np.bool_] | None]:
    """Two passes over the scores; only anchors with a class above the floor are looked at again.

    Last comes which candidates are the best class of their anchor; None: all.
    """
    every = rows[4 : 4 + classes]
    near = (every.max(axis=0) >= floor).nonzero()[0]
    few = rows.take(near, axis=1)
    high = few[4 : 4 + classes]
    _check_range(every, high)
    chosen = high >= floor
    scores = high[chosen]
    _check_count(len(scores))
    kinds, which = chosen.nonzero()
    best = (-scores).argsort(kind="stable")
    columns = few.T[which[best]]
    half = columns[:, 2:4] / 2
    corners = np.empty((len(best), 4), np.float32)
    np.subtract(columns[:, :2], half, out=corners[:, :2])
    np.add(columns[:, :2], half, out=corners[:, 2:])
    kinds = kinds[best]
    firsts = None if len(best) == len(near) else kinds == high.argmax(axis=0)[which[best]]
    return corners, scores[best], kinds, columns[:, 4 + classes :], firsts


def _end_to_end_candidates(rows: Array, classes: int, floor: float) -> _Candidates:
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


def _check_range(scores: Array, highest: Array | None = None) -> None:
    """NaN survives min, so nothing that is not a number gets by; `highest` holds the largest."""
    if scores.size == 0:
        return
    low, high = float(scores.min()), float((scores if highest is None else highest).max(initial=0))
    if not (low >= -_SLACK and high <= 1 + _SLACK):
        raise ModelError(f"the model gave scores from {low:g} to {high:g}; expected 0..1")


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


_Places = npt.NDArray[np.intp]

_Columns = tuple[Array, Array, npt.NDArray[np.int64], Array, Array]
"""Those of `Found`."""


def _only(found: _Columns, chosen: _Places | npt.NDArray[np.bool_]) -> _Columns:
    boxes, scores, kinds, corners, coefficients = found
    return boxes[chosen], scores[chosen], kinds[chosen], corners[chosen], coefficients[chosen]


def _kept(found: _Columns, firsts: npt.NDArray[np.bool_] | None, overlap: float) -> _Places:
    """What stays of a raw head's candidates: what would stay of the best classes alone, and of the
    second guesses what no better box of its class overlaps."""
    _boxes, scores, kinds, corners, _coefficients = found
    if firsts is None or firsts.all():
        return _without_overlaps(corners, scores, kinds, overlap)

    def stay(some: _Places) -> _Places:
        return some[_without_overlaps(corners[some], scores[some], kinds[some], overlap)]

    kept = np.zeros(len(scores), np.bool_)
    kept[stay(firsts.nonzero()[0])] = True
    kept[stay((kept | ~firsts).nonzero()[0])] = True
    return kept.nonzero()[0]


def _without_overlaps(
    corners: Array, scores: Array, kinds: npt.NDArray[np.int64], overlap: float
) -> _Places:
    """Non-maximum suppression per class; the order stays: best first."""
    sides = corners.astype(np.float64)
    sides[:, 2:] -= sides[:, :2]
    sides[:, :2] -= sides[:, :2].min()  # OpenCV lays the classes side by side from 0 on
    given = sides.tolist(), scores.tolist(), kinds.tolist()
    return np.sort(np.asarray(cv2.dnn.NMSBoxesBatched(*given, -1.0, overlap), np.intp))
