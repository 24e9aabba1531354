"""Golden templates: edges and light may vary a little; what is there or missing is found."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import ImageError, ModelError
from edge.limits import TemplateLimits
from edge.terms import Detection
from edge.vision.template import Template
from tests.flat_parts import SIDE, Image, board, seen

LIMITS = TemplateLimits(pictures=("good.png",), tolerance_px=2, contrast=40, max_shift_px=12)
TEMPLATE = Template(LIMITS, [board()])


def spoilt(x: int = 100, y: int = 120, side: int = 8, by: int = 120) -> Image:
    """The board with a square on it that is brighter than its ground."""
    picture = board()
    patch = picture[y : y + side, x : x + side]
    patch[:] = np.clip(patch.astype(int) + by, 0, 255)
    return picture


def covers(found: Detection, x: float, y: float) -> bool:
    x1, y1, x2, y2 = found.box
    return x1 <= x <= x2 and y1 <= y <= y2


@settings(deadline=None, max_examples=25)
@given(
    dx=st.floats(-11, 11),
    dy=st.floats(-11, 11),
    angle_deg=st.floats(-2, 2),
    gain=st.floats(0.6, 1.1),
)
def test_a_good_part_has_no_difference_wherever_it_lies_in_any_light(
    dx: float, dy: float, angle_deg: float, gain: float
) -> None:
    assert TEMPLATE.detect(seen(board(), dx, dy, angle_deg, gain, noise=3)) == []


@settings(deadline=None, max_examples=20)
@given(dx=st.integers(-1, 1), dy=st.integers(-1, 1))  # registration takes a part of the tolerance
def test_an_edge_displaced_within_the_tolerance_is_no_difference(dx: int, dy: int) -> None:
    part = board()
    part[60:100, 110:130] = 200
    moved = board()
    moved[60 + dy : 100 + dy, 110 + dx : 130 + dx] = 200
    assert Template(LIMITS, [part]).detect(moved) == []


def test_an_edge_displaced_by_more_than_the_tolerance_is_one() -> None:
    part, moved = board(), board()
    part[60:100, 110:130], moved[60:100, 114:134] = 200, 200
    assert [d.label for d in Template(LIMITS, [part]).detect(moved)] == ["difference"] * 2


@settings(deadline=None, max_examples=20)
@given(dx=st.floats(-8, 8), dy=st.floats(-8, 8), x=st.integers(96, 120), y=st.integers(100, 120))
def test_a_planted_defect_is_found_where_it_is_in_the_frame(
    dx: float, dy: float, x: int, y: int
) -> None:
    good = board()
    good[80:, 94:] = 60
    bad = good.copy()
    bad[y : y + 8, x : x + 8] = 180
    (found,) = Template(LIMITS, [good]).detect(seen(bad, dx, dy), mm_per_px=0.5)
    x1, y1, x2, y2 = found.box
    assert np.allclose((x1, y1, x2, y2), (x + dx, y + dy, x + 8 + dx, y + 8 + dy), atol=1.6)
    assert found.width_mm == pytest.approx((x2 - x1) / 2)
    assert 0.5 <= found.score < 1


def test_a_thin_line_that_is_gone_is_found() -> None:
    whole = board()
    cv2.line(whole, (125, 30), (125, 130), 200, 1)
    (found,) = Template(LIMITS, [whole]).detect(board())
    assert covers(found, 125, 80)
    assert found.box[3] - found.box[1] > 90


def test_a_stronger_difference_never_scores_less_and_the_contrast_itself_half() -> None:
    limits = TemplateLimits(pictures=("a",), contrast=40, tolerance_px=0, max_shift_px=4)
    template = Template(limits, [np.asarray(spoilt(by=0))])
    scores = []
    for by in (60, 80, 100, 120):
        found = template.detect(spoilt(by=by))
        scores.append(max(d.score for d in found if covers(d, 104, 124)))
    assert scores == sorted(scores)
    assert scores[0] == pytest.approx(60 / 100, abs=0.05)


def test_what_differs_among_good_parts_is_allowed_and_nothing_else() -> None:
    stamped = spoilt(x=120, y=30, by=90)
    template = Template(LIMITS, [board(), seen(stamped, 3, -2)])
    assert template.detect(stamped) == []
    assert template.detect(board()) == []
    (found,) = template.detect(spoilt(x=110, y=130, by=140))
    assert covers(found, 114, 134)


def test_small_differences_are_noise() -> None:
    limits = TemplateLimits(pictures=("a",), contrast=40, min_size_px=10, max_shift_px=12)
    assert Template(limits, [board()]).detect(spoilt(side=6)) == []


def test_colours_are_compared_each_and_a_gray_picture_by_its_grey() -> None:
    good = cv2.cvtColor(board(), cv2.COLOR_GRAY2BGR)
    red = good.copy()
    red[120:130, 100:110] = (20, 20, 230)
    template = Template(LIMITS, [np.asarray(good, np.uint8)])
    assert covers(template.detect(np.asarray(red, np.uint8))[0], 105, 125)
    assert template.detect(board()) == []
    assert TEMPLATE.detect(np.asarray(good, np.uint8)) == []


def test_a_part_that_is_not_there_or_not_lit_is_never_without_difference() -> None:
    flat = np.full((SIDE, SIDE), 128, np.uint8)
    pale = np.clip(100 + board() * 0.2, 0, 255).astype(np.uint8)
    for frame in (flat, flat[:1, :1], pale, np.zeros((0, 0), np.uint8)):
        with pytest.raises(ImageError):
            TEMPLATE.detect(frame)


def test_no_difference_is_cut_off_for_stronger_ones_that_a_zone_may_ignore() -> None:
    limits = TemplateLimits(pictures=("a",), contrast=20, min_size_px=0, tolerance_px=0)
    part, dotted = board(), board()
    part[40:, 100:] = dotted[40:, 100:] = 120
    dotted[2:158:5, 2:92:5] = 255  # 576 of them
    dotted[60:64, 120:124] = 160
    found = Template(limits, [part]).detect(dotted)
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)
    assert any(covers(d, 122, 62) for d in found)
    dotted[1:159:3, 1:159:3] = 255
    with pytest.raises(ImageError, match="differences, expected at most 1000"):
        Template(limits, [part]).detect(dotted)


@pytest.mark.parametrize("other", [board()[:, :-2], board(seed=77), cv2.merge([board()] * 3)])
def test_pictures_that_do_not_show_one_part_make_no_template(other: Image) -> None:
    with pytest.raises(ModelError, match="picture 2"):
        Template(LIMITS, [board(), other])
