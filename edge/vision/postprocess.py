"""From the model's output to boxes in the frame. No IO.

    raw head     (1, 4 + classes + masks, anchors): cx cy w h in input px, one score per class
    end to end   (1, rows, 6 + masks): x1 y1 x2 y2 in input px, score, class; chosen by the graph

`masks` is the number of mask coefficients, 0 where nothing is segmented. A raw head needs NMS.

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
    input_boxes: Array  # (n, 4) in input px, not cut at the frame
    coefficients: Array  # (n, masks)

    def only(self, chosen: npt.NDArray[np.int64 | np.bool_] | list[int]) -> "Found":
        """The chosen rows, in that order."""
        return Found(
            self.boxes[chosen],
            self.scores[chosen],
            self.kinds[chosen],
            self.input_boxes[chosen],
            self.coefficients[chosen],
        )


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
    if layout == "raw":
        boxes, scores, kinds, coefficients = _raw_candidates(output[0], classes, floor)
    else:
        boxes, scores, kinds, coefficients = _end_to_end_candidates(output[0], floor)
    if kinds.size and not (kinds.min() >= 0 and kinds.max() < classes):
        raise ModelError(f"the model gave class {kinds.max()}; expected 0..{classes - 1}")
    if len(scores) > MAX_CANDIDATES:
        raise ModelError(f"{len(scores)} candidates, expected at most {MAX_CANDIDATES}")
    scores = np.minimum(scores, np.float32(1))  # half precision may round a little above
    frame_boxes, visible = _to_frame(boxes, placed)
    found = Found(frame_boxes, scores, kinds, boxes, coefficients)
    best = np.argsort(-scores, kind="stable")
    found = found.only(best[visible[best]])
    if layout == "raw" and len(found.scores) > 1:
        found = found.only(_without_overlaps(found, overlap))
    return found


_Candidates = tuple[Array, Array, npt.NDArray[np.int64], Array]
"""Corners in input px, scores, class numbers, mask coefficients."""


def _raw_candidates(rows: Array, classes: int, floor: float) -> _Candidates:
    """Two passes over the scores; only anchors with a class above the floor are looked at again."""
    every = rows[4 : 4 + classes]
    best = every.max(axis=0)
    _check_range(every, best)
    anchors = np.flatnonzero(best >= floor)
    near = every[:, anchors]
    kinds, which = np.nonzero(near >= floor)
    anchors = anchors[which]
    centre_x, centre_y, width, height = _checked(rows[:4, anchors])
    half_x, half_y = width / 2, height / 2
    corners = (centre_x - half_x, centre_y - half_y, centre_x + half_x, centre_y + half_y)
    coefficients = rows[4 + classes :, anchors].T
    return np.stack(corners, axis=1), near[kinds, which], kinds, coefficients


def _end_to_end_candidates(rows: Array, floor: float) -> _Candidates:
    _check_range(rows[:, 4])
    rows = rows[rows[:, 4] >= floor]
    if not np.isfinite(rows[:, 5]).all():
        raise ModelError("the model gave a class that is not a number")
    return _checked(rows[:, :4]), rows[:, 4], rows[:, 5].astype(np.int64), rows[:, 6:]


def _check_range(scores: Array, highest: Array | None = None) -> None:
    """NaN survives min and max, so nothing that is not a number gets by."""
    if scores.size == 0:
        return
    low, high = float(scores.min()), float((scores if highest is None else highest).max())
    if not (low >= -_SLACK and high <= 1 + _SLACK):
        raise ModelError(f"the model gave scores from {low:g} to {high:g}; expected 0..1")


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


def _without_overlaps(found: Found, overlap: float) -> list[int]:
    """Non-maximum suppression per class; the order stays: best first."""
    sides = found.input_boxes.copy()
    sides[:, 2:] -= sides[:, :2]
    return sorted(
        cv2.dnn.NMSBoxesBatched(
            sides.tolist(), found.scores.tolist(), found.kinds.tolist(), -1.0, overlap
        )
    )
