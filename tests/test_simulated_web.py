"""The simulated web: the same for one seed, its defects where it says, a share of them on seams."""

from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest

from bench.simulated_web import DARK, MATERIAL, WHITE, SimulatedWeb
from edge.limits import Spots, Tiles
from edge.vision.flat import Flattener, from_references
from edge.vision.spots import SpotDetector
from edge.vision.tiled import Tiled

ROWS = 200
SEAMS = (976, 1024)


@lru_cache(maxsize=1)
def web() -> SimulatedWeb:
    """Narrow, with many defects on its seams."""
    return SimulatedWeb(2000, ROWS, seams=SEAMS, seed=5, per_strip=6, on_seams=0.5)


def test_one_seed_is_one_web() -> None:
    again = SimulatedWeb(2000, ROWS, seams=SEAMS, seed=5, per_strip=6, on_seams=0.5)
    assert again.defects(7) == web().defects(7)
    assert np.array_equal(again.strip(7), web().strip(7))
    assert not np.array_equal(web().strip(7), web().strip(1))  # the same material


def test_defects_lie_on_seams_as_often_as_asked_and_never_near_another() -> None:
    placed = [one for number in range(300) for one in web().defects(number)]
    share = sum(one.on_seam for one in placed) / len(placed)
    assert 0.4 <= share <= 0.6
    for one in placed:
        at_column = any(abs(one.x - seam) <= 3 for seam in SEAMS)
        at_row = min(one.row % ROWS, -one.row % ROWS) <= 3
        assert at_row <= one.on_seam <= (at_column or at_row)
    for one, other in pairwise(placed):
        assert max(abs(one.x - other.x), abs(one.row - other.row)) >= 16


def test_references_are_as_bright_as_they_say() -> None:
    rng = np.random.default_rng(1)
    middle = slice(900, 1100)
    assert web().sensed(0, rng).mean() == pytest.approx(DARK, abs=0.5)
    assert web().sensed(WHITE, rng)[:, middle].mean() == pytest.approx(WHITE + DARK, rel=0.03)
    assert web().sensed(MATERIAL, rng)[:, middle].mean() == pytest.approx(MATERIAL + DARK, rel=0.03)


def test_the_detector_finds_all_that_lie_whole_in_a_strip_and_nothing_else() -> None:
    rng = np.random.default_rng(2)
    flat = Flattener(from_references([web().sensed(0, rng)], [web().sensed(WHITE, rng)]))
    limits = Spots(contrast=20, smallest_px=8, largest_px=32)
    sees = Tiled(SpotDetector(limits), Tiles(overlap_px=32), prepare=flat)
    for number in range(20):
        there = [d.x for d in web().defects(number) if 16 < d.row % ROWS < ROWS - 16]
        found = [
            (d.box[0] + d.box[2]) / 2
            for d in sees.detect(web().strip(number))
            if 16 < (d.box[1] + d.box[3]) / 2 < ROWS - 16
        ]
        assert sorted(found) == pytest.approx(sorted(there), abs=3)
