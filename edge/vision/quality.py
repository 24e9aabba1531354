"""Whether a picture can be judged at all: frozen, dark, saturated, defocused or moved ones cannot.

A camera that hangs repeats its last picture or its last few, and those parts were probably good. A
real sensor never gives the same picture twice, because of its noise. Whether a picture is sharp and
in its place is told against the view's reference.
"""

import math
from collections import deque
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from edge.vision.reference import Reference, sharpness

REMEMBERED = 32
"""Pictures of parts that a new one is compared with: more than any driver has buffers."""

_CHANNELS = ((), (1,), (3,), (4,))
_SAMPLES = 256  # rows and columns looked at; a large picture is thinned out to that


class ImageLimits(Protocol):
    """The [image] section of a recipe."""

    @property
    def dark_below(self) -> float:
        """Mean grey value, 0..255, under which a picture is dark."""

    @property
    def saturated_share(self) -> float:
        """Share of pixels at 255, 0..1, above which a picture is saturated."""

    @property
    def frozen(self) -> bool:
        """Whether a picture identical to an earlier one is refused."""

    @property
    def sharpness_share(self) -> float | None:
        """Share of the reference's sharpness, under which a picture is defocused."""

    @property
    def shift_px(self) -> float | None:
        """Distance from the reference's place, beyond which a picture has moved."""


class ImageCheck:
    """Looks at the pictures of one camera, one after the other."""

    def __init__(self) -> None:
        self._seen: deque[tuple[object, ...]] = deque(maxlen=REMEMBERED)  # the newest first

    def fault(
        self,
        image: npt.NDArray[np.uint8],
        limits: ImageLimits,
        before: npt.NDArray[np.uint8] | None = None,
        reference: Reference | None = None,
    ) -> str | None:
        """Why this picture cannot be judged, in words; None = it can. Never raises.

        Args:
            image: (H, W) or (H, W, 3) uint8.
            limits: of the recipe in force.
            before: the picture the camera gave just before this one, judged or not: a camera that
                hangs repeats it.
            reference: of this view under that recipe.
        """
        if image.size == 0 or image.dtype != np.uint8 or image.shape[2:] not in _CHANNELS:
            return f"empty or no 8-bit picture: {image.shape} {image.dtype}"
        sample = _thinned(image)
        mark = _fingerprint(image, sample)
        ago = next((n for n, one in enumerate(self._seen, 1) if one == mark), 0)
        self._seen.appendleft(mark)
        if limits.frozen and (ago == 1 or (before is not None and _same(before, image))):
            return "frozen: the same picture as before, to the last pixel"
        if limits.frozen and ago:
            return f"repeated: the same picture as that of {ago} parts ago, to the last pixel"
        return _exposed_badly(sample, limits) or _off_reference(image, limits, reference)


def _exposed_badly(sample: npt.NDArray[np.uint8], limits: ImageLimits) -> str | None:
    mean = float(sample.mean())
    if mean < limits.dark_below:
        return f"dark: mean grey value {mean:.1f}, expected at least {limits.dark_below:g}"
    share = float(np.count_nonzero(sample == 255)) / sample.size
    if share > limits.saturated_share:
        return (
            f"saturated: {share:.0%} of the pixels at 255, "
            f"expected at most {limits.saturated_share:.0%}"
        )
    return None


def _off_reference(
    image: npt.NDArray[np.uint8], limits: ImageLimits, reference: Reference | None
) -> str | None:
    if limits.sharpness_share is None and limits.shift_px is None:
        return None
    if reference is None:
        return "no reference: this camera has no [[view]] with a reference in the recipe"
    if not reference.fits(image):
        return (
            f"other size: {image.shape[1]} x {image.shape[0]} px, "
            f"its reference has {reference.width} x {reference.height}"
        )
    if limits.sharpness_share is not None:
        least = limits.sharpness_share * reference.sharpness
        if (found := sharpness(image)) < least or least == 0:
            share = found / reference.sharpness if reference.sharpness else 0.0
            return (
                f"defocused: edges at {share:.0%} of the reference's sharpness, "
                f"expected at least {limits.sharpness_share:.0%}"
            )
    return None if limits.shift_px is None else _moved(image, limits.shift_px, reference)


def _moved(image: npt.NDArray[np.uint8], most_px: float, reference: Reference) -> str | None:
    shift = reference.shift(image)
    if shift is None:
        return "moved: nothing in it looks like the reference"
    if math.hypot(*shift) <= most_px:
        return None
    x, y = shift
    return (
        f"moved: {abs(x):.0f} px to the {'right' if x > 0 else 'left'} and {abs(y):.0f} px "
        f"{'down' if y > 0 else 'up'} of the reference, expected at most {most_px:g} px"
    )


def _fingerprint(image: npt.NDArray[np.uint8], sample: npt.NDArray[np.uint8]) -> tuple[object, ...]:
    """What two pictures share only if they are the same: the sample, and the sum of all pixels."""
    flat = np.ascontiguousarray(image).reshape(-1)
    whole = flat.size // 8 * 8
    total = int(flat[:whole].view(np.uint64).sum()) + int(flat[whole:].sum())
    return image.shape, hash(sample.tobytes()), total


def _same(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> bool:
    """Pixel by pixel; a look at a sample first, where two large pictures nearly always differ."""
    return np.array_equal(_thinned(one), _thinned(other)) and np.array_equal(one, other)


def _thinned(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = (min(side, _SAMPLES) for side in image.shape[:2])
    if (height, width) == image.shape[:2]:
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
