"""Pictures with truth for comparisons: simulated plates side by side in frames of any size.

A scene is 512 x 512 px and the demo model learned it at 320; a tile's side decides how large the
plates arrive in the model's input.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge.vision.lens import FRAME_PX
from models.accuracy import Truth
from models.synth import scene

_BELT = 60  # grey value between the tiles


@dataclass(frozen=True, slots=True)
class Shot:
    """One frame on disk: (H, W, 3) uint8 BGR as .npy, and the defects on it, in its px."""

    path: Path
    truth: tuple[Truth, ...]


def shots(
    folder: Path, size: tuple[int, int], tile_px: int, count: int, first_seed: int
) -> list[Shot]:
    """Draw `count` frames of `size` (height, width), full of plates of `tile_px` each."""
    folder.mkdir(parents=True, exist_ok=True)
    per_frame = (size[0] // tile_px) * (size[1] // tile_px)
    made = []
    for number in range(count):
        image, truth = _mosaic(size, tile_px, first_seed + number * per_frame)
        path = folder / f"{size[1]}x{size[0]}-{tile_px}-{first_seed + number * per_frame}.npy"
        np.save(path, image)
        made.append(Shot(path, truth))
    return made


def _mosaic(
    size: tuple[int, int], tile_px: int, first_seed: int
) -> tuple[npt.NDArray[np.uint8], tuple[Truth, ...]]:
    gray = np.full(size, _BELT, np.uint8)
    scale = tile_px / FRAME_PX
    truth: list[Truth] = []
    corners = [
        (top, left)
        for top in range(0, size[0] - tile_px + 1, tile_px)
        for left in range(0, size[1] - tile_px + 1, tile_px)
    ]
    for number, (top, left) in enumerate(corners):
        shot = scene(first_seed + number, 0.65)
        tile = cv2.resize(shot.image, (tile_px, tile_px), interpolation=cv2.INTER_AREA)
        gray[top : top + tile_px, left : left + tile_px] = tile
        for defect in shot.defects:
            x1, y1, x2, y2 = (v * scale for v in defect.box)
            truth.append(Truth(defect.label, (x1 + left, y1 + top, x2 + left, y2 + top)))
    return np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8), tuple(truth)
