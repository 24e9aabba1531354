"""A model's detections weighed by the differences from a template. No IO.

A difference knows where something is and not what; a model guesses what. Together:

    every difference                      stays as it is
    every class c of the detections       c, in the difference's box with `margin_px` around,
    that touch a difference               score = sqrt(best score of c there x difference's score)
    a detection that touches none         stays where it is, score x UNCONFIRMED

So a weak guess of the model counts where something differs, and a strong one hardly where nothing
does. A difference is never taken away by what the model thinks of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edge.terms import Detection
from edge.vision.regions import Box, detection

UNCONFIRMED = 0.1
"""Factor of a score that no difference confirms."""

SCORE_FLOOR = 0.01
"""Lowest score that a model must report for its guesses to be weighed."""


def confirmed(
    guesses: Sequence[Detection],
    differences: Sequence[Detection],
    margin_px: float,
    shape: tuple[int, ...],
    mm_per_px: float | None = None,
) -> list[Detection]:
    """Detections of both together, by the table above.

    Args:
        guesses: of the model.
        differences: of the template, in the same frame.
        margin_px: how much larger a defect's box is than what differs, on each side.
        shape: of the frame; no box leaves it.
        mm_per_px: of the frame.
    """
    touching = _touching(_boxes(guesses), _boxes(differences))
    found = list(differences)
    for place, difference in enumerate(differences):
        best: dict[str, float] = {}
        for number in np.flatnonzero(touching[:, place]).tolist():
            guess = guesses[number]
            best[guess.label] = max(guess.score, best.get(guess.label, 0.0))
        box = _grown(difference.box, margin_px, shape)
        found += [
            detection(label, math.sqrt(score * difference.score), box, mm_per_px)
            for label, score in best.items()
        ]
    alone = np.flatnonzero(~touching.any(axis=1)).tolist()
    found += [replace(guesses[n], score=guesses[n].score * UNCONFIRMED) for n in alone]
    return found


def _boxes(detections: Sequence[Detection]) -> npt.NDArray[np.float64]:
    return np.array([d.box for d in detections], np.float64).reshape(-1, 4)


def _touching(
    some: npt.NDArray[np.float64], others: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """(some, others): whether two boxes share any area."""
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    return np.asarray((high > low).all(axis=2))


def _grown(box: Box, margin_px: float, shape: tuple[int, ...]) -> Box:
    x1, y1, x2, y2 = box
    right, bottom = float(shape[1]), float(shape[0])
    return (
        max(0.0, x1 - margin_px),
        max(0.0, y1 - margin_px),
        min(right, x2 + margin_px),
        min(bottom, y2 + margin_px),
    )
