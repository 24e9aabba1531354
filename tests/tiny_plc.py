"""A PLC program of a few lines behind a pty, and a bus that talks to it."""

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from edge.plc.blocks import Control, LineCounters, PlcBlock, Result, StatusFlags, verdict_word
from edge.plc.bus import Bus, BusStation
from edge.plc.handshake import (
    Missed,
    Resume,
    Triggered,
)
from edge.plc.slave import Slave
from edge.plc.transaction import Answer, Refusal, Refused, Request
from edge.plc.turns import Seen
from edge.settings import Bus as BusSettings
from edge.settings import Station
from edge.terms import MAP_VERSION, Code
from tests.serial_peers import until

READY = StatusFlags.ONLINE | StatusFlags.TRIGGER_READY
SCAN_S = 0.01
REGISTERS = dict.fromkeys([*range(12), *range(100, 110), *range(200, 210)], 0)
SECOND = 20  # of a second block in one PLC: so much farther on
One = TypeVar("One")


class TinyPlc:
    """A PLC program of a few lines: counts the parts a test makes, takes what fits, beats."""

    def __init__(
        self, unit: int = 1, takes: bool = True, slave: Slave | None = None, base: int = 0
    ) -> None:
        """`slave`: has this program's registers from `base` on; None = one of its own."""
        self.slave = slave or Slave(unit, REGISTERS)
        self._base = base
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
                outputs = dict(enumerate(self._block(beat & 0xFFFF).encode(), self._base))
                outputs |= dict(enumerate(counters, 200 + self._base))
                seen = self.slave.exchange(outputs)
                node = [seen[self._base + address] for address in range(100, 110)]
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


class ForgetfulSlave(Slave):
    """Two blocks in one PLC; does not answer the next request to the register that is told."""

    def __init__(self) -> None:
        super().__init__(1, REGISTERS | {address + SECOND: 0 for address in REGISTERS})
        self.forgets: int | None = None

    def answer(self, asked: Request | Refusal) -> Answer | Refused | None:
        """What it says to one request."""
        if isinstance(asked, Request) and asked.address == self.forgets:
            self.forgets = None
            return None
        return super().answer(asked)


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
        **changes,  # type: ignore[arg-type]
    )


@contextmanager
def running(
    port: str,
    *stations: Station,
    resumes: dict[str, Resume | None] | None = None,
    reply_timeout_s: float = 0.1,
    gap_ms: float = 0.0,
) -> Iterator[tuple[Bus, list[Watcher]]]:
    wiring = BusSettings(name="b", port=port, reply_timeout_s=reply_timeout_s, gap_ms=gap_ms)
    bus = Bus(wiring, stations, resumes or {})
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
    watcher.station.submit(part.epoch, Result(part.number, code, 0, 0.5, 20), time.monotonic())


def accounted(watcher: Watcher) -> list[int]:
    numbers = [triggered.trigger.part.number for triggered in watcher.of(Triggered)]
    missed = [n for gap in watcher.of(Missed) for n in range(gap.first, gap.last + 1)]
    return sorted(numbers + missed)
