"""Where a part lies in a picture, compared with a picture of a good one: shift and small rotation.

    reference --> thumbnail -- normalised correlation, every shift up to the limit --> coarse
              --> ECC on the thumbnails (Evangelidis and Psarakis, PAMI 30, 2008) --> fine

Both steps ignore brightness and contrast. What is not found is refused with the reason: a picture
that lies elsewhere than assumed would be compared with the wrong place and prove nothing.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import ImageError, ModelError

Image = npt.NDArray[np.uint8]
Gray = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]

THUMBNAIL_PX = 160
"""Longer side of what is registered; the result is good to about a tenth of a thumbnail pixel."""

LEAST_AGREEMENT = 0.7
"""Correlation coefficient of picture and reference below which they do not show the same part."""

MAX_ROTATION_DEG = 5.0

_LEAST_DEVIATION = 2.0  # grey values; a reference flatter than this has nothing to register by
_ECC_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 1e-4)


def gray(image: Image) -> Image:
    """(H, W) of a gray or BGR picture.

    Raises:
        ImageError: no such picture.
    """
    if image.dtype == np.uint8 and image.size and image.ndim == 2:
        return image
    if image.dtype == np.uint8 and image.size and image.ndim == 3 and image.shape[2] in (1, 3):
        one = image.shape[2] == 1
        return image[:, :, 0] if one else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    raise ImageError(f"expected a gray or BGR picture of uint8, got {image.shape} {image.dtype}")


def upright(image: Image, matrix: Matrix) -> Image:
    """The frame as if its part lay where that of the reference lies; its border is continued."""
    return np.asarray(
        cv2.warpAffine(
            image,
            matrix,
            (image.shape[1], image.shape[0]),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.uint8,
    )


def thumbnail_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the thumbnail of a picture of `shape`."""
    scale = min(1.0, THUMBNAIL_PX / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def thumbnail(image: Gray, shape: tuple[int, int]) -> Gray:
    """What of a picture of `shape` is registered; a thumbnail already stays as it is."""
    height, width = thumbnail_shape(shape)
    if image.shape == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


class Registration:
    """A reference picture, ready. `find` may be called from several threads at once."""

    def __init__(
        self, reference: Gray, max_shift_px: float, shape: tuple[int, int] | None = None
    ) -> None:
        """Prepare the thumbnail.

        Args:
            reference: (H, W) uint8 of a good part in its place, or the `thumbnail` of one.
            max_shift_px: how far a part may lie from there, along x and along y.
            shape: rows and columns of the picture that the thumbnail was made of.

        Raises:
            ModelError: the reference is flat, or too small for such shifts.
        """
        self.shape = shape or (reference.shape[0], reference.shape[1])
        self.max_shift_px = max_shift_px
        self._scale = min(1.0, THUMBNAIL_PX / max(self.shape))
        self._small = thumbnail(reference, self.shape)
        self._reach = math.ceil(max_shift_px * self._scale) + 1
        inner = self._small[self._reach : -self._reach, self._reach : -self._reach]
        if min(inner.shape, default=0) < 8:
            raise ModelError(f"max_shift_px {max_shift_px:g} is too far for {self._size()}")
        if float(inner.std()) < _LEAST_DEVIATION:
            raise ModelError("the picture is flat: nothing in it to find a part's place by")
        self._inner = inner

    def find(self, image: Gray) -> Matrix:
        """(2, 3) matrix from reference px to px of `image`: rotation and shift.

        Raises:
            ImageError: another size, another part, or farther away or more turned than allowed.
        """
        if image.shape[:2] != self.shape:
            height, width = image.shape[:2]
            raise ImageError(f"picture is {width} x {height} px; its reference {self._size()}")
        small = thumbnail(image, self.shape)
        dx, dy = self._coarse(small)
        start = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        try:
            agreement, fine = cv2.findTransformECC(
                self._small, small, start, cv2.MOTION_EUCLIDEAN, _ECC_STEPS
            )
        except cv2.error as exc:
            raise ImageError("the part of the reference is not in the picture") from exc
        if not agreement >= LEAST_AGREEMENT:  # not so for NaN, either
            raise ImageError(f"agrees with its reference by {agreement:.2f} only: another part?")
        return self._checked(np.asarray(fine, np.float64))

    def _size(self) -> str:
        return f"{self.shape[1]} x {self.shape[0]} px"

    def _coarse(self, small: Gray) -> tuple[int, int]:
        """Whole thumbnail pixels of the best shift."""
        agreement = cv2.matchTemplate(small, self._inner, cv2.TM_CCOEFF_NORMED)
        _low, best, _at, (x, y) = cv2.minMaxLoc(agreement)
        if not (math.isfinite(best) and best > 0):
            raise ImageError("the part of the reference is not in the picture")
        return x - self._reach, y - self._reach

    def _checked(self, fine: Matrix) -> Matrix:
        """The thumbnails' matrix in full pixels, within the limits."""
        angle_deg = math.degrees(math.atan2(fine[1, 0], fine[0, 0]))
        # pixel centres: full = (small + 0.5) / scale - 0.5
        turn, shift = fine[:, :2], fine[:, 2]
        half = np.array([0.5, 0.5])
        moved = (shift + half - turn @ half) / self._scale - half + turn @ half
        middle = np.array([(self.shape[1] - 1) / 2, (self.shape[0] - 1) / 2])
        away = turn @ middle + moved - middle
        if abs(angle_deg) > MAX_ROTATION_DEG:
            raise ImageError(f"part is turned by {angle_deg:.1f} degrees")
        if max(abs(away)) > self.max_shift_px:
            raise ImageError(
                f"part lies {away[0]:+.1f}, {away[1]:+.1f} px from its place; "
                f"expected at most {self.max_shift_px:g}"
            )
        return np.column_stack([turn, moved])
