"""Whether two files of one model give the same answers, number by number. No IO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.errors import ModelError
from edge.vision.binding import Array
from edge.vision.detector import SCORE_FLOOR, Detector


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest differences that are still the same answer."""

    box_px: float  # of an edge, in px of the model's input
    score: float


def prove(
    before: Detector, after: Detector, pictures: Sequence[npt.NDArray[np.uint8]], limits: Limits
) -> dict[str, object]:
    """Compare them on pictures; return {pictures, boxes, box_px, score}: how many, how far apart.

    A raw head is compared at every anchor. Of an end-to-end head the rows at or above the score
    floor are, each with its nearest of the same class, because equal scores may change places.

    Raises:
        ModelError: they differ, or there was nothing to compare: equal answers then prove nothing.
    """
    answers: list[Array] = []
    boxes, box_px, score = 0, 0.0, 0.0
    for picture in pictures:
        first, second = _output(before, picture), _output(after, picture)
        if first.shape != second.shape:
            raise ModelError(f"outputs {list(first.shape)} and {list(second.shape)} differ")
        compare = _raw if before.layout == "raw" else _end_to_end
        count, far, apart = compare(first, second, len(before.labels), limits)
        boxes += count
        box_px, score = float(np.maximum(box_px, far)), float(np.maximum(score, apart))  # NaN stays
        answers.append(first)
    if not boxes:
        raise ModelError("no box on any picture to compare; give pictures with defects")
    if all(np.allclose(answers[0], answer, atol=1e-3) for answer in answers[1:]):
        raise ModelError("the model answers the same to every picture: nothing is proved")
    if not (box_px <= limits.box_px and score <= limits.score):
        raise ModelError(
            f"boxes differ by {box_px:g} px and scores by {score:g}; "
            f"expected at most {limits.box_px:g} px and {limits.score:g}"
        )
    return {"pictures": len(pictures), "boxes": boxes, "box_px": box_px, "score": score}


def _output(detector: Detector, picture: npt.NDArray[np.uint8]) -> Array:
    binding = detector.binding()
    binding.prepare(picture)
    return np.array(binding.run()[0][0])


def _raw(first: Array, second: Array, classes: int, _limits: Limits) -> tuple[int, float, float]:
    apart = np.abs(first - second)
    return first.shape[1], float(apart[:4].max()), float(apart[4 : 4 + classes].max())


def _end_to_end(
    first: Array, second: Array, _classes: int, limits: Limits
) -> tuple[int, float, float]:
    scores = np.abs(np.sort(first[:, 4]) - np.sort(second[:, 4]))
    seen = first[first[:, 4] >= SCORE_FLOOR]
    far = np.abs(seen[:, None, :4] - second[None, :, :4]).max(axis=2)
    other = seen[:, None, 5] != second[None, :, 5]
    other |= np.abs(seen[:, None, 4] - second[None, :, 4]) > limits.score
    far[other] = np.inf
    return len(seen), float(far.min(axis=1).max(initial=0.0)), float(scores.max())
