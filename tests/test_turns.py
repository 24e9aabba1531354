"""A station's claims on its bus, and the order of several, with a PLC made of registers."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from edge.plc import modbus
from edge.plc.backoff import Backoff
from edge.plc.blocks import (
    NO_RESULT,
    Control,
    LineCounters,
    PlcBlock,
    StatusFlags,
    status_registers,
)
from edge.plc.handshake import EpochOpened, Expired, Missed, Triggered, Wrong
from edge.plc.turns import Frame, LinkBack, LinkLost, Roundabout, Seen, Status, Turns
from edge.settings import Station
from edge.terms import MAP_VERSION, Cause, Code

READY = StatusFlags.ONLINE | StatusFlags.TRIGGER_READY
COUNTERS = LineCounters(1, 2, 3, 4, 70_000)


@dataclass
class Line:
    """One bus of PLCs that answer from registers; time moves 10 ms a frame, or as the wire does."""

    turns: dict[int, Turns]
    now_s: float = 10.0
    baudrate: int | None = None  # None = at once
    delay_s: float = 0.0  # what the PLC takes for its answer, with a baudrate
    dead: set[int] = field(default_factory=set)
    deaf_to_writes: bool = False
    beating: bool = True
    counter: int = 100
    plc_start: int = 1
    frames: list[tuple[int, Frame]] = field(default_factory=list)
    seen: list[tuple[int, Seen]] = field(default_factory=list)
    heard: dict[tuple[int, int], float] = field(default_factory=dict)  # by unit and beat
    beat: int = 0

    def __post_init__(self) -> None:
        self.roundabout = Roundabout(list(self.turns.values()))

    def run(self, frames: int) -> list[Frame]:
        """Let so many turns pass; returns the frames that went out."""
        before = len(self.frames)
        for _ in range(frames):
            self.now_s += 0.01 if self.baudrate is None else 0.0
            self.beat += self.beating
            for turns in self.turns.values():
                self._tell(turns, turns.tick(self.now_s))
            chosen = self.roundabout.next(self.now_s)
            if chosen is not None:
                self._answer(*chosen)
        return [frame for _, frame in self.frames[before:]]

    def until(self, lane: str) -> None:
        """Let turns pass until the last frame is one of this lane."""
        while self.frames[-1][1].lane != lane:
            self.run(1)

    def _answer(self, turns: Turns, frame: Frame) -> None:
        unit = frame.request.unit
        self.frames.append((unit, frame))
        if unit in self.dead or (self.deaf_to_writes and frame.request.values):
            self.now_s += 0.3 * (unit in self.dead)
            self._tell(turns, turns.failed(frame, f"unit {unit} fails", self.now_s))
            return
        values: tuple[int, ...] = ()
        sent_s = self.now_s
        self.now_s += self._wire_s(frame)
        if frame.lane == "status":
            self.heard.setdefault((unit, frame.request.values[1]), self.now_s)
        if frame.lane == "block":
            values = PlcBlock(
                Control.ENABLE, self.counter & 0xFFFF, 1, 5, self.counter, self.beat,
                MAP_VERSION, 0, 0, self.plc_start, 1,
            ).encode()  # fmt: skip
        elif frame.lane == "counters":
            values = COUNTERS.encode()
        self._tell(turns, turns.answered(frame, values, sent_s, self.now_s))

    def _wire_s(self, frame: Frame) -> float:
        """Request, answer and their silences."""
        if self.baudrate is None:
            return 0.0
        size = len(frame.request.encode()) + frame.request.reply_size
        silences_s = 2 * modbus.silence_s(self.baudrate, "E", 1)
        return size * modbus.character_s(self.baudrate, "E", 1) + silences_s + self.delay_s

    def _tell(self, turns: Turns, seen: list[Seen]) -> None:
        unit = next(unit for unit, its in self.turns.items() if its is turns)
        self.seen += [(unit, one) for one in seen]

    def longest_pause_s(self, unit: int) -> float:
        """Between two changes of the node's heartbeat at this PLC, and since the last one."""
        heard = [at_s for (at, _), at_s in self.heard.items() if at == unit]
        return max(later - earlier for earlier, later in pairwise([*heard, self.now_s]))

    def of(self, unit: int, *kinds: type) -> list[Seen]:
        return [one for at, one in self.seen if at == unit and isinstance(one, kinds)]


def station(unit: int, counters_base: int | None = None, deadline_ms: int = 400) -> Station:
    return Station(
        name=f"s{unit}",
        bus="b",
        unit=unit,
        trigger="hardware",
        cameras=("c",),
        counters_base=counters_base,
        deadline_ms=deadline_ms,
    )


def line(
    units: int = 1, counters_base: int | None = None, alive: bool = True, deadline_ms: int = 400
) -> Line:
    turns = {
        unit: Turns(
            station(unit, counters_base, deadline_ms), None, 10.0, Backoff(chance=lambda: 0.5)
        )
        for unit in range(1, units + 1)
    }
    for its in turns.values():
        its.wanted = Status(READY)
        its.alive_until_s = 1e9 if alive else float("-inf")
    return Line(turns)


def statuses(frames: list[Frame]) -> list[tuple[int, ...]]:
    return [frame.request.values for frame in frames if frame.lane == "status"]


def test_at_power_up_it_reads_then_wipes_the_result_and_only_then_writes_status() -> None:
    frames = line().run(6)
    assert [frame.lane for frame in frames] == [
        *["block", "block", "verdict", "block", "status", "block"]
    ]
    assert frames[2].request == modbus.write_registers(1, 105, NO_RESULT)
    assert frames[4].request == modbus.write_registers(1, 100, status_registers(READY, 1))


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
    bus.turns[1].handshake.submit(1, 101, Code.OK, 0, 0.1, 9, bus.now_s)
    lanes = [frame.lane for frame in bus.run(60)]
    assert lanes.index("verdict") < lanes.index("status")
    assert lanes.count("verdict") >= 4  # repeated, for this PLC never takes it
    assert all("block" in pair for pair in pairwise(lanes))


def stubborn(bus: Line) -> Turns:
    """Part 101 is judged, and its PLC never takes the verdict."""
    bus.run(30)
    bus.counter += 1
    while not bus.of(1, Triggered):
        bus.run(1)
    turns = bus.turns[1]
    turns.handshake.submit(1, 101, Code.OK, 0, 0.1, 9, bus.now_s)
    return turns


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
    bus.turns[1].handshake.submit(1, 101, Code.OK, 0, 0.1, 9, bus.now_s)
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
    assert asked.count(2) <= 2 + (bus.now_s - began_s) / 1.5
    assert asked.count(1) > 900
    assert not bus.of(1, LinkLost)


def test_two_stations_are_read_in_turn_and_the_verdict_of_either_goes_first() -> None:
    bus = line(units=2)
    bus.run(30)
    units = [unit for unit, frame in bus.frames[-12:] if frame.lane == "block"]
    assert abs(units.count(1) - units.count(2)) <= 1
    bus.counter += 1
    bus.run(6)
    for unit in (1, 2):
        bus.turns[unit].handshake.submit(1, 101, Code.NG, 0, 0.9, 9, bus.now_s)
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
    turns.handshake.submit(1, 101, Code.OK, 0, 0.1, 9, bus.now_s)
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
