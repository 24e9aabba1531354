"""Tiles and spots as detectors: each defect once, wherever the seams are."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from msgspec.structs import replace

from edge import recipe as recipes
from edge import sight
from edge.errors import ImageError, ModelError
from edge.judgement import judge
from edge.limits import Spots, Tiles, Zone
from edge.recipe import Recipe
from edge.terms import Code, Detection
from edge.vision import tiling
from edge.vision.detector import Detector
from edge.vision.spots import MAX_SPOTS, SpotDetector
from edge.vision.tiled import Tiled
from tests import tiny_models

Image = npt.NDArray[np.uint8]
SPOTS = Spots(contrast=20, smallest_px=8, largest_px=32)


def material(height: int, width: int) -> Image:
    """Uniform grey with the noise of a sensor."""
    noise = np.random.default_rng(1).normal(128, 3, (height, width))
    return np.clip(noise, 0, 255).astype(np.uint8)


def spot(image: Image, x: int, y: int, size: int = 8, grey: int = 85) -> None:
    """A round defect of `size` px."""
    cv2.circle(image, (x, y), size // 2, grey, -1)


def centres(found: list[Detection]) -> list[tuple[int, int]]:
    """Where they are, in order."""
    return sorted(
        (round((d.box[0] + d.box[2]) / 2 / 4) * 4, round((d.box[1] + d.box[3]) / 2 / 4) * 4)
        for d in found
    )


def test_spots_are_found_with_their_place_size_and_kind() -> None:
    image = material(200, 300)
    spot(image, 100, 60)
    spot(image, 200, 120, grey=190)
    dark, bright = sorted(SpotDetector(SPOTS).detect(image, 0.1), key=lambda d: d.box)
    assert (dark.label, bright.label) == ("dark_spot", "bright_spot")
    assert dark.box == pytest.approx((95, 55, 105, 65), abs=2.5)
    assert dark.width_mm == pytest.approx(0.9, abs=0.25)
    assert min(dark.score, bright.score) >= 0.9


def test_plain_material_has_no_spots_and_a_faint_one_scores_little() -> None:
    image = material(400, 500)
    assert SpotDetector(SPOTS).detect(image) == []
    spot(image, 250, 200, size=12, grey=104)
    (faint,) = SpotDetector(SPOTS).detect(image)
    assert 0.5 <= faint.score < 0.75


@pytest.mark.parametrize("smallest_px", [2, 4, 8, 16])
@pytest.mark.parametrize("size", [(203, 301), (64, 64), (33, 1001)])
def test_a_defect_of_the_smallest_size_is_found_at_every_place(
    smallest_px: int, size: tuple[int, int]
) -> None:
    """Also in the last column, where blocks of px do not come out even."""
    seer = SpotDetector(Spots(contrast=20, smallest_px=smallest_px, largest_px=32))
    for x, y in ((0, 0), (size[1] - smallest_px, size[0] - smallest_px), (17, 13)):
        image = material(*size)
        image[y : y + smallest_px, x : x + smallest_px] = 60
        assert len(seer.detect(image)) == 1


def test_what_is_no_picture_of_material_is_refused() -> None:
    seer = SpotDetector(SPOTS)
    for bad in (np.zeros((0, 0), np.uint8), np.zeros((9, 9, 2), np.uint8)):
        with pytest.raises(ImageError):
            seer.detect(bad)
    board = material(800, 800)
    board.reshape(50, 16, 50, 16)[:, :8, :, :8] = 60
    with pytest.raises(ModelError, match=f"at most {MAX_SPOTS}"):
        seer.detect(board)
    colour = np.dstack([material(99, 99)] * 3)
    assert seer.detect(colour) == []


def seams() -> list[tuple[int, int]]:
    """Places on both sides of every seam of a 2,500 x 1,500 picture, corners among them."""
    tiles = tiling.plan(1500, 2500, (1024, 1024), 64)
    xs = sorted({t.left for t in tiles} | {t.left + t.width for t in tiles})
    ys = sorted({t.top for t in tiles} | {t.top + t.height for t in tiles})
    return [(x, y) for x in xs if 0 < x < 2500 for y in [*ys, 700] if 0 < y < 1500]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_spot_on_any_seam_is_found_and_counted_once(workers: int) -> None:
    image = material(1500, 2500)
    for x, y in seams():
        spot(image, x, y)
    whole = Tiled(SpotDetector(SPOTS), Tiles(overlap_px=64), workers=workers)
    found = whole.detect(image, 0.1)
    assert centres(found) == sorted((round(x / 4) * 4, round(y / 4) * 4) for x, y in seams())
    assert all(d.width_mm is not None and 0.6 <= d.width_mm <= 1.3 for d in found)


def test_a_scratch_across_many_tiles_is_one() -> None:
    image = material(1500, 2500)
    cv2.line(image, (20, 30), (2480, 1400), 70, 9)
    (scratch,) = Tiled(SpotDetector(SPOTS), Tiles(overlap_px=64)).detect(image)
    assert scratch.box == pytest.approx((20, 30, 2480, 1400), abs=12)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    """A model of 64 x 64 px: "bright" cells of 8 px."""
    path = tmp_path_factory.mktemp("tiny") / "m.onnx"
    return Detector(tiny_models.write(path), score_floor=0.3)


def recipe(tiles: Tiles | None = None, spots: Spots | None = None) -> Recipe:
    """A recipe for the tiny model."""
    return replace(recipes.simple(("bright", "red"), 0.5), tiles=tiles, spots=spots)


def test_a_model_sees_in_tiles_what_it_cannot_see_in_the_whole(tiny: Detector) -> None:
    image = np.full((400, 400), 20, np.uint8)
    image[200:208, 200:208] = 255  # one cell at native scale, nothing when shrunk six times
    assert tiny.detect(image) == []
    (found,) = Tiled(tiny, Tiles(overlap_px=16)).detect(image)
    assert found.label == "bright"
    assert found.box[0] <= 200
    assert found.box[2] >= 208


def test_a_screen_lets_the_model_look_only_where_something_is(tiny: Detector) -> None:
    image = material(400, 400)
    plain = sight.assemble(recipe(Tiles(overlap_px=16)), tiny)
    screen = replace(SPOTS, role="screen")
    screened = sight.assemble(recipe(Tiles(overlap_px=16), screen), tiny)
    assert screened.detect(image) == []
    image[200:216, 200:216] = 255
    found = screened.detect(image)
    assert found
    assert {d.box for d in found} <= {d.box for d in plain.detect(image)}


def test_a_mask_spares_tiles_and_hides_nothing_that_is_partly_outside() -> None:
    image = material(1500, 2500)
    for x in (1200, 1400, 1440, 2300):
        spot(image, x, 700)
    mask = ((1400.0, 0.0), (2500.0, 0.0), (2500.0, 1500.0), (1400.0, 1500.0))
    seen = Tiled(SpotDetector(SPOTS), Tiles(overlap_px=64), hidden=[mask]).detect(image)
    assert centres(seen) == [(1200, 700), (1400, 700), (1440, 700)]
    everything = ((-1.0, -1.0), (2501.0, -1.0), (2501.0, 1501.0), (-1.0, 1501.0))
    with pytest.raises(ModelError, match="nothing is left to see"):
        Tiled(SpotDetector(SPOTS), Tiles(overlap_px=64), hidden=[everything]).detect(image)


def test_a_mask_spares_no_tile_where_a_forbidden_zone_may_reach_into_it(tiny: Detector) -> None:
    image = np.full((400, 400), 20, np.uint8)
    image[200:216, 200:216] = 255
    half = ((0.0, 100.0), (400.0, 100.0), (400.0, 400.0), (0.0, 400.0))
    mask = Zone(name="frame", kind="ignored", polygon=half)
    seal = Zone(name="seal", kind="forbidden", polygon=half)
    tiles = recipe(Tiles(overlap_px=16))
    assert sight.assemble(replace(tiles, zones=(mask,)), tiny).detect(image) == []
    both = replace(tiles, zones=(mask, seal))
    assert judge(sight.assemble(both, tiny).detect(image), both).code is Code.NG


def test_more_defects_than_a_picture_of_a_part_has_are_a_fault_and_not_compared() -> None:
    image = material(1500, 2500)
    for x in range(20, 2500, 48):
        for y in range(20, 1500, 48):
            spot(image, x, y)
    with pytest.raises(ModelError, match="expected at most 1000"):
        Tiled(SpotDetector(SPOTS), Tiles(overlap_px=64)).detect(image)


def test_an_overlap_that_leaves_no_tile_and_a_detector_that_is_missing_are_refused(
    tiny: Detector,
) -> None:
    with pytest.raises(ModelError, match="does not fit into tiles of 64 x 64"):
        Tiled(tiny, Tiles(overlap_px=64))
    with pytest.raises(ModelError, match="no model"):
        sight.assemble(recipe(), None)
    assert sight.assemble(recipe(), tiny) is tiny
    with pytest.raises(ModelError, match="of no use"):
        sight.assemble(recipe(spots=SPOTS), tiny)
    with pytest.raises(ImageError):
        Tiled(tiny, Tiles(overlap_px=8)).detect(np.zeros((0, 0), np.uint8))
