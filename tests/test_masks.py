"""Areas of masks against arithmetic done pixel by pixel, without OpenCV."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import ModelError
from edge.vision.masks import areas_px, step_of
from edge.vision.postprocess import Found
from edge.vision.preprocess import Fit, fit

Array = npt.NDArray[np.float32]
HEIGHT, WIDTH, STEP, MASKS = 32, 48, 4, 3


def found(boxes: Array, coefficients: Array) -> Found:
    count = len(boxes)
    none = np.zeros(count, np.float32)
    return Found(boxes, none, np.zeros(count, np.int64), boxes, coefficients)


def between(values: Array, at: float) -> Array:
    """The value at a place of the first axis, whose numbers stand at 0, 1, ...; flat outside."""
    at = min(max(at, 0.0), len(values) - 1.0)
    low = min(int(at), len(values) - 2)
    return np.asarray(values[low] + (values[low + 1] - values[low]) * (at - low), np.float32)


def counted(prototypes: Array, coefficients: Array, box: Array, placed: Fit) -> int:
    """Input px whose height is above 0, inside the box and the frame."""
    heights = np.einsum("m,mhw->hw", coefficients, prototypes)
    total = 0
    for y in range(placed.top, placed.top + placed.height):
        row = between(heights, (y + 0.5) / STEP - 0.5)
        for x in range(placed.left, placed.left + placed.width):
            inside = box[0] <= x < box[2] and box[1] <= y < box[3]
            total += int(inside and between(row, (x + 0.5) / STEP - 0.5) > 0)
    return total


@settings(max_examples=40)
@given(
    st.integers(0, 10_000),
    st.tuples(st.floats(-5, 50), st.floats(-5, 40), st.floats(0, 60), st.floats(0, 50)),
    st.sampled_from([(32, 48), (100, 300), (90, 45), (7, 11)]),
)
def test_an_area_is_the_pixels_above_zero_inside_box_and_frame(
    seed: int, place: tuple[float, float, float, float], frame: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    shape = (MASKS, HEIGHT // STEP, WIDTH // STEP)
    prototypes = rng.normal(0, 1, shape).astype(np.float32)
    coefficients = rng.normal(0, 1, MASKS).astype(np.float32)
    x, y, width, height = place
    box = np.array([x, y, x + width, y + height], np.float32)
    placed = fit(*frame, HEIGHT, WIDTH)
    (area,) = areas_px(found(box[None], coefficients[None]), prototypes, placed, STEP)
    expected = counted(prototypes, coefficients, box, placed)
    # a pixel whose height is 0 but for rounding may fall to either side
    assert abs(area * placed.scale[0] * placed.scale[1] - expected) <= 1.001


def test_the_area_is_in_pixels_of_the_frame() -> None:
    placed = Fit(0, 8, 48, 16, 480, 160)  # a tenth of the frame, with grey above and below
    everywhere = np.ones((1, 8, 12), np.float32)
    boxes = np.array([[0, 0, 48, 32], [10, 10, 20, 20], [0, 0, 48, 8]], np.float32)
    areas = areas_px(found(boxes, np.ones((3, 1), np.float32)), everywhere, placed, STEP)
    assert areas == pytest.approx([480 * 160, 100 * 100, 0])


def test_a_mask_that_is_nowhere_above_zero_has_no_area() -> None:
    placed = fit(32, 48, HEIGHT, WIDTH)
    box = np.array([[5, 5, 20, 20]], np.float32)
    nowhere = np.zeros((1, 8, 12), np.float32)
    assert areas_px(found(box, np.ones((1, 1), np.float32)), nowhere, placed, STEP) == [0.0]


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_mask_that_is_not_a_number_is_refused(wrong: float) -> None:
    placed = fit(32, 48, HEIGHT, WIDTH)
    box = np.array([[5, 5, 20, 20]], np.float32)
    prototypes = np.ones((1, 8, 12), np.float32)
    with pytest.raises(ModelError, match="mask"):
        areas_px(found(box, np.full((1, 1), wrong, np.float32)), prototypes, placed, STEP)
    prototypes[0, 3, 3] = wrong
    with pytest.raises(ModelError, match="mask"):
        areas_px(found(box, np.ones((1, 1), np.float32)), prototypes, placed, STEP)


@pytest.mark.parametrize(
    ("shape", "step"), [((1, 32, 80, 80), 4), ((1, 2, 320, 320), 1), ((1, 32, 40, 40), 8)]
)
def test_prototypes_cover_the_input_evenly(shape: tuple[int, ...], step: int) -> None:
    assert step_of(shape, 320, 320) == step


@pytest.mark.parametrize(
    "shape",
    [
        (1, 32, 81, 80),
        (1, 32, 80, 40),
        (2, 32, 80, 80),
        (1, 32, 80),
        (1, 0, 80, 80),
        (1, 32, 0, 80),
        (1, 32, 640, 640),
    ],
)
def test_what_is_no_set_of_prototypes_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="prototypes"):
        step_of(shape, 320, 320)
