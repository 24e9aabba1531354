"""The handshake, one situation after the other."""

from dataclasses import replace

import pytest
from msgspec import structs

from edge.plc.blocks import NO_RESULT, Control, Result, result_registers, verdict_word
from edge.plc.handshake import (
    Bypassed,
    EpochOpened,
    Expired,
    Handshake,
    Missed,
    ResetPressed,
    Resume,
    Running,
    Sampled,
    Taken,
    Triggered,
    Wrong,
)
from edge.terms import Cause, Code, Mode
from tests.played_plc import START, STATION, Plc, met, of


def test_first_contact_opens_an_epoch_and_judges_nothing_in_flight() -> None:
    plc = met()
    assert of(plc.seen, EpochOpened) == [EpochOpened(1, 1000, 9, "first_contact")]
    assert of(plc.seen, Running) == [Running(True, Mode.AUTO, 2)]
    assert not of(plc.seen, Triggered)


def test_a_part_is_triggered_with_its_edge_and_deadline() -> None:
    plc = met()
    plc.now_s = 100.0
    (triggered,) = of(plc.part(age_ms=15), Triggered)
    trigger = triggered.trigger
    assert (trigger.part.station, trigger.part.epoch, trigger.part.number) == ("s", 1, 1001)
    assert trigger.edge_s == pytest.approx(100.01 - 0.015)
    assert triggered.deadline_s == pytest.approx(trigger.edge_s + 0.4)
    assert (trigger.mode, trigger.recipe) == (Mode.AUTO, 2)


@pytest.mark.parametrize("scan_ms", [10, 40])
def test_the_edge_is_never_named_earlier_than_it_can_have_been(scan_ms: float) -> None:
    handshake = Handshake(structs.replace(STATION, scan_ms=scan_ms), None)
    handshake.ready = True
    block = START
    for _ in range(2):
        handshake.observe(block.encode(), 10.0, wait_s=0.02)
    block = replace(START, counter=1001, trigger_number=1001, trigger_age_ms=30)
    (triggered,) = of(handshake.observe(block.encode(), 10.5, wait_s=0.02), Triggered)
    assert triggered.trigger.edge_s == pytest.approx(10.5 + 0.02 - 0.03)
    assert triggered.trigger.edge_error_s == pytest.approx(0.02 + 3 * scan_ms / 1000)


def test_of_two_new_numbers_the_newest_is_triggered_after_a_second_read_says_so() -> None:
    plc = met()
    assert plc.part(2) == []
    seen = plc.read()
    assert of(seen, Missed) == [Missed(1, 1001, 1001, Cause.NO_TRIGGER)]
    assert [one.trigger.part.number for one in of(seen, Triggered)] == [1002]


def test_a_jump_that_the_next_read_takes_back_never_was() -> None:
    plc = met()
    assert plc.read(counter=70_000) == []
    assert plc.read(counter=1000) == []
    (triggered,) = of(plc.part(), Triggered)
    assert triggered.trigger.part.number == 1001


def test_a_plc_start_number_is_believed_only_when_read_twice() -> None:
    plc = met()
    assert plc.read(plc_start=10) == []
    assert plc.read(plc_start=11) == []
    assert plc.read(plc_start=9) == []
    plc.read(plc_start=12)
    assert of(plc.read(), EpochOpened) == [EpochOpened(2, 1000, 12, "plc_restart")]


def test_a_torn_counter_is_not_believed() -> None:
    plc = met()
    assert plc.read(counter=1001, trigger_number=1000) == []
    assert plc.read(counter=1001, trigger_number=1002) == []
    assert len(of(plc.part(0), Triggered)) == 1
    for _ in range(5):
        plc.read(trigger_number=3)
    assert len(of(plc.seen, Wrong)) == 1


def test_more_parts_than_can_have_come_open_a_new_epoch() -> None:
    plc = met()
    plc.part(5)
    seen = plc.read()
    assert of(seen, EpochOpened) == [EpochOpened(2, 1005, 9, "jump")]
    assert not of(plc.seen, Missed)


def test_parts_that_can_have_come_in_a_long_silence_are_missed_in_the_same_epoch() -> None:
    plc = met()
    plc.part(50, step_s=5.0)
    seen = plc.read()
    assert of(seen, Missed) == [Missed(1, 1001, 1049, Cause.NO_TRIGGER)]
    assert not of(plc.seen, EpochOpened)[1:]


def test_a_part_found_after_its_deadline_is_missed() -> None:
    plc = met()
    seen = plc.part(age_ms=401)
    assert of(seen, Missed) == [Missed(1, 1001, 1001, Cause.NO_TRIGGER)]
    assert not of(seen, Triggered)


def test_a_step_back_opens_a_new_epoch() -> None:
    plc = met()
    plc.read(counter=990)
    assert of(plc.read(), EpochOpened) == [EpochOpened(2, 990, 9, "step_back")]


def test_a_new_plc_start_number_drops_every_pending_result() -> None:
    plc = met()
    plc.part()
    plc.submit(1001)
    assert plc.handshake.due(plc.now_s) is not None
    plc.part()
    plc.read(plc_start=10, counter=0)
    seen = plc.read()
    assert of(seen, Expired) == [Expired(1, 1001, True), Expired(1, 1002, False)]
    assert of(seen, EpochOpened) == [EpochOpened(2, 0, 10, "plc_restart")]
    assert of(plc.seen, Sampled)[-1] == Sampled(1, 1002)
    assert not plc.handshake.opened
    assert plc.handshake.due(plc.now_s) == NO_RESULT
    plc.handshake.submit(1, Result(1, Code.OK, 0, 0.5, 20), plc.now_s)
    plc.part()
    plc.handshake.submit(1, Result(1, Code.OK, 0, 0.5, 20), plc.now_s)  # verdict of the old part 1
    assert plc.handshake.due(plc.now_s) == NO_RESULT


def test_a_counter_that_wraps_goes_on() -> None:
    plc = met(counter=2**32 - 1)
    (triggered,) = of(plc.part(), Triggered)
    assert triggered.trigger.part.number == 2**32
    plc.submit(2**32)
    assert [one.number for one in of(plc.take(), Taken)] == [2**32]


def test_a_verdict_is_written_until_its_echo_is_read() -> None:
    plc = met()
    plc.part()
    assert plc.handshake.due(plc.now_s) is None
    plc.submit(1001, Code.NG)
    assert plc.handshake.due(plc.now_s) == result_registers(
        Result(1001, Code.NG, 0, 0.5, inspect_ms=20)
    )
    plc.now_s += 0.1
    assert of(plc.take(), Taken) == [Taken(1, 1001, Code.NG, plc.now_s)]
    assert plc.handshake.due(plc.now_s + 1) is None
    assert plc.handshake.expire(plc.now_s + 1) == []


def test_only_a_verdict_that_went_out_and_is_not_answered_is_repeating() -> None:
    plc = met()
    assert not plc.handshake.repeating
    for number, end in enumerate(("echo", "deadline", "restart"), start=1001):
        plc.part()
        plc.submit(number)
        assert not plc.handshake.repeating
        if end == "echo":
            plc.take()
        else:
            plc.handshake.due(plc.now_s)
            assert plc.handshake.repeating
            if end == "deadline":
                plc.now_s += 0.5
                plc.handshake.expire(plc.now_s)
            else:
                plc.read(plc_start=10, counter=0)
                plc.read()
        assert not plc.handshake.repeating


def test_a_part_without_echo_expires_once() -> None:
    plc = met()
    plc.part()
    plc.submit(1001)
    plc.handshake.due(plc.now_s)
    assert plc.handshake.expire(plc.now_s + 0.3) == []
    assert plc.handshake.expire(plc.now_s + 0.5) == [Expired(1, 1001, True)]
    assert plc.handshake.expire(plc.now_s + 0.6) == []


@pytest.mark.parametrize(
    ("control", "mode"),
    [(Control.MONITOR, Mode.MONITOR), (Control.SAMPLE_PART, Mode.SAMPLE)],
)
def test_the_key_switch_gives_the_mode(control: Control, mode: Mode) -> None:
    plc = met(control=int(START.control | control))
    (triggered,) = of(plc.part(), Triggered)
    assert triggered.trigger.mode is mode
    assert of(plc.seen, Running) == [Running(True, mode, 2)]


def test_bypassed_parts_are_bypassed_and_the_change_is_said() -> None:
    plc = met()
    plc.read(control=int(START.control | Control.BYPASS))
    assert of(plc.part(), Bypassed) == [Bypassed(1, 1001, 1001)]
    assert of(plc.seen, Running)[-1] == Running(True, Mode.BYPASS, 2)
    assert not of(plc.seen, Triggered)


def test_the_bypass_bit_speaks_for_the_newest_part_alone() -> None:
    plc = met()
    plc.part(3, step_s=1.0)
    seen = plc.read(control=int(START.control | Control.BYPASS))
    assert of(seen, Missed) == [Missed(1, 1001, 1002, Cause.NO_TRIGGER)]
    assert of(seen, Bypassed) == [Bypassed(1, 1003, 1003)]


def test_numbers_between_two_parts_in_bypass_are_bypassed_too() -> None:
    plc = met(control=int(START.control | Control.BYPASS))
    plc.part(3, step_s=1.0)
    assert of(plc.read(), Bypassed) == [Bypassed(1, 1001, 1003)]
    assert not of(plc.seen, Missed)


def test_a_read_without_bypass_between_two_in_bypass_parts_them() -> None:
    plc = met(control=int(START.control | Control.BYPASS))
    plc.read(1.0, counter=1002, control=int(START.control))
    seen = plc.read(counter=1003, control=int(START.control | Control.BYPASS))
    assert of(seen, Missed) == [Missed(1, 1001, 1002, Cause.NO_TRIGGER)]
    assert of(seen, Bypassed) == [Bypassed(1, 1003, 1003)]


def test_parts_that_come_while_the_node_is_not_ready_or_not_wanted_are_missed() -> None:
    plc = met()
    plc.handshake.ready = False
    assert of(plc.part(), Missed) == [Missed(1, 1001, 1001, Cause.NOT_READY)]
    plc.handshake.ready = True
    plc.read(control=int(Control.LINE_RUNNING))
    assert of(plc.part(), Missed) == [Missed(1, 1002, 1002, Cause.NOT_READY)]


def test_reset_is_said_once_per_press() -> None:
    plc = met()
    for _ in range(3):
        plc.read(control=int(START.control | Control.RESET))
    plc.read(control=int(START.control))
    plc.read(control=int(START.control | Control.RESET))
    assert len(of(plc.seen, ResetPressed)) == 2


def test_the_counter_is_sampled_once_a_second_and_when_it_has_stopped() -> None:
    plc = met()
    for _ in range(30):
        plc.part(step_s=0.1)
    for _ in range(30):
        plc.read(0.1)
    sampled = of(plc.seen, Sampled)
    assert 3 <= len(sampled) <= 4
    assert sampled[-1] == Sampled(1, 1030)


def test_a_wrong_map_version_is_said_once_and_nothing_is_written() -> None:
    plc = Plc(Handshake(STATION, None))
    for _ in range(3):
        plc.read(map_version=7)
    assert len(plc.seen) == len(of(plc.seen, Wrong)) == 1
    assert plc.handshake.due(plc.now_s) is None
    assert not plc.handshake.opened


def test_nothing_is_written_before_the_map_matches_and_status_only_after_result_zero() -> None:
    handshake = Handshake(STATION, None)
    assert handshake.due(1.0) is None
    handshake.observe(START.encode(), 1.0)
    assert handshake.due(1.0) is None
    handshake.observe(START.encode(), 1.1)
    assert not handshake.opened
    assert handshake.due(1.1) == NO_RESULT
    handshake.acknowledged(NO_RESULT, 1.1)
    assert handshake.opened


# -- after a restart of the node -------------------------------------------------------------

BEFORE = Resume(epoch=4, base=900, counter=990, plc_start=9, age_s=3.0)


def test_a_restarted_node_goes_on_in_its_epoch_and_misses_what_came_meanwhile() -> None:
    plc = met(BEFORE)
    assert not of(plc.seen, EpochOpened)
    assert of(plc.seen, Missed) == [Missed(4, 991, 1000, Cause.NODE_RESTART)]
    assert of(plc.seen, Sampled) == [Sampled(4, 1000)]
    (triggered,) = of(plc.part(), Triggered)
    assert triggered.trigger.part.epoch == 4


def test_what_passed_a_node_that_was_away_is_missed_though_the_line_is_in_bypass_now() -> None:
    plc = met(
        Resume(epoch=4, base=0, counter=100, plc_start=9, age_s=3600.0),
        counter=5000,
        control=int(START.control | Control.BYPASS),
    )
    assert of(plc.seen, Missed) == [Missed(4, 101, 4999, Cause.NODE_RESTART)]
    assert of(plc.seen, Bypassed) == [Bypassed(4, 5000, 5000)]


def test_a_restarted_node_hears_which_verdict_was_taken_before_anything_else() -> None:
    plc = met(BEFORE, result_taken=988, word_taken=verdict_word(988, Code.OK))
    assert plc.seen[0] == Taken(4, 988, Code.OK, plc.now_s)
    assert not of(met(BEFORE).seen, Taken)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"plc_start": 10}, "plc_restart"),
        ({"counter": 989}, "step_back"),
        ({"counter": 990 + 33}, "jump"),
    ],
)
def test_a_restarted_node_that_finds_another_count_opens_an_epoch(
    changes: dict[str, int], cause: str
) -> None:
    plc = met(BEFORE, **changes)
    (opened,) = of(plc.seen, EpochOpened)
    assert (opened.epoch, opened.cause) == (5, cause)
    assert not of(plc.seen, Missed)
    assert of(plc.seen, Sampled) == [Sampled(4, 990)]


def test_the_wait_for_the_plc_counts_as_time_for_parts_to_come() -> None:
    handshake = Handshake(STATION, BEFORE, begun_s=40.0)
    plc = Plc(handshake, now_s=50.0)
    plc.read(counter=990 + 120)
    assert of(plc.read(), Missed) == [Missed(4, 991, 1110, Cause.NODE_RESTART)]


def test_a_node_that_does_not_know_how_long_it_was_away_believes_a_day() -> None:
    resume = replace(BEFORE, age_s=None)
    assert not of(met(resume, counter=990 + 800_000).seen, EpochOpened)
    assert of(met(resume, counter=990 + 900_000).seen, EpochOpened)
