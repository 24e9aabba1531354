"""A whole node in this process beside a simulated PLC in its own: pictures from a folder.

The pictures are gray squares for the detector of `tiny_models`: a bright spot is a defect.
"""

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge import settings
from edge.mqtt.message import AnyRow, decode_row
from edge.node import Node
from edge.outbox import Outbox
from tests import tiny_models

RECIPE = """
name = "squares"
product = "squares"

[image]
frozen = false

[[view]]
camera = "c1"

[[class]]
label = "bright"
threshold = 0.5

[[class]]
label = "red"
threshold = 0.5
"""

EDGE = """
[node]
plant = "test"
line = "line-1"
name = "node-1"
data_dir = "data"

[page]
port = 0

[[bus]]
name = "b1"
port = "{port}"

[[camera]]
name = "c1"
kind = "folder"
source = "pictures"

[[recipe]]
number = 1
path = "squares.toml"
model = "tiny.onnx"

[[station]]
name = "s1"
bus = "b1"
counters_base = 20
trigger = "software"
cameras = ["c1"]
deadline_ms = 3000
frame_tolerance_ms = 2900
speed_mm_s = 0
"""

SECOND = """
[[bus]]
name = "b2"
port = "{port}"

[[camera]]
name = "c2"
kind = "folder"
source = "pictures2"

[[station]]
name = "s2"
bus = "b2"
trigger = "software"
cameras = ["c2"]
deadline_ms = 3000
frame_tolerance_ms = 2900
speed_mm_s = 0
"""


def draw(folder: Path, spots: Sequence[bool | None]) -> None:
    """One picture per part: True = a bright spot, None = a file that is no picture."""
    folder.mkdir(parents=True)
    for number, spot in enumerate(spots):
        path = folder / f"{number:04d}.png"
        if spot is None:
            path.write_bytes(b"this is no picture")
            continue
        image = np.full((64, 64), 90 + number % 7, np.uint8)
        if spot:
            image[16:24, 32:40] = 255
        cv2.imwrite(str(path), image)


def wire(folder: Path, spots: Sequence[bool | None]) -> settings.Settings:
    """Write everything a node needs into `folder`, not pinned."""
    draw(folder / "pictures", spots)
    (folder / "squares.toml").write_text(RECIPE, encoding="utf-8")
    tiny_models.write(folder / "tiny.onnx")
    (folder / "edge.toml").write_text(EDGE.format(port=folder / "plc"), encoding="utf-8")
    return settings.read(folder / "edge.toml")


class SimulatedPlc:
    """`quanjian-edge simulate` without a camera, in its own process."""

    def __init__(
        self,
        folder: Path,
        parts: int,
        rate: float,
        when_ready: bool = True,
        name: str = "plc",
        at: Sequence[str] = (),
    ) -> None:
        """`when_ready`: the first part waits until the node is ready; `name` of its port.

        `at`: what happens on the line, SECONDS:KIND.
        """
        self._summary = folder / f"{name}-summary.json"
        command = [sys.executable, "-m", "edge", "simulate", "--camera", "none"]
        self.process = subprocess.Popen(
            [
                *(*command, "--port", str(folder / name), "--summary", str(self._summary)),
                *("--parts", str(parts), "--rate", str(rate)),
                *("--state", str(folder / f"{name}-state")),
                *(("--start-when-ready",) if when_ready else ()),
                *(word for event in at for word in ("--at", event)),
            ],
            stdout=subprocess.DEVNULL,
        )

    def summary(self, timeout_s: float = 90.0) -> dict[str, Any]:
        """Wait until the last part has passed the gate."""
        assert self.process.wait(timeout_s) == 0
        found: dict[str, Any] = json.loads(self._summary.read_text(encoding="utf-8"))
        return found


def add_station(folder: Path, spots: Sequence[bool | None]) -> settings.Settings:
    """A second station on the same node, with its own PLC and camera."""
    draw(folder / "pictures2", spots)
    with (folder / "edge.toml").open("a", encoding="utf-8") as file:
        file.write(SECOND.format(port=folder / "plc2"))
    return settings.read(folder / "edge.toml")


class NodeProcess:
    """A node in its own process, to be killed."""

    def __init__(self, folder: Path) -> None:
        self._ledger = folder / "data" / "ledger.db"
        command = [sys.executable, "-m", "edge", "run", "--unsigned"]
        self._process = subprocess.Popen(
            [*command, "--config", str(folder / "edge.toml")], stderr=subprocess.DEVNULL
        )

    def wait_for_rows(self, count: int, timeout_s: float = 60.0) -> None:
        """Until so many rows are closed on its disk."""
        looked = threading.Event()
        deadline_s = time.monotonic() + timeout_s
        while self._closed_rows() < count:
            assert self._process.poll() is None, "the node ended by itself"
            assert time.monotonic() < deadline_s, f"no {count} rows within {timeout_s} s"
            looked.wait(0.02)

    def kill(self) -> None:
        """As the power cut does to a process."""
        self._process.kill()
        self._process.wait(10)

    def signal(self, number: int) -> None:
        """Such as SIGSTOP: the whole process stands still."""
        self._process.send_signal(number)

    def _closed_rows(self) -> int:
        if not self._ledger.exists():
            return 0
        db = sqlite3.connect(f"file:{self._ledger}?mode=ro", uri=True)
        try:
            (head,) = db.execute("SELECT head FROM ledger").fetchone()
        except (sqlite3.OperationalError, TypeError):
            return 0  # not yet laid out
        finally:
            db.close()
        return int(head) - 1


@contextmanager
def running(node: Node) -> Iterator[threading.Event]:
    """The node, running in a thread; the event stops it. Stopped in any case at the end."""
    stop = threading.Event()
    thread = threading.Thread(target=node.run, args=(stop,), name="node")
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def rows_of(folder: Path) -> list[AnyRow]:
    """Every closed row on disk, once the node has closed its ledger."""
    ledger = Outbox(folder / "data" / "ledger.db")
    try:
        rows: list[AnyRow] = []
        while batch := ledger.batch(ledger.first + len(rows)):
            rows += [decode_row(entry.row) for entry in batch.rows]
        return rows
    finally:
        ledger.close()
