"""Finds parts in the pictures of a camera that runs freely, for lines without a sensor. Pure.

    empty belt      learned, slowly, from pictures in which nothing is
    a part enters   touches the picture's edge: not yet
    it is inside    as much of the picture differs as a part covers: found, once
    it leaves       the picture is empty again, and the next part can be found

One part in the picture at a time, wholly inside it once, and an empty belt in the first picture.
What this cannot see nobody counts: a station that counts by it says so (decision 0014).
"""

import numpy as np
import numpy.typing as npt

SIDE_PX = 128
"""Pictures are looked at in about this size: a part is a large thing."""

DIFFERENT = 24
"""Grey levels between a part and the empty belt."""

_LEARN = 0.05  # of every empty picture: lamps age and belts get dirty
_EDGE_PX = 2

Image = npt.NDArray[np.uint8]


class PartFinder:
    """Fed every picture of one camera, in order."""

    def __init__(self, part_share: float) -> None:
        """`part_share`: of the picture's area that a part covers, at the least."""
        self._part_share = part_share
        self._empty: npt.NDArray[np.float32] | None = None
        self._inside = False  # the part in the picture has been found

    def feed(self, image: Image) -> bool:
        """True with the picture in which a part is wholly inside for the first time.

        Args:
            image: (H, W) or (H, W, 3) uint8.
        """
        small = _small(image)
        if self._empty is None or self._empty.shape != small.shape:
            self._empty, self._inside = small, False
            return False
        differs = np.abs(small - self._empty) > DIFFERENT
        share = float(differs.mean())
        if share < self._part_share / 2:
            self._inside = False
            self._empty += _LEARN * (small - self._empty)
            return False
        if self._inside or share < self._part_share or _at_edge(differs):
            return False
        self._inside = True
        return True


def _small(image: Image) -> npt.NDArray[np.float32]:
    step = max(1, max(image.shape[:2]) // SIDE_PX)
    gray = image if image.ndim == 2 else image[..., 1]
    return gray[::step, ::step].astype(np.float32)


def _at_edge(differs: npt.NDArray[np.bool_]) -> bool:
    inner = differs[_EDGE_PX:-_EDGE_PX, _EDGE_PX:-_EDGE_PX]
    return int(differs.sum()) > int(inner.sum()) + 2 * _EDGE_PX  # a speck of noise is no part
