"""Flat parts for the second detectors: a printed board, seen moved, turned and lit differently."""

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

SIDE = 160


def board(seed: int = 1, side: int = SIDE) -> Image:
    """(side, side) gray: bright traces and pads on a dark ground, clear of the border."""
    rng = np.random.default_rng(seed)
    picture = np.full((side, side), 60, np.uint8)
    for _ in range(10):
        x, y = (int(v) for v in rng.integers(24, side - 60, 2))
        width, height = (int(v) for v in rng.integers(6, 36, 2))
        cv2.rectangle(picture, (x, y), (x + width, y + height), int(rng.integers(120, 220)), -1)
    for x in (40, 90):
        cv2.line(picture, (x, 25), (x, side - 25), 190, 2)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.0), np.uint8)  # as a lens does


def seen(
    picture: Image,
    dx: float = 0.0,
    dy: float = 0.0,
    angle_deg: float = 0.0,
    gain: float = 1.0,
    noise: float = 0.0,
) -> Image:
    """The picture as a camera sees it: moved (px), turned around its middle, in another light."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle_deg, 1.0)
    matrix[:, 2] += np.array([dx, dy])
    moved = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    grain = np.random.default_rng(3).normal(0, noise, moved.shape) if noise else 0.0
    return np.asarray(np.clip(moved * gain + grain, 0, 255), np.uint8)
