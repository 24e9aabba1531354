"""One chaos run: everything is killed, at any time and at named points of the code; then the law.

A seed decides who dies when. The moments are the machine's own, so that a seed is not a replay: it
is another mixture. The story of a run says what happened, for a person to read.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hub.store.embedded import EmbeddedServer
from tests.faults.echo import Echo
from tests.faults.plant import INGESTS, PROGRAMS, Plant, Point
from tests.faults.points import DIED
from tests.faults.runs import ended, own_server, plant_on

POINTS = {
    "node": (
        "edge.ledger.rows.open_part",
        "edge.ledger.rows.close_part",
        "edge.ledger.rows.append",
        "edge.ledger.rows.acknowledge",
        "edge.outbox.Outbox.open",
        "edge.outbox.Outbox.close_part",
        "edge.outbox.Outbox.append",
        "edge.outbox.Outbox.acknowledge",
        "edge.outbox.Outbox._checkpoint",
        "edge.settling.Settling.pass_by",
        "edge.inspector.Inspector._submit",
        "edge.inspector.Inspector._epoch_opened",
        "edge.mqtt.feed.Feed.next_message",
        "edge.mqtt.feed.Feed.read_ack",
    ),
    "ingest": (
        "hub.store.cursors.locked",
        "hub.store.rows._store",
        "hub.store.sums.add",
        "hub.store.rows.taken_many",
        "hub.store.copied.copy_parts",
        "hub.store.copied.copy",
        "hub.store.rows.born",
        "hub.ingest.Ingest._answer",
    ),
    "duties": (
        "hub.store.partitions.make_ahead",
        "hub.chains.Chains._slice",
        "hub.duties.Duties._show",
    ),
}
"""Where a program may die: between every two steps that a half-done run could tell apart."""

EVENTS = {
    "node": 5,
    "ingest-1": 3,
    "ingest-2": 3,
    "both ingests": 1,
    "duties": 1,
    "broker": 2,
    "postgres": 1,
    "stopped ingest": 1,
    "stopped broker": 0.5,
    "PLC": 0.5,
}
ARMED = 0.6  # of the programs that start again, so many will die at a named point
PAUSE_S = (0.2, 1.4)
DOWN_S = (0.05, 1.2)
STOPPED_S = (0.5, 3.0)


@dataclass
class Outcome:
    """What a run came to."""

    found: list[str]
    kills: int
    at_points: int
    story: str = field(repr=False)


@dataclass
class Chaos:
    """Kills and revives the parts of one plant."""

    plant: Plant
    server: EmbeddedServer
    random: random.Random
    at_points: int = 0
    due: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    down: set[str] = field(default_factory=set)

    def run(self, seconds: float) -> None:
        """Let it all happen, and bring everything back."""
        end_s = time.monotonic() + seconds
        pause = threading.Event()
        next_s = time.monotonic() + 2.0
        while (now_s := time.monotonic()) < end_s:
            self._revive(now_s)
            if now_s >= next_s:
                next_s = now_s + self.random.uniform(*PAUSE_S)
                self._happen(self.random.choices([*EVENTS], [*EVENTS.values()])[0])
            pause.wait(0.05)
        while self.due:
            self._revive(float("inf"))
        for name in PROGRAMS:  # what was armed and did not die yet would do so later
            self.plant.kill(name)
            self.plant.start(name)

    def _revive(self, now_s: float) -> None:
        for one in [one for one in self.due if one[0] <= now_s]:
            self.due.remove(one)
            one[1]()
        for name in PROGRAMS:
            if name not in self.down and not self.plant.runs(name):
                self._died(name)

    def _died(self, name: str) -> None:
        """A program ended by itself: at its point, or because of a bug."""
        code = self.plant.code(name)
        self.plant.tell(f"{name} ended with {code}")
        self.plant.kills += 1
        self.at_points += code == DIED
        assert code == DIED, f"{name} ended with {code}:\n{self.plant.log(name)[-2000:]}"
        self._later(name, lambda: self._start(name))

    def _later(self, name: str, revive: Callable[[], None]) -> None:
        self.down.add(name)
        self.due.append((time.monotonic() + self.random.uniform(*DOWN_S), revive))

    def _start(self, name: str) -> None:
        point = None
        if self.random.random() < ARMED:
            names = POINTS[name.split("-")[0]]
            when = self.random.choice(("before", "after"))
            point = Point(when, self.random.choice(names), self.random.randint(1, 8))
        self.plant.start(name, point)
        self.down.discard(name)

    def _happen(self, event: str) -> None:
        plant = self.plant
        if event in PROGRAMS:
            self._kill(event)
        elif event == "both ingests":
            for name in INGESTS:
                self._kill(name)
        elif event == "broker" and event not in self.down:
            plant.tell("kill -9 broker")
            plant.kills += 1
            plant.broker.kill()
            self._later(event, self._start_broker)
        elif event == "postgres" and event not in self.down and self.server.pid:
            plant.tell("kill -9 postgres")
            plant.kills += 1
            os.kill(self.server.pid, signal.SIGKILL)
            self._later(event, self._start_postgres)
        elif event == "stopped ingest" and not self.down & {*INGESTS}:
            name = self.random.choice(INGESTS)
            self._stand_still(name, lambda number: plant.signal(name, number))
        elif event == "stopped broker" and "broker" not in self.down:
            self._stand_still("broker", plant.broker.send)
        elif event == "PLC":
            plant.tell("the PLC starts anew")
            plant.plc.restart(self.random.choice((0, 65_500, 2**32 - 20)))

    def _kill(self, name: str) -> None:
        if name not in self.down and self.plant.runs(name):
            self.plant.kill(name)
            self._later(name, lambda: self._start(name))

    def _stand_still(self, name: str, send: Callable[[signal.Signals], None]) -> None:
        """A process that is there and does nothing for a while."""
        until_s = time.monotonic() + self.random.uniform(*STOPPED_S)
        self.plant.tell(f"{name} stands still")
        send(signal.SIGSTOP)

        def go_on() -> None:
            self.down.discard(name)
            send(signal.SIGCONT)

        self.down.add(name)
        self.due.append((until_s, go_on))

    def _start_broker(self) -> None:
        self.plant.broker.start()
        self.down.discard("broker")

    def _start_postgres(self) -> None:
        self.server.stop()
        self.server.start()
        self.down.discard("postgres")


def chaos(seed: int, seconds: float, folder: Path) -> Outcome:
    """One run on a PostgreSQL of its own."""
    with own_server() as server, plant_on(server.dsn, folder, rate_per_s=15.0, seed=seed) as plant:
        plant.plc.feed(True)
        told = Chaos(plant, server, random.Random(seed))
        with Echo(plant.broker.port, seed=seed):
            told.run(seconds)
        return Outcome(ended(plant), plant.kills, told.at_points, plant.told())
