"""The timetable: no verdict on a loaded bus is later than the plan foretold, and what cannot fit is
refused with the way out."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec.structs import replace

from edge.plc.backoff import Backoff
from edge.plc.blocks import Result
from edge.plc.handshake import Triggered
from edge.plc.plan import BusPlan
from edge.plc.tag_lane import TagLane, groups
from edge.plc.timetable import (
    NOT_EVEN,
    WIRES,
    Measured,
    Timetable,
    at_most,
    timetable,
    too_fast,
)
from edge.settings import Bus, Io, Slave, Station, Tag
from edge.terms import Code
from tests import played_bus
from tests.played_bus import Line

BAUDRATES: tuple[Any, ...] = (9600, 19200, 38400, 57600, 115200)
SCAN_S = 0.01
KNOWN = Measured(0.030, 0.008, {"c": 0.02})


def bus(baudrate: Any = 115200, **keys: Any) -> Bus:
    return Bus(name="b", port="p", baudrate=baudrate, **keys)


def station(name: str = "s1", unit: int = 1, **keys: Any) -> Station:
    wiring = {"trigger": "hardware", "cameras": ("c",), "deadline_ms": 2000, **keys}
    return Station(name=name, bus="b", unit=unit, **wiring)


def tags(count: int) -> list[Tag]:
    own = [Tag(name=f"p{n}", station="s1", address=300 + 4 * n, type="u32") for n in range(count)]
    return own + [Tag(name=f"m{n}", slave="meter", address=4 * n) for n in range(count)]


METER = Slave(name="meter", bus="b", unit=7, answer_ms=10)


# -- against a bus that is played --------------------------------------------------------------


def played(baudrate: int, units: int, wanted: Sequence[Tag]) -> tuple[Line, BusPlan]:
    """A loaded bus, its PLCs told that the node is ready, and its plan."""
    made = played_bus.line(units, counters_base=200, deadline_ms=2000)
    stations = [played_bus.station(unit, 200, 2000) for unit in range(1, units + 1)]
    plan = BusPlan(bus(baudrate), stations, [METER], wanted)
    frames = groups(wanted, stations, [METER], backoff=lambda: Backoff(chance=lambda: 0.5))
    line = Line(made.turns, tags=TagLane(frames, plan.probe_s), running=True, takes=True)
    line.baudrate, line.delay_s = baudrate, SCAN_S
    line.run(60)
    return line, plan


@pytest.mark.parametrize("units", [1, 2])
@pytest.mark.parametrize("count", [0, 10])
@pytest.mark.parametrize("baudrate", [9600, 19200, 115200])
def test_no_part_is_seen_and_answered_later_than_the_plan_says(
    baudrate: int, count: int, units: int
) -> None:
    line, plan = played(baudrate, units, tags(count))
    own = plan.stations[0]
    seen_s, written_s = [], []
    for phase in range(60):
        line.run(3 + phase % 7)
        line.counter += 1
        changed_s, known = line.now_s, len(line.of(1, Triggered))
        while len(line.of(1, Triggered)) == known:
            line.run(1)
        seen_s.append(line.now_s - changed_s)
        judged_s, before = line.now_s, len(line.frames)
        line.run(phase % 2)  # the verdict comes when the next frame has just begun, or before it
        number = line.counter
        line.turns[1].handshake.submit(1, Result(number, Code.OK, 0, 0.1, 9), judged_s)
        while not _is_verdict(line, before):
            line.run(1)
        written_s.append(line.now_s - judged_s)
    reply_s = SCAN_S + 8 * 11 / baudrate  # of the verdict, which is in the PLC before it answers
    assert max(seen_s) <= plan.seen_s(own) + 1e-9
    assert max(written_s) - reply_s <= plan.verdict_s(own) + 1e-9
    if (
        count and units == 1
    ):  # every turn is taken: what is foretold does happen, but for the phase of a frame
        foretold_s = plan.seen_s(own) + plan.verdict_s(own)
        assert foretold_s <= 1.6 * (max(seen_s) + max(written_s))


def _is_verdict(line: Line, before: int) -> bool:
    return any(unit == 1 and frame.lane == "verdict" for unit, frame in line.frames[before:])


# -- arithmetic --------------------------------------------------------------------------------


rates = st.sampled_from(BAUDRATES)


@given(rates, rates, st.integers(0, 12), st.booleans())
def test_a_faster_bus_is_never_slower(one: Any, other: Any, count: int, counters: bool) -> None:
    own = station(counters_base=20 if counters else None)
    slow, fast = (BusPlan(bus(rate), [own], [METER], tags(count)) for rate in sorted((one, other)))
    assert fast.poll_s <= slow.poll_s
    assert fast.seen_s(own) <= slow.seen_s(own)
    assert fast.verdict_s(own) <= slow.verdict_s(own)
    assert fast.used <= slow.used


@given(rates, st.integers(1, 4), st.floats(0.1, 20), st.floats(1, 100))
def test_one_more_station_a_longer_gap_or_scan_never_helps(
    rate: Any, units: int, gap_ms: float, scan_ms: float
) -> None:
    own = [station(f"s{n}", n) for n in range(1, units + 1)]
    plan = BusPlan(bus(rate), own)
    more = BusPlan(bus(rate), [*own, station("more", 99)])
    gap = BusPlan(bus(rate, gap_ms=gap_ms), own)
    slow = BusPlan(bus(rate), [replace(one, scan_ms=10 + scan_ms) for one in own])
    for other in (more, gap, slow):
        place = other.stations[0]
        assert other.poll_s >= plan.poll_s
        assert other.seen_s(place) >= plan.seen_s(own[0])
        assert other.verdict_s(place) >= plan.verdict_s(own[0])
        assert other.used >= plan.used


@given(st.integers(0, 30))
def test_more_tags_never_make_a_bus_faster(count: int) -> None:
    plans = [BusPlan(bus(9600), [station()], [METER], tags(n)) for n in (count, count + 1)]
    assert plans[0].verdict_s(station()) <= plans[1].verdict_s(station())


def test_what_a_bus_carries_of_other_buses_does_not_count() -> None:
    other = [Tag(name="x", slave="far", address=0, type="u32")]
    far = Slave(name="far", bus="b2", unit=3, answer_ms=1000)
    assert BusPlan(bus(), [station()], [far], other).poll_s == BusPlan(bus(), [station()]).poll_s


def test_a_probe_counts_the_listening_where_an_answer_can_be_later_than_the_next_probe() -> None:
    """Nobody silent is asked again before 0.75 s; what is owed may come for one timeout more."""
    quick, slow = (BusPlan(bus(reply_timeout_s=wait_s), [station()]) for wait_s in (0.75, 2.0))
    listened_s = 2.0 - 0.75
    assert slow.probe_s - quick.probe_s == pytest.approx(2 * (2.0 - 0.75) + listened_s)
    assert quick.probe_s == pytest.approx(2 * 0.75 + 0.00175 + 8 * 11 / 115200)


@pytest.mark.parametrize("baudrate", [9600, 115200])
def test_a_brief_question_keeps_the_bus_one_scan_longer_than_its_answer(
    baudrate: int,
) -> None:
    plan = BusPlan(bus(baudrate), [station()])
    block_s = plan.block_s(station())
    assert plan.brief_s == pytest.approx(block_s + station().scan_ms / 1000)
    assert plan.brief_s < plan.probe_s / 2


def way(measured: Measured | None = KNOWN, baudrate: Any = 115200, **keys: Any) -> Timetable:
    own = station(**keys)
    return timetable(BusPlan(bus(baudrate), [own]), own, [("c", 0.0)], measured)


def known(**keys: Any) -> Measured:
    return dataclasses.replace(KNOWN, **keys)


def test_the_steps_add_up_to_the_whole_and_the_mm_to_the_speed() -> None:
    whole = way(speed_mm_s=500.0, gate_mm=600.0, valve_ms=40.0)
    assert whole.total_s == pytest.approx(sum(step.took_s or 0 for step in whole.steps))
    assert whole.taken_s == pytest.approx(whole.total_s - 0.04)
    *steps, total, travel, spare = whole.lines()
    assert len(steps) == len(whole.steps)
    assert f"{whole.total_s * 1000:.1f} ms" in total
    assert f"{whole.total_s * 500:.1f} mm" in total
    assert travel.endswith("1200.0 ms   600.0 mm")
    assert spare.startswith("to spare ")
    assert f"{1200 - whole.total_s * 1000:.1f} ms" in spare


def test_the_table_says_by_how_much_a_verdict_is_too_late() -> None:
    late = way(speed_mm_s=500.0, gate_mm=50.0)
    assert late.lines()[-1].startswith("TOO LATE BY ")
    assert f"{(late.total_s - 0.1) * 1000:.1f} ms" in late.lines()[-1]
    assert "TOO LATE" not in "".join(way(speed_mm_s=500.0).lines())  # nobody said where the gate is


def test_a_way_that_fits_is_no_problem_and_one_that_does_not_names_the_way_out() -> None:
    fits = way(speed_mm_s=500.0, gate_mm=1200.0)
    assert fits.problems() == []
    near_mm = 500 * (fits.total_s - 0.02)
    (problem,) = way(speed_mm_s=500.0, gate_mm=near_mm, deadline_ms=60_000).problems()
    assert problem.startswith(f"gate_mm: a part is at the gate {near_mm * 2:.0f} ms after the sen")
    assert problem.endswith(WIRES)
    assert "discrete I/O" in WIRES


def test_a_wire_is_no_way_out_where_it_would_be_too_late_too() -> None:
    whole = way(speed_mm_s=500.0, deadline_ms=60_000)
    by_wire_mm = 500 * (whole.total_s - whole.told_s)
    for gate_mm, way_out in ((by_wire_mm + 0.5, WIRES), (by_wire_mm - 0.5, NOT_EVEN)):
        (problem,) = way(speed_mm_s=500.0, gate_mm=gate_mm, deadline_ms=60_000).problems()
        assert problem.endswith(way_out)


def test_a_computer_that_judges_slower_than_parts_come_is_refused() -> None:
    slow = way(known(mean_s=0.0305), max_rate_per_s=40.0)
    assert slow.problems()[-1].startswith(
        "max_rate_per_s: 40 is a part every 25 ms, but this computer takes 30 ms to judge one and "
        "commit its row; expected at most 32, or a faster [runtime]"
    )
    assert way(known(mean_s=0.0305), max_rate_per_s=32.0).problems() == []


@hypothesis_settings(max_examples=50)
@given(rates, st.floats(50, 3000), st.floats(50, 5000))
def test_a_way_is_refused_exactly_where_it_is_longer_than_the_travel(
    rate: Any, speed_mm_s: float, gate_mm: float
) -> None:
    made = way(baudrate=rate, speed_mm_s=speed_mm_s, gate_mm=gate_mm, deadline_ms=60_000)
    refused = any(problem.startswith("gate_mm") for problem in made.problems())
    assert refused == (made.total_s > gate_mm / speed_mm_s)


def test_the_valve_counts_against_the_travel() -> None:
    whole = way(speed_mm_s=1000.0, valve_ms=100.0)
    between_mm = 1000 * (whole.total_s - 0.05)
    near = way(speed_mm_s=1000.0, valve_ms=100.0, gate_mm=between_mm, deadline_ms=60_000)
    assert near.problems()[0].startswith("gate_mm")


def test_a_deadline_that_the_verdict_cannot_meet_or_the_part_has_passed_by_is_refused() -> None:
    (short,) = way(deadline_ms=80).problems()
    assert short.startswith("deadline_ms: 80, but a verdict may need")
    (late,) = way(speed_mm_s=500.0, gate_mm=500.0, deadline_ms=1000).problems()
    assert late == (
        "deadline_ms: 1000 lets a verdict come after its part has passed; expected at most 950"
    )


def test_what_nobody_measured_is_told_and_the_rest_is_compared_all_the_same() -> None:
    unknown = way(None)
    assert unknown.unknown == [
        *("frame, beyond the poll", "inference, p99.9", "commit to the ledger, p99.9"),
        "bus thread late once, the longest",
    ]
    assert sum("not measured" in line for line in unknown.lines()) == 4
    assert "sensor edge to gate moved, at least" in unknown.lines()[-1]
    assert way(None, speed_mm_s=500.0, gate_mm=20.0).problems()


def test_of_few_parts_the_longest_is_told_as_what_it_is() -> None:
    few = "".join(way(known(parts=360)).lines())
    assert "inference, longest of 360" in few
    assert "commit to the ledger, longest of 360" in few
    assert "p99.9" not in few
    assert "inference, p99.9" in "".join(way().lines())


def test_a_computer_that_keeps_the_bus_waiting_is_reckoned_with_once() -> None:
    late = way(known(late_s=0.007))
    assert late.total_s == pytest.approx(way().total_s + 0.007)
    assert f"{'bus thread late once, the longest':36}     7.0 ms" in late.lines()
    assert late.told_s == way().told_s  # a wire would wait for it too


def test_a_camera_that_gave_no_picture_is_named_in_its_step() -> None:
    blind = way(known(frames_s={}))
    assert blind.unknown == ["frame, beyond the poll"]
    assert "c gave no picture: let parts pass" in "".join(blind.lines())


def test_parts_that_stand_are_compared_with_no_travel() -> None:
    assert way(speed_mm_s=0.0, gate_mm=1.0).travel_s is None


@pytest.mark.parametrize(
    ("trigger", "beyond_ms"), [("hardware", 0.0), ("software", 20.0), ("free_run", 20.0)]
)
def test_a_picture_costs_only_what_it_takes_longer_than_the_poll(
    trigger: Any, beyond_ms: float
) -> None:
    frame = next(step for step in way(trigger=trigger).steps if step.name.startswith("frame"))
    assert frame.took_s == pytest.approx(beyond_ms / 1000)


def test_a_camera_far_behind_the_sensor_is_waited_for() -> None:
    own = station()
    plan = BusPlan(bus(), [own])
    far = timetable(plan, own, [("c", 0.5)], KNOWN)
    known_s = 2 * own.scan_ms / 1000 + plan.seen_s(own)
    assert far.steps[2].took_s == pytest.approx(0.52 - known_s)


# -- takt --------------------------------------------------------------------------------------


def test_a_takt_below_two_polls_and_a_result_is_refused_with_the_rate_that_is_possible() -> None:
    own = station(max_rate_per_s=10.0)
    plan = BusPlan(bus(9600), [own])
    (problem,) = too_fast(plan)
    least_s = plan.part_s(own)
    assert problem.startswith("[station s1] max_rate_per_s: 10 is a part every 100 ms")
    assert f"two polls and a result take {least_s * 1000:.0f} ms on bus b" in problem
    assert f"expected at most {at_most(1 / least_s)}, or" in problem
    assert problem.endswith(WIRES)


@given(st.floats(0.01, 1000))
def test_the_rate_that_is_offered_is_possible_and_not_far_below(rate_per_s: float) -> None:
    offered = float(at_most(rate_per_s))
    assert 0.9 * rate_per_s < offered <= rate_per_s * (1 + 1e-8)
    assert float(at_most(offered)) == offered  # what is offered is not refused again


@given(rates, st.floats(0.1, 100), st.integers(1, 3))
def test_a_takt_is_refused_exactly_where_the_bus_has_no_room(
    rate: Any, rate_per_s: float, units: int
) -> None:
    own = [station(f"s{n}", n, max_rate_per_s=rate_per_s) for n in range(1, units + 1)]
    plan = BusPlan(bus(rate), own)
    need_s = sum(2 * plan.block_s(one) for one in own)
    assert bool(too_fast(plan)) == (sum(map(plan.part_s, own)) > 1 / rate_per_s)
    assert plan.part_s(own[0]) > need_s / units


def test_a_verdict_by_wire_waits_for_no_frame_and_no_scan_and_is_not_told_to_take_a_wire() -> None:
    plan = BusPlan(bus(9600), [station(speed_mm_s=400.0)], [], [])
    far = timetable(plan, plan.stations[0], [("c", 0.0)], KNOWN)
    gate_mm = 400 * (far.total_s - far.told_s + 0.002)  # a wire of 4 ms is just too slow
    plan = BusPlan(bus(9600), [station(gate_mm=gate_mm, speed_mm_s=400.0)], [], [])
    by_bus = timetable(plan, plan.stations[0], [("c", 0.0)], KNOWN)
    by_wire = timetable(plan, plan.stations[0], [("c", 0.0)], KNOWN, order_s=0.004)
    spared_s = plan.verdict_s(plan.stations[0]) + 2 * SCAN_S - 0.004
    assert by_wire.total_s == pytest.approx(by_bus.total_s - spared_s)
    assert "OK by wire" in "".join(by_wire.lines())
    assert WIRES in by_bus.problems()[0]
    assert WIRES not in by_wire.problems()[0]
    assert "farther away" in by_wire.problems()[0]


def test_a_window_that_begins_before_the_verdict_is_known_is_told() -> None:
    plan = BusPlan(bus(115200), [station()], [], [])
    way = timetable(plan, plan.stations[0], [("c", 0.0)], KNOWN, order_s=0.004)
    wires = Io(name="io1", kind="gpio", port="/dev/gpiochip0", ok="4", ok_delay_ms=10)
    assert "ok_delay_ms: 10" in way.window_problems(wires)[0]
    late = replace(wires, ok_delay_ms=round(way.taken_s * 1000) + 1)
    assert way.window_problems(late) == []
    assert way.window_problems(replace(wires, ok_from="gate_eye")) == []
