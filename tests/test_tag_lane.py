"""The tag lane: what is read when, what is worth a row, and that no verdict waits for it."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest

from edge.plc.backoff import Backoff
from edge.plc.blocks import Result
from edge.plc.handshake import Triggered
from edge.plc.line_state import LineWatch
from edge.plc.tag_lane import FAULTS, STALE_S, Group, Reading, TagLane, groups
from edge.plc.turns import PAUSE_S
from edge.settings import Slave, Tag
from edge.terms import Code
from tests import played_bus
from tests.played_bus import Line

METER = Slave(name="meter", bus="b", unit=7)
PROBE_S = 0.35


def backoff() -> Backoff:
    return Backoff(1.0, 60.0, chance=lambda: 0.5)


def station_tag(name: str, address: int = 300, **keys: Any) -> Tag:
    return Tag(name=name, station="s1", address=address, **keys)


def meter_tag(name: str, address: int = 0, **keys: Any) -> Tag:
    return Tag(name=name, slave="meter", address=address, **keys)


def framed(tags: Sequence[Tag]) -> list[Group]:
    return groups(tags, [played_bus.station(1)], [METER], backoff=backoff)


def line(tags: Sequence[Tag], units: int = 1, **keys: Any) -> Line:
    """A bus with tags; time moves 10 ms a frame."""
    bus = played_bus.line(units, **keys)
    return Line(bus.turns, tags=TagLane(framed(tags), PROBE_S))


def lanes(bus: Line, frames: int) -> list[str]:
    return [frame.lane for frame in bus.run(frames)]


# -- frames ------------------------------------------------------------------------------------


def test_neighbours_share_a_frame_and_nothing_else_does() -> None:
    found = framed(
        [
            meter_tag("a", 0, type="u32"),
            meter_tag("b", 2),
            meter_tag("gap", 4),
            meter_tag("input", 5, area="input"),
            station_tag("c", 3),
        ]
    )
    asked = [(g.source, g.request.function, g.request.address, g.request.count) for g in found]
    assert sorted(asked) == [
        *[("meter", 3, 0, 3), ("meter", 3, 4, 1), ("meter", 4, 5, 1), ("s1", 3, 3, 1)]
    ]


def test_a_frame_of_tags_is_no_longer_than_the_block() -> None:
    found = framed([meter_tag(f"t{n}", n) for n in range(30)])
    assert [group.request.count for group in found] == [12, 12, 6]


def test_bits_of_one_register_share_its_frame() -> None:
    found = framed([meter_tag(f"b{bit}", 9, type="bit", bit=bit) for bit in range(16)])
    assert [(g.request.address, g.request.count, len(g.tags)) for g in found] == [(9, 1, 16)]


def test_each_tag_of_a_shared_frame_gets_its_own_registers() -> None:
    bus = line([meter_tag("a", 20), meter_tag("b", 21, type="u32"), meter_tag("c", 23)])
    bus.run(40)
    read = {reading.tag.name: reading.value for reading in bus.readings}
    assert read == {"a": 20, "b": 21 + 22 * 65536, "c": 23}


# -- turns -------------------------------------------------------------------------------------


def test_there_are_never_two_frames_of_tags_between_two_blocks() -> None:
    bus = line([meter_tag(f"t{n}", 4 * n) for n in range(60)])
    bus.run(20)
    found = lanes(bus, 400)
    assert found.count("tag") > 100
    assert all("block" in pair for pair in pairwise(found))


def test_a_verdict_that_is_due_goes_before_tags() -> None:
    bus = line([meter_tag(f"t{n}", 4 * n) for n in range(60)], deadline_ms=2400)
    played_bus.stubborn(bus)
    found = [lane for lane in lanes(bus, 200) if lane != "block"]
    assert found.count("verdict") >= 10
    assert found[0] == "verdict"


def test_a_frame_of_tags_costs_a_verdict_no_more_than_itself() -> None:
    bus = line([meter_tag(f"t{n}", 4 * n) for n in range(60)], deadline_ms=2400)
    bus.run(30)
    bus.counter += 1
    while not bus.of(1, Triggered):
        bus.run(1)
    bus.until("tag")
    bus.turns[1].handshake.submit(1, Result(101, Code.OK, 0, 0.1, 9), bus.now_s)
    assert lanes(bus, 2) == ["block", "verdict"]


def test_every_tag_is_read_once_a_second_where_there_is_room() -> None:
    bus = line([meter_tag("a", 0), meter_tag("b", 100)])
    bus.run(20)
    before, began_s = len(bus.frames), bus.now_s
    bus.run(1000)
    asked = [frame.request.address for _, frame in bus.frames[before:] if frame.lane == "tag"]
    for address in (0, 100):
        assert asked.count(address) == pytest.approx(bus.now_s - began_s, abs=1.1)


def test_slaves_are_read_while_the_plc_is_dead() -> None:
    bus = line([meter_tag("a", 0)])
    bus.dead.add(1)
    bus.run(1000)
    assert sum(frame.lane == "tag" for _, frame in bus.frames) >= 5


def test_tags_of_a_plc_that_does_not_answer_are_left_alone() -> None:
    bus = line([station_tag("a")])
    bus.run(30)
    assert "tag" in {frame.lane for _, frame in bus.frames}
    bus.dead.add(1)
    bus.run(2)
    assert "tag" not in lanes(bus, 300)


# -- silence -----------------------------------------------------------------------------------


def probes(bus: Line) -> list[int]:
    return [place for place, (unit, _) in enumerate(bus.frames) if unit == METER.unit]


def test_a_silent_slave_with_many_tags_is_asked_one_frame_at_a_time_and_ever_less() -> None:
    bus = line([meter_tag(f"t{n}", 4 * n) for n in range(20)])
    bus.dead.add(METER.unit)
    began_s = bus.now_s
    while bus.now_s < began_s + 120:
        bus.run(1)
    assert 6 <= len(probes(bus)) <= 9  # 0, 1, 3, 7, 15, 31, 63, 123 s


def test_a_silent_slave_is_asked_only_if_that_is_over_before_the_bus_may_be_wanted() -> None:
    lane = TagLane(framed([meter_tag("a")]), PROBE_S)
    asked(lane, 0)
    lane.silent("no answer", 0)
    assert lane.next(10, 10 + 0.9 * PROBE_S, ()) is None
    assert lane.next(10, 10 + 1.1 * PROBE_S, ()) is not None


def test_all_tags_of_a_silent_slave_are_told_once_and_again_when_it_is_back() -> None:
    bus = line([meter_tag(f"t{n}", 4 * n) for n in range(3)])
    bus.run(20)
    assert len(bus.readings) == 3
    bus.dead.add(METER.unit)
    bus.run(2000)
    told = bus.readings[3:]
    assert sorted(reading.tag.name for reading in told) == ["t0", "t1", "t2"]
    assert {(reading.value, reading.fault) for reading in told} == {(None, "unit 7 fails")}
    bus.dead.clear()
    bus.run(7000)
    back = bus.readings[6:9]
    assert sorted(reading.tag.name for reading in back) == ["t0", "t1", "t2"]
    assert all(reading.fault is None for reading in back)


def test_a_silent_slave_is_not_asked_while_a_part_waits_for_its_verdict() -> None:
    bus = line([meter_tag("a")], deadline_ms=60_000)
    bus.dead.add(METER.unit)
    played_bus.stubborn(bus)  # its PLC never takes the verdict
    before = len(probes(bus))
    bus.run(3000)
    assert len(probes(bus)) == before


def test_between_two_parts_a_silent_slave_is_asked_only_where_no_part_can_come() -> None:
    bus = line([meter_tag("a")], deadline_ms=300)  # parts at most every 100 ms
    bus.dead.add(METER.unit)
    bus.run(30)
    bus.running = True
    bus.counter += 1
    while not bus.of(1, Triggered):
        bus.run(1)
    edge_s = bus.now_s
    before = len(probes(bus))
    while bus.now_s < edge_s + PAUSE_S - 0.1:
        bus.run(1)
    assert len(probes(bus)) == before
    while bus.now_s < edge_s + PAUSE_S + 70:
        bus.run(1)
    assert len(probes(bus)) > before


def test_a_line_that_stands_lets_silent_slaves_be_asked() -> None:
    bus = line([meter_tag("a")], deadline_ms=300)
    bus.dead.add(METER.unit)
    bus.run(30)
    bus.counter += 1  # the line does not run
    while not bus.of(1, Triggered):
        bus.run(1)
    began_s, before = bus.now_s, len(probes(bus))
    while bus.now_s < began_s + PAUSE_S - 0.5:
        bus.run(1)
    assert len(probes(bus)) > before


# -- rows --------------------------------------------------------------------------------------


def asked(lane: TagLane, now_s: float) -> None:
    assert lane.next(now_s, float("inf"), ()) is not None


def read(lane: TagLane, now_s: float, *values: int) -> list[int | None]:
    asked(lane, now_s)
    return [reading.value for reading in lane.answered(values, now_s)]


def test_a_row_is_the_first_reading_a_change_beyond_the_dead_band_and_the_period() -> None:
    lane = TagLane(framed([meter_tag("a", dead_band=2, period_s=60)]), PROBE_S)
    assert read(lane, 0, 100) == [100]
    assert read(lane, 1, 102) == []
    assert read(lane, 2, 103) == [103]
    assert read(lane, 3, 101) == []
    assert read(lane, 62, 101) == [101]


def test_a_slow_drift_is_told_by_the_last_row_and_not_by_the_last_reading() -> None:
    lane = TagLane(framed([meter_tag("a", dead_band=5, period_s=1000)]), PROBE_S)
    told = [read(lane, second, 100 + second) for second in range(20)]
    assert [value for values in told for value in values] == [100, 106, 112, 118]


def test_one_damaged_answer_is_no_row_and_a_second_one_is() -> None:
    lane = TagLane(framed([meter_tag("a")]), PROBE_S)
    assert read(lane, 0, 5) == [5]
    told: list[Reading] = []
    for failure in range(FAULTS + 2):
        asked(lane, 2 + 2 * failure)
        told += lane.spoilt("crc", 2 + 2 * failure)
    assert [(reading.value, reading.fault) for reading in told] == [(None, "crc")]
    assert read(lane, 20, 5) == [5]


def test_what_a_slave_refuses_is_a_fault_at_once_and_asked_again_after_a_minute() -> None:
    lane = TagLane(framed([meter_tag("a")]), PROBE_S)
    asked(lane, 0)
    assert [reading.fault for reading in lane.refused("code 2", 0)] == ["code 2"]
    assert lane.next(59, float("inf"), ()) is None
    asked(lane, 61)


def test_a_lost_port_is_a_fault_of_every_tag_once() -> None:
    lane = TagLane(framed([meter_tag("a"), station_tag("b")]), PROBE_S)
    assert {reading.tag.name for reading in lane.lost(["meter", "s1"], "gone", 1)} == {"a", "b"}
    assert lane.lost(["meter", "s1"], "gone", 2) == []


# -- what is known now -------------------------------------------------------------------------

STATE = station_tag("state", role="line_state")


def stated(lane: TagLane, now_s: float) -> int:
    """PackML number of the line, as a bus that begins now would say it."""
    seen = LineWatch("s1", [STATE]).see(True, lane.latest, now_s)
    return 0 if seen is None else seen.state


def known(value: int = 6) -> TagLane:
    lane = TagLane(framed([STATE]), PROBE_S)
    read(lane, 0, value)
    assert stated(lane, 0.5) == value
    return lane


def test_the_state_of_a_line_whose_tag_is_refused_is_unknown_until_it_is_read_again() -> None:
    lane = known()
    asked(lane, 1)
    lane.refused("code 2", 1)
    assert stated(lane, 1.1) == 0
    read(lane, 62, 5)
    assert stated(lane, 62.1) == 5


def test_the_state_from_before_the_plc_was_lost_is_not_told_when_it_is_back() -> None:
    lane = known()
    lane.lost(["s1"], "gone", 1)
    assert stated(lane, 1.1) == 0
    read(lane, 2, 5)
    lane.lost(["s1"], "gone again", 3)
    assert stated(lane, 3.1) == 0


def test_a_value_that_is_no_number_leaves_none_behind() -> None:
    tag = station_tag("f", type="f32")
    lane = TagLane(framed([tag]), PROBE_S)
    read(lane, 0, 0, 0x3F80)
    assert lane.latest("s1", tag, 0) is not None
    read(lane, 1, 0, 0x7FC0)
    assert lane.latest("s1", tag, 1) is None


@pytest.mark.parametrize("fails", [TagLane.silent, TagLane.spoilt])
def test_a_tag_that_is_not_read_again_after_one_failure_is_known_for_a_few_seconds_only(
    fails: Callable[[TagLane, str, float], list[Reading]],
) -> None:
    lane = known()
    asked(lane, 1)
    assert fails(lane, "nothing came", 1) == []
    assert (stated(lane, STALE_S), stated(lane, STALE_S + 0.1)) == (6, 0)
    read(lane, 9, 6)
    assert stated(lane, 9.1) == 6


def test_a_tag_whose_turn_comes_seldom_on_a_full_bus_is_known_however_old_it_is() -> None:
    assert stated(known(), 100 * STALE_S) == 6
