"""Whether a picture can be judged at all: frozen, dark or saturated ones cannot.

A camera that hangs repeats its last picture, and the part before was probably good. A real sensor
never gives the same picture twice, because of its noise.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

_SAMPLES = 256  # rows and columns looked at; a large picture is thinned out to about that


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
        """Whether a picture identical to the one before is refused."""


class ImageCheck:
    """Looks at the pictures of one camera, one after the other."""

    def __init__(self) -> None:
        self._last: npt.NDArray[np.uint8] = np.zeros((0, 0), np.uint8)

    def fault(
        self,
        image: npt.NDArray[np.uint8],
        limits: ImageLimits,
        before: npt.NDArray[np.uint8] | None = None,
    ) -> str | None:
        """Why this picture cannot be judged, in words; None = it can.

        Args:
            image: (H, W) or (H, W, 3) uint8. It is kept for the next comparison: do not change it.
            limits: of the recipe in force.
            before: the picture the camera gave just before this one, judged or not: a camera that
                hangs repeats it.
        """
        if image.size == 0:
            return "empty: no pixels"
        sample = _thinned(image)
        last, self._last = self._last, image
        earlier = (last,) if before is None else (last, before)
        if limits.frozen and any(_same(one, image) for one in earlier):
            return "frozen: the same picture as before, to the last pixel"
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


def _same(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> bool:
    """Pixel by pixel; a look at a sample first, where two large pictures nearly always differ."""
    return np.array_equal(_thinned(one), _thinned(other)) and np.array_equal(one, other)


def _thinned(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    rows = max(1, image.shape[0] // _SAMPLES)
    columns = max(1, image.shape[1] // _SAMPLES)
    return image[::rows, ::columns]
