"""Tiles cover everything, a small defect lies whole in one, and a merge counts it once."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.terms import Detection
from edge.vision import tiling
from edge.vision.tiling import Seen, Tile

sides = st.integers(40, 300)
lengths = st.integers(1, 700)


@st.composite
def plans(draw: st.DrawFn) -> tuple[int, int, tuple[int, int], int]:
    """A picture's height and width, a tile's sides, and an overlap that fits them."""
    side = draw(sides), draw(sides)
    return draw(lengths), draw(lengths), side, draw(st.integers(1, min(side) * 3 // 4))


@settings(deadline=None)
@given(plans())
def test_every_pixel_is_in_a_tile_and_every_tile_in_the_picture(
    asked: tuple[int, int, tuple[int, int], int],
) -> None:
    height, width, side, overlap_px = asked
    covered = np.zeros((height, width), bool)
    for tile in tiling.plan(height, width, side, overlap_px):
        assert (tile.height, tile.width) == (min(side[0], height), min(side[1], width))
        assert tile.left >= 0
        assert tile.top >= 0
        assert tile.box[2] <= width
        assert tile.box[3] <= height
        covered[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width] = True
    assert covered.all()


@settings(deadline=None)
@given(plans(), st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_box_not_larger_than_the_overlap_lies_whole_in_one_tile(
    asked: tuple[int, int, tuple[int, int], int], x: float, y: float, wide: float, high: float
) -> None:
    height, width, side, overlap_px = asked
    box_width, box_height = min(wide * overlap_px, width), min(high * overlap_px, height)
    left, top = x * (width - box_width), y * (height - box_height)
    assert any(
        tile.left <= left
        and tile.top <= top
        and left + box_width <= tile.box[2]
        and top + box_height <= tile.box[3]
        for tile in tiling.plan(height, width, side, overlap_px)
    )


def test_tiles_are_no_more_than_needed() -> None:
    assert len(tiling.plan(4096, 4096, (640, 640), 128)) == 64
    assert tiling.plan(500, 640, (640, 640), 128) == (Tile(0, 0, 640, 500),)


cells = st.integers(0, 40)


@st.composite
def looks(draw: st.DrawFn) -> Seen:
    """A detection somewhere in a small picture."""
    x, y = draw(cells), draw(cells)
    box = float(x), float(y), float(x + draw(st.integers(1, 30))), float(y + draw(cells) + 1)
    score = draw(st.sampled_from([0.1, 0.5, 0.9]))
    mm = (box[2] - box[0]) / 10, (box[3] - box[1]) / 10
    detection = Detection(draw(st.sampled_from(["pit", "stain"])), score, box, *mm, 1.0)
    return Seen(detection, draw(st.booleans()), frozenset({draw(st.integers(0, 3))}))


found = st.lists(looks(), max_size=12)


@settings(deadline=None)
@given(found, st.randoms())
def test_a_merge_depends_on_no_order_and_done_again_changes_nothing(
    seen: list[Seen], chance: random.Random
) -> None:
    once = tiling.merge(seen)
    shuffled = list(seen)
    chance.shuffle(shuffled)
    assert tiling.merge(shuffled) == once
    assert tiling.merge(once) == once


@settings(deadline=None)
@given(found)
def test_a_merge_never_makes_a_defect_smaller_weaker_or_hidden(seen: list[Seen]) -> None:
    merged = [one.detection for one in tiling.merge(seen)]
    for one in (s.detection for s in seen):
        assert any(
            other.label == one.label and other.score >= one.score and _inside(one.box, other.box)
            for other in merged
        )


@settings(deadline=None)
@given(found)
def test_sizes_in_mm_follow_the_box(seen: list[Seen]) -> None:
    for one in tiling.merge(seen):
        x1, _, x2, _ = one.detection.box
        assert one.detection.width_mm == pytest.approx((x2 - x1) / 10)


def _inside(inner: tiling.Box, outer: tiling.Box) -> bool:
    return (
        inner[0] >= outer[0]
        and inner[1] >= outer[1]
        and inner[2] <= outer[2]
        and inner[3] <= outer[3]
    )


def _seen(box: tiling.Box, look: int, *, cut: bool = False, score: float = 0.9) -> Seen:
    return Seen(Detection("pit", score, box), cut, frozenset({look}))


def test_a_defect_that_two_tiles_see_whole_is_one() -> None:
    merged = tiling.merge([_seen((10, 10, 18, 18), 0), _seen((12, 12, 20, 20), 1, score=0.95)])
    assert [(s.detection.box, s.detection.score) for s in merged] == [((10, 10, 20, 20), 0.95)]


def test_a_piece_at_a_side_belongs_to_the_whole_defect_beside_it() -> None:
    merged = tiling.merge([_seen((10, 10, 18, 18), 0), _seen((14, 10, 18, 18), 1, cut=True)])
    assert [s.detection.box for s in merged] == [(10, 10, 18, 18)]


def test_a_sliver_of_a_defect_whose_whole_box_ends_just_short_of_it_is_no_second_one() -> None:
    """Seen on a web: the last row of a spot before a frame's end, fainter than `contrast` later."""
    merged = tiling.merge([_seen((10, 52, 18, 58), 0), _seen((13, 50, 17, 52), 1, cut=True)])
    assert [s.detection.box for s in merged] == [(10, 50, 18, 58)]


def test_pieces_of_a_defect_larger_than_the_overlap_become_one() -> None:
    pieces = [_seen((0, 10, 100, 20), 0, cut=True), _seen((90, 10, 200, 20), 1, cut=True)]
    pieces.append(_seen((190, 10, 230, 20), 2, cut=True))
    assert [s.detection.box for s in tiling.merge(pieces)] == [(0, 10, 230, 20)]


def test_a_pit_in_a_stain_and_two_boxes_of_one_tile_stay_two() -> None:
    assert len(tiling.merge([_seen((0, 0, 100, 100), 0), _seen((50, 50, 58, 58), 1)])) == 2
    assert len(tiling.merge([_seen((0, 0, 10, 10), 0), _seen((0, 4, 10, 14), 0)])) == 2


SQUARE = ((0.0, 0.0), (100.0, 0.0), (100.0, 100.0), (0.0, 100.0))
NOTCHED = (*SQUARE[:2], (100.0, 100.0), (55.0, 100.0), (50.0, 20.0), (45.0, 100.0), (0.0, 100.0))


@pytest.mark.parametrize(
    ("polygon", "tile", "stays"),
    [
        (SQUARE, Tile(0, 0, 100, 100), False),
        (SQUARE, Tile(10, 10, 50, 50), False),
        (SQUARE, Tile(60, 60, 50, 20), True),
        (SQUARE, Tile(200, 200, 50, 50), True),
        (NOTCHED, Tile(10, 30, 80, 60), True),  # all corners inside, but not the notch
        (NOTCHED, Tile(10, 30, 30, 60), False),
        (NOTCHED, Tile(10, 2, 80, 15), False),
    ],
)
def test_only_a_tile_wholly_inside_a_mask_is_left_out(
    polygon: tiling.Polygon, tile: Tile, stays: bool
) -> None:
    assert bool(tiling.visible([tile], [polygon])) is stays


@settings(deadline=None)
@given(st.integers(0, 90), st.integers(0, 90), st.integers(1, 60), st.integers(1, 60))
def test_a_mask_hides_exactly_what_has_no_pixel_outside_it(
    left: int, top: int, width: int, height: int
) -> None:
    """A circle of 48 corners, tried pixel corner by pixel corner."""
    circle = tuple(
        (50 + 45 * math.cos(a * math.tau / 48), 50 + 45 * math.sin(a * math.tau / 48))
        for a in range(48)
    )
    inner = 45 * math.cos(math.pi / 48)
    corners = [(x, y) for x in (left, left + width) for y in (top, top + height)]
    far = max(math.hypot(x - 50, y - 50) for x, y in corners)
    hidden = not tiling.visible([Tile(left, top, width, height)], [circle])
    if far <= inner:
        assert hidden
    if far > 45:
        assert not hidden


@pytest.mark.parametrize(("cut", "both"), [(True, 7.0), (False, 4.0)])
def test_an_area_that_one_look_does_not_know_is_not_known(cut: bool, both: float) -> None:
    """A limit on areas excuses what is small: a piece must not stand for the whole."""
    left = Detection("pit", 0.9, (0.0, 0.0, 10.0, 10.0), area_mm2=4.0)
    for area_mm2, together in ((3.0, both), (None, None)):
        right = Detection("pit", 0.8, (1.0, 0.0, 10.0, 10.0), area_mm2=area_mm2)
        looks = [Seen(left, cut, frozenset({1})), Seen(right, cut, frozenset({2}))]
        (merged,) = tiling.merge(looks)
        assert merged.detection.area_mm2 == together
