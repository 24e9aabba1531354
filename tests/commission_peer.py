"""A person at `quanjian-edge commission`, a simulated line moved by hand, and PLCs with a fault."""

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from edge import settings
from edge.commissioning.journal import Record, Step
from edge.commissioning.made_with import site
from edge.commissioning.rules import STEPS
from edge.commissioning.store import Store
from edge.plc.blocks import (
    Control,
    LineCounters,
    PlcBlock,
    Result,
    StatusFlags,
    verdict_word,
)
from edge.plc.slave import PtySlave, Slave
from edge.terms import MAP_VERSION
from tests.serial_peers import until

_AUTO = Control(0)

Script = Mapping[str, tuple[str | None, Sequence[str]]]
"""What is heard -> what is answered (None: nothing), and what is done at the line."""


class HandLine:
    """`quanjian-edge simulate --by-hand` in its own process."""

    def __init__(self, folder: Path, camera: str = "none", rate: float = 8.0) -> None:
        port = folder / "plc"
        command = [sys.executable, "-m", "edge", "simulate", "--by-hand", "--port", str(port)]
        command += ["--camera", camera, "--rate", str(rate), "--defect-rate", "0"]
        self._process = subprocess.Popen(
            [*command, "--summary", str(folder / "summary.json")],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        until(port.exists, within_s=30)

    def do(self, *words: str) -> None:
        """Type words."""
        assert self._process.stdin is not None
        for word in words:
            self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def __enter__(self) -> "HandLine":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
        assert self._process.stdin is not None
        self._process.stdin.close()


class Person:
    """Runs the command and answers it; what it says is heard line by line."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "edge", "commission", "--config"]
        command += [str(folder / "edge.toml"), "--json", "--who", "李娜", *arguments]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.talk: list[str] = []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._told: list[str] = []
        self._threads = [
            threading.Thread(target=self._hear, name="stderr"),
            threading.Thread(target=self._keep, name="stdout"),
        ]
        for thread in self._threads:
            thread.start()

    def _hear(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _keep(self) -> None:
        assert self.process.stdout is not None
        self._told += self.process.stdout

    def answer(self, text: str) -> None:
        """Type a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()

    def hears(self, words: str, within_s: float = 60.0) -> None:
        """Wait until these words are said."""
        deadline_s = time.monotonic() + within_s
        while (line := self._next(deadline_s)) is not None:
            if words in line:
                return
        raise AssertionError(f"never heard {words!r}, but {self.talk[-12:]}")

    def plays(self, script: Script, line: HandLine | None = None, within_s: float = 120.0) -> None:
        """Answer as the script says until the command ends."""
        deadline_s = time.monotonic() + within_s
        while (said := self._next(deadline_s)) is not None:
            for words, (answer, deeds) in script.items():
                if words in said:
                    if line is not None:
                        line.do(*deeds)
                    if answer is not None:
                        self.answer(answer)

    def _next(self, deadline_s: float) -> str | None:
        left_s = max(0.01, deadline_s - time.monotonic())
        try:
            line = self._lines.get(timeout=left_s)
        except queue.Empty:
            raise AssertionError(f"said nothing more; last: {self.talk[-12:]}") from None
        if line is not None:
            self.talk.append(line)
        return line

    def end(self, within_s: float = 60.0) -> tuple[int, list[dict[str, Any]]]:
        """No more answers; the exit code and what stdout told, an object a line."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(within_s)
        self._join()
        return code, [json.loads(line) for line in self._told]

    def kill(self) -> None:
        """As a power cut does."""
        self.process.kill()
        self.process.wait(10)
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._join()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(10)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def __enter__(self) -> "Person":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()


class PlayedStation:
    """A PLC whose parts a test sends, with the faults it is told to have."""

    def __init__(
        self,
        link: Path,
        beating: bool = True,
        echoing: bool = True,
        running: bool = False,
        watching: bool = True,
        bins: bool = False,
    ) -> None:
        """`watching`: it takes no verdict of a node whose heartbeat stands for a second.

        `bins`: it has sensors at both.
        """
        self._beating, self._echoing, self._watching = beating, echoing, watching
        self._control = Control.ENABLE | (Control.LINE_RUNNING if running else Control(0))
        self._parts, self._beats, self._latched = 5, 0, _AUTO
        self._lock = threading.Lock()
        self._part_s = time.monotonic()
        self._bins, self._good, self._rejected = bins, 0, 0
        counters = range(20, 30) if bins else ()
        registers = dict.fromkeys([*range(12), *counters, *range(100, 110)], 0)
        self._unit = Slave(1, registers)
        self.status = StatusFlags(0)  # as the node last wrote it
        self.told = StatusFlags(0)  # every status bit that the node ever set
        self._slave = PtySlave([self._unit], link=link)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="played station")

    def part(self, count: int = 1, control: Control = _AUTO) -> None:
        """So many parts pass the sensor at once; `control`: key or button latched with them."""
        with self._lock:
            self._part_s = time.monotonic()
            self._parts += count
            self._latched = control

    def press_reset(self) -> None:
        """The button, held until it is let go by the next part."""
        with self._lock:
            self._latched = Control.RESET

    def lands(self, good: bool) -> None:
        """The part falls into this bin."""
        with self._lock:
            self._good += good
            self._rejected += not good

    def _run(self) -> None:
        taken, heard, heard_s = (0, 0), 0, 0.0
        while not self._stop.wait(0.01):
            self._beats += self._beating
            with self._lock:
                parts, control = self._parts, self._control | self._latched
                fallen = LineCounters(self._good, self._rejected, self._rejected, 0, 0)
                age_ms = min(0xFFFF, int((time.monotonic() - self._part_s) * 1000))
            block = PlcBlock(
                control, parts, 1, age_ms, parts, self._beats & 0xFFFF, MAP_VERSION, *taken, 3, 1
            )
            outputs = dict(enumerate(block.encode()))
            if self._bins:
                outputs |= dict(enumerate(fallen.encode(), 20))
            image = self._unit.exchange(outputs)
            self.status = StatusFlags(image[100])
            self.told |= self.status
            result = Result.decode([image[n] for n in range(105, 110)])
            if image[101] != heard:
                heard, heard_s = image[101], time.monotonic()
            alive = not self._watching or time.monotonic() - heard_s < 1
            mine = result is not None and result.number == parts
            if self._echoing and alive and result is not None and mine:
                taken = (result.number, verdict_word(result.number, result.code))

    def __enter__(self) -> "PlayedStation":
        self._slave.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)
        self._slave.close()


def done_before(folder: Path, step: Step) -> None:
    """The journal, and every step before this one passed with the wiring of now."""
    wiring = settings.read(folder / "edge.toml")
    here = site(wiring)
    found: list[Record] = []
    for one in STEPS[: STEPS.index(step)]:
        for subject in here.subjects(one):
            points: list[tuple[str, dict[str, str]]]
            points = [("", {})]
            if one == "plc" and here.points(subject):
                points = [(point.name, {}) for point in here.points(subject)]
            if one == "golden":
                points = [("good-1", {"expect": "good"}), ("bad-1", {"expect": "bad"})]
            for point, figures in points:
                record = Record(
                    step=one, subject=subject, point=point, at_ms=1_700_000_000_000,
                    clock="synced", who="王强", result="passed", text="好", figures=figures,
                    made_with=here.made_with(one, subject),
                )  # fmt: skip
                found.append(record)
    with Store(Path(wiring.node.data_dir)) as store:
        store.keep(replace(store.journal, records=(*store.journal.records, *found)))


def results(told: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Point or step, and what came of it."""
    return [(one["point"] or one["step"], one["result"]) for one in told]
