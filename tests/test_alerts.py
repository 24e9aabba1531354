"""One cause is one alert: edge.alerts."""

from hypothesis import given
from hypothesis import strategies as st

from edge.alerts import AlertBoard, AlertCode, Change, Limits
from edge.terms import Code


def test_a_cause_seen_again_is_counted_and_not_raised_again() -> None:
    board = AlertBoard()
    assert board.seen(AlertCode.CAMERA_LOST, "c1") == [Change(AlertCode.CAMERA_LOST, True, 1, "c1")]
    assert board.seen(AlertCode.CAMERA_LOST, "c1") == []
    assert board.gone(AlertCode.CAMERA_LOST) == [Change(AlertCode.CAMERA_LOST, False, 2, "c1")]
    assert board.gone(AlertCode.CAMERA_LOST) == []


def test_five_ng_in_a_row_raise_one_alert_and_an_ok_part_clears_it() -> None:
    board = AlertBoard()
    changes = [c for _ in range(7) for c in board.judged(Code.NG)]
    assert [(c.code, c.active) for c in changes] == [(AlertCode.CONSECUTIVE_NG, True)]
    assert [c.active for c in board.judged(Code.OK)] == [False]


def test_four_ng_and_one_ok_raise_nothing() -> None:
    board = AlertBoard()
    codes = ([Code.NG] * 4 + [Code.OK]) * 5
    assert [c for code in codes for c in board.judged(code)] == []


def test_undecided_parts_raise_an_alert_only_over_a_full_window() -> None:
    board = AlertBoard(Limits(window=10, undecided_share=0.2))
    assert board.judged(Code.UNDECIDED) + board.judged(Code.UNDECIDED) == []
    changes = [c for _ in range(8) for c in board.judged(Code.OK)]
    assert [c.code for c in changes] == [AlertCode.UNDECIDED_SHARE]


@given(st.lists(st.sampled_from([Code.OK, Code.NG, Code.UNDECIDED]), max_size=200))
def test_raised_and_cleared_alternate_for_every_code(codes: list[Code]) -> None:
    board = AlertBoard(Limits(consecutive_ng=2, window=5, undecided_share=0.4))
    state: dict[AlertCode, bool] = {}
    for code in codes:
        for change in board.judged(code):
            assert state.get(change.code, False) != change.active
            state[change.code] = change.active


def test_a_missed_part_is_an_alert_until_a_full_window_was_settled_without_one() -> None:
    board = AlertBoard(Limits(window=3))
    assert [c.active for c in board.seen(AlertCode.PARTS_MISSED, "4 to 4")] == [True]
    assert board.judged(Code.OK) + board.judged(Code.OK) == []
    assert board.seen(AlertCode.PARTS_MISSED, "7 to 7") == []
    assert board.judged(Code.OK) + board.judged(Code.OK) == []
    assert board.judged(Code.OK) == [Change(AlertCode.PARTS_MISSED, False, 2, "7 to 7")]
