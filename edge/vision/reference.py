"""A view's reference: the picture of a good part, sharp and in its place, measured once.

sharpness   how steep the edges are: the mean of the steepest hundredth of the grey steps over two
            pixels, by the picture's brightness. Noise makes small steps, a lamp scales them all.
shift       phase correlation of both pictures at 128 x 128: to about 1/500 of the picture's side
"""

import math

import cv2
import numpy as np
import numpy.typing as npt

_LINES = 64  # rows whose steps, along them and to the rows below, are looked at
_STEP_PX = 2
_STEEPEST = 0.01
_SIDE = 128
_LEAST_RESPONSE = 0.15  # of the correlation's peak; below, two pictures have nothing in common
_LEAST_CONTRAST = 1.0  # grey values; phases of a flat picture are those of rounding errors

_WINDOW = cv2.createHanningWindow((_SIDE, _SIDE), cv2.CV_32F)


class Reference:
    """What a good picture of one view is like."""

    def __init__(self, image: npt.NDArray[np.uint8]) -> None:
        """`image`: (H, W) or (H, W, 3) uint8, of the size that the camera gives."""
        self.height, self.width = image.shape[:2]
        self.sharpness = sharpness(image)
        self._small = _small(image)

    def fits(self, image: npt.NDArray[np.uint8]) -> bool:
        """Has it the same size?"""
        return image.shape[:2] == (self.height, self.width)

    def shift(self, image: npt.NDArray[np.uint8]) -> tuple[float, float] | None:
        """Px by which `image` lies right of and below the reference; None: it cannot be told."""
        small = _small(image)
        if float(cv2.meanStdDev(small)[1].item()) < _LEAST_CONTRAST:
            return None
        ours = self._small.copy()  # OpenCV 5 multiplies the window into what it is given
        (x, y), response = cv2.phaseCorrelate(ours, small, _WINDOW)
        if not (math.isfinite(x) and math.isfinite(y) and response >= _LEAST_RESPONSE):
            return None
        return x * self.width / _SIDE, y * self.height / _SIDE


def sharpness(image: npt.NDArray[np.uint8]) -> float:
    """Steepness of the picture's edges, 0 = none; only to be compared with its like."""
    if min(image.shape[:2]) <= _STEP_PX:
        return 0.0
    every = max(1, image.shape[0] // _LINES)
    rows, below = _gray(image[::every]), _gray(image[_STEP_PX::every])
    steps = _counted(cv2.absdiff(rows[:, _STEP_PX:], rows[:, :-_STEP_PX]))
    steps += _counted(cv2.absdiff(below, rows[: len(below)]))
    most = _STEEPEST * float(steps.sum())
    steepest = np.diff(np.minimum(np.cumsum(steps[::-1]), most), prepend=0.0)
    brightness = max(1.0, cv2.mean(rows)[0])
    return float(steepest @ np.arange(255, -1, -1)) / most / brightness


def _counted(steps: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """How often each step of 0..255 comes."""
    found = cv2.calcHist([np.asarray(steps)], [0], None, [256], [0, 256])
    return np.asarray(found, np.float64).reshape(-1)


def _small(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(_gray(np.asarray(small, np.uint8)), np.float32)


def _gray(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """One channel; the green one of colour, which is the sharpest of a Bayer sensor."""
    return np.ascontiguousarray(image if image.ndim == 2 else image[:, :, image.shape[2] // 2])
