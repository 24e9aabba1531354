"""From the model's output to boxes in the frame. No IO.

    raw head     (1, 4 + classes, anchors): cx cy w h in input px, one score per class; needs NMS
    end to end   (1, rows, 6): x1 y1 x2 y2 in input px, score, class; already chosen by the graph

Every (anchor, class) whose score reaches the floor is a candidate, not only an anchor's best class:
a recipe may have a low limit for the second best. Numbers that are not finite are refused: they
would fall through every comparison and look like a good part.
"""

from dataclasses import dataclass
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
_SLACK = 1e-3  # scores of half-precision graphs can be a little above 1


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Detections, best first: `boxes` (n, 4) x1 y1 x2 y2 in frame px; `kinds` = class numbers."""

    boxes: Array
    scores: Array
    kinds: npt.NDArray[np.int64]


def layout_of(shape: tuple[int, ...], classes: int, says_end_to_end: bool | None) -> Layout:
    """Which layout an output has, by its shape and by what the model's metadata says.

    Args:
        shape: of the output of one real run.
        classes: number of class names.
        says_end_to_end: the metadata's word, None where it has none.

    Raises:
        ModelError: neither layout, or the metadata says the other one.
    """
    end_to_end = len(shape) == 3 and shape[0] == 1 and shape[2] == 6
    raw = len(shape) == 3 and shape[0] == 1 and shape[1] == 4 + classes
    if end_to_end and raw:  # 6 anchors and 2 classes: only the metadata knows
        end_to_end, raw = bool(says_end_to_end), not says_end_to_end
    if not end_to_end and not raw:
        raise ModelError(
            f"output {list(shape)} is no detection head of {classes} classes; expected "
            f"[1, {4 + classes}, anchors] or [1, rows, 6]"
        )
    if says_end_to_end is not None and says_end_to_end != end_to_end:
        said = "end to end [1, rows, 6]" if says_end_to_end else f"raw [1, {4 + classes}, anchors]"
        raise ModelError(f"the metadata says {said}, but the output is {list(shape)}")
    return "end_to_end" if end_to_end else "raw"


def find(
    output: Array, layout: Layout, classes: int, placed: Fit, floor: float, overlap: float
) -> Found:
    """Detections of one output, as `layout` reads it.

    Args:
        output: as in the module's drawing.
        placed: how the frame lies in the input.
        floor: lowest score given back.
        overlap: of two boxes of one class with an IoU above this, the better one stays.

    Raises:
        ModelError: scores or boxes are not finite, scores outside 0..1, a class that is not there,
            or more candidates than a picture can have.
    """
    _check_range(output[:, 4:] if layout == "raw" else output[:, :, 4])
    take = _raw_candidates if layout == "raw" else _end_to_end_candidates
    boxes, scores, kinds = take(output[0], floor)
    if kinds.size and not (kinds.min() >= 0 and kinds.max() < classes):
        raise ModelError(f"the model gave class {kinds.max()}; expected 0..{classes - 1}")
    if len(scores) > MAX_CANDIDATES:
        raise ModelError(f"{len(scores)} candidates, expected at most {MAX_CANDIDATES}")
    scores = np.minimum(scores, 1.0)  # half precision may round a little above
    best = np.argsort(-scores, kind="stable")
    boxes, visible = _to_frame(boxes[best], placed)
    best, boxes = best[visible], boxes[visible]
    found = Found(boxes, scores[best], kinds[best])
    if layout == "raw" and len(best) > 1:
        found = _without_overlaps(found, overlap)
    return found


def _check_range(scores: Array) -> None:
    """NaN survives min and max, so two passes see everything."""
    if scores.size == 0:
        return
    low, high = float(scores.min()), float(scores.max())
    if not (low >= -_SLACK and high <= 1 + _SLACK):
        raise ModelError(f"the model gave scores from {low:g} to {high:g}; expected 0..1")


def _raw_candidates(rows: Array, floor: float) -> tuple[Array, Array, npt.NDArray[np.int64]]:
    scores = rows[4:]
    kinds, anchors = np.nonzero(scores >= floor)
    centre_x, centre_y, width, height = _checked(rows[:4, anchors])
    half_x, half_y = width / 2, height / 2
    corners = (centre_x - half_x, centre_y - half_y, centre_x + half_x, centre_y + half_y)
    return np.stack(corners, axis=1), scores[kinds, anchors], kinds


def _end_to_end_candidates(rows: Array, floor: float) -> tuple[Array, Array, npt.NDArray[np.int64]]:
    rows = rows[rows[:, 4] >= floor]
    if not np.isfinite(rows[:, 5]).all():
        raise ModelError("the model gave a class that is not a number")
    return _checked(rows[:, :4]), rows[:, 4], rows[:, 5].astype(np.int64)


def _checked(boxes: Array) -> Array:
    if not (np.abs(boxes) <= _FAR_PX).all():  # not so for NaN, either
        raise ModelError("the model gave a box that is not a number or far outside its input")
    return boxes


def _to_frame(boxes: Array, placed: Fit) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Boxes in frame px, cut at the frame; which of them have any area in it."""
    offset: Array = np.array([placed.left, placed.top] * 2, np.float32)
    scale: Array = np.array([*placed.scale, *placed.scale], np.float32)
    moved: Array = (boxes - offset) / scale
    limits = np.array([placed.frame_width, placed.frame_height] * 2, np.float32)
    moved = np.clip(moved, 0, limits).astype(np.float32, copy=False)
    return moved, (moved[:, 2] > moved[:, 0]) & (moved[:, 3] > moved[:, 1])


def _without_overlaps(found: Found, overlap: float) -> Found:
    """Non-maximum suppression per class; the order stays: best first."""
    sides = found.boxes.copy()
    sides[:, 2:] -= sides[:, :2]
    kept: list[int] = sorted(
        cv2.dnn.NMSBoxesBatched(
            sides.tolist(), found.scores.tolist(), found.kinds.tolist(), -1.0, overlap
        )
    )
    return Found(found.boxes[kept], found.scores[kept], found.kinds[kept])
