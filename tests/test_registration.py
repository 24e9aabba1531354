"""Where a part lies: found to a fraction of a pixel, or refused with the reason."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import ImageError, ModelError
from edge.vision.registration import Registration, thumbnail, upright
from tests.flat_parts import SIDE, board, seen

PLACE = Registration(board(), max_shift_px=12)


@settings(deadline=None, max_examples=25)
@given(
    dx=st.floats(-11, 11),
    dy=st.floats(-11, 11),
    angle_deg=st.floats(-3, 3),
    gain=st.floats(0.6, 1.15),
)
def test_a_part_is_found_wherever_it_lies_in_any_light(
    dx: float, dy: float, angle_deg: float, gain: float
) -> None:
    found = PLACE.find(seen(board(), dx, dy, angle_deg, gain, noise=3))
    middle = (SIDE - 1) / 2
    true = cv2.getRotationMatrix2D((middle, middle), angle_deg, 1.0)
    true[:, 2] += np.array([dx, dy])
    corners = np.array([[20.0, SIDE - 20, 20], [20, 20, SIDE - 20], [1, 1, 1]])
    assert np.abs(found @ corners - true @ corners).max() < 0.5


def test_a_large_picture_is_registered_by_its_thumbnail_to_less_than_a_pixel() -> None:
    large = np.asarray(cv2.resize(board(), (640, 480), interpolation=cv2.INTER_CUBIC), np.uint8)
    found = Registration(large, 40).find(seen(large, 21.4, -8.3))
    assert np.abs(found[:, 2] - (21.4, -8.3)).max() < 0.5


def test_a_thumbnail_with_the_size_of_its_picture_registers_as_the_picture_does() -> None:
    large = np.asarray(cv2.resize(board(), (480, 480)), np.uint8)
    kept = Registration(thumbnail(large, (480, 480)), 20, (480, 480))
    moved = seen(large, 5, 7)
    assert np.array_equal(kept.find(moved), Registration(large, 20).find(moved))


def test_a_frame_made_upright_lies_like_the_reference() -> None:
    frame = seen(board(), 6, -4, 1.5)
    straight = upright(frame, PLACE.find(frame))
    inner = (slice(16, -16), slice(16, -16))
    assert np.abs(straight[inner].astype(int) - board()[inner]).mean() < 3


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (seen(board(), 20, 0), "px from its place|agrees with its reference"),
        (seen(board(), 0, 0, 12), "turned by|agrees with its reference"),
        (board(seed=77), "another part|px from its place|turned by|not in the picture"),
        (np.full((SIDE, SIDE), 128, np.uint8), "not in the picture"),
        (np.zeros((SIDE, SIDE), np.uint8), "not in the picture"),
        (np.zeros((1, 1), np.uint8), "picture is 1 x 1 px; its reference 160 x 160 px"),
        (board()[:, :-1], "picture is 159 x 160 px"),
    ],
)
def test_what_is_not_the_part_in_its_place_is_refused_with_the_reason(
    frame: np.ndarray, sentence: str
) -> None:
    with pytest.raises(ImageError, match=sentence):
        PLACE.find(frame)


@pytest.mark.parametrize(
    ("reference", "max_shift_px", "sentence"),
    [
        (np.full((SIDE, SIDE), 90, np.uint8), 5, "flat"),
        (board(), 78, "too far for 160 x 160 px"),
        (np.zeros((1, 1), np.uint8), 0, "too far for 1 x 1 px"),
    ],
)
def test_a_reference_by_which_nothing_can_be_found_is_refused(
    reference: np.ndarray, max_shift_px: float, sentence: str
) -> None:
    with pytest.raises(ModelError, match=sentence):
        Registration(reference, max_shift_px)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(1, 255))
def test_noise_is_never_taken_for_the_part(seed: int, most: int) -> None:
    noise = np.random.default_rng(seed).integers(0, most, (SIDE, SIDE), np.uint8, endpoint=True)
    with pytest.raises(ImageError):
        PLACE.find(noise)
