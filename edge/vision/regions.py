"""Connected regions of a map, their boxes in the frame, and detections of them. No IO."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge.terms import Detection

Box = tuple[float, float, float, float]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Region:
    """`box` is (x1, y1, x2, y2) in px of the map, `peak` the strongest value in it."""

    box: Box
    peak: float


def strong_regions(
    strength: npt.NDArray[np.uint8] | npt.NDArray[np.float32],
    least: float,
    gap_px: int,
    min_size_px: float,
) -> list[Region]:
    """Where `strength` (H, W) is `least` or more, strongest first.

    Args:
        strength: of each pixel.
        least: what counts.
        gap_px: pieces that lie so near each other are one region.
        min_size_px: longer side of the box of a region that counts.
    """
    strong = np.asarray(strength >= least, np.uint8)
    places = cv2.findNonZero(strong)
    if places is None:
        return []
    near = cv2.dilate(strong, np.ones((gap_px + 1, gap_px + 1), np.uint8)) if gap_px else strong
    count, labels = cv2.connectedComponents(near, connectivity=8)
    columns, rows = places.reshape(-1, 2).T
    which, values = labels[rows, columns], strength[rows, columns]
    low, high = np.full((2, count), np.iinfo(np.int64).max), np.zeros((2, count), np.int64)
    for axis, place in enumerate((columns, rows)):
        np.minimum.at(low[axis], which, place)
        np.maximum.at(high[axis], which, place + 1)
    peaks = np.zeros(count, strength.dtype)
    np.maximum.at(peaks, which, values)
    large = np.flatnonzero((peaks > 0) & ((high - low).max(axis=0) >= min_size_px))
    large = large[np.argsort(-peaks[large].astype(np.float64), kind="stable")]
    return [
        Region(
            (float(low[0, n]), float(low[1, n]), float(high[0, n]), float(high[1, n])),
            float(peaks[n]),
        )
        for n in large
    ]


def moved(box: Box, matrix: Matrix, shape: tuple[int, ...]) -> Box:
    """A box of the reference in a frame of `shape`, upright again and cut at the frame.

    `matrix` (2, 3) maps the centres of pixels; the edges of a box lie half a pixel beside them.
    """
    x1, y1, x2, y2 = (edge - 0.5 for edge in box)
    corners = np.array([[x1, x2, x1, x2], [y1, y1, y2, y2], [1.0, 1.0, 1.0, 1.0]])
    xs, ys = matrix @ corners + 0.5
    width, height = float(shape[1]), float(shape[0])
    left, right = (min(max(float(x), 0.0), width) for x in (xs.min(), xs.max()))
    top, bottom = (min(max(float(y), 0.0), height) for y in (ys.min(), ys.max()))
    return left, top, right, bottom


def detection(label: str, score: float, box: Box, mm_per_px: float | None) -> Detection:
    """A detection with its size in mm where the view is calibrated."""
    if mm_per_px is None or not math.isfinite(mm_per_px):
        return Detection(label, score, box)
    x1, y1, x2, y2 = box
    return Detection(label, score, box, (x2 - x1) * mm_per_px, (y2 - y1) * mm_per_px)
