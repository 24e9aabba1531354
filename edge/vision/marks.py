"""Defects and look-alikes as they are drawn on a simulated plate.

Everything is in plate pixels (0.25 mm). A defect is a `Mark`: what it adds to the surface's grey
values, what it cuts out of the part, and the mask of its truth box. Look-alikes (oil film,
dust, tool marks, glare) only change the surface: they are not defects, and a detector that reports
them makes overkill.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

MM_PER_PX = 0.25
"""Size of a pixel on the belt, mm, of every simulated camera."""

Gray = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]
Point = tuple[float, float]

_SUBPIXEL = 4  # cv2 draws with 1/16 px positions


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """One defect drawn, in the canvas' shape. `cut` is what leaves the part, or None."""

    added: Gray  # grey values to add to the surface
    mask: Mask  # 0..255, where the defect is: the truth box is its extent
    cut: Mask | None = None


def _points(points: list[Point]) -> npt.NDArray[np.int32]:
    return np.round(np.array(points) * (1 << _SUBPIXEL)).astype(np.int32).reshape(-1, 1, 2)


def _polygon(shape: tuple[int, int], points: list[Point]) -> Mask:
    layer: Mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(layer, [_points(points)], 255, cv2.LINE_AA, _SUBPIXEL)
    return layer


def disc(shape: tuple[int, int], centre: Point, radius: float) -> Mask:
    """Filled circle, anti-aliased, 0..255."""
    layer: Mask = np.zeros(shape, np.uint8)
    scale = 1 << _SUBPIXEL
    middle = (round(centre[0] * scale), round(centre[1] * scale))
    cv2.circle(layer, middle, round(radius * scale), 255, -1, cv2.LINE_AA, _SUBPIXEL)
    return layer


def _blob(rng: np.random.Generator, centre: Point, radius: float, low: float) -> list[Point]:
    """Corners of a star-shaped blob whose radius varies between `low` and 1 of `radius`."""
    turn = rng.uniform(0, 2 * math.pi)
    corners = []
    for step in range(14):
        reach = radius * rng.uniform(low, 1.0)
        angle = turn + 2 * math.pi * step / 14
        corners.append((centre[0] + reach * math.cos(angle), centre[1] + reach * math.sin(angle)))
    return corners


def _weight(layer: Mask, factor: float) -> Gray:
    """The layer, 0..255, as 0..factor."""
    return np.asarray(layer * np.float32(factor / 255), np.float32)


def _soft(layer: Mask, sigma_px: float) -> Gray:
    """The layer as 0..1, blurred."""
    blurred: Gray = cv2.GaussianBlur(layer.astype(np.float32) / 255, (0, 0), sigma_px).astype(
        np.float32
    )
    return blurred


def scratch(rng: np.random.Generator, shape: tuple[int, int], centre: Point, length: float) -> Mark:
    """A slightly bent line, 20 to 70 degrees to the machining lines, bright or dark."""
    angle = math.radians(rng.uniform(20, 70)) * (1 if rng.random() < 0.5 else -1)
    bow = rng.normal(0, 0.05) * length
    points: list[Point] = []
    for t in np.linspace(-0.5, 0.5, 9):
        off = bow * (1 - 4 * t * t) + rng.normal(0, 0.6)
        along, across = math.cos(angle), math.sin(angle)
        x = centre[0] + t * length * along - off * across
        points.append((x, centre[1] + t * length * across + off * along))
    layer: Mask = np.zeros(shape, np.uint8)
    width = int(rng.integers(3, 5))
    cv2.polylines(layer, [_points(points)], False, 255, width, cv2.LINE_AA, _SUBPIXEL)
    contrast = rng.uniform(50, 85) * (1 if rng.random() < 0.6 else -1)
    return Mark(_weight(layer, contrast), layer)


def pit(rng: np.random.Generator, shape: tuple[int, int], centre: Point, diameter: float) -> Mark:
    """A dark round hollow with a lit rim on one side."""
    layer: Mask = np.zeros(shape, np.uint8)
    scale = 1 << _SUBPIXEL
    axes = (round(diameter / 2 * scale), round(diameter / 2 * rng.uniform(0.75, 1.0) * scale))
    middle = (round(centre[0] * scale), round(centre[1] * scale))
    turn = rng.uniform(0, 180)
    cv2.ellipse(layer, middle, axes, turn, 0, 360, 255, -1, cv2.LINE_AA, _SUBPIXEL)
    hollow = _soft(layer, 1.0)
    rim = np.clip(np.roll(hollow, (2, 2), (0, 1)) - hollow, 0, 1)
    added = rim * np.float32(rng.uniform(25, 50)) - hollow * np.float32(rng.uniform(60, 100))
    return Mark(added.astype(np.float32), layer)


def stain(rng: np.random.Generator, shape: tuple[int, int], centre: Point, extent: float) -> Mark:
    """A dark patch with a ragged, fairly sharp edge."""
    layer = _polygon(shape, _blob(rng, centre, extent / 2 * 1.08, 0.72))
    added = _soft(layer, 1.2) * np.float32(-rng.uniform(30, 52))
    return Mark(added.astype(np.float32), layer)


def chip(
    rng: np.random.Generator, shape: tuple[int, int], centre: Point, extent: float, inward: Point
) -> Mark:
    """A bite out of the outer edge at `centre`; `inward` is the unit vector into the part."""
    side = (-inward[1], inward[0])
    depth = extent * rng.uniform(0.45, 0.7)
    points: list[Point] = []
    for angle in np.linspace(0, 2 * math.pi, 13)[:-1]:
        wobble = rng.uniform(0.9, 1.05)
        a, b = math.cos(angle) * extent / 2 * wobble, math.sin(angle) * depth * wobble
        points.append(
            (centre[0] + a * side[0] + b * inward[0], centre[1] + a * side[1] + b * inward[1])
        )
    bite = _polygon(shape, points)
    facet = np.clip(_soft(bite, 2.5) * 2, 0, 1) * np.float32(rng.uniform(25, 55))
    return Mark(facet.astype(np.float32), bite, cut=bite)


def burn(rng: np.random.Generator, shape: tuple[int, int], centre: Point, extent: float) -> Mark:
    """A heat mark: pale centre in a dark ring. Never in training data: the "new kind of defect"."""
    outer = disc(shape, centre, extent / 2)
    inner = disc(shape, centre, extent / 2 * rng.uniform(0.45, 0.6))
    added = _soft(inner, 2.0) * np.float32(95) - _soft(outer, 1.5) * np.float32(60)
    return Mark(added.astype(np.float32), outer)


def oil_film(rng: np.random.Generator, shape: tuple[int, int]) -> Gray:
    """A wide, weak, soft-edged film, 12 to 30 mm, with one interference fringe."""
    centre = (rng.uniform(0.2, 0.8) * shape[1], rng.uniform(0.2, 0.8) * shape[0])
    radius = rng.uniform(6, 15) / MM_PER_PX
    body = _soft(_polygon(shape, _blob(rng, centre, radius, 0.7)), rng.uniform(6, 10))
    fringe = body * (1 - body) * 4
    sign = 1 if rng.random() < 0.5 else -1
    film = body * (sign * rng.uniform(7, 14)) - fringe * (sign * rng.uniform(2, 5))
    return np.asarray(film, np.float32)


def dust(rng: np.random.Generator, shape: tuple[int, int]) -> Gray:
    """Specks up to 1 mm across, bright or dark."""
    film: Gray = np.zeros(shape, np.float32)
    for sign in (1, -1):
        layer: Mask = np.zeros(shape, np.uint8)
        for _ in range(int(rng.integers(2, 12))):
            x, y = rng.uniform(0, shape[1]), rng.uniform(0, shape[0])
            radius = rng.uniform(0.15, 0.5) / MM_PER_PX
            at = (round(x * 16), round(y * 16))
            cv2.circle(layer, at, round(radius * 16), 255, -1, cv2.LINE_AA, _SUBPIXEL)
        film += _weight(layer, sign * rng.uniform(25, 55))
    return film


def tool_marks(rng: np.random.Generator, shape: tuple[int, int]) -> Gray:
    """A family of long, faint, parallel arcs: the path of the cutter."""
    layer: Mask = np.zeros(shape, np.uint8)
    angle = rng.uniform(0, 2 * math.pi)
    far = rng.uniform(70, 160) / MM_PER_PX
    cx = shape[1] / 2 + far * math.cos(angle)
    cy = shape[0] / 2 + far * math.sin(angle)
    radius, spacing = far - rng.uniform(-20, 20) / MM_PER_PX, rng.uniform(1.2, 3.0) / MM_PER_PX
    for step in range(int(rng.integers(4, 12))):
        at = (round(cx * 16), round(cy * 16))
        reach = round((radius + step * spacing) * 16)
        cv2.circle(layer, at, reach, 255, int(rng.integers(1, 3)), cv2.LINE_AA, _SUBPIXEL)
    contrast = rng.uniform(7, 16) * (1 if rng.random() < 0.5 else -1)
    return _weight(layer, contrast)


def glare(rng: np.random.Generator, shape: tuple[int, int]) -> Gray:
    """A soft bright reflection of the lamp."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    x -= np.float32(rng.uniform(0.1, 0.9) * shape[1])
    y -= np.float32(rng.uniform(0.1, 0.9) * shape[0])
    angle = rng.uniform(0, math.pi)
    along = x * np.float32(math.cos(angle)) + y * np.float32(math.sin(angle))
    across = y * np.float32(math.cos(angle)) - x * np.float32(math.sin(angle))
    long_px, short_px = rng.uniform(12, 30) / MM_PER_PX, rng.uniform(6, 12) / MM_PER_PX
    shine = np.exp(-((along / long_px) ** 2 + (across / short_px) ** 2) / 2)
    return np.asarray(shine * rng.uniform(20, 45), np.float32)
