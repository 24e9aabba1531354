"""A plant for fault runs: a played PLC, a node, a broker, two ingest workers, duties, PostgreSQL.

Every part is a process of its own that may be killed and started again at any moment. The thread
that makes a plant must live as long as the plant (hub/tether.py). `tree` is where the product is
imported from, so that a copy with a planted bug can run beside the one that tests it.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from hub import registry, tether
from tests.broker_peer import Broker
from tests.faults.plc import PlayedPlc
from tests.faults.proxy import Proxy

ROOT = Path(__file__).parents[2]
NODE = "node-1"
INGESTS = ("ingest-1", "ingest-2")
PROGRAMS = ("node", *INGESTS, "duties")
STOP_S = 30.0


@dataclass(frozen=True)
class Point:
    """A named point in the code at which a program dies, see tests/faults/points.py."""

    when: str
    name: str
    count: int

    def __str__(self) -> str:
        return f"{self.when} call {self.count} of {self.name}"


@dataclass
class Plant:
    """The processes of one run, in one folder."""

    folder: Path
    dsn: str
    plc: PlayedPlc
    tree: Path = ROOT
    ledger: Path | None = None  # where the node's disk is, if not in the folder
    proxied: bool = False  # the node reaches the broker through `proxy` only
    node_environment: Mapping[str, str] = field(default_factory=dict)
    node_before: tuple[str, ...] = ()  # what runs the node: strace with its options
    hub_environment: Mapping[str, str] = field(default_factory=dict)
    broker_settings: str = ""
    kills: int = 0
    story: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began_s = time.monotonic()
        self.broker = Broker(self.folder, self.broker_settings)
        self.proxy = Proxy(self.broker.port) if self.proxied else None
        self.data = self.ledger or self.folder / "node"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        (self.folder / "hub.toml").write_text(
            f'[database]\ndsn = "{self.dsn}"\n'
            f'[broker]\nhost = "127.0.0.1"\nport = {self.broker.port}\n'
            f'[web]\npictures_dir = "pictures"\n[duties]\nround_s = 0.5\n'
        )

    def __enter__(self) -> "Plant":
        registry.add(self.dsn, "jinan", "line-1", NODE)
        self.broker.start()
        if self.proxy is not None:
            self.proxy.__enter__()
        for name in PROGRAMS:
            self.start(name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        for name in PROGRAMS:
            self._end(name)
        if self.proxy is not None:
            self.proxy.__exit__(None, None, None)
        self.broker.kill()

    # -- programs -----------------------------------------------------------------------------

    def start(self, name: str, point: Point | None = None) -> None:
        """Start a program, to die at `point` if one is given."""
        if name == "node":
            port = self.proxy.port if self.proxy else self.broker.port
            module = ["tests.faults.driver", str(self.data), str(self.plc.path), str(port)]
        else:
            module = ["hub", name.split("-")[0], "--config", str(self.folder / "hub.toml")]
        armed: list[str] = []
        if point is not None:
            armed = ["tests.faults.points", point.when, point.name, str(point.count)]
            self.tell(f"{name} starts, to die {point}")
        program = [sys.executable, "-m", *armed, *module]
        extra = self.hub_environment
        if name == "node":
            program, extra = [*self.node_before, *program], self.node_environment
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                tether.command(program, signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,  # not where another tree would be imported from
                env={**os.environ, "PYTHONPATH": f"{self.tree}:{ROOT}", **extra},
                start_new_session=True,
            )

    def runs(self, name: str) -> bool:
        """Is the program there?"""
        return self._running[name].poll() is None

    def code(self, name: str) -> int | None:
        """Its exit code; None while it runs."""
        return self._running[name].poll()

    def kill(self, name: str) -> None:
        """As `kill -9` does."""
        self.kills += 1
        self.tell(f"kill -9 {name}")
        self._end(name)

    def stop(self, name: str) -> int:
        """Ask it to end, wait; its exit code."""
        self.signal(name, signal.SIGTERM)
        return self._running[name].wait(STOP_S)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send its whole group a signal."""
        os.killpg(self._running[name].pid, number)

    def log(self, name: str) -> str:
        """What the program wrote, over all its runs."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def told(self) -> str:
        """The run's story and the last lines of each log; its folder is not kept."""
        lines = list(self.story)
        for name in PROGRAMS:
            lines += [f"{name}: {line}" for line in self.log(name).splitlines()[-30:]]
        return "\n".join(lines)

    def tell(self, what: str) -> None:
        """A line of the run's story."""
        self.story.append(f"{time.monotonic() - self.began_s:6.2f} s  {what}")

    def _end(self, name: str) -> None:
        process = self._running.get(name)
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    # -- what happens ---------------------------------------------------------------------------

    def feed(self, parts: int, deadline_s: float = 60.0) -> None:
        """Let so many parts come, then none."""
        end = self.plc.counter + parts
        self.plc.feed(True)
        wait_until(lambda: self.plc.counter >= end, f"{parts} parts come", deadline_s)
        self.plc.feed(False)


def wait_until(holds: Callable[[], bool], what: str, deadline_s: float = 60.0) -> None:
    """Return once `holds()`; fail after the deadline."""
    assert reached(holds, deadline_s), f"waited in vain: {what}"


def reached(holds: Callable[[], bool], deadline_s: float) -> bool:
    """Wait for `holds()`; False if the deadline passed first."""
    give_up_s = time.monotonic() + deadline_s
    pause = threading.Event()
    while not holds():
        if time.monotonic() > give_up_s:
            return False
        pause.wait(0.05)
    return True


def lines(text: str, words: Sequence[str]) -> list[str]:
    """The lines of a log that hold any of these words."""
    return [line for line in text.splitlines() if any(word in line for word in words)]
