"""Exposure times from arrivals and the sender's clock: never later than the truth."""

import random

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from edge.vision.realtime import MAX_LAG_S, SETTLE_S, RealTime

FRAME_S = 0.04
DELAY_S = 0.15
COUNT = 150
SLACK_S = 0.002  # what the floor may rise while a stall of 3 s lasts


def played(
    seed: int, least_s: float, held: tuple[int, int], drain_s: float, drift: float, zero_s: float
) -> list[tuple[float, float, float]]:
    """(true exposure, arrival, sender's clock) of frames over a path that keeps their order.

    Args:
        seed: of each frame's own time on the way, from `least_s` to DELAY_S.
        held: frames from .. to wait in a relay until the last of them is made, then they come
            `drain_s` apart.
    """
    rows: list[tuple[float, float, float]] = []
    arrived_s = 0.0
    chance = random.Random(seed)
    for number in range(COUNT):
        wait_s = chance.uniform(least_s, DELAY_S)
        made_s = 100.0 + number * FRAME_S
        ready_s = made_s + wait_s
        if held[0] <= number < held[1]:
            ready_s = 100.0 + held[1] * FRAME_S + wait_s
        arrived_s = max(ready_s, arrived_s + drain_s)
        rows.append((made_s, arrived_s, zero_s + (made_s - 100.0) * (1 + drift)))
    return rows


paths = st.builds(
    played,
    st.integers(),
    st.floats(0.1, DELAY_S),
    st.tuples(st.integers(0, 60), st.integers(0, 60)),
    st.floats(0.0005, 0.01),
    st.floats(-0.0003, 0.0003),
    st.floats(-1e6, 1e6),
)


@settings(max_examples=60, deadline=None)
@given(paths)
def test_no_frame_is_ever_said_to_be_newer_than_it_is(
    path: list[tuple[float, float, float]],
) -> None:
    clock = RealTime(DELAY_S)
    for made_s, arrived_s, clock_s in path:
        exposed_s = clock.exposed_s(arrived_s, clock_s)
        assert exposed_s is None or exposed_s <= made_s + SLACK_S


@settings(max_examples=60, deadline=None)
@given(paths)
def test_a_stream_that_runs_in_real_time_again_is_believed_again(
    path: list[tuple[float, float, float]],
) -> None:
    clock = RealTime(DELAY_S)
    seen = [(made_s, clock.exposed_s(arrived_s, clock_s)) for made_s, arrived_s, clock_s in path]
    believed = [made_s - exposed_s for made_s, exposed_s in seen[-20:] if exposed_s is not None]
    assert believed
    assert max(believed) <= DELAY_S + 0.01


def test_what_a_decoder_kept_while_it_probed_is_not_delivered_as_new() -> None:
    clock = RealTime(DELAY_S)
    path = played(0, DELAY_S, (0, 30), 0.002, 0.0, 0.0)
    seen = [clock.exposed_s(arrived_s, clock_s) for _, arrived_s, clock_s in path]
    assert seen[:30] == [None] * 30
    first = next(n for n, exposed_s in enumerate(seen) if exposed_s is not None)
    assert path[first][1] - path[30][1] == pytest.approx(SETTLE_S, abs=2 * FRAME_S)


def test_a_frame_far_behind_is_worth_nothing_and_one_a_little_late_keeps_its_time() -> None:
    clock = RealTime(DELAY_S)
    for number in range(50):
        clock.exposed_s(100 + number * FRAME_S, number * FRAME_S)
    assert clock.exposed_s(102.3, 2.0) == pytest.approx(102.0 - DELAY_S, abs=0.002)
    assert clock.exposed_s(102.6, 2.05) is None
    assert clock.exposed_s(102.65, 2.05 + 0.4) == pytest.approx(102.45 - DELAY_S, abs=0.002)
    assert MAX_LAG_S < 0.55


def test_a_clock_that_stands_still_is_never_believed_for_long() -> None:
    clock = RealTime(DELAY_S)
    seen = [clock.exposed_s(100 + number * FRAME_S, 7.0) for number in range(60)]
    believed = [n for n, exposed_s in enumerate(seen) if exposed_s is not None]
    assert max(believed, default=0) * FRAME_S <= MAX_LAG_S + FRAME_S


def test_a_decoder_that_cannot_keep_up_is_believed_no_longer() -> None:
    clock = RealTime(DELAY_S)
    seen = [clock.exposed_s(100 + number * FRAME_S * 1.2, number * FRAME_S) for number in range(99)]
    assert seen[20] is not None
    assert seen[-1] is None
