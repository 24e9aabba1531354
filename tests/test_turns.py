"""A station's claims on its bus, and the order of several, with a PLC made of registers."""

from itertools import pairwise

import pytest

from edge.plc.blocks import NO_RESULT, Result, StatusFlags, status_registers
from edge.plc.handshake import EpochOpened, Expired, Missed, Taken, Triggered, Wrong
from edge.plc.transaction import write_registers
from edge.plc.turns import SILENCES, Frame, LinkBack, LinkLost, Status
from edge.terms import Cause, Code
from tests.played_bus import COUNTERS, READY, Line, line, stubborn


def statuses(frames: list[Frame]) -> list[tuple[int, ...]]:
    return [frame.request.values for frame in frames if frame.lane == "status"]


def test_at_power_up_it_reads_then_wipes_the_result_and_only_then_writes_status() -> None:
    frames = line().run(6)
    assert [frame.lane for frame in frames] == [
        *["block", "block", "verdict", "block", "status", "block"]
    ]
    assert frames[2].request == write_registers(1, 105, NO_RESULT)
    assert frames[4].request == write_registers(1, 100, status_registers(READY, 1))


def test_nothing_is_written_while_the_plc_does_not_answer() -> None:
    bus = line()
    bus.dead.add(1)
    assert {frame.lane for frame in bus.run(300)} == {"block"}


def test_the_heartbeat_moves_four_times_a_second_while_it_is_granted() -> None:
    bus = line()
    bus.run(10)
    beats = [registers[1] for registers in statuses(bus.run(200))]
    assert beats == list(range(beats[0], beats[0] + len(beats)))
    assert 7 <= len(beats) <= 9


def test_the_heartbeat_stands_and_ready_goes_when_the_grant_runs_out() -> None:
    bus = line()
    bus.run(10)
    bus.turns[1].alive_until_s = bus.now_s
    stopped = statuses(bus.run(200))
    assert stopped == [status_registers(StatusFlags.ONLINE, stopped[0][1])]
    bus.counter += 1
    bus.run(4)
    assert bus.of(1, Missed) == [Missed(1, 101, 101, Cause.NOT_READY)]


def test_parts_are_triggered_only_after_the_plc_was_told_ready() -> None:
    bus = line()
    bus.run(3)
    bus.counter += 1
    bus.run(1)
    assert bus.of(1, Missed) == [Missed(1, 101, 101, Cause.NOT_READY)]
    bus.run(10)
    bus.counter += 1
    bus.run(2)
    assert len(bus.of(1, Triggered)) == 1


def test_a_changed_status_is_written_at_once_and_once() -> None:
    bus = line()
    bus.run(10)
    bus.turns[1].wanted = Status(READY | StatusFlags.BUSY, 2, 70_000, 3)
    written = statuses(bus.run(6))
    assert len(written) == 1
    assert written[0][0] == int(READY | StatusFlags.BUSY)
    assert written[0][2:] == (2, 70_000 & 0xFFFF, 3)


def test_a_verdict_goes_before_status_and_every_second_frame_is_a_read() -> None:
    bus = line(counters_base=200)
    bus.run(10)
    bus.counter += 1
    bus.run(2)
    bus.turns[1].wanted = Status(READY, acquired=101)
    bus.turns[1].handshake.submit(1, Result(101, Code.OK, 0, 0.1, 9), bus.now_s)
    lanes = [frame.lane for frame in bus.run(60)]
    assert lanes.index("verdict") < lanes.index("status")
    assert lanes.count("verdict") >= 4  # repeated, for this PLC never takes it
    assert all("block" in pair for pair in pairwise(lanes))


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.02, 0.03])
@pytest.mark.parametrize("baudrate", [9600, 19200, 38400, 115200])
def test_a_verdict_that_is_never_taken_does_not_starve_the_heartbeat(
    baudrate: int, delay_s: float
) -> None:
    bus = line(counters_base=200, deadline_ms=2400)
    bus.baudrate, bus.delay_s = baudrate, delay_s
    stubborn(bus)
    began_s = bus.now_s
    frames: list[Frame] = []
    while bus.now_s < began_s + 4.0:
        frames += bus.run(1)
    assert [frame.lane for frame in frames].count("verdict") >= 8
    assert len(bus.of(1, Expired)) == 1
    assert bus.longest_pause_s(1) <= 0.6


def test_a_heartbeat_goes_before_a_repeated_verdict_but_not_before_a_new_one() -> None:
    bus = line(deadline_ms=2400)
    bus.run(30)
    bus.until("status")
    bus.counter += 1
    bus.turns[1].wanted = Status(READY, acquired=7)
    assert [frame.lane for frame in bus.run(2)] == ["block", "status"]
    bus.turns[1].handshake.submit(1, Result(101, Code.OK, 0, 0.1, 9), bus.now_s)
    bus.now_s += 0.3  # heartbeat due
    writes = [frame.lane for frame in bus.run(5) if frame.lane != "block"]
    assert writes[:2] == ["verdict", "status"]
    bus.until("verdict")
    bus.now_s += 0.3  # heartbeat and repetition due
    writes = [frame.lane for frame in bus.run(5) if frame.lane != "block"]
    assert writes[:2] == ["status", "verdict"]


def test_a_heartbeat_that_did_not_arrive_is_still_due() -> None:
    bus = line(deadline_ms=2400)
    turns = stubborn(bus)
    bus.run(4)
    bus.now_s += 0.3
    turns.block(bus.now_s)
    beat = turns.beat(bus.now_s)
    assert beat is not None
    turns.failed(beat, "no answer", bus.now_s)
    bus.now_s += 0.1
    assert [frame.lane for frame in bus.run(2)] == ["block", "status"]


def test_the_heartbeats_of_two_stations_and_the_repeated_verdict_of_one_all_get_turns() -> None:
    bus = line(units=2, deadline_ms=2400)
    bus.baudrate, bus.delay_s = 9600, 0.02
    stubborn(bus)
    began_s, before = bus.now_s, len(bus.frames)
    while bus.now_s < began_s + 2.0:
        bus.run(1)
    lanes = [frame.lane for _, frame in bus.frames[before:]]
    assert lanes.count("verdict") >= 4
    assert max(bus.longest_pause_s(1), bus.longest_pause_s(2)) <= 0.8


def test_a_block_that_was_put_off_for_a_sounding_is_next_and_nothing_goes_before_it() -> None:
    bus = line()
    bus.run(30)
    bus.turns[1].wanted = Status(READY, active_recipe=7)

    def lane() -> str:
        chosen = bus.roundabout.next(bus.now_s)
        assert chosen is not None
        return chosen[1].lane

    while lane() != "block":
        pass
    bus.roundabout.put_off(bus.turns[1])
    assert [lane(), lane()] == ["block", "status"]


def test_counters_are_read_once_a_second() -> None:
    bus = line(counters_base=200)
    frames = bus.run(300)
    assert [f.lane for f in frames].count("counters") == 3
    assert bus.turns[1].counters == COUNTERS


def test_the_first_moving_heartbeat_and_every_return_are_said() -> None:
    bus = line()
    bus.run(3)
    assert bus.of(1, LinkBack, LinkLost) == [LinkBack()]
    bus.dead.add(1)
    bus.run(60)
    assert bus.of(1, LinkBack, LinkLost) == [LinkBack(), LinkLost("unit 1 fails")]
    bus.dead.clear()
    bus.run(400)
    assert bus.of(1, LinkBack, LinkLost)[2:] == [LinkBack()]


def test_a_plc_that_never_answers_is_lost_with_the_reason() -> None:
    bus = line()
    bus.dead.add(1)
    bus.run(60)
    assert bus.of(1, LinkLost) == [LinkLost("unit 1 fails")]
    assert bus.turns[1].unplugged("port gone") == []


def test_a_program_that_stands_still_is_lost_though_it_answers() -> None:
    bus = line()
    bus.run(10)
    bus.beating = False
    bus.run(150)
    (lost,) = bus.of(1, LinkLost)
    assert isinstance(lost, LinkLost)
    assert "stands still" in lost.text
    bus.beating = True
    bus.run(2)
    assert len(bus.of(1, LinkBack)) == 2


def test_a_lost_port_is_said_at_once() -> None:
    bus = line()
    bus.run(10)
    assert bus.turns[1].unplugged("port gone") == [LinkLost("port gone")]


def test_a_dead_plc_is_asked_less_and_less_and_its_neighbour_goes_on() -> None:
    bus = line(units=2)
    bus.run(20)
    bus.dead.add(2)
    began_s, before = bus.now_s, len(bus.frames)
    bus.run(1000)
    asked = [unit for unit, _ in bus.frames[before:]]
    assert asked.count(2) <= SILENCES - 1 + (bus.now_s - began_s) / 1.5
    assert asked.count(1) > 900
    assert not bus.of(1, LinkLost)


def one_left_alone(deadline_ms: int = 400, max_rate_per_s: float = 10.0) -> Line:
    """Unit 2 has been dead for a while, unit 1 makes no parts yet."""
    bus = line(units=2, deadline_ms=deadline_ms, max_rate_per_s=max_rate_per_s)
    bus.running = True
    bus.run(20)
    bus.dead.add(2)
    bus.run(300)
    assert bus.turns[2].left_alone
    return bus


def producing(bus: Line, every_s: float, judged: bool) -> list[tuple[float, bool, bool]]:
    """Unit 1 makes a part every so often for a minute, each judged at once, or none.

    Returns:
        When unit 2 was asked, whether only briefly, and whether a part of unit 1 was between
        trigger and echo.
    """
    bus.takes = judged
    asked: list[tuple[float, bool, bool]] = []
    ends_s, next_s = bus.now_s + 60, bus.now_s
    while bus.now_s < ends_s:
        if bus.now_s >= next_s:
            bus.counter, next_s = bus.counter + 1, bus.now_s + every_s
        told, before = len(bus.of(1, Triggered)), len(bus.frames)
        now_s, under_way = bus.now_s, bus.turns[1].quiet_until_s(bus.now_s) == float("-inf")
        bus.run(1)
        for new in bus.of(1, Triggered)[told:] if judged else ():
            assert isinstance(new, Triggered)
            number = new.trigger.part.number
            bus.turns[1].handshake.submit(1, Result(number, Code.OK, 0, 0.1, 9), bus.now_s)
        frames = [frame for unit, frame in bus.frames[before:] if unit == 2]
        asked += [(now_s, frame.brief, under_way) for frame in frames]
    return asked


@pytest.mark.parametrize(
    ("every_s", "judged", "max_rate_per_s", "least_s", "most_s"),
    [
        (1.0, True, 1.0, 1.4, 4.0),  # a part can come once a second: it is over before the next
        (0.3, True, 10.0, 5.0, 6.5),  # sooner: now and then, between two parts
        (0.2, False, 10.0, 10.0, 12.5),  # always one under way
    ],
)
def test_a_dead_plc_is_asked_wholly_between_the_parts_of_its_neighbour_and_never_forgotten(
    every_s: float, judged: bool, max_rate_per_s: float, least_s: float, most_s: float
) -> None:
    bus = one_left_alone(max_rate_per_s=max_rate_per_s)
    asked = producing(bus, every_s, judged)[1:]  # the first may come before the first part
    wholly = [(at_s, under_way) for at_s, brief, under_way in asked if not brief]
    assert any(under_way for _, under_way in wholly) != judged
    pauses = [later - sooner for (sooner, _), (later, _) in pairwise(wholly)]
    assert least_s <= min(pauses)
    assert max(pauses) <= most_s
    assert len(bus.of(1, Taken)) >= 50 * judged


@pytest.mark.parametrize(("every_s", "judged"), [(0.3, True), (0.2, False)])
def test_a_plc_that_lives_again_is_found_within_four_seconds_beside_a_busy_neighbour(
    every_s: float, judged: bool
) -> None:
    bus = one_left_alone()
    asked = producing(bus, every_s, judged)
    assert max(later[0] - sooner[0] for sooner, later in pairwise(asked)) < 4.0
    bus.dead.clear()
    began_s = bus.now_s
    while bus.turns[2].left_alone:
        bus.run(1)
    assert bus.now_s - began_s < 4.0
    assert not any(frame.brief for frame in bus.run(10)), "it lives"


def test_a_dead_plc_that_answers_a_sounding_is_read_at_once_and_wholly() -> None:
    bus = one_left_alone(deadline_ms=8000)
    stubborn(bus)
    bus.now_s += 4  # since it was asked
    while bus.frames[-1][0] != 2:
        bus.run(1)
    assert bus.frames[-1][1].brief
    bus.roundabout.put_off(bus.turns[2])
    bus.now_s += 4
    before = len(bus.frames)
    bus.run(3)
    assert [frame.brief for unit, frame in bus.frames[before:] if unit == 2] == [False]


def test_two_stations_are_read_in_turn_and_the_verdict_of_either_goes_first() -> None:
    bus = line(units=2)
    bus.run(30)
    units = [unit for unit, frame in bus.frames[-12:] if frame.lane == "block"]
    assert abs(units.count(1) - units.count(2)) <= 1
    bus.counter += 1
    bus.run(6)
    for unit in (1, 2):
        bus.turns[unit].handshake.submit(1, Result(101, Code.NG, 0, 0.9, 9), bus.now_s)
    before = len(bus.frames)
    bus.run(4)
    lanes = [(unit, frame.lane) for unit, frame in bus.frames[before:] if frame.lane != "block"]
    assert sorted(lanes) == [(1, "verdict"), (2, "verdict")]


def test_a_plc_that_restarts_is_wiped_and_told_again() -> None:
    bus = line()
    bus.run(10)
    bus.plc_start, bus.counter = 2, 0
    lanes = [frame.lane for frame in bus.run(8)]
    assert lanes.index("verdict") < lanes.index("status")
    assert len(bus.of(1, EpochOpened)) == 2


def test_refused_writes_are_said_once_and_tried_again_slowly() -> None:
    bus = line()
    bus.deaf_to_writes = True
    frames = bus.run(100)
    assert bus.of(1, Wrong) == [Wrong("unit 1 fails")]
    assert 10 <= sum(bool(frame.request.values) for frame in frames) <= 20


def test_after_a_failure_nothing_is_written_before_the_block_was_read_again() -> None:
    bus = line()
    bus.run(10)
    bus.counter += 1
    bus.run(2)
    turns = bus.turns[1]
    turns.handshake.submit(1, Result(101, Code.OK, 0, 0.1, 9), bus.now_s)
    verdict = turns.urgent(bus.now_s)
    assert verdict is not None
    turns.failed(verdict, "no answer", bus.now_s)
    later_s = bus.now_s + 0.2
    assert turns.urgent(later_s) is None
    assert turns.other(later_s) is None
    assert [frame.lane for frame in bus.run(1)] == ["block"]
    assert turns.urgent(later_s) is not None


@pytest.mark.parametrize("met", [True, False])
def test_a_farewell_is_said_only_to_a_plc_that_knows_us(met: bool) -> None:
    bus = line()
    if met:
        bus.run(10)
    frame = bus.turns[1].farewell()
    assert (frame is not None) == met
    if frame is not None:
        assert frame.request.values[0] == 0


def test_a_new_epoch_does_not_begin_with_the_counters_of_the_run_before() -> None:
    bus = line(counters_base=200)
    bus.run(150)
    assert bus.turns[1].counters == COUNTERS
    bus.plc_start = 2
    while len(bus.of(1, EpochOpened)) < 2:
        bus.run(1)
    assert bus.turns[1].counters is None
    bus.until("counters")
    assert bus.turns[1].counters == COUNTERS
