"""Simulated machined plates with truth: the demo line's parts, the demo model's training data.

A plate is 90 x 72 mm at 0.25 mm per pixel, with four corner holes and a bore, from a seed: the
same seed gives the same pixels, and the same plate with and without its defects. It proves the
pipeline, not a real product.

    seed --> surface (machining lines, grain) --> look-alikes --> defects --> Plate, with truth

`edge.vision.lens` puts plates on the belt and takes the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge.vision import marks
from edge.vision.marks import MM_PER_PX, Gray, Mark, Mask, Point

CLASSES = ("scratch", "pit", "stain", "chip", "missing_hole")
"""Defect classes in the order of the demo model's outputs."""

NEW_KIND = "burn"
"""A defect the demo model has never seen, for drift demonstrations; never in training data."""

MIN_SIZE_MM = {
    "scratch": 8.0,  # length: diagonal of its box
    "pit": 3.0,  # larger side of its box
    "stain": 6.0,  # larger side of its box
    "chip": 4.0,  # larger side of its box
    "missing_hole": 7.0,  # diameter of the hole that is not there
    NEW_KIND: 10.0,  # larger side of its box
}
"""Size, mm, from which the detector is held responsible for a defect."""

NUISANCES = ("oil_film", "dust", "tool_marks", "glare")
"""Look-alikes that are no defects."""

PLATE_MM = (90.0, 72.0)
"""Width (along the belt) and height of a plate, mm."""

_MARGIN = 6  # canvas pixels around the plate
SHAPE = (
    round(PLATE_MM[1] / MM_PER_PX) + 2 * _MARGIN,
    round(PLATE_MM[0] / MM_PER_PX) + 2 * _MARGIN,
)
"""Rows and columns of a plate's canvas; the plate's centre is the canvas' centre."""

_RIM_PX = 3.0  # countersink around a hole
_PRESENCE = {"oil_film": 0.35, "dust": 0.5, "tool_marks": 0.35, "glare": 0.3}


@dataclass(frozen=True, slots=True)
class Design:
    """What one kind of plate looks like without defects; every kind has the same outline."""

    holes_mm: tuple[Point, ...]  # centres, from the plate's centre
    hole_mm: float  # their diameter
    bore_mm: float  # diameter of the bore in the middle, 0 = none
    grey: tuple[float, float]  # range of the surface's mean grey value
    upright: bool = False  # machining lines across the belt instead of along it


PLATE = Design(
    holes_mm=((-36.0, -27.0), (36.0, -27.0), (-36.0, 27.0), (36.0, 27.0)),
    hole_mm=7.0,
    bore_mm=20.0,
    grey=(125, 170),
)
"""The demo line's plate, the only one that the demo model has seen."""

FLANGE = Design(
    holes_mm=((-30.0, 0.0), (-12.0, -24.0), (-12.0, 24.0), (16.0, -20.0), (16.0, 20.0), (34.0, 0)),
    hole_mm=9.0,
    bore_mm=0.0,
    grey=(85, 115),
    upright=True,
)
"""A darker plate that no model of this project is trained on: six holes, no bore, other lines."""


@dataclass(frozen=True, slots=True)
class PlateDefect:
    """One defect. `box` is (x1, y1, x2, y2) in canvas px; `size_mm` as MIN_SIZE_MM measures it."""

    label: str
    box: tuple[float, float, float, float]
    size_mm: float


@dataclass(frozen=True, slots=True, eq=False)
class Plate:
    """A rendered part: `surface` and `alpha` are SHAPE uint8, alpha 0 where the belt is seen."""

    seed: int
    surface: Mask
    alpha: Mask
    defects: tuple[PlateDefect, ...]
    nuisances: tuple[str, ...]

    @property
    def defective(self) -> bool:
        """Whether any defect is on it, of any size."""
        return bool(self.defects)


def plan(
    rng: np.random.Generator, defect_rate: float, kinds: Sequence[str] = CLASSES
) -> tuple[str, ...]:
    """Labels of one part's defects: 1 (60 %), 2 (25 %) or 3 (15 %) with chance `defect_rate`."""
    if rng.random() >= defect_rate:
        return ()
    count = int(rng.choice(3, p=(0.6, 0.25, 0.15))) + 1
    return tuple(kinds[int(k)] for k in rng.integers(0, len(kinds), count))


def make_plate(
    seed: int,
    defects: Sequence[str] = (),
    *,
    nuisances: Sequence[str] | None = None,
    sizes: tuple[float, float] = (1.0, 2.2),
    design: Design = PLATE,
) -> Plate:
    """Draw one plate. About 6 ms.

    Args:
        seed: of everything about the plate, >= 0.
        defects: labels from CLASSES or NEW_KIND, in any number; missing_hole at most once for each
            hole of the design.
        nuisances: from NUISANCES; None draws them from the seed.
        sizes: range of defect sizes as multiples of MIN_SIZE_MM. The default stays at or above the
            minimum; (0.4, 0.9) gives defects nobody is held responsible for. A missing hole has its
            own size.
        design: which kind of plate.
    """
    look = np.random.default_rng((seed, 1))
    chosen = tuple(n for n in NUISANCES if look.random() < _PRESENCE[n])
    if nuisances is not None:
        chosen = tuple(nuisances)
    missing = _missing_holes(seed, list(defects).count("missing_hole"), design)
    surface, alpha = _blank(seed, missing, design)
    for name in chosen:
        surface += getattr(marks, name)(look, SHAPE)
    truth = [_hole_truth(design, index) for index in missing]
    taken = _openings(design)
    for index, label in enumerate(d for d in defects if d != "missing_hole"):
        rng = np.random.default_rng((seed, 2, index))
        found, mark = _draw(rng, label, sizes, taken)
        truth.append(found)
        surface += mark.added
        if mark.cut is not None:
            alpha = np.minimum(alpha, 255 - mark.cut)
    return Plate(seed, _gray(surface), alpha, tuple(truth), chosen)


def _gray(surface: Gray) -> Mask:
    return np.clip(surface, 0, 255).astype(np.uint8)


def _centre() -> Point:
    return SHAPE[1] / 2, SHAPE[0] / 2


def _holes(design: Design) -> list[Point]:
    """Centres of a design's holes, canvas pixels."""
    x, y = _centre()
    return [(x + dx / MM_PER_PX, y + dy / MM_PER_PX) for dx, dy in design.holes_mm]


def _openings(design: Design) -> list[tuple[float, float, float]]:
    """Centre and size, canvas pixels, of what a defect must keep clear of."""
    holes = [(*at, design.hole_mm / MM_PER_PX + 2 * _RIM_PX) for at in _holes(design)]
    return [(*_centre(), design.bore_mm / MM_PER_PX), *holes] if design.bore_mm else holes


def _missing_holes(seed: int, count: int, design: Design) -> list[int]:
    order = np.random.default_rng((seed, 3)).permutation(len(design.holes_mm))
    return [int(i) for i in order[:count]]


def _hole_truth(design: Design, index: int) -> PlateDefect:
    x, y = _holes(design)[index]
    reach = design.hole_mm / 2 / MM_PER_PX + _RIM_PX
    return PlateDefect("missing_hole", (x - reach, y - reach, x + reach, y + reach), design.hole_mm)


def _blank(seed: int, missing: Sequence[int], design: Design) -> tuple[Gray, Mask]:
    """Surface and alpha of a clean plate without the holes named."""
    rng = np.random.default_rng((seed, 0))
    level = np.float32(rng.uniform(*design.grey))
    along = SHAPE[1] if design.upright else SHAPE[0]
    rows = rng.normal(0, 1, (along, 1)).astype(np.float32)
    lines = np.asarray(cv2.GaussianBlur(rows, (0, 0), float(rng.uniform(0.7, 1.6)))).reshape(-1, 1)
    lines = lines.T if design.upright else lines
    grain = rng.standard_normal(SHAPE, dtype=np.float32) * np.float32(rng.uniform(1.5, 3))
    surface: Gray = np.asarray(level + lines * np.float32(rng.uniform(4, 9)) + grain, np.float32)
    alpha = _outline()
    edge = np.float32(rng.uniform(12, 28))
    inside = cv2.GaussianBlur(alpha, (0, 0), 2.0).astype(np.float32) / 255
    surface += np.asarray(np.clip(1 - inside, 0, 0.5) * edge, np.float32)
    bores = [(_centre(), design.bore_mm / 2 / MM_PER_PX)] if design.bore_mm else []
    radius = design.hole_mm / 2 / MM_PER_PX
    bores += [(at, radius) for i, at in enumerate(_holes(design)) if i not in missing]
    for at, radius in bores:
        rim = marks.disc(SHAPE, at, radius + _RIM_PX)
        surface += np.asarray(rim / np.float32(255) * edge, np.float32)
        alpha = np.minimum(alpha, 255 - marks.disc(SHAPE, at, radius))
    return surface, alpha


def _outline() -> Mask:
    """Alpha of the plate's outline with 2 mm corner radii, no holes."""
    alpha: Mask = np.zeros(SHAPE, np.uint8)
    radius = round(2.0 / MM_PER_PX)
    lo, right, bottom = _MARGIN, SHAPE[1] - _MARGIN - 1, SHAPE[0] - _MARGIN - 1
    cv2.rectangle(alpha, (lo + radius, lo), (right - radius, bottom), 255, -1)
    cv2.rectangle(alpha, (lo, lo + radius), (right, bottom - radius), 255, -1)
    for x in (lo + radius, right - radius):
        for y in (lo + radius, bottom - radius):
            cv2.circle(alpha, (x, y), radius, 255, -1, cv2.LINE_AA)
    return alpha


def _draw(
    rng: np.random.Generator,
    label: str,
    sizes: tuple[float, float],
    taken: list[tuple[float, float, float]],
) -> tuple[PlateDefect, Mark]:
    """One defect, at least `sizes[0]` of its minimum as measured, clear of those already taken."""
    extent = MIN_SIZE_MM[label] * rng.uniform(*sizes)
    floor = MIN_SIZE_MM[label] * min(sizes[0], 1.0)
    draw = getattr(marks, label)
    centre, inward = _place(rng, label, extent / MM_PER_PX, taken)
    while True:
        extra = (inward,) if label == "chip" else ()
        mark = draw(rng, SHAPE, centre, extent / MM_PER_PX, *extra)
        found = _measure(label, mark)
        if found.size_mm >= floor:
            break
        extent *= 1.05  # anti-aliasing and ragged edges can fall short of the size asked for
    taken.append((*centre, extent / MM_PER_PX))
    return found, mark


def _measure(label: str, mark: Mark) -> PlateDefect:
    mask = mark.mask if mark.cut is None else np.minimum(mark.mask, _outline())
    x, y, width, height = cv2.boundingRect((mask > 100).astype(np.uint8))
    across = (width**2 + height**2) ** 0.5 if label == "scratch" else max(width, height)
    box = (float(x), float(y), float(x + width), float(y + height))
    return PlateDefect(label, box, across * MM_PER_PX)


def _place(
    rng: np.random.Generator, label: str, extent: float, taken: list[tuple[float, float, float]]
) -> tuple[Point, Point]:
    """Where a defect of `extent` px goes and which way is inward: the clearest of 60 draws."""
    best, clearest = ((0.0, 0.0), (0.0, 0.0)), -1e9
    for _ in range(60):
        spot = _edge_spot(rng, extent) if label == "chip" else _inner_spot(rng, extent)
        (x, y), _inward = spot
        clear = min(
            ((x - a) ** 2 + (y - b) ** 2) ** 0.5 - (extent + size) / 2 for a, b, size in taken
        )
        if clear > clearest:
            best, clearest = spot, clear
        if clear > 1.0 / MM_PER_PX:
            break
    return best


def _inner_spot(rng: np.random.Generator, extent: float) -> tuple[Point, Point]:
    inset = _MARGIN + extent / 2 + 1.5 / MM_PER_PX
    x, y = rng.uniform(inset, SHAPE[1] - inset), rng.uniform(inset, SHAPE[0] - inset)
    return (float(x), float(y)), (0.0, 0.0)


def _edge_spot(rng: np.random.Generator, extent: float) -> tuple[Point, Point]:
    lo, right, bottom = float(_MARGIN), SHAPE[1] - _MARGIN - 1.0, SHAPE[0] - _MARGIN - 1.0
    inset = extent / 2 + 4.0 / MM_PER_PX  # clear of the corner, or the bite would not be a bite
    x, y = (
        float(rng.uniform(lo + inset, right - inset)),
        float(rng.uniform(lo + inset, bottom - inset)),
    )
    edges = [((x, lo), (0.0, 1.0)), ((x, bottom), (0.0, -1.0))]
    edges += [((lo, y), (1.0, 0.0)), ((right, y), (-1.0, 0.0))]
    return edges[int(rng.integers(4))]
