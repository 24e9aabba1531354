"""A detector for uniform material: what stands out from its surroundings. No model, no training.

    picture --> shrunk as far as the smallest defect allows --> its local mean taken away
            --> what is left beyond `contrast` --> pieces that touch --> boxes

For plain webs, sheets and coatings: dark_spot and bright_spot are its two classes. Structure of
the material itself (prints, weaves, edges) is a spot to it, too; there it can only be the screen
in front of a model. A score of 0.5 is exactly the contrast asked for, 1.0 twice that and more.
"""

import hashlib
import math

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import ImageError, ModelError
from edge.limits import Spots
from edge.terms import Detection

LABELS = ("dark_spot", "bright_spot")

SIDE_PX = 1024
"""Of a tile: what a core's own cache holds."""

MAX_SPOTS = 500
"""More in one tile is no material with defects but a wrong contrast, or no material at all."""

Gray = npt.NDArray[np.uint8]


class SpotDetector:
    """Finds spots; may be used from several threads at once."""

    def __init__(self, limits: Spots) -> None:
        self.labels: tuple[str, ...] = LABELS
        self.imgsz = SIDE_PX, SIDE_PX
        self.areas = False
        self.providers: tuple[str, ...] = ("spots",)
        self.sha256 = hashlib.sha256(repr(limits).encode()).hexdigest()
        """Of its limits: all there is to know about it."""
        self._contrast = limits.contrast
        # a defect keeps at least 3 px across, so that neither noise nor a grid hides it
        self._shrink = next(n for n in (8, 4, 2, 1) if n == 1 or limits.smallest_px >= 3.5 * n)
        # so wide that the largest defect makes up a ninth of its own surroundings
        self._around = 2 * math.ceil(1.5 * limits.largest_px / self._shrink) + 1

    def detect(self, image: Gray, mm_per_px: float | None = None) -> list[Detection]:
        """Every spot, best score first; as `Detector.detect`.

        Raises:
            ImageError: not (H, W) gray or (H, W, 3) BGR uint8.
            ModelError: more spots than material with defects can have.
        """
        small = self._small(image)
        around = cv2.blur(small, (self._around, self._around))
        smooth = small if self._shrink > 1 else cv2.blur(small, (3, 3))
        apart = cv2.absdiff(around, smooth)
        if cv2.minMaxLoc(apart)[1] < self._contrast:
            return []
        window = _window((apart >= self._contrast).view(np.uint8))
        around, smooth = around[window], smooth[window]
        corner = window[1].start, window[0].start
        dark, bright = cv2.subtract(around, smooth), cv2.subtract(smooth, around)
        found = [
            *self._pieces(LABELS[0], np.asarray(dark, np.uint8), corner),
            *self._pieces(LABELS[1], np.asarray(bright, np.uint8), corner),
        ]
        if len(found) > MAX_SPOTS:
            raise ModelError(f"{len(found)} spots; expected at most {MAX_SPOTS}")
        height, width = image.shape[:2]
        placed = [self._placed(*piece, height, width, mm_per_px) for piece in found]
        return sorted(placed, key=lambda d: (-d.score, d.label, d.box))

    def _small(self, image: Gray) -> Gray:
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.size == 0:
            raise ImageError(f"expected a picture of uint8, got {image.shape} {image.dtype}")
        if image.ndim == 3:
            if image.shape[2] != 3:
                raise ImageError(f"expected 1 or 3 channels, got {image.shape[2]}")
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
        by = self._shrink
        if by == 1:
            return image
        right, below = -image.shape[1] % by, -image.shape[0] % by
        if right or below:  # only whole blocks are averaged fast
            filled = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
            image = np.asarray(filled, np.uint8)
        size = image.shape[1] // by, image.shape[0] // by
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)

    def _pieces(
        self, label: str, apart: Gray, corner: tuple[int, int]
    ) -> list[tuple[str, float, tuple[int, ...]]]:
        """Label, highest contrast and x, y, width, height, in px of the shrunk picture."""
        mask = (apart >= self._contrast).view(np.uint8)
        joined = cv2.dilate(mask, np.ones((3, 3), np.uint8))  # a rim or a gap of 2 px is one piece
        outlines, _ = cv2.findContours(joined, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        pieces = []
        for outline in outlines[: MAX_SPOTS + 1]:
            x, y, width, height = cv2.boundingRect(outline)
            inside = apart[y : y + height, x : x + width]
            columns = np.flatnonzero((inside >= self._contrast).any(axis=0))
            rows = np.flatnonzero((inside >= self._contrast).any(axis=1))
            size = columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
            box = corner[0] + x + columns[0], corner[1] + y + rows[0], *size
            pieces.append((label, float(inside.max()), tuple(map(int, box))))
        return pieces

    def _placed(
        self,
        label: str,
        contrast: float,
        piece: tuple[int, ...],
        height: int,
        width: int,
        mm_per_px: float | None,
    ) -> Detection:
        x, y, wide, high = (side * self._shrink for side in piece)
        box = float(x), float(y), float(min(x + wide, width)), float(min(y + high, height))
        score = min(1.0, contrast / (2 * self._contrast))
        if mm_per_px is None or not math.isfinite(mm_per_px):
            return Detection(label, score, box)
        return Detection(
            label, score, box, (box[2] - box[0]) * mm_per_px, (box[3] - box[1]) * mm_per_px
        )


def _window(mask: Gray) -> tuple[slice, slice]:
    """Rows and columns that hold all of a mask: spots are few, the rest need not be searched."""
    x, y, width, height = cv2.boundingRect(mask)
    return slice(y, y + height), slice(x, x + width)
