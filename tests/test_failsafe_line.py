"""A real node beside the simulated line while everything around it fails, one thing after another.

    frozen camera, stalled inference, SIGSTOP, serial adapter pulled out, kill -9

One run plays them all; each test reads the truth of its stretch. Nothing may pass without an OK,
and rejecting everything is no pass: what a fault costs ends two seconds after it.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge.terms import Code
from tests import stalling_model
from tests.serial_peers import until

pytestmark = pytest.mark.faults

BASE = Path(__file__).parent.parent / "models" / "base"
RATE = 4.0
DEADLINE_S = 0.5
AFTER_S = 2.0  # after a fault the parts whose deadline falls inside this may still be lost
AGAIN_S = 5.0  # after a fault OK verdicts flow again within this
HEALTHY_S = 3.2  # between two faults
FED_TO_EYE_S = 389.5 / (RATE * 190.0)  # a plate enters, and breaks the beam

EDGE = f"""
[node]
plant = "test"
line = "line-1"
name = "node-1"
data_dir = "data"

[page]
port = 0

[[bus]]
name = "b1"
port = "FOLDER/adapter"
reply_timeout_s = 0.06

[[camera]]
name = "c1"
kind = "shared_memory"
source = "camera"

[[recipe]]
number = 1
path = "{BASE / "plate.toml"}"
model = "{BASE / "base.onnx"}"

[[recipe]]
number = 2
path = "stalls.toml"
model = "stalls.onnx"

[[station]]
name = "s1"
bus = "b1"
counters_base = 20
trigger = "hardware"
cameras = ["c1"]
deadline_ms = {DEADLINE_S * 1000:.0f}
max_rate_per_s = {1.5 * RATE}
"""


class Adapter:
    """A USB serial adapter in the PLC's cable that can be pulled out of the node."""

    def __init__(self, near: Path, far: Path) -> None:
        """`near`: the port the node opens; `far`: the PLC's."""
        self._near = near
        self._far = os.open(far, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._far)
        self._ends: tuple[int, int] | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="adapter")
        self._thread.start()

    def plug(self) -> None:
        """The port is there."""
        line, port = os.openpty()
        tty.setraw(port)
        with self._lock:
            self._ends = line, port
        self._near.symlink_to(os.ttyname(port))

    def pull(self) -> None:
        """The port is gone, and whoever holds it is told so."""
        self._near.unlink()
        with self._lock:
            ends, self._ends = self._ends, None
        for end in ends or ():
            os.close(end)

    def close(self) -> None:
        self._over.set()
        self._thread.join(5)
        if self._ends is not None:
            self.pull()
        os.close(self._far)

    def _run(self) -> None:
        while not self._over.is_set():
            with self._lock:
                line = self._ends[0] if self._ends else None
                ends = [self._far] if line is None else [self._far, line]
                ready = select.select(ends, [], [], 0)[0]
                for end in ready:
                    with contextlib.suppress(OSError):  # the other end has gone
                        heard = os.read(end, 512)
                        if line is not None:
                            os.write(line if end == self._far else self._far, heard)
            if not ready:
                self._over.wait(0.0005)


class NodeAside:
    """The node's process, its log read as it comes."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[str] = []
        command = [sys.executable, "-m", "edge", "run", "--unsigned"]
        self.process = subprocess.Popen(
            [*command, "--config", str(folder / "edge.toml")], stderr=subprocess.PIPE, text=True
        )
        self._thread = threading.Thread(target=self._read, name="node's log")
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def ready(self) -> bool:
        """It has said so."""
        return any("ready for parts" in line for line in self.lines)

    def worked_s(self) -> float:
        """Processor time of all its threads since it was started."""
        fields = (
            Path(f"/proc/{self.process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        )
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        self.process.kill()
        self._end()

    def stop(self) -> None:
        self.process.terminate()
        self._end()

    def _end(self) -> None:
        self.process.wait(20)
        self._thread.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()


@dataclass
class Story:
    """What happened, on the clock that node, line and test share."""

    faults: dict[str, tuple[float, float]] = field(default_factory=dict)  # from, to
    parts: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    boot_s: list[float] = field(default_factory=list)  # of the processor, until ready for parts

    def lost(self) -> list[dict[str, Any]]:
        """Good parts that the gate rejected, for whatever reason."""
        return [
            part
            for part in self.parts
            if part["action"] != "pass" and not any(plate["labels"] for plate in part["plates"])
        ]

    def costs(self, name: str) -> list[dict[str, Any]]:
        """The lost parts whose deadline fell inside the fault or two seconds after it."""
        return [part for part in self.lost() if self.touches(name, part)]

    def touches(self, name: str, part: dict[str, Any]) -> bool:
        """Whether its deadline fell there."""
        begins_s, ends_s = self.faults[name]
        due_s: float = part["edge_s"] + DEADLINE_S
        return begins_s <= due_s <= ends_s + AFTER_S


@contextmanager
def line(folder: Path, *at: str) -> Iterator[subprocess.Popen[str]]:
    """The simulated line, waiting for a node that is ready."""
    command = [sys.executable, "-m", "edge", "simulate", "--start-when-ready"]
    command += ["--port", str(folder / "plc"), "--camera", str(folder / "camera")]
    command += ["--truth", str(folder / "truth"), "--summary", str(folder / "summary")]
    command += ["--rate", str(RATE), "--defect-rate", "0.1", "--repair-s", "0.5"]
    command += [word for event in at for word in ("--at", event)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: (folder / "plc").is_symlink() and (folder / "camera").exists(), 20)
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def wait(until_s: float) -> None:
    """The plan goes on at this moment."""
    threading.Event().wait(max(0.0, until_s - time.monotonic()))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """All faults, one after the other, on one line."""
    folder = tmp_path_factory.mktemp("line")
    text = EDGE.replace("FOLDER", str(folder))
    (folder / "edge.toml").write_text(text, encoding="utf-8")
    recipe = (BASE / "plate.toml").read_text(encoding="utf-8").partition("[[golden]]")[0]
    (folder / "stalls.toml").write_text(recipe.replace("demo-plate", "stalls"), "utf-8")
    stalling_model.write(folder / "stalls.onnx", BASE / "base.onnx", 0.005, 0.6)
    told = Story()
    frozen = (HEALTHY_S, HEALTHY_S + 1.2)
    stalls = (frozen[1] + HEALTHY_S, frozen[1] + HEALTHY_S + 3.0)
    at = [f"{frozen[0]}:frozen", f"{frozen[1]}:frozen=0"]
    at += [f"{stalls[0]}:recipe=2", f"{stalls[1]}:recipe=1"]
    with line(folder, *at) as simulated:
        adapter = Adapter(folder / "adapter", folder / "plc")
        adapter.plug()
        node = NodeAside(folder)
        try:
            until(node.ready, 40)
            told.boot_s.append(node.worked_s())
            truth = folder / "truth"
            until(lambda: '"edge_s"' in truth.read_text(encoding="utf-8"), 20)
            first = json.loads(truth.read_text(encoding="utf-8").splitlines()[0])
            fed_s = first["edge_s"] - FED_TO_EYE_S
            told.faults["frozen camera"] = (fed_s + frozen[0], fed_s + frozen[1])
            told.faults["stalled inference"] = (fed_s + stalls[0], fed_s + stalls[1])
            wait(fed_s + stalls[1] + HEALTHY_S)
            begins_s = time.monotonic()
            node.process.send_signal(signal.SIGSTOP)
            wait(begins_s + 3.0)
            node.process.send_signal(signal.SIGCONT)
            told.faults["stopped process"] = (begins_s, time.monotonic())
            wait(time.monotonic() + HEALTHY_S)
            begins_s = time.monotonic()
            adapter.pull()
            wait(begins_s + 1.5)
            adapter.plug()
            told.faults["unplugged"] = (begins_s, time.monotonic())
            wait(time.monotonic() + HEALTHY_S)
            begins_s = time.monotonic()
            node.kill()
            node = NodeAside(folder)
            until(node.ready, 40)
            told.faults["killed"] = (begins_s, time.monotonic())
            told.boot_s.append(node.worked_s())
            wait(time.monotonic() + HEALTHY_S)
            simulated.send_signal(signal.SIGTERM)
            simulated.wait(40)
        finally:
            node.stop()
            adapter.close()
    lines = [json.loads(text) for text in truth.read_text(encoding="utf-8").splitlines()]
    told.parts = [one for one in lines if one["kind"] == "part"]
    told.summary = json.loads((folder / "summary").read_text(encoding="utf-8"))
    return told


FAULTS = ("frozen camera", "stalled inference", "stopped process", "unplugged", "killed")


def test_nothing_in_the_good_bin_without_an_ok(story: Story) -> None:
    assert story.summary["good_bin_without_ok"] == 0
    assert story.summary["wrong_words"] == 0


def test_good_parts_are_lost_only_in_a_fault_and_two_seconds_after(story: Story) -> None:
    """Rejecting everything is no pass either."""
    costs = [part["number"] for fault in FAULTS for part in story.costs(fault)]
    assert [part["number"] for part in story.lost() if part["number"] not in costs] == []
    spared = [part for part in story.parts if not any(story.touches(f, part) for f in FAULTS)]
    assert sum(part["action"] == "pass" for part in spared) > 0.7 * len(spared) > 14


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_parts_or_it_is_none(story: Story, fault: str) -> None:
    assert story.costs(fault)


@pytest.mark.parametrize("fault", FAULTS)
def test_ok_verdicts_flow_again_within_five_seconds(story: Story, fault: str) -> None:
    _, ends_s = story.faults[fault]
    again = [
        part["edge_s"] + part["latency_ms"] / 1000 - ends_s
        for part in story.parts
        if part["code"] == Code.OK and part["edge_s"] >= ends_s
    ]
    assert min(again) <= AGAIN_S


def test_a_node_that_was_killed_takes_no_longer_to_be_ready_again(story: Story) -> None:
    """Its own work, for what else runs on this computer is not its: the last start is the cold one
    after the kill."""
    assert story.boot_s[-1] <= AGAIN_S
