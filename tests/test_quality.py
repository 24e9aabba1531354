"""Pictures that cannot be judged are told apart from pictures of bad parts."""

import re
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge.errors import SettingsError
from edge.limits import ImageLimits
from edge.recipe import parse
from edge.vision.lens import Optics, expose
from edge.vision.plates import make_plate
from edge.vision.quality import REMEMBERED, ImageCheck
from edge.vision.reference import Reference, sharpness

LIMITS = ImageLimits(dark_below=12.0, saturated_share=0.35)


def noise(seed: int, low: int = 60, high: int = 200, side: int = 600) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(low, high, (side, side), np.uint8)


def test_a_picture_like_any_other_can_be_judged() -> None:
    check = ImageCheck()
    assert [check.fault(noise(seed), LIMITS) for seed in range(3)] == [None] * 3


@pytest.mark.parametrize("colour", [False, True])
def test_the_same_picture_again_is_frozen(colour: bool) -> None:
    check = ImageCheck()
    image = np.stack([noise(1)] * 3, axis=2) if colour else noise(1)
    assert check.fault(image, LIMITS) is None
    assert "frozen" in str(check.fault(image.copy(), LIMITS))
    assert "frozen" in str(check.fault(image.copy(), LIMITS))
    assert check.fault(noise(2), LIMITS) is None


def test_a_camera_that_gives_its_last_pictures_round_and_round_repeats() -> None:
    check = ImageCheck()
    pictures = [noise(seed, side=60) for seed in range(REMEMBERED)]
    assert [check.fault(picture, LIMITS) for picture in pictures] == [None] * REMEMBERED
    told = check.fault(pictures[0].copy(), LIMITS)
    assert (
        told == f"repeated: the same picture as that of {REMEMBERED} parts ago, to the last pixel"
    )
    assert check.fault(pictures[1], LIMITS) is not None


@pytest.mark.parametrize("place", [(0, 0), (301, 7), (599, 599)])
def test_one_pixel_of_difference_is_another_picture(place: tuple[int, int]) -> None:
    check = ImageCheck()
    check.fault(noise(1), LIMITS)
    other = noise(1)
    other[place] ^= 1
    assert check.fault(other, LIMITS) is None


def test_the_same_numbers_in_another_shape_are_another_picture() -> None:
    check = ImageCheck()
    gray = np.full((64, 64), 100, np.uint8)
    assert check.fault(gray, LIMITS) is None
    assert check.fault(gray.reshape(32, 128), LIMITS) is None


def test_a_recipe_may_allow_identical_pictures() -> None:
    check = ImageCheck()
    allowed = ImageLimits(frozen=False)
    assert [check.fault(noise(1), allowed) for _ in range(2)] == [None, None]


def test_a_dark_picture_that_is_repeated_is_frozen_too() -> None:
    check = ImageCheck()
    assert "dark" in str(check.fault(noise(1, 0, 5), LIMITS))
    assert "frozen" in str(check.fault(noise(1, 0, 5), LIMITS))


@pytest.mark.parametrize(("mean", "fault"), [(11, "dark"), (12, "None")])
def test_dark_is_below_the_limit(mean: int, fault: str) -> None:
    assert fault in str(ImageCheck().fault(np.full((50, 50), mean, np.uint8), LIMITS))


@pytest.mark.parametrize(("rows", "fault"), [(35, "None"), (36, "36% of the pixels at 255")])
def test_saturated_is_above_the_limit(rows: int, fault: str) -> None:
    image = np.full((100, 100), 100, np.uint8)
    image[:rows] = 255
    assert fault in str(ImageCheck().fault(image, LIMITS))


def test_254_is_not_saturated() -> None:
    assert ImageCheck().fault(np.full((50, 50), 254, np.uint8), LIMITS) is None


def test_an_empty_picture_cannot_be_judged() -> None:
    assert "empty" in str(ImageCheck().fault(np.zeros((0, 0), np.uint8), LIMITS))


def test_a_camera_that_hangs_on_a_picture_nobody_judged_is_frozen_at_once() -> None:
    check = ImageCheck()
    assert check.fault(noise(1), LIMITS) is None
    nobody_judged = noise(2)
    assert "frozen" in str(check.fault(nobody_judged.copy(), LIMITS, before=nobody_judged))


COMPARED = ImageLimits(sharpness_share=0.7, shift_px=30)


def plate(seed: int, optics: Optics, x_mm: float = 0.0) -> npt.NDArray[np.uint8]:
    return expose([(make_plate(seed), x_mm, 0.0)], optics, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(plate(100, Optics()))


@pytest.mark.parametrize("seed", range(4))
def test_a_good_picture_of_another_part_is_sharp_and_in_its_place(
    reference: Reference, seed: int
) -> None:
    image = plate(seed, Optics())
    assert ImageCheck().fault(image, COMPARED, None, reference) is None
    assert 0.85 < sharpness(image) / reference.sharpness < 1.15


@pytest.mark.parametrize("seed", range(4))
def test_a_lens_out_of_focus_is_told_from_a_lamp_that_ages(reference: Reference, seed: int) -> None:
    blurred = plate(seed, Optics(defocus_px=2.0))
    told = ImageCheck().fault(blurred, COMPARED, None, reference)
    assert str(told).startswith("defocused: edges at 6")
    dim = plate(seed, Optics(lamp=0.7))
    assert ImageCheck().fault(dim, COMPARED, None, reference) is None


@pytest.mark.parametrize(
    ("shift_px", "told"), [(20, "None"), (40, "moved: 40 px to the right and 0 px")]
)
def test_a_camera_that_was_knocked_says_how_far(
    reference: Reference, shift_px: float, told: str
) -> None:
    image = plate(5, replace(Optics(), shift_px=shift_px))
    assert str(ImageCheck().fault(image, COMPARED, None, reference)).startswith(told)


@pytest.mark.parametrize("x", [-60, 35, 90])
@pytest.mark.parametrize("y", [-40, 0, 70])
def test_a_shift_is_measured_to_two_pixels(reference: Reference, x: int, y: int) -> None:
    image = plate(100, Optics())
    moved = cv2.warpAffine(
        image, np.array([[1, 0, x], [0, 1, y]], np.float32), (512, 512), borderMode=cv2.BORDER_WRAP
    )
    found = reference.shift(np.asarray(moved, np.uint8))
    assert found is not None
    assert found == pytest.approx((x, y), abs=2)


def test_a_reference_is_the_same_after_a_thousand_comparisons() -> None:
    image = plate(100, Optics())
    used = Reference(image)
    for _ in range(1000):
        used.shift(image)
    assert used.shift(plate(3, Optics())) == Reference(image).shift(plate(3, Optics()))


@pytest.mark.parametrize("level", [13, 128, 254])
def test_a_picture_of_nothing_is_never_in_its_place(reference: Reference, level: int) -> None:
    image = np.full((512, 512), level, np.uint8)
    assert "defocused" in str(ImageCheck().fault(image, COMPARED, None, reference))
    place_only = ImageLimits(shift_px=30)
    told = ImageCheck().fault(image, place_only, None, reference)
    assert told == "moved: nothing in it looks like the reference"


def test_without_a_reference_or_with_one_of_another_size_nothing_is_compared_and_nothing_passes(
    reference: Reference,
) -> None:
    assert "no reference" in str(ImageCheck().fault(plate(1, Optics()), COMPARED))
    half = np.ascontiguousarray(plate(1, Optics())[::2, ::2])
    told = ImageCheck().fault(half, COMPARED, None, reference)
    assert told == "other size: 256 x 256 px, its reference has 512 x 512"


def test_a_reference_without_edges_lets_nothing_pass() -> None:
    blank = np.full((64, 64), 100, np.uint8)
    for image in (noise(1, side=64), np.full((64, 64), 120, np.uint8)):
        told = ImageCheck().fault(image, COMPARED, None, Reference(blank))
        assert "defocused" in str(told)
        told = ImageCheck().fault(image, ImageLimits(shift_px=30), None, Reference(blank))
        assert told == "moved: nothing in it looks like the reference"


shapes = st.one_of(
    st.tuples(st.integers(0, 40), st.integers(0, 40)),
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from([1, 3, 4])),
)


@given(arrays.arrays(np.uint8, shapes), arrays.arrays(np.uint8, shapes))
def test_no_picture_raises_and_the_same_again_never_passes(
    image: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]
) -> None:
    check = ImageCheck()
    against = Reference(other) if other.size else None
    check.fault(image, COMPARED, other, against)
    assert check.fault(image.copy(), COMPARED, None, against) is not None


@given(arrays.arrays(np.uint8, (24, 24)), st.integers(0, 575), st.integers(1, 255))
def test_a_picture_with_one_pixel_changed_is_never_taken_for_the_same(
    image: npt.NDArray[np.uint8], place: int, change: int
) -> None:
    check, lenient = ImageCheck(), ImageLimits(dark_below=0, saturated_share=1)
    check.fault(image, lenient)
    other = image.copy()
    other.reshape(-1)[place] ^= change
    assert check.fault(other, lenient) is None


RECIPE = """
name = "r"
[image]
shift_px = 30
[[class]]
label = "scratch"
threshold = 0.5
"""
VIEW = '[[view]]\ncamera = "c1"\n'


@pytest.mark.parametrize(
    ("views", "told"),
    [
        ("", "[image] shift_px: needs a [[view]] with a reference for every camera; there is no"),
        (VIEW, "['c1'] have none"),
    ],
)
def test_a_recipe_that_compares_with_a_reference_must_bring_one(views: str, told: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(told)):
        parse((RECIPE + views).encode(), "r.toml")


def test_a_recipe_with_a_reference_for_every_view_is_read() -> None:
    recipe = parse(f'{RECIPE}{VIEW}reference = "good.png"\n'.encode(), "r.toml")
    assert recipe.views[0].reference == "good.png"
