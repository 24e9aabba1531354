"""A detector that looks at a large picture tile by tile, and gives back each defect once.

    picture --> tiles (less those that a mask covers, or that the screen finds plain)
            --> the detector on each, by a few workers that share it --> merged

It has the face of a Detector, so that whoever calls it does not know.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge.errors import ModelError
from edge.limits import Tiles
from edge.terms import Detection
from edge.vision import tiling
from edge.vision.flat import Flattener
from edge.vision.tiling import Polygon, Seen, Tile

MAX_FOUND = 1000
"""More is no picture of a part; each is compared with the others."""

_SHARE = 0.2  # of a tile's side, where no overlap is asked for

Image = npt.NDArray[np.uint8]


class Sees(Protocol):
    """What finds defects in a picture: a model, spots, or either of them in tiles."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes it can give."""

    @property
    def imgsz(self) -> tuple[int, int]:
        """Height and width it looks at without shrinking, px."""

    @property
    def sha256(self) -> str:
        """Which detector this is."""

    @property
    def providers(self) -> tuple[str, ...]:
        """What it runs on."""

    @property
    def areas(self) -> bool:
        """Whether it tells the area of a defect, not only its box."""

    def detect(self, image: Image, mm_per_px: float | None = None) -> list[Detection]:
        """Suspected defects of one picture.

        Raises:
            ImageError: not (H, W) gray or (H, W, 3) BGR uint8.
            ModelError: it failed.
        """


class Tiled:
    """`detector`, tile by tile. May be used from several threads at once."""

    def __init__(
        self,
        detector: Sees,
        tiles: Tiles,
        *,
        hidden: Sequence[Polygon] = (),
        screen: Sees | None = None,
        prepare: Flattener | None = None,
        workers: int = 1,
    ) -> None:
        """Plan for any picture.

        Args:
            detector: looks at each tile.
            tiles: its overlap must be at least the largest defect.
            hidden: masks, px of the picture: a tile wholly inside one is left out.
            screen: finds the places worth looking at; None = every tile is.
            prepare: corrects each tile; it must be of just such pictures.
            workers: tiles that are looked at at the same time.

        Raises:
            ModelError: the overlap does not fit into a tile.
        """
        self.labels = detector.labels
        high, wide = detector.imgsz
        self.imgsz = high, wide if prepare is None else prepare.width
        self.sha256, self.providers = detector.sha256, detector.providers
        self.areas = detector.areas
        self._detector, self._screen, self._prepare = detector, screen, prepare
        self._hidden = tuple(hidden)
        self.side = max(1, round(high / tiles.scale)), max(1, round(wide / tiles.scale))
        """Height and width of a tile, px of the picture."""
        self.overlap_px = tiles.overlap_px or math.ceil(_SHARE * max(self.side))
        if self.overlap_px >= min(self.side):
            raise ModelError(
                f"[tiles] overlap_px {self.overlap_px} does not fit into tiles of "
                f"{self.side[1]} x {self.side[0]} px; expected less"
            )
        self._pool = ThreadPoolExecutor(workers, "tile") if workers > 1 else None

    def detect(self, image: Image, mm_per_px: float | None = None) -> list[Detection]:
        """Every defect of the picture once, best score first; as `Detector.detect`.

        Raises:
            ImageError: not such a picture, or not one that `prepare` is of.
            ModelError: the detector failed on a tile, or the masks leave nothing to see.
        """
        if image.ndim not in (2, 3) or image.size == 0:
            return self._detector.detect(image, mm_per_px)  # it says what is wrong
        if self._prepare is not None:
            self._prepare.check(image)
        height, width = image.shape[:2]
        tiles = tiling.visible(tiling.plan(height, width, self.side, self.overlap_px), self._hidden)
        if not tiles:
            raise ModelError("the ignored zones cover the whole picture: nothing is left to see")
        if self._screen is not None:
            tiles = _worth_a_look(tiles, self._screen.detect(image))

        def look(numbered: tuple[int, Tile]) -> list[Seen]:
            return self._look(image, numbered[1], numbered[0], mm_per_px)

        looks = (
            self._pool.map(look, enumerate(tiles)) if self._pool else map(look, enumerate(tiles))
        )
        found = [seen for one in looks for seen in one]
        if len(found) > MAX_FOUND:
            raise ModelError(f"{len(found)} detections, expected at most {MAX_FOUND}")
        return [seen.detection for seen in tiling.merge(found)]

    def _look(self, image: Image, tile: Tile, number: int, mm_per_px: float | None) -> list[Seen]:
        part = image[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
        if self._prepare is not None:
            part = self._prepare.apply(part, tile.left)
        seen = []
        for found in self._detector.detect(part, mm_per_px):
            detection = tiling.moved(found, tile.left, tile.top)
            cut = tiling.is_cut(detection.box, tile, *image.shape[:2])
            seen.append(Seen(detection, cut, frozenset({number})))
        return seen


def _worth_a_look(tiles: Sequence[Tile], spots: Sequence[Detection]) -> tuple[Tile, ...]:
    """The tiles that a spot lies in, wholly or in part."""
    return tuple(t for t in tiles if any(_meet(t.box, spot.box) for spot in spots))


def _meet(a: tiling.Box, b: tiling.Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
