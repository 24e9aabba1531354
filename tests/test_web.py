"""The web: no row unaccounted for, each defect once wherever the frames end, lost rows never OK."""

import re

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import recipe as recipes
from edge.errors import CameraError
from edge.intervals import Interval, Intervals
from edge.terms import Code, Detection, Frame, Reason
from edge.vision.web import MAX_LOST_ROWS, MAX_OPEN, Rows, Seams, Stretch, Strip

WIDTH = 40
OVERLAP = 10


def frame(number: int, rows: int, count: int | None = None, width: int = WIDTH) -> Frame:
    """A frame whose rows tell their own place in the web."""
    image = np.full((rows, width), number % 256, np.uint8)
    return Frame("web", number, 0.0, image, count)


def mark(image: npt.NDArray[np.uint8]) -> list[Detection]:
    """A perfect detector: a box around each run of rows in which column `grey` is 255."""
    found = []
    for x in range(0, image.shape[1], 10):
        rows = np.flatnonzero((image[:, x : x + 8] == 255).any(axis=1))
        for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
            if run.size:
                box = float(x), float(run[0]), x + 8.0, run[-1] + 1.0
                found.append(Detection("spot", 0.9, box))
    return found


gaps = st.lists(
    st.tuples(st.integers(1, 60), st.integers(0, 2), st.booleans()), min_size=1, max_size=12
)


@settings(deadline=None)
@given(gaps, st.integers(1, 40), st.booleans())
def test_strips_and_stretches_cover_every_row_exactly_once(
    frames: list[tuple[int, int, bool]], overlap: int, counted: bool
) -> None:
    rows = Rows(overlap, row_counter=True)
    number = count = 0
    covered: list[tuple[int, int]] = []
    for height, lost, bad in frames:
        number += lost
        count += 7 * lost if covered else 0
        fault = "dark" if bad else None
        for piece in rows.add(frame(number, height, count if counted else None), fault):
            if isinstance(piece, Strip):
                covered.append((piece.fresh, piece.bottom))
                assert piece.fresh - piece.top <= overlap
            else:
                assert piece.reason in (Reason.NO_FRAME, Reason.BAD_IMAGE)
                covered.append((piece.first, piece.last))
        number += 1
        count += height
    assert covered[0][0] == 0
    assert [end for _, end in covered[:-1]] == [start for start, _ in covered[1:]]
    assert covered[-1][1] == rows.row
    if counted:
        assert rows.row >= count


def test_lost_rows_are_a_stretch_with_its_place_and_no_strip_reaches_over_it() -> None:
    rows = Rows(OVERLAP)
    rows.add(frame(0, 100))
    (gap, strip) = rows.add(frame(3, 100))
    assert gap == Stretch(100, 300, Reason.NO_FRAME, "200 rows lost before frame 3")
    assert isinstance(strip, Strip)
    assert (strip.top, strip.fresh, strip.bottom) == (300, 300, 400)
    assert rows.lost == 200


def test_the_encoder_tells_rows_that_no_frame_number_misses() -> None:
    rows = Rows(OVERLAP, row_counter=True)
    rows.add(frame(0, 100, count=5000))
    gap, _ = rows.add(frame(1, 100, count=5130))
    assert isinstance(gap, Stretch)
    assert (gap.first, gap.last) == (100, 130)


def test_a_camera_that_counts_frames_and_no_rows_is_not_taken_for_an_encoder() -> None:
    rows = Rows(OVERLAP)
    rows.add(frame(0, 100, count=7))
    (strip,) = rows.add(frame(1, 100, count=8))
    assert isinstance(strip, Strip)
    assert strip.top == 100 - OVERLAP


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (frame(1, 100, count=90), "went back from 100 to 90"),
        (frame(1, 100, count=100, width=30), r"rows of \(30,\), expected \(40,\)"),
        (frame(0, 100, count=100), "frame 0 came after frame 0"),
    ],
)
def test_a_frame_that_does_not_follow_is_undecided(second: Frame, why: str) -> None:
    rows = Rows(OVERLAP, row_counter=True)
    rows.add(frame(0, 100, count=0))
    (piece,) = rows.add(second)
    assert isinstance(piece, Stretch)
    assert piece.reason is Reason.BAD_IMAGE
    assert re.search(why, piece.text)
    *_, again = rows.add(frame(2, 100, count=200, width=second.image.shape[1] - 1))
    assert isinstance(again, Stretch)  # what came between makes no other width right
    *_, after = rows.add(frame(3, 100, count=300))
    assert isinstance(after, Strip)
    assert after.top == after.fresh  # never joined to rows that do not belong before it


def test_a_picture_that_could_not_be_read_keeps_its_place_on_the_web() -> None:
    rows = Rows(OVERLAP)
    rows.add(frame(0, 100))
    (gap,) = rows.add(Frame("web", 1, 0.0, np.zeros((0, 0), np.uint8)), "cut off")
    assert isinstance(gap, Stretch)
    assert (gap.first, gap.last) == (100, 200)


def test_pictures_without_rows_before_the_first_good_one_are_lost_rows() -> None:
    rows = Rows(OVERLAP)
    empty = np.zeros((0, 0), np.uint8)
    for number in (4, 5):
        (piece,) = rows.add(Frame("web", number, 0.0, empty), "cut off")
        assert isinstance(piece, Stretch)
    gap, strip = rows.add(frame(6, 100))
    assert isinstance(gap, Stretch)
    assert (gap.first, gap.last, gap.reason) == (0, 200, Reason.NO_FRAME)
    assert isinstance(strip, Strip)
    assert strip.top == 200


def test_a_counter_that_leaps_ends_the_web_and_makes_no_million_intervals() -> None:
    rows = Rows(OVERLAP, row_counter=True)
    rows.add(frame(0, 100, count=0))
    with pytest.raises(CameraError, match="a counter leapt"):
        rows.add(frame(1, 100, count=MAX_LOST_ROWS + 101))


defects = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 23), st.integers(1, OVERLAP)), max_size=12
)
heights = st.lists(st.integers(3, 70), min_size=1, max_size=20)


@settings(deadline=None, max_examples=60)
@given(defects, st.integers(0, 15), heights)
def test_a_defect_not_larger_than_the_overlap_is_told_once_and_whole(
    placed: list[tuple[int, int, int]], shift: int, cuts: list[int]
) -> None:
    """Defects of one column are 6 rows apart: what is nearer than EDGE_PX may count as one."""
    web = np.zeros((400, WIDTH), np.uint8)
    for column, place, length in placed:
        row = 16 * place + shift
        web[row : row + length, column * 10 : column * 10 + 8] = 255
    expected = mark(web)
    small = [d for d in expected if d.box[3] - d.box[1] <= OVERLAP]
    told = run(web, cuts)
    for one in small:
        assert [d.box for d in told].count(one.box) == 1
    assert sorted(d.box for d in told) == sorted(d.box for d in expected)


def run(web: npt.NDArray[np.uint8], cuts: list[int]) -> list[Detection]:
    """What a perfect detector and the seams tell of a web that comes in frames of these heights."""
    rows, seams = Rows(OVERLAP), Seams(OVERLAP)
    told: list[Detection] = []
    row = number = 0
    while row < len(web):
        height = cuts[number % len(cuts)]
        for piece in rows.add(Frame("web", number, 0.0, web[row : row + height])):
            assert isinstance(piece, Strip)
            told += seams.add(piece, mark(piece.image))
            assert all(d.box[1] < seams.settled_row or d.box[3] > 0 for d in told)
        row += height
        number += 1
    return told + seams.finish()


def test_a_streak_of_miles_is_told_once_and_before_it_ends() -> None:
    rows, seams = Rows(OVERLAP), Seams(OVERLAP)
    told = []
    for number in range(200):
        image = np.zeros((50, WIDTH), np.uint8)
        image[:, 10:18] = 255
        (strip,) = rows.add(Frame("web", number, 0.0, image))
        assert isinstance(strip, Strip)
        told += seams.add(strip, mark(strip.image))
    assert len(told) == 1
    assert told[0].box[3] <= 100
    (streak,) = seams.growing
    assert streak.box == (10, 0, 18, 10_000)
    assert seams.settled_row == 10_000 - OVERLAP - 4
    assert seams.finish() == []


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 300),
    st.integers(1, 500),
    st.lists(st.integers(15, 90), min_size=1, max_size=9),
    st.integers(20, 150),
)
def test_every_interval_that_a_streak_reaches_into_is_ng(
    first: int, length: int, cuts: list[int], interval: int
) -> None:
    web = np.zeros((900, WIDTH), np.uint8)
    web[first : first + length, 10:18] = 255
    rows, seams = Rows(OVERLAP), Seams(OVERLAP)
    intervals, closed = Intervals(recipes.simple(("spot",), 0.5), interval), list[Interval]()
    row = number = 0
    while row < len(web):
        height = cuts[number % len(cuts)]
        (strip,) = rows.add(Frame("web", number, 0.0, web[row : row + height]))
        assert isinstance(strip, Strip)
        intervals.add(seams.add(strip, mark(strip.image)), seams.ended)
        closed += intervals.close(seams.settled_row, seams.growing)
        row, number = row + height, number + 1
    growing = seams.growing
    intervals.add(seams.finish(), seams.ended)
    closed += intervals.finish(rows.row, growing)
    reached = [i.first < first + length and i.last > first for i in closed]
    assert [i.verdict.code is Code.NG for i in closed] == reached
    assert sum(i.defects for i in closed) == 1


def test_what_begins_before_the_settled_row_has_been_told() -> None:
    rows, seams = Rows(OVERLAP), Seams(OVERLAP)
    image = np.zeros((50, WIDTH), np.uint8)
    image[30:, 10:18] = 255
    (strip,) = rows.add(Frame("web", 0, 0.0, image))
    assert isinstance(strip, Strip)
    assert seams.add(strip, mark(strip.image)) == []
    assert seams.settled_row == 30


def test_memory_of_open_defects_is_bounded() -> None:
    seams = Seams(OVERLAP)
    image = np.zeros((50, WIDTH), np.uint8)
    many = [Detection("spot", 0.9, (20.0 * n, 40, 20 * n + 8.0, 50)) for n in range(MAX_OPEN + 50)]
    told = seams.add(Strip(0, 0, image), many)
    assert len(told) == 50
    assert len(seams.finish()) == MAX_OPEN


def test_a_stretch_settles_what_lies_before_it() -> None:
    rows, seams = Rows(OVERLAP), Seams(OVERLAP)
    image = np.zeros((50, WIDTH), np.uint8)
    image[46:, 10:18] = 255
    (strip,) = rows.add(Frame("web", 0, 0.0, image))
    assert isinstance(strip, Strip)
    assert seams.add(strip, mark(strip.image)) == []
    gap, _ = rows.add(Frame("web", 2, 0.0, image))
    assert isinstance(gap, Stretch)
    assert [d.box for d in seams.skip(gap)] == [(10, 46, 18, 50)]
    assert seams.settled_row >= 50
