"""The bus thread against PLCs on a pty: parts come, verdicts are taken, ports go and come."""

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from edge.plc.blocks import Control, LineCounters, PlcBlock, Result, StatusFlags, verdict_word
from edge.plc.bus import Bus, BusStation, LinkBack, LinkLost
from edge.plc.handshake import (
    EpochOpened,
    Expired,
    Missed,
    Resume,
    Sampled,
    Taken,
    Triggered,
    Wrong,
)
from edge.plc.slave import PtySlave, RtuSlave
from edge.plc.turns import Seen
from edge.settings import Bus as BusSettings
from edge.settings import Station
from edge.terms import MAP_VERSION, Cause, Code
from tests.serial_peers import ScriptedPeer, until

READY = StatusFlags.ONLINE | StatusFlags.TRIGGER_READY
SCAN_S = 0.01
One = TypeVar("One")


class TinyPlc:
    """A PLC program of a few lines: counts the parts a test makes, takes what fits, beats."""

    def __init__(self, unit: int = 1, takes: bool = True) -> None:
        registers = dict.fromkeys([*range(12), *range(100, 110), *range(200, 210)], 0)
        self.slave = RtuSlave(unit, registers)
        self.takes = takes
        self.plc_start = 1
        self.map_version = MAP_VERSION
        self.taken: list[tuple[int, Code]] = []
        self.node: list[int] = [0] * 10
        self.beats: list[float] = []  # when the node's heartbeat changed
        self.halted = False
        self._edges: list[float] = []
        self._counter = 100
        self._last = (0, 0)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tiny plc")

    def __enter__(self) -> "TinyPlc":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)

    def part(self) -> int:
        """A part at the sensor; its number."""
        with self._lock:
            self._counter += 1
            self._edges.append(time.monotonic())
            return self._counter

    def restart(self) -> None:
        """Power off and on."""
        with self._lock:
            self.plc_start += 1
            self._counter, self._last = 0, (0, 0)

    def _run(self) -> None:
        beat = 0
        while not self._stop.wait(SCAN_S):
            if self.halted:
                continue
            beat += 1
            with self._lock:
                counters = LineCounters(1, 2, 3, 4, 5).encode()
                outputs = dict(enumerate(self._block(beat & 0xFFFF).encode()))
                outputs |= {200 + place: word for place, word in enumerate(counters)}
                seen = self.slave.exchange(outputs)
                node = [seen[address] for address in range(100, 110)]
                if node[1] != self.node[1]:
                    self.beats.append(time.monotonic())
                self.node = node
                self._take(node)

    def _take(self, node: list[int]) -> None:
        result = Result.decode(node[5:])
        if result is None or not self.takes or (result.number, result.code) == self._last:
            return
        self._last = (result.number, result.code)
        self.taken.append(self._last)

    def _block(self, beat: int) -> PlcBlock:
        age_s = time.monotonic() - self._edges[-1] if self._edges else 60.0
        number, code = self._last
        word = verdict_word(number, Code(code)) if number else 0
        return PlcBlock(
            Control.ENABLE | Control.LINE_RUNNING, self._counter & 0xFFFF, 1,
            min(0xFFFF, int(age_s * 1000)), self._counter, beat, self.map_version, number, word,
            self.plc_start, 1,
        )  # fmt: skip


class Watcher:
    """Reads a station's observations, as an inspector does, and keeps them."""

    def __init__(self, station: BusStation) -> None:
        self.station = station
        self.seen: list[Seen] = []

    def of(self, kind: type[One]) -> list[One]:
        while True:
            try:
                self.seen.append(self.station.observations.get_nowait())
            except queue.Empty:
                return [one for one in self.seen if isinstance(one, kind)]

    def wait(self, kind: type[One], count: int = 1, within_s: float = 5.0) -> list[One]:
        until(lambda: len(self.of(kind)) >= count, within_s)
        return self.of(kind)


def station(unit: int = 1, **changes: int) -> Station:
    return Station(
        name=f"s{unit}",
        bus="b",
        unit=unit,
        trigger="hardware",
        cameras=("c",),
        counters_base=200,
        max_rate_per_s=100,
        **changes,
    )


@contextmanager
def running(
    port: str, *stations: Station, resumes: dict[str, Resume | None] | None = None
) -> Iterator[tuple[Bus, list[Watcher]]]:
    bus = Bus(BusSettings(name="b", port=port, reply_timeout_s=0.1), stations, resumes or {})
    watchers = [Watcher(bus.station(its.name)) for its in stations]
    for watcher in watchers:
        watcher.station.status(READY, active_recipe=1)
        watcher.station.alive(1e9)
    bus.start()
    try:
        yield bus, watchers
    finally:
        bus.close()
        bus.close()


def ready(plc: TinyPlc) -> None:
    until(lambda: bool(plc.node[0] & StatusFlags.TRIGGER_READY))


def answer(watcher: Watcher, triggered: Triggered, code: Code = Code.OK) -> None:
    part = triggered.trigger.part
    watcher.station.submit(part.epoch, part.number, code, 0, 0.5, 20, time.monotonic())


def accounted(watcher: Watcher) -> list[int]:
    numbers = [triggered.trigger.part.number for triggered in watcher.of(Triggered)]
    missed = [n for gap in watcher.of(Missed) for n in range(gap.first, gap.last + 1)]
    return sorted(numbers + missed)


def test_a_part_is_triggered_judged_and_its_verdict_taken() -> None:
    with (
        TinyPlc() as plc,
        PtySlave([plc.slave]) as line,
        running(line.port, station()) as (_, all_),
    ):
        (watcher,) = all_
        assert watcher.wait(EpochOpened)[0].base == 100
        ready(plc)
        for made in range(1, 6):
            before_s = time.monotonic()
            number = plc.part()
            after_s = time.monotonic()
            triggered = watcher.wait(Triggered, made)[-1]
            trigger = triggered.trigger
            assert trigger.part.number == number
            assert trigger.edge_s - trigger.edge_error_s <= after_s
            assert before_s <= trigger.edge_s
            answer(watcher, triggered, Code.NG)
            taken = watcher.wait(Taken, made)[-1]
            assert (taken.number, taken.code) == (number, Code.NG)
        until(lambda: watcher.station.counters == LineCounters(1, 2, 3, 4, 5))
        watcher.wait(Sampled)
        watcher.station.acquired(105)
        until(lambda: plc.node[3] == 105)
    assert plc.taken == [(number, Code.NG) for number in range(101, 106)]
    assert not watcher.of(Missed)


def test_several_parts_in_flight_are_all_answered_in_the_order_of_their_deadlines() -> None:
    with (
        TinyPlc() as plc,
        PtySlave([plc.slave]) as line,
        running(line.port, station()) as (_, all_),
    ):
        (watcher,) = all_
        ready(plc)
        for made in range(1, 5):
            plc.part()
            watcher.wait(Triggered, made)
        for triggered in reversed(watcher.of(Triggered)):
            answer(watcher, triggered)
        assert {taken.number for taken in watcher.wait(Taken, 4)} == {101, 102, 103, 104}


def test_a_verdict_that_the_plc_does_not_take_expires_and_is_wiped() -> None:
    with (
        TinyPlc(takes=False) as plc,
        PtySlave([plc.slave]) as line,
        running(line.port, station(deadline_ms=150)) as (_, all_),
    ):
        (watcher,) = all_
        ready(plc)
        plc.part()
        answer(watcher, watcher.wait(Triggered)[0])
        assert watcher.wait(Expired) == [Expired(1, 101, True)]
        until(lambda: plc.node[5:] == [0] * 5)


def test_the_heartbeat_beats_and_stops_when_it_is_not_granted() -> None:
    with (
        TinyPlc() as plc,
        PtySlave([plc.slave]) as line,
        running(line.port, station()) as (_, all_),
    ):
        ready(plc)
        until(lambda: len(plc.beats) >= 4)
        assert plc.beats[-1] - plc.beats[-3] == pytest.approx(0.5, abs=0.15)
        all_[0].station.alive(0.0)
        until(lambda: not plc.node[0] & StatusFlags.TRIGGER_READY)
        assert plc.node[0] & StatusFlags.ONLINE
        assert time.monotonic() - plc.beats[-1] > 0.9


def test_a_node_that_goes_says_so() -> None:
    with TinyPlc() as plc, PtySlave([plc.slave]) as line:
        with running(line.port, station()):
            ready(plc)
        until(lambda: plc.node[0] == 0)


def test_a_restarted_plc_gets_a_new_epoch_and_is_told_again() -> None:
    with (
        TinyPlc() as plc,
        PtySlave([plc.slave]) as line,
        running(line.port, station()) as (_, all_),
    ):
        (watcher,) = all_
        ready(plc)
        plc.part()
        watcher.wait(Triggered)
        plc.restart()
        opened = watcher.wait(EpochOpened, 2)[1]
        assert (opened.epoch, opened.base, opened.cause) == (2, 0, "plc_restart")
        assert watcher.of(Expired) == [Expired(1, 101, False)]


def test_a_restarted_node_goes_on_where_its_ledger_stopped() -> None:
    resume = Resume(3, 50, 95, 1, 10.0)
    with (
        TinyPlc() as plc,
        PtySlave([plc.slave]) as line,
        running(line.port, station(), resumes={"s1": resume}) as (_, all_),
    ):
        assert all_[0].wait(Missed) == [Missed(3, 96, 100, Cause.NODE_RESTART)]
        assert not all_[0].of(EpochOpened)


def test_a_wrong_map_is_said_and_nothing_is_written() -> None:
    plc = TinyPlc()
    plc.map_version = 9
    with plc, PtySlave([plc.slave]) as line, running(line.port, station()) as (_, all_):
        assert "map version 9" in all_[0].wait(Wrong)[0].text
    assert plc.node == [0] * 10


def test_a_port_that_is_missing_comes_and_goes_is_found_again(tmp_path: Path) -> None:
    port = tmp_path / "plc"
    with TinyPlc() as plc, running(str(port), station()) as (_, all_):
        (watcher,) = all_
        assert "cannot be opened" in watcher.wait(LinkLost)[0].text
        with PtySlave([plc.slave], link=port):
            watcher.wait(LinkBack)
            ready(plc)
        watcher.wait(LinkLost, 2)
        plc.part()
        with PtySlave([plc.slave], link=port):
            watcher.wait(LinkBack, 2)
            plc.part()
            until(lambda: accounted(watcher) == [101, 102])
        assert len(watcher.of(EpochOpened)) == 1


def test_a_plc_in_stop_is_lost_and_back_when_it_runs() -> None:
    with (
        TinyPlc() as plc,
        PtySlave([plc.slave]) as line,
        running(line.port, station()) as (_, all_),
    ):
        all_[0].wait(LinkBack)
        plc.halted = True
        assert "stands still" in all_[0].wait(LinkLost)[0].text
        plc.halted = False
        all_[0].wait(LinkBack, 2)


def test_a_dead_plc_does_not_stop_its_neighbour_on_the_same_line() -> None:
    with (
        TinyPlc(1) as one,
        TinyPlc(2) as two,
        PtySlave([one.slave, two.slave]) as line,
        running(line.port, station(1), station(2)) as (_, (first, second)),
    ):
        ready(one)
        ready(two)
        two.slave.answering = False
        second.wait(LinkLost)
        for made in range(1, 11):
            one.part()
            triggered = first.wait(Triggered, made)[-1]
            assert time.monotonic() - triggered.trigger.edge_s < 0.3
            answer(first, triggered)
            first.wait(Taken, made)
        assert not first.of(LinkLost)
        two.slave.answering = True
        second.wait(LinkBack, 2)


def test_garbage_on_the_line_never_stops_the_bus() -> None:
    with ScriptedPeer(lambda n, request: [(0, bytes([n % 256] * (n % 40)))]) as peer:
        with running(peer.port, station()) as (bus, all_):
            all_[0].wait(LinkLost)
            until(lambda: len(peer.requests) > 4)
        with pytest.raises(KeyError):
            bus.station("nobody")


def test_nothing_is_left_of_a_bus_that_is_closed() -> None:
    threads = threading.active_count()
    with TinyPlc() as plc, PtySlave([plc.slave]) as line, running(line.port, station()):
        ready(plc)
    assert threading.active_count() == threads
