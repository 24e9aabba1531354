"""`quanjian-edge simulate` as a process: a register-level master on its port, frames from its
camera, signals, and what is left on disk."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge import settings
from edge.errors import CameraError, PlcError, PlcTimeoutError
from edge.plc import blocks
from edge.plc.links import Link
from edge.plc.transaction import read_registers, write_registers
from edge.terms import Code, Frame
from edge.vision.shared_memory import SharedMemoryCamera
from tests.broker_peer import free_port
from tests.serial_peers import until

UNIT, READ_BASE, WRITE_BASE = 1, 0, 100


@contextlib.contextmanager
def simulate(folder: Path, *options: str, camera: str = "cam") -> Iterator[subprocess.Popen[str]]:
    """The process, once its port is there."""
    source = camera if camera == "none" else str(folder / camera)
    command = [sys.executable, "-m", "edge", "simulate", "--port", str(folder / "plc")]
    command += ["--camera", source, "--summary", str(folder / "summary.json"), *options]
    (folder / "plc").unlink(missing_ok=True)
    process = subprocess.Popen(command, text=True)
    try:
        until(lambda: (folder / "plc").is_symlink(), within_s=20)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


class Master:
    """A node with no detector: every part is OK. One thread, until the port goes."""

    def __init__(self, port: Path, bus: settings.Bus | None = None) -> None:
        self.counter = 0
        self.starts: set[int] = set()
        self._link = Link(bus or settings.Bus(name="bus", port=str(port), reply_timeout_s=1.0))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="master")

    def __enter__(self) -> "Master":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=10)
        self._link.close()

    def _run(self) -> None:
        began_s, beats, answered = time.monotonic(), 0, 0
        with contextlib.suppress(PlcError):  # the line has ended
            while not self._stop.is_set():
                with contextlib.suppress(PlcTimeoutError):  # a busy computer answers the next time
                    read = read_registers(UNIT, READ_BASE, blocks.BLOCK_SIZE)
                    block = blocks.PlcBlock.decode(self._link.transact(read).values)
                    self.counter = block.counter
                    self.starts.add(block.plc_start)
                    if answered < block.counter:
                        result = blocks.Result(answered + 1, Code.OK)
                        self._write(5, blocks.result_registers(result))
                        answered += 1
                    if time.monotonic() - began_s > beats * 0.25:
                        flags = blocks.StatusFlags.ONLINE | blocks.StatusFlags.TRIGGER_READY
                        self._write(0, blocks.status_registers(flags, beats + 1))
                        beats += 1

    def _write(self, offset: int, values: tuple[int, ...]) -> None:
        self._link.transact(write_registers(UNIT, WRITE_BASE + offset, values))


def frames_of(path: Path, found: list[Frame], ready: threading.Event) -> None:
    """Collect frames until the camera goes."""
    camera = SharedMemoryCamera("cam", path)
    ready.set()
    with contextlib.suppress(CameraError):
        while True:
            frame = camera.read(1.0)
            if frame is not None:
                found.append(frame)
    camera.close()


def summary_of(folder: Path) -> Any:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def test_a_line_in_real_time_with_a_master_and_a_camera(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    options = ("--seconds", "6", "--truth", str(truth), "--start-when-ready", "--defect-rate", "0")
    found: list[Frame] = []
    ready = threading.Event()
    with simulate(tmp_path, *options) as process:
        watch = threading.Thread(target=frames_of, args=(tmp_path / "cam", found, ready))
        watch.start()
        assert ready.wait(5)
        with Master(tmp_path / "plc"):
            assert process.wait(timeout=40) == 0
        watch.join(timeout=10)
    told = summary_of(tmp_path)
    assert told["triggers"] == told["ok"] == told["good_bin"] == told["plc_counters"]["good"]
    assert told["triggers"] == pytest.approx(24, abs=3)
    assert told["good_bin_without_ok"] == told["wrong_words"] == told["escapes"] == 0
    assert told["latency_ms"]["unanswered"] == 0
    lines = [json.loads(text) for text in truth.read_text(encoding="utf-8").splitlines()]
    assert [one["number"] for one in lines] == list(range(1, told["triggers"] + 1))
    assert len(found) == told["frames"] == told["triggers"]
    assert [frame.trigger_count for frame in found] == list(range(1, len(found) + 1))
    for frame, one in zip(found, lines, strict=True):
        assert 0.010 < frame.exposed_s - one["edge_s"] < 0.020
        assert frame.image[256, 100] > 60  # the plate is there, bright on a dark belt
    assert not (tmp_path / "plc").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["summary.json", "truth.jsonl"]


def test_a_signal_lets_the_parts_run_out_and_the_next_run_is_a_new_epoch(tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "state.json"), "--start-when-ready")
    for run in (1, 2):
        with simulate(tmp_path, *state) as process, Master(tmp_path / "plc") as master:
            until(lambda seen=master: seen.counter >= 3, within_s=30)  # type: ignore[misc]
            process.send_signal(signal.SIGTERM if run == 1 else signal.SIGINT)
            assert process.wait(timeout=40) == 0
            assert master.starts == {run}
        told = summary_of(tmp_path)
        assert told["good_bin"] + told["reject_bin"] == told["triggers"] >= 3
        assert told["plc_start"] == run
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.json", "summary.json"]


def test_a_killed_line_leaves_only_what_the_next_one_replaces(tmp_path: Path) -> None:
    with simulate(tmp_path) as process:
        until(lambda: (tmp_path / "cam.sock").exists())
        process.kill()
    left = {path.name for path in tmp_path.iterdir()}
    with simulate(tmp_path, "--parts", "1") as process:
        until(lambda: (tmp_path / "cam").exists())
        assert process.wait(timeout=40) == 0
    assert left <= {"plc", "cam", "cam.sock"}
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_without_a_camera_the_line_triggers_so_many_parts(tmp_path: Path) -> None:
    options = ("--parts", "4", "--rate", "5", "--start-when-ready")
    with simulate(tmp_path, *options, camera="none") as process, Master(tmp_path / "plc"):
        assert process.wait(timeout=40) == 0
    told = summary_of(tmp_path)
    assert (told["triggers"], told["ok"], told["frames"], told["escapes"]) == (4, 4, None, None)


def test_a_line_that_speaks_ascii(tmp_path: Path) -> None:
    bus = settings.Bus(
        name="bus", port=str(tmp_path / "plc"), protocol="modbus_ascii", reply_timeout_s=1.0
    )
    options = ("--parts", "4", "--rate", "5", "--start-when-ready", "--protocol", "modbus_ascii")
    with (
        simulate(tmp_path, *options, camera="none") as process,
        Master(tmp_path / "plc", bus),
    ):
        assert process.wait(timeout=40) == 0
    assert summary_of(tmp_path)["ok"] == 4


def test_a_line_behind_tcp(tmp_path: Path) -> None:
    port = free_port()
    bus = settings.Bus(name="bus", host="127.0.0.1", tcp_port=port, protocol="modbus_tcp")
    command = [sys.executable, "-m", "edge", "simulate", "--tcp-port", str(port)]
    command += ["--camera", "none", "--parts", "4", "--rate", "5", "--start-when-ready"]
    process = subprocess.Popen([*command, "--summary", str(tmp_path / "summary.json")], text=True)
    try:
        until(lambda: answers(port), within_s=20)
        with Master(tmp_path / "plc", bus):
            assert process.wait(timeout=40) == 0
    finally:
        process.kill()
        process.wait()
    assert summary_of(tmp_path)["ok"] == 4


def answers(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def test_every_wrong_option_is_told_at_once(tmp_path: Path) -> None:
    wrong = ["--rate", "0", "--defect-rate", "2", "--misbehave", "gremlins=1", "--at", "now:slip"]
    wrong += ["--counters-base", "5"]
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "edge",
            "simulate",
            "--port",
            str(tmp_path / "p"),
            "--camera",
            "none",
            *wrong,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    for word in ("--rate", "--defect-rate", "gremlins", "now:slip", "--counters-base"):
        assert word in ran.stderr
