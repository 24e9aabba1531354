"""A station that counts its own parts, and the eye behind its gate: edge.plc.selfcount."""

import pytest

from edge import settings
from edge.plc.blocks import LineCounters
from edge.plc.handshake import Bypassed, EpochOpened, Missed, Running, Sampled, Triggered
from edge.plc.selfcount import GoodLane, SelfCount
from edge.terms import Cause, Mode, Part, Trigger

STATION = settings.Station(
    name="s1", io="box", recipe=4, trigger="software", cameras=("c1",), deadline_ms=400
)


def counting(epoch: int = 0) -> SelfCount:
    count = SelfCount(STATION, epoch)
    count.begin()
    count.switch(False)
    count.ready = True
    return count


def test_the_first_count_is_an_epoch_of_its_own_and_says_that_nobody_else_counts() -> None:
    count = SelfCount(STATION, 7)
    assert count.begin() == [EpochOpened(8, 0, 0, "self_counted")]


def test_every_edge_is_the_next_part_under_the_stations_recipe() -> None:
    count = counting()
    seen = [one for edge_s in (1.0, 2.0) for one in count.part(edge_s, 0.01, edge_s + 0.02)]
    assert seen == [
        Triggered(Trigger(Part("s1", 1, n), float(n), 0.01, Mode.AUTO, 4), n + 0.4) for n in (1, 2)
    ]


def test_a_part_that_comes_while_the_station_is_not_ready_is_missed() -> None:
    count = counting()
    count.ready = False
    assert count.part(1.0, 0.0, 1.0) == [Missed(1, 1, 1, Cause.NOT_READY)]


def test_a_part_seen_after_its_deadline_is_missed() -> None:
    assert counting().part(1.0, 0.0, 1.5) == [Missed(1, 1, 1, Cause.NO_TRIGGER)]


def test_with_the_key_parts_are_bypassed_and_the_mode_is_said_once() -> None:
    count = counting()
    assert count.switch(True) == [Running(True, Mode.BYPASS, 4)]
    assert count.switch(True) == []
    assert count.part(1.0, 0.0, 1.0) == [Bypassed(1, 1, 1)]


def test_a_count_with_a_hole_goes_on_in_a_new_epoch_after_its_last_sample() -> None:
    count = counting(2)
    count.part(1.0, 0.0, 1.0)
    assert count.begin() == [Sampled(3, 1), EpochOpened(4, 0, 0, "self_counted")]
    assert count.counter == 0


def test_the_count_is_told_once_a_second_while_it_moves() -> None:
    count = counting()
    count.part(1.0, 0.0, 1.0)
    assert count.sample(1.1) == [Sampled(1, 1)]
    count.part(1.2, 0.0, 1.2)
    assert count.sample(1.3) == []
    assert count.sample(2.2) == [Sampled(1, 2)]
    assert count.sample(9.9) == []


def lane() -> GoodLane:
    return GoodLane(after_s=1.0, tolerance_s=0.1)


@pytest.mark.parametrize(
    ("passes", "comes", "counted"),
    [
        (True, True, LineCounters(1, 0, 0, 0, 0)),
        (True, False, LineCounters(0, 0, 0, 0, 0)),
        (False, False, LineCounters(0, 1, 1, 0, 0)),
        (False, True, LineCounters(1, 1, 0, 0, 1)),
    ],
)
def test_the_eye_behind_the_gate_confirms_what_became_of_a_part(
    passes: bool, comes: bool, counted: LineCounters
) -> None:
    eye = lane()
    eye.expect(1, 5.0)
    eye.settled(1, passes)
    if comes:
        eye.at_eye(6.05)
    eye.look(6.2)
    assert eye.counters == counted


def test_a_bypassed_part_is_good_and_no_reject() -> None:
    eye = lane()
    eye.expect(1, 5.0, bypassed=True)
    eye.at_eye(6.0)
    eye.look(9.0)
    assert eye.counters == LineCounters(1, 0, 0, 1, 0)


def test_nothing_is_confirmed_before_it_had_to_come_by_or_before_its_row_is_closed() -> None:
    eye = lane()
    eye.expect(1, 5.0)
    eye.look(9.0)
    assert eye.counters == LineCounters(0, 0, 0, 0, 0)
    eye.settled(1, passes=False)
    eye.look(6.05)
    assert eye.counters == LineCounters(0, 0, 0, 0, 0)
    eye.look(9.0)
    assert eye.counters == LineCounters(0, 1, 1, 0, 0)
