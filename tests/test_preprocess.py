"""A frame in the model's input: same scale both ways, grey around, the numbers of the training."""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ImageError
from edge.vision.preprocess import PAD, Element, Fit, InputSpec, Preparer, fit

sizes = st.integers(1, 3000)


def spec(element: Element = "float32", channels: int = 3) -> InputSpec:
    return InputSpec(64, 96, 3 if channels == 3 else 1, element)


def noise(*shape: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def prepared(
    image: npt.NDArray[np.uint8], wanted: InputSpec | Preparer | None = None
) -> tuple[npt.NDArray[np.generic], Fit]:
    """The input with this frame in it, and how it lies there."""
    preparer = wanted if isinstance(wanted, Preparer) else Preparer(wanted or spec())
    placed = preparer.prepare(image)
    return preparer.input, placed


@given(sizes, sizes, st.integers(32, 640), st.integers(32, 640))
def test_the_frame_fits_touches_two_sides_and_is_centred(
    height: int, width: int, into_height: int, into_width: int
) -> None:
    placed = fit(height, width, into_height, into_width)
    assert placed.height == into_height or placed.width == into_width
    scale = min(into_height / height, into_width / width)
    for side, exact in ((placed.width, width * scale), (placed.height, height * scale)):
        assert abs(side - exact) <= 0.5 or side == 1
    assert placed.scale == (placed.width / width, placed.height / height)
    right = into_width - placed.width - placed.left
    below = into_height - placed.height - placed.top
    assert 0 <= placed.left <= right <= placed.left + 1
    assert 0 <= placed.top <= below <= placed.top + 1


@pytest.mark.parametrize(
    ("height", "width", "left", "top"), [(128, 96, 24, 0), (32, 96, 0, 16), (64, 96, 0, 0)]
)
def test_padding_is_grey_114_and_the_frame_is_inside(
    height: int, width: int, left: int, top: int
) -> None:
    image = np.full((height, width), 255, np.uint8)
    blob, placed = prepared(image)
    assert (placed.left, placed.top) == (left, top)
    plane = np.asarray(blob)[0, 0]
    assert np.allclose(plane[top : 64 - top, left : 96 - left], 1.0)
    plane[top : 64 - top, left : 96 - left] = PAD / 255
    assert np.allclose(plane, PAD / 255)


def test_colour_becomes_rgb_planes_of_0_to_1() -> None:
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, :, 0] = 255  # blue
    image[:, :, 1] = 51  # green
    blob, _ = prepared(image)
    assert blob.shape == (1, 3, 64, 96)
    assert blob.dtype == np.float32
    for plane, value in zip(np.asarray(blob)[0], (0.0, 0.2, 1.0), strict=True):
        assert np.allclose(plane, value)


def test_gray_is_the_same_as_gray_made_colour() -> None:
    gray = noise(50, 70)
    colour = np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8)
    first, _ = prepared(gray)
    second, _ = prepared(colour)
    third, _ = prepared(gray[:, :, None])
    assert np.array_equal(first, second)
    assert np.array_equal(first, third)


def test_a_shrunken_frame_is_what_opencv_makes_of_it() -> None:
    image = noise(128, 192, 3)
    blob, placed = prepared(image)
    assert placed.scale == (0.5, 0.5)
    expected = cv2.resize(image, (96, 64), interpolation=cv2.INTER_LINEAR)[:, :, ::-1] / 255
    assert np.allclose(np.asarray(blob)[0].transpose(1, 2, 0), expected, atol=1e-6)


def test_a_small_frame_is_enlarged() -> None:
    _, placed = prepared(noise(32, 48))
    assert placed.scale == (2.0, 2.0)


@pytest.mark.parametrize(("element", "step"), [("float16", 1e-3), ("float32", 1e-6)])
def test_half_precision_is_the_same_numbers(element: Element, step: float) -> None:
    image = noise(64, 96)
    blob, _ = prepared(image, spec(element))
    assert blob.dtype == np.dtype(element)
    assert np.allclose(np.asarray(blob, np.float32)[0, 1], image / 255, atol=step)


def test_a_graph_that_takes_bytes_gets_the_frame_as_captured() -> None:
    image = noise(64, 96, 3)
    blob, _ = prepared(image, spec("uint8"))
    assert np.array_equal(np.asarray(blob)[0], image)
    gray, _ = prepared(image[:, :, 0], spec("uint8"))
    assert np.array_equal(np.asarray(gray)[0], np.stack([image[:, :, 0]] * 3, axis=2))


@pytest.mark.parametrize("element", ["uint8", "float32"])
def test_a_graph_that_takes_gray_gets_gray(element: Element) -> None:
    image = noise(64, 96, 3)
    gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    blob, _ = prepared(image, spec(element, channels=1))
    expected, _ = prepared(gray, spec(element, channels=1))
    assert blob.shape == spec(element, channels=1).shape
    assert np.array_equal(blob, expected)
    assert np.allclose(np.asarray(blob).squeeze(), gray / (1 if element == "uint8" else 255))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("element", ["uint8", "float16", "float32"])
@given(
    st.lists(
        st.tuples(st.integers(1, 90), st.integers(1, 90), st.booleans())
        | st.tuples(st.just(64), st.just(96), st.booleans()),
        min_size=2,
        max_size=5,
    )
)
def test_a_frame_leaves_nothing_for_the_next_one_and_is_left_as_it_was(
    element: Element, channels: int, frames: list[tuple[int, int, bool]]
) -> None:
    used = Preparer(spec(element, channels))
    seen = []
    for height, width, gray in frames:
        image = noise(height, width) if gray else noise(height, width, 3)
        seen.append((image, image.copy()))
        again, _ = prepared(image, used)
        fresh, _ = prepared(image, spec(element, channels))
        assert np.array_equal(again, fresh)
    assert all(np.array_equal(image, before) for image, before in seen)


@pytest.mark.parametrize(("shape", "channels"), [((64, 96, 3), 3), ((64, 96), 1), ((64, 96, 1), 1)])
def test_a_frame_that_is_what_the_graph_takes_is_read_where_it_lies(
    shape: tuple[int, ...], channels: int
) -> None:
    image = noise(*shape)
    blob, _ = prepared(image, spec("uint8", channels))
    assert np.shares_memory(blob, image)
    assert blob.flags.c_contiguous
    assert np.array_equal(np.asarray(blob).reshape(shape), image)
    for other in (image[::-1], image[:32], noise(64, 97)):
        assert not np.shares_memory(prepared(other, spec("uint8", channels))[0], other)
    assert not np.shares_memory(prepared(image, spec("float32", channels))[0], image)


@given(st.integers(1, 9), st.integers(1, 60), st.integers(1, 400), st.booleans())
def test_a_frame_a_whole_number_of_times_as_high_is_what_opencv_makes_of_it(
    times: int, high: int, width: int, gray: bool
) -> None:
    image = noise(times * high, width) if gray else noise(times * high, width, 3)
    placed = fit(image.shape[0], image.shape[1], high, 96)
    sides = (placed.width, placed.height)
    blob, _ = prepared(image, InputSpec(high, 96, 1 if gray else 3, "uint8"))
    inside = np.asarray(blob)[0, placed.top :, placed.left :][: placed.height, : placed.width]
    expected = cv2.resize(image, sides, interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(inside.squeeze(), np.asarray(expected).squeeze())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("element", ["uint8", "float32"])
@pytest.mark.parametrize(
    "view",
    [
        lambda image: image[::-1],
        lambda image: image[:, ::-1],
        lambda image: image[::2, 10:70],
        lambda image: image.swapaxes(0, 1),
        lambda image: np.asfortranarray(image),
        lambda image: np.broadcast_to(image[:1], image.shape),
        lambda image: image[:64, :96],
    ],
)
def test_a_part_of_a_larger_picture_is_read_as_it_looks(
    view: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]], element: Element, channels: int
) -> None:
    for image in (noise(70, 100), noise(70, 100, 3)):
        seen, _ = prepared(view(image), spec(element, channels))
        expected, _ = prepared(np.ascontiguousarray(view(image)), spec(element, channels))
        assert np.array_equal(seen, expected)


@pytest.mark.parametrize(
    ("height", "width", "inside"),
    [(1, 1, (64, 64)), (1, 3000, (1, 96)), (3000, 1, (64, 1)), (3, 12000, (1, 96))],
)
def test_a_strip_keeps_at_least_a_pixel(height: int, width: int, inside: tuple[int, int]) -> None:
    _, placed = prepared(noise(height, width))
    assert (placed.height, placed.width) == inside


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 0), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 5), np.uint16),
        np.zeros((5, 5), np.float32),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 2), np.uint8),
        np.zeros(25, np.uint8),
        np.zeros((1, 3, 5, 5), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ImageError, match="expected"):
        prepared(image)
