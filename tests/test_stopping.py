"""When the line must stop, not sort: edge.stopping, and what a station makes of it."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.limits import Stop
from edge.plc.blocks import StatusFlags
from edge.standing import Standing
from edge.stopping import Run, follow, reason
from edge.terms import Code, Mode

K, N, U = Code.OK, Code.NG, Code.UNDECIDED
THREE = Stop(consecutive_ng=3)
HALF = Stop(ng_share=0.5, of_parts=10)


def after(codes: list[Code], rules: Stop) -> Run:
    run = Run()
    for code in codes:
        run = follow(run, 1, code, rules)
    return run


@pytest.mark.parametrize(
    ("codes", "rules", "stops"),
    [
        ([N, N], THREE, False),
        ([N, N, N], THREE, True),
        ([N, N, K, N, N], THREE, False),
        ([N, U, N, U, N], THREE, True),  # what nobody could judge excuses nothing
        ([N] * 50, Stop(), False),
        ([N] * 4 + [K] * 6, HALF, False),
        ([N] * 5, HALF, True),  # half of ten, whatever the other five are
        ([N] * 4 + [K] * 6 + [N], HALF, False),  # the oldest NG has left
        ([K] * 5 + [N, K, N, K, N, N, N], HALF, True),
    ],
)
def test_the_line_stops_when_so_many_parts_were_ng(
    codes: list[Code], rules: Stop, stops: bool
) -> None:
    assert (reason(after(codes, rules), rules) is not None) == stops


@given(st.lists(st.sampled_from([K, N, U]), max_size=60), st.integers(2, 5), st.floats(0.1, 0.9))
def test_the_rules_say_what_counting_over_the_whole_history_says(
    codes: list[Code], consecutive: int, share: float
) -> None:
    rules = Stop(consecutive_ng=consecutive, ng_share=share, of_parts=10)
    judged = [code is N for code in codes if code is not U]
    in_a_row = len(judged) >= consecutive and all(judged[-consecutive:])
    run = after(codes, rules)
    assert (reason(run, rules) is not None) == (in_a_row or sum(judged[-10:]) >= share * 10)
    assert len(run.recent) <= 10


def test_another_recipe_begins_anew() -> None:
    run = follow(after([N, N], THREE), 2, N, THREE)
    assert (run.recipe, run.ng_in_a_row, reason(run, THREE)) == (2, 1, None)


def station_after(codes: list[Code], mode: Mode = Mode.AUTO) -> Standing:
    loaded: Any = SimpleNamespace(number=1, recipe=SimpleNamespace(stop=THREE))
    station = Standing("s1", (), {1: loaded}, ())
    for code in codes:
        station.judged(loaded, mode, code)
    return station


def test_a_stop_request_stands_until_it_is_reset_whatever_comes_after() -> None:
    station = station_after([N, N, N, K, K])
    assert StatusFlags.STOP_REQUEST in station.flags()
    assert station.stop_reason == "3 NG parts one after the other, limit 3"
    station.reset()
    assert StatusFlags.STOP_REQUEST not in station.flags()
    station.judged(station.recipes[1], Mode.AUTO, N)
    assert station.stop_reason is None  # counted anew


@pytest.mark.parametrize("mode", [Mode.SAMPLE, Mode.BYPASS])
def test_golden_samples_and_bypassed_parts_do_not_stop_a_line(mode: Mode) -> None:
    assert station_after([N] * 9, mode).stop_reason is None
    assert station_after([N] * 3, Mode.MONITOR).stop_reason is not None
