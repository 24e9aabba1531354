"""Intervals of a web: each row is in one, none with a blind row is OK, a defect counts once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from edge import recipe as recipes
from edge.intervals import MAX_KEPT, Intervals
from edge.recipe import Recipe
from edge.terms import Code, Detection, Reason
from edge.vision.web import Stretch

ROWS = 100


def recipe() -> Recipe:
    """Scores from 0.5 on are NG."""
    return recipes.simple(("spot",), 0.5)


def spot(first: float, last: float, score: float = 0.9) -> Detection:
    """A defect in these rows of the web."""
    return Detection("spot", score, (10.0, first, 18.0, last))


def test_a_defect_makes_ng_what_it_reaches_into_and_counts_where_it_begins() -> None:
    intervals = Intervals(recipe(), ROWS)
    intervals.add([spot(190, 310)])
    closed = intervals.close(500)
    assert [(i.number, i.first, i.last) for i in closed] == [
        (n, 100 * n, 100 * n + 100) for n in range(5)
    ]
    assert [i.verdict.code for i in closed] == [Code.OK, Code.NG, Code.NG, Code.NG, Code.OK]
    assert [i.defects for i in closed] == [0, 1, 0, 0, 0]


def test_an_interval_with_a_blind_row_is_never_ok() -> None:
    intervals = Intervals(recipe(), ROWS)
    intervals.leave_out(Stretch(199, 201, Reason.NO_FRAME, "lost"))
    intervals.add([spot(250, 260)])
    closed = intervals.close(400)
    codes = [i.verdict.code for i in closed]
    assert codes == [Code.OK, Code.UNDECIDED, Code.NG, Code.OK]
    assert closed[1].verdict.reason is Reason.NO_FRAME


def test_nothing_is_closed_before_it_is_settled_and_the_end_closes_the_rest() -> None:
    intervals = Intervals(recipe(), ROWS)
    assert intervals.close(99) == []
    assert len(intervals.close(100)) == 1
    last = intervals.finish(250)
    assert [(i.first, i.last) for i in last] == [(100, 200), (200, 250)]


def test_a_streak_that_still_grows_is_ng_in_every_interval_it_has_reached() -> None:
    intervals = Intervals(recipe(), ROWS)
    streak = spot(150, 180)
    intervals.add([streak])
    codes = [i.verdict.code for i in intervals.close(400, [spot(150, 410)])]
    assert codes == [Code.OK, Code.NG, Code.NG, Code.NG]


def test_an_interval_with_more_defects_than_are_kept_is_never_ok() -> None:
    intervals = Intervals(recipe(), ROWS)
    intervals.add([spot(10, 20, 0.1)] * MAX_KEPT)
    intervals.add([spot(210, 220)])
    closed = intervals.close(400)
    assert [i.verdict.code for i in closed] == [Code.OK, Code.OK, Code.UNDECIDED, Code.OK]
    assert closed[2].verdict.reason is Reason.MODEL_FAULT


steps = st.lists(
    st.tuples(st.integers(1, 150), st.sampled_from(["good", "blind", "spot"])), max_size=20
)


@settings(deadline=None)
@given(steps)
def test_whatever_comes_every_row_has_a_verdict_and_blind_or_bad_ones_are_not_ok(
    pieces: list[tuple[int, str]],
) -> None:
    intervals = Intervals(recipe(), ROWS)
    closed, row, wrong = [], 0, []
    for length, kind in pieces:
        if kind == "blind":
            intervals.leave_out(Stretch(row, row + length, Reason.BAD_IMAGE, "dark"))
        if kind == "spot":
            intervals.add([spot(row, row + length)])
        if kind != "good":
            wrong.append((row, row + length))
        row += length
        closed += intervals.close(row)
    closed += intervals.finish(row)
    edges = [0, *(i.last for i in closed)]
    assert [i.first for i in closed] == edges[:-1]
    assert edges[-1] == row
    for interval in closed:
        spoiled = any(a < interval.last and b > interval.first for a, b in wrong)
        assert (interval.verdict.code is Code.OK) is not spoiled
