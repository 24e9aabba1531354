"""Comparison with a golden template: what differs from pictures of good parts, as detections.

For flat parts whose good ones look alike: boards, labels, printed plates. A frame is registered to
the template, its brightness fitted, and compared both ways with a tolerance for edges:

    the frame lies outside all template values within `tolerance_px`:    something is there
    the template lies outside all frame values within `tolerance_px`:    something is missing

so that an edge displaced by the tolerance is no difference, and a thin line that is gone is one.
Several pictures of good parts make an envelope: what differs among good parts is allowed.

    score = difference / (difference + contrast)      grey values; 0.5 at the contrast itself
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import ImageError, ModelError
from edge.limits import TemplateLimits
from edge.terms import Detection
from edge.vision.regions import detection, moved, strong_regions
from edge.vision.registration import Matrix, Registration, gray, upright

Image = npt.NDArray[np.uint8]

MAX_DIFFERENCES = 1000
"""More is no picture of this part. Nothing is cut off: a zone may ignore all that is stronger."""

_LEAST_GAIN, _MOST_GAIN = 0.4, 2.5  # contrast of a frame against the template's own


@dataclass(frozen=True, slots=True, eq=False)
class _Brightness:
    """Mean and deviation of the grey values of the template, to fit frames to."""

    mean: float
    deviation: float


class Template:
    """Good pictures of one part, ready. `detect` may be called from several threads at once."""

    def __init__(self, limits: TemplateLimits, pictures: Sequence[Image]) -> None:
        """Prepare what frames are compared with.

        Args:
            limits: of the recipe.
            pictures: (H, W) gray or (H, W, 3) BGR, uint8, of good parts; all others and all frames
                are registered to the first.

        Raises:
            ModelError: the pictures do not fit each other, or nothing can be registered by them.
        """
        self.labels = (limits.label,)
        self._limits = limits
        first = pictures[0]
        self._registration = Registration(gray(first), limits.max_shift_px)
        self._brightness = self._brightness_of(first)
        self._kernel = np.ones((2 * limits.tolerance_px + 1,) * 2, np.uint8)
        self._low = self._high = first
        low, high = first, first
        for number, picture in enumerate(pictures[1:], 2):
            if picture.shape != first.shape:
                raise ModelError(f"picture {number} is {picture.shape}, the first {first.shape}")
            try:
                _matrix, placed, seen = self._placed(picture)
            except ImageError as exc:
                raise ModelError(f"picture {number} does not fit the first: {exc}") from exc
            placed = np.where(_like(seen, placed), placed, first)
            low, high = np.minimum(low, placed), np.maximum(high, placed)
        self._low, self._high = low, high
        self._floor = np.asarray(cv2.erode(low, self._kernel), np.uint8)
        self._ceiling = np.asarray(cv2.dilate(high, self._kernel), np.uint8)

    @property
    def providers(self) -> tuple[str, ...]:
        """None: it runs on no provider."""
        return ()

    def detect(self, image: Image, mm_per_px: float | None = None) -> list[Detection]:
        """Differences of one frame, strongest first; [] = none of `contrast` or more.

        Args:
            image: (H, W) gray or (H, W, 3) BGR, uint8.
            mm_per_px: of the frame; without it detections have no size in mm.

        Raises:
            ImageError: not such a picture, the part is not in its place, or it differs everywhere:
                nothing can be said.
        """
        matrix, placed, seen = self._placed(image)
        limits = self._limits
        difference = np.asarray(cv2.bitwise_and(self._difference(placed), seen), np.uint8)
        found = strong_regions(
            difference, limits.contrast, limits.tolerance_px + 1, limits.min_size_px
        )
        if len(found) > MAX_DIFFERENCES:
            raise ImageError(f"{len(found)} differences, expected at most {MAX_DIFFERENCES}")
        return [
            detection(
                limits.label,
                region.peak / (region.peak + limits.contrast),
                moved(region.box, matrix, image.shape),
                mm_per_px,
            )
            for region in found
        ]

    def _placed(self, image: Image) -> tuple[Matrix, Image, Image]:
        """How the frame lies, the frame in the template's place and light, where it shows it."""
        matrix = self._registration.find(gray(image))
        if image.ndim != self._low.ndim:
            image = _as_many_colours(image, self._low)
        height, width = self._registration.shape
        placed = upright(image, matrix)
        return matrix, self._lit(placed), _seen(matrix, height, width)

    def _lit(self, placed: Image) -> Image:
        """Mean and deviation of the grey values made those of the template."""
        found, wanted = self._brightness_of(placed), self._brightness
        gain = found.deviation / wanted.deviation
        if not _LEAST_GAIN <= gain <= _MOST_GAIN:
            raise ImageError(f"contrast is {gain:.2f} of the template's: light or lens?")
        values = (np.arange(256) - found.mean) / gain + wanted.mean
        return np.asarray(cv2.LUT(placed, np.clip(np.rint(values), 0, 255).astype(np.uint8)))

    def _brightness_of(self, placed: Image) -> _Brightness:
        """Of what every part in its place shows: the template less the way parts may be off."""
        edge = math.ceil(self._limits.max_shift_px)
        inner = placed[edge : placed.shape[0] - edge, edge : placed.shape[1] - edge]
        mean, deviation = cv2.meanStdDev(gray(np.ascontiguousarray(inner)))
        return _Brightness(float(mean.item()), float(deviation.item()))

    def _difference(self, placed: Image) -> Image:
        """(H, W) grey values by which frame and template differ beyond the tolerance."""
        lowest, highest = cv2.erode(placed, self._kernel), cv2.dilate(placed, self._kernel)
        most = cv2.max(cv2.subtract(placed, self._ceiling), cv2.subtract(self._floor, placed))
        most = cv2.max(most, cv2.subtract(self._low, highest))
        most = cv2.max(most, cv2.subtract(lowest, self._high))
        return np.asarray(most if most.ndim == 2 else most.max(axis=2), np.uint8)


def _like(seen: Image, image: Image) -> npt.NDArray[np.bool_]:
    """The mask in the shape of a gray or colour picture."""
    return seen > 0 if image.ndim == 2 else seen[:, :, None] > 0


def _as_many_colours(image: Image, template: Image) -> Image:
    """A gray frame for a colour template, or the other way round."""
    if template.ndim == 2:
        return gray(image)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)


def _seen(matrix: Matrix, height: int, width: int) -> Image:
    """255 where a template pixel lies inside a frame of its own size, else 0."""
    right, bottom = width - 1.0, height - 1.0
    corners = np.array([[0, right, right, 0], [0, 0, bottom, bottom]])
    inside = np.linalg.solve(matrix[:, :2], corners - matrix[:, 2:])
    shifted = np.rint(inside.T * 16).astype(np.int32)  # cv2 draws with 1/16 px positions
    layer: Image = np.zeros((height, width), np.uint8)
    return np.asarray(cv2.fillConvexPoly(layer, shifted, 255, cv2.LINE_8, 4), np.uint8)
