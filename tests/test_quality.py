"""Pictures that cannot be judged are told apart from pictures of bad parts."""

import numpy as np
import numpy.typing as npt
import pytest

from edge.limits import ImageLimits
from edge.vision.quality import ImageCheck

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
    assert check.fault(image, LIMITS) is None


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
