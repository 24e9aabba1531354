"""Pictures for people: the box where the defect is, and thumbnails that stay small."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ImageError
from edge.terms import Detection
from edge.vision.annotate import THUMBNAIL_BYTES, draw, jpeg, thumbnail
from edge.vision.image import decode_image

BOX = Detection("pit", 0.87, (100.0, 120.0, 140.0, 150.0))


def gray(height: int = 240, width: int = 320) -> npt.NDArray[np.uint8]:
    return np.full((height, width), 90, np.uint8)


def noise(height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def reddish(image: npt.NDArray[np.uint8], least: int = 100) -> npt.NDArray[np.bool_]:
    return image[:, :, 2].astype(int) - image[:, :, 0] > least


@pytest.mark.parametrize("image", [gray(), gray()[:, :, None], np.stack([gray()] * 3, axis=2)])
def test_the_box_is_drawn_around_the_defect_on_a_copy(image: npt.NDArray[np.uint8]) -> None:
    drawn = draw(image, [BOX])
    assert drawn.shape == (240, 320, 3)
    assert np.all(image == 90)
    red = reddish(drawn)
    assert red[150, 100:141].all()
    assert red[120:151, 100].all()
    assert red[120:151, 140].all()
    assert not red[124:147, 104:137].any()
    assert red[:120].any()  # its name and score above it


def test_nothing_found_draws_nothing() -> None:
    assert np.all(draw(gray(), []) == 90)


@given(
    st.integers(1, 400),
    st.integers(1, 400),
    st.tuples(*[st.floats(-2000, 2000)] * 4),
    st.sampled_from(["pit", "划伤", "x" * 200, ""]),
)
def test_any_box_on_any_picture_can_be_drawn(
    height: int, width: int, box: tuple[float, float, float, float], label: str
) -> None:
    found = Detection(label, 0.5, box)
    assert draw(gray(height, width), [found]).shape == (height, width, 3)
    assert len(thumbnail(gray(height, width), [found])) <= THUMBNAIL_BYTES


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_box_that_is_no_number_is_left_out(number: float) -> None:
    lost = Detection("pit", 0.9, (number, 0.0, 10.0, 10.0))
    assert np.array_equal(draw(gray(), [lost, BOX]), draw(gray(), [BOX]))
    assert len(thumbnail(gray(), [lost])) <= THUMBNAIL_BYTES


def test_the_label_stays_inside_the_picture() -> None:
    corner = Detection("pit", 0.9, (300.0, 0.0, 319.0, 10.0))
    red = reddish(draw(gray(), [corner]))
    assert red[:, 319].any()
    assert red[8, 250:300].any()


def test_a_jpeg_can_be_read_back() -> None:
    image = decode_image(jpeg(gray()))
    assert image.shape == (240, 320)
    assert abs(float(image.mean()) - 90) < 2
    assert len(jpeg(noise(200, 200), 30)) < len(jpeg(noise(200, 200), 95))


@pytest.mark.parametrize(
    ("height", "width"), [(3000, 4000), (100, 20_000), (20_000, 100), (9, 9), (320, 320)]
)
def test_a_thumbnail_is_small_whatever_the_picture(height: int, width: int) -> None:
    content = thumbnail(noise(height, width), [BOX])
    assert len(content) <= THUMBNAIL_BYTES
    assert max(decode_image(content).shape) <= 320


def test_the_box_on_a_thumbnail_is_where_the_defect_is() -> None:
    image = decode_image(thumbnail(gray(960, 1280), [Detection("pit", 0.9, (400, 480, 560, 600))]))
    red = reddish(image, 40)  # a JPEG has half the resolution for colour
    assert image.shape == (240, 320, 3)
    assert red[148:152, 105:135].any(axis=0).all()
    assert not red[155:, :].any()


@pytest.mark.parametrize("image", [np.zeros((0, 0), np.uint8), np.zeros((5, 5), np.float32)])
def test_what_is_no_picture_is_refused(image: npt.NDArray[np.uint8]) -> None:
    for make in (draw, thumbnail):
        with pytest.raises(ImageError):
            make(image, [])


def test_what_cannot_be_a_jpeg_is_refused() -> None:
    for image in (np.zeros((0, 0), np.uint8), np.zeros((1, 70_000), np.uint8)):
        with pytest.raises(ImageError, match="JPEG"):
            jpeg(image)
