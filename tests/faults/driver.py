"""A node's process for fault runs: the real loop, ledger, handshake and link, but no camera.

    python -m tests.faults.driver LEDGER_FOLDER REGISTERS BROKER_PORT [NODE]

What is played is the bus (registers in a file, tests/faults/plc.py) and the judgement (a part's
verdict follows from its number, after a while). It runs until SIGTERM, or until it is killed.
"""

import logging
import queue
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edge.inspector
from edge import clock, settings
from edge.evidence import Evidence
from edge.flights import Flight
from edge.inspector import Inspector
from edge.judging import Judged
from edge.mqtt.link import Link
from edge.mqtt.message import State
from edge.outbox import Outbox
from edge.pictures import PictureStore
from edge.plc.blocks import LineCounters, Result, StatusFlags
from edge.plc.handshake import Handshake, Resume
from edge.plc.turns import Seen
from edge.rows import Rows
from edge.standing import Standing
from edge.terms import Code, Reason, Verdict
from tests.faults.plc import Registers

STATION = settings.Station(
    name="s1",
    bus="b",
    trigger="hardware",
    cameras=("c",),
    deadline_ms=2000,
    max_rate_per_s=1000.0,  # a process that stood still read late, the parts did not come so
)
READ_S = 0.005
SLOW = 0.003  # share of parts whose verdict comes after their deadline
DRAIN_S = 20.0


def verdict_of(number: int) -> Verdict:
    """What a part is, by its number: of ten, seven OK, two NG, one undecided."""
    digit = number * 7919 % 10
    if digit == 0:
        return Verdict(Code.UNDECIDED, Reason.UNCERTAIN)
    return Verdict(Code.NG if digit < 3 else Code.OK)


class PlayedJudging:
    """Stands where `edge.judging.Judging` does: verdicts by number, one part after the other."""

    proved_s = 0.0
    failed: frozenset[int] = frozenset()

    def __init__(self, *given: Any) -> None:
        self._deliver: Callable[[Judged], None] = given[-1]
        self._flights: queue.Queue[Flight | None] = queue.Queue()
        self._random = random.Random()
        self._thread = threading.Thread(target=self._run, name="judge", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def put(self, flight: Flight) -> None:
        self._flights.put(flight)

    def close(self) -> None:
        self._flights.put(None)
        if self._thread.is_alive():
            self._thread.join(5)

    def _run(self) -> None:
        pause = threading.Event()  # libfaketime spoils time.sleep
        while (flight := self._flights.get()) is not None:
            started_s = time.monotonic()
            slow = self._random.random() < SLOW
            pause.wait(2.2 if slow else self._random.uniform(0.005, 0.03))
            verdict = verdict_of(flight.trigger.part.number)
            if time.monotonic() > flight.deadline_s:
                verdict = Verdict(Code.UNDECIDED, Reason.LATE)
            self._deliver(Judged(flight, verdict, (), None, started_s, time.monotonic()))


class PlayedLine:
    """The bus: reads the block, writes results, as `edge.plc.bus` does over a wire."""

    counters: LineCounters | None = None

    def __init__(self, registers: Registers, resume: Resume | None) -> None:
        self.observations: queue.Queue[Seen] = queue.Queue()
        self._registers = registers
        self._handshake = Handshake(STATION, resume, time.monotonic())
        self._lock = threading.Lock()
        self._alive_until_s = 0.0
        self._flags = StatusFlags(0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bus", daemon=True)

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5)

    def submit(self, epoch: int, result: Result, now_s: float) -> None:
        with self._lock:
            self._handshake.submit(epoch, result, now_s)

    def status(self, flags: StatusFlags, active_recipe: int = 0, error_code: int = 0) -> None:
        self._flags = flags

    def acquired(self, number: int) -> None:
        """The belt does not wait for pictures here."""

    def alive(self, until_s: float) -> None:
        self._alive_until_s = until_s

    def _run(self) -> None:
        while not self._stop.wait(READ_S):
            with self._lock:
                self._turn(time.monotonic())

    def _turn(self, now_s: float) -> None:
        handshake = self._handshake
        for one in handshake.observe(self._registers.read_block(), now_s):
            self.observations.put(one)
        result = handshake.due(now_s)
        if result is not None:
            self._registers.write_result(result)
            handshake.acknowledged(result, time.monotonic())
        sound = not self._flags & StatusFlags.FAULT and now_s < self._alive_until_s
        handshake.ready = handshake.opened and sound
        for one in handshake.expire(now_s):
            self.observations.put(one)


def resumed(ledger: Outbox) -> Resume | None:
    last = ledger.resume(STATION.name)
    if last is None:
        return None
    age_s = (clock.mono_ms() - last.mono_ms) / 1000 if last.boot == clock.BOOT else None
    return Resume(last.epoch, last.base, last.counter, last.plc_start, age_s)


def main(folder: str, registers: str, port: str, name: str = "node-1") -> None:
    """Run one node until SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    setattr(edge.inspector, "Judging", PlayedJudging)  # noqa: B010, a name it only imports
    data = Path(folder)
    ledger = Outbox(data / "ledger.db")
    line = PlayedLine(Registers(Path(registers)), resumed(ledger))
    node = settings.Node(plant="jinan", line="line-1", name=name, data_dir=folder)
    hub = settings.Hub(broker_host="127.0.0.1", broker_port=int(port))
    link = Link(node, hub, ledger, answer_s=1.0, reconnect_s=(0.05, 1.0))
    inspector = Inspector(
        Standing(STATION.name, (), {}, ()),
        line,
        ledger,
        Evidence(PictureStore(data / "pictures", ledger, max_mb=100)),
        Rows(STATION.name),
        link.publish_notice,
        lambda _: None,
    )
    inspector.start()
    line.start()
    link.start()
    while not stop.wait(1.0):
        link.publish_state(
            State(v=1, online=True, stream=ledger.stream, waiting=ledger.waiting, at_ms=1)
        )
    inspector.close()
    line.close()
    link.close(DRAIN_S)
    ledger.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)7d %(message)s")
    main(*sys.argv[1:])
