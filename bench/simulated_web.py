"""A simulated web under a line-scan camera: strips of uniform material with defects it knows.

Uneven light, offsets, dirty columns, noise and faint clouds; round defects, dark and bright, of
which a given share lies on seams: on the border of two strips, on one of the columns given, or
both. Strip n is always the same for one seed, so that another process knows the truth, too.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

MATERIAL, WHITE, DARK = 150.0, 200.0, 4.0
"""Grey values of the material, of a white reference, and of the sensor without light."""

APART = 30.0, 60.0
"""Grey values between a defect and the material, from and to."""

_POOL = 6  # strips of material, drawn once and used in turn
_SLOT_PX = 60  # room that a defect has for itself


@dataclass(frozen=True, slots=True)
class WebDefect:
    """Its centre, px and rows of the web, and whether it lies on a seam."""

    x: int
    row: int
    on_seam: bool
    apart: float  # grey values from the material, below 0 = dark


class SimulatedWeb:
    """Not for several threads at once."""

    def __init__(
        self,
        width: int,
        rows: int,
        *,
        seams: tuple[int, ...],
        seed: int,
        size_px: int = 8,
        per_strip: int = 8,
        on_seams: float = 0.1,
    ) -> None:
        """Draw the material.

        Args:
            width: px of a row, >= 200; `rows` of a strip, >= 100.
            seams: columns on which defects are to lie, such as the sides of tiles.
            seed: of everything.
            size_px: diameter of a defect, even.
            per_strip: defects that begin in a strip; a few less where they would be too near.
            on_seams: share of them.
        """
        self.width, self.rows, self.size_px = width, rows, size_px
        self._seams, self._seed = seams, seed
        self._per_strip, self._on_seams = per_strip, on_seams
        self._light = self._lit()
        self.defects = lru_cache(maxsize=64)(self._placed)
        """Of a strip's number: those whose centre lies in it, or near its lower border."""
        self._pool = tuple(
            self.sensed(MATERIAL, np.random.default_rng((seed, n))) for n in range(_POOL)
        )

    def sensed(self, grey: float, rng: np.random.Generator) -> Image:
        """A strip of an even surface as the camera gives it; grey 0 = with the cap on."""
        shape = self.rows, self.width
        noise = rng.standard_normal(shape, dtype=np.float32) * np.float32(2.5)
        clouds = rng.normal(0, 1.5, (self.rows, self.width // 100 + 1)).astype(np.float32)
        wide = np.repeat(clouds, 100, axis=1)[:, : self.width]
        lit = (np.float32(grey) + wide * (grey > 0)) * self._light
        return np.clip(np.float32(DARK) + lit + noise, 0, 255).astype(np.uint8)

    def strip(self, number: int) -> Image:
        """The camera's frame of this number, defects drawn in."""
        image = self._pool[number % _POOL].copy()
        before = self.defects(number - 1) if number else ()
        for one in (*before, *self.defects(number)):
            self._draw(image, one, one.row - number * self.rows)
        return image

    def _lit(self) -> npt.NDArray[np.float32]:
        """Share of the light that each column gets."""
        rng = np.random.default_rng(self._seed)
        x = np.linspace(-1, 1, self.width)
        share = (1 - 0.35 * x * x) * (1 + 0.03 * rng.standard_normal(self.width))
        for dirty in rng.integers(0, self.width, 5):
            share[dirty : dirty + 6] *= 0.7
        return np.asarray(share, np.float32)

    def _placed(self, number: int) -> tuple[WebDefect, ...]:
        rng = np.random.default_rng((self._seed, number, 7))
        found: list[WebDefect] = []
        # every other slot, in turn: no defect is near one of the strip before
        slots = rng.permutation(np.arange(1 + number % 2, self.width // _SLOT_PX - 1, 2))
        for slot in slots[: self._per_strip].tolist():
            x = slot * _SLOT_PX + int(rng.integers(22, 39))
            row = int(rng.integers(24, self.rows - 24))
            on_seam = bool(rng.random() < self._on_seams)
            if on_seam:
                kind = rng.random()
                if kind < 0.6:
                    x = int(rng.choice(self._seams)) + int(rng.integers(-3, 4))
                if kind > 0.4:
                    row = self.rows + int(rng.integers(-3, 4))
            if all(abs(x - other.x) > _SLOT_PX / 2 for other in found):
                apart = float(rng.uniform(*APART) * rng.choice((-1, 1)))
                found.append(WebDefect(x, number * self.rows + row, on_seam, apart))
        return tuple(found)

    def _draw(self, image: Image, one: WebDefect, row: int) -> None:
        """A disc; what lies outside of the strip is cut."""
        half = self.size_px // 2
        top, bottom = max(0, row - half), min(self.rows, row + half)
        if top >= bottom:
            return
        columns = slice(one.x - half, one.x + half)
        y, x = np.mgrid[top - row : bottom - row, -half:half] + 0.5
        added = np.where(x * x + y * y <= half * half, one.apart, 0)
        values = image[top:bottom, columns] + added * self._light[columns]
        image[top:bottom, columns] = np.clip(values, 0, 255)
