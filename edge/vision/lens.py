"""The simulated camera over the belt: plates at a place become a 512 x 512 mono8 picture.

It looks down on 128 x 128 mm of belt, 0.25 mm per pixel; x is the direction of travel. A picture
taken late shows the plate displaced, cut at the frame's edge or gone, because the caller says where
the plates are at the exposure.

    belt + plates --> motion blur --> defocus --> lamp x vignette x dirt --> sensor noise --> mono8
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from edge.vision.marks import MM_PER_PX, Gray, Mask
from edge.vision.plates import SHAPE, Plate, PlateDefect

FRAME_PX = 512
"""Rows and columns of a picture."""

_NOISE_PX = FRAME_PX + 128  # one tile of noise; every picture takes another corner of it


@dataclass(frozen=True, slots=True)
class Optics:
    """State of lamp, lens and sensor. The defaults are a healthy camera, the knobs its drift."""

    lamp: float = 1.0  # brightness, 1 = new; ageing goes down
    defocus_px: float = 0.8  # Gaussian sigma of the lens
    noise: float = 2.5  # sigma of the sensor noise, grey values
    dirt: float = 0.0  # 0 clean .. 1 filthy front glass
    vignette: float = 0.15  # loss of light in the corners, share
    blur_px: float = 1.5  # movement of the belt during the exposure
    shift_px: float = 0.0  # the camera was knocked: picture moved along x


Placed = tuple[Plate, float, float]
"""A plate and where its centre is relative to the frame's centre, x and y in mm."""


def expose(
    placed: Sequence[Placed], optics: Optics, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Take a picture: (512, 512) uint8. About 2 ms; `rng` gives belt position and noise."""
    image: Mask = _belt(int(rng.integers(4))).copy()
    for plate, x_mm, y_mm in placed:
        _paste(image, plate, x_mm / MM_PER_PX + optics.shift_px, y_mm / MM_PER_PX)
    if optics.blur_px > 0.05:
        image = np.asarray(cv2.filter2D(image, -1, _smear(round(optics.blur_px, 2))), np.uint8)
    if optics.defocus_px > 0.05:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), optics.defocus_px), np.uint8)
    light = _light(round(optics.lamp, 3), round(optics.vignette, 3), round(optics.dirt, 3))
    lit = cv2.multiply(image, light, dtype=cv2.CV_32F)
    row, column = (int(v) for v in rng.integers(0, _NOISE_PX - FRAME_PX, 2))
    grain = _noise()[row : row + FRAME_PX, column : column + FRAME_PX]
    return np.asarray(cv2.addWeighted(lit, 1.0, grain, optics.noise, 0, dtype=cv2.CV_8U), np.uint8)


def truth_boxes(
    plate: Plate, x_mm: float, y_mm: float, shift_px: float = 0.0, visible: float = 0.3
) -> list[PlateDefect]:
    """The plate's defects with boxes in frame pixels, clipped to the frame.

    A defect of which less than the share `visible` of its box is inside the frame is left out.
    """
    left, top = _corner(x_mm / MM_PER_PX + shift_px, y_mm / MM_PER_PX)
    found = []
    for defect in plate.defects:
        x1, y1, x2, y2 = defect.box
        a, c = (min(max(v + left, 0.0), float(FRAME_PX)) for v in (x1, x2))
        b, d = (min(max(v + top, 0.0), float(FRAME_PX)) for v in (y1, y2))
        if (c - a) * (d - b) >= visible * (x2 - x1) * (y2 - y1):
            found.append(PlateDefect(defect.label, (a, b, c, d), defect.size_mm))
    return found


def _corner(x: float, y: float) -> tuple[float, float]:
    """Frame pixel of the canvas' upper left corner for a plate (x, y) px off the frame's centre."""
    return FRAME_PX / 2 + x - SHAPE[1] / 2, FRAME_PX / 2 + y - SHAPE[0] / 2


def _paste(image: Mask, plate: Plate, x: float, y: float) -> None:
    """Blend the plate into the picture at a sub-pixel place; what lies outside is cut."""
    left, top = _corner(x, y)
    column, row = math.floor(left), math.floor(top)
    a, c = max(column, 0), min(column + SHAPE[1], FRAME_PX)
    b, d = max(row, 0), min(row + SHAPE[0], FRAME_PX)
    if a >= c or b >= d:
        return
    move = np.array([[1, 0, left - column], [0, 1, top - row]], np.float32)
    size, edge = (SHAPE[1], SHAPE[0]), cv2.BORDER_REPLICATE
    surface = cv2.warpAffine(plate.surface, move, size, borderMode=edge)
    alpha = cv2.warpAffine(plate.alpha, move, size)
    window = (slice(b - row, d - row), slice(a - column, c - column))
    weight = alpha[window].astype(np.uint16)
    under = image[b:d, a:c]
    mixed = surface[window] * weight + under * (255 - weight)
    image[b:d, a:c] = (mixed // 255).astype(np.uint8)


@lru_cache(maxsize=4)
def _belt(piece: int) -> Mask:
    """One of four pieces of dark belt."""
    rng = np.random.default_rng((piece, 7))
    coarse = rng.standard_normal((24, 24)).astype(np.float32)
    weave = cv2.resize(coarse, (FRAME_PX, FRAME_PX), interpolation=cv2.INTER_CUBIC) * 4
    weave = weave + rng.standard_normal((FRAME_PX, FRAME_PX), dtype=np.float32) * 2
    belt: Mask = np.clip(36 + weave, 0, 255).astype(np.uint8)
    return belt


@lru_cache(maxsize=1)
def _noise() -> Gray:
    return np.random.default_rng(11).standard_normal((_NOISE_PX, _NOISE_PX), dtype=np.float32)


@lru_cache(maxsize=64)
def _smear(length_px: float) -> Gray:
    """Kernel of a movement of `length_px`: a centred box with fractional ends."""
    reach = math.ceil(length_px / 2)
    at = np.arange(-reach, reach + 1)
    weight = np.clip(length_px / 2 + 0.5 - np.abs(at), 0, 1).astype(np.float32)
    kernel: Gray = (weight / weight.sum()).reshape(1, -1)
    return kernel


@lru_cache(maxsize=64)
def _light(lamp: float, vignette: float, dirt: float) -> Gray:
    """Factor per pixel of lamp, vignette and dirt on the front glass (always the same spots)."""
    axis = np.linspace(-1, 1, FRAME_PX, dtype=np.float32)
    y, x = axis[:, None], axis[None, :]
    factor = lamp * (1 - vignette * (x * x + y * y) / 2)
    rng = np.random.default_rng(5)
    for _ in range(14):
        cx, cy, size, dark = (
            *rng.uniform(-0.8, 0.8, 2),
            rng.uniform(0.03, 0.1),
            rng.uniform(0.4, 1),
        )
        spot = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * size**2))
        factor *= 1 - 0.55 * dirt * dark * spot
    return np.asarray(factor, np.float32)
