"""Bytes of a camera become the picture that they are, or a sentence."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import CameraError, ImageError
from edge.vision.pixels import check_format, to_image

BLUE, GREEN, RED = 10, 120, 240
FILTERS = {"R": RED, "G": GREEN, "B": BLUE}
FIRST_ROWS = {"RG": "RGGB", "GR": "GRBG", "GB": "GBRG", "BG": "BGGR"}


@pytest.mark.parametrize("name", FIRST_ROWS)
def test_a_colour_filter_is_undone_by_its_own_order(name: str) -> None:
    top = [FILTERS[letter] for letter in FIRST_ROWS[name][:2]]
    bottom = [FILTERS[letter] for letter in FIRST_ROWS[name][2:]]
    mosaic = np.tile(np.array([top, bottom], np.uint8), (8, 8))
    image = to_image(mosaic.tobytes(), 16, 16, f"Bayer{name}8")
    assert image.shape == (16, 16, 3)
    assert image[4, 4].tolist() == [BLUE, GREEN, RED]


@pytest.mark.parametrize(
    ("name", "pixel"),
    [("RGB8", (RED, GREEN, BLUE)), ("BGR8", (BLUE, GREEN, RED)), ("RGBa8", (RED, GREEN, BLUE, 7))],
)
def test_colour_comes_out_as_bgr(name: str, pixel: tuple[int, ...]) -> None:
    image = to_image(bytes(pixel) * 12, 4, 3, name)
    assert image.shape == (3, 4, 3)
    assert image.reshape(-1, 3).tolist() == [[BLUE, GREEN, RED]] * 12


@pytest.mark.parametrize("content", [bytes(range(14)), np.arange(14, dtype=np.uint8)])
def test_gray_stays_gray_and_may_be_drawn_on(content: bytes | npt.NDArray[np.uint8]) -> None:
    image = to_image(content, 4, 3, "Mono8")
    assert image.flags.writeable
    assert image.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


@given(
    st.binary(max_size=64),
    st.integers(0, 9),
    st.integers(0, 9),
    st.sampled_from(["Mono8", "RGB8", "BayerRG8", "RGBa8", "Mono12"]),
)
def test_any_bytes_are_a_picture_or_our_error(
    content: bytes, width: int, height: int, name: str
) -> None:
    try:
        image = to_image(content, width, height, name)
    except ImageError:
        return
    assert image.shape[:2] == (height, width)


def test_a_format_that_cannot_be_read_says_what_to_set() -> None:
    check_format("c1", "BayerRG8")
    with pytest.raises(CameraError, match=r"Mono12; .* pixel_format = .Mono8"):
        check_format("c1", "Mono12")
