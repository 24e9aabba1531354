"""The peers of a comparison: one process each, in its own environment, and whose turn it is.

    parent --block of 10 pictures--> floor, ours, ultralytics, ... one after the other, and again

The machine is shared: what slows one block slows those around it too, so that only ratios inside
one comparison are to be trusted, and of those the ratios of neighbours: `times`.
"""

import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.turns.frames import Shot

ROOT = Path(__file__).resolve().parent.parent.parent
BLOCK = 10
"""Frames a turn."""

# Our folders come last on the path: a peer's environment has its own numpy and cv2.
_START = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


class PeerError(Exception):
    """A peer did not start or stopped answering; the log says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which peer, where and how."""

    name: str
    module: str  # of this repository, run as a program
    python: Path
    job: Mapping[str, Any]


@dataclass(slots=True)
class Answers:
    """All that one peer answered: a figure per frame."""

    ms: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    boxes: list[list[list[Any]]] = field(default_factory=list)
    rss_kib: int = 0  # after the block
    descriptors: int = 0

    @property
    def median_ms(self) -> float:
        """The middle frame's time."""
        return statistics.median(self.ms)

    def blocks_ms(self) -> list[float]:
        """The middle frame's time of each block."""
        starts = range(0, len(self.ms), BLOCK)
        return [statistics.median(self.ms[start : start + BLOCK]) for start in starts]

    def figures(self) -> dict[str, float]:
        """For the JSON: medians, not means, since the machine is shared."""
        return {
            "median_ms": round(self.median_ms, 3),
            "p99_ms": round(float(np.percentile(self.ms, 99)), 3),
            "cpu_ms": round(self.cpu_s / len(self.ms) * 1000, 3),
            "frames": len(self.ms),
        }


def times(of: Answers, beside: Answers) -> float:
    """How many times as long one takes as the other: the middle one of the ratios of all turns.

    The two medians of a whole run would each catch another share of what else the machine does;
    two blocks of one turn lie less than a second apart and share it.
    """
    turns = zip(of.blocks_ms(), beside.blocks_ms(), strict=True)
    return statistics.median(one / other for one, other in turns)


def parts_per_s(of: Answers, beside: Answers, block: int) -> float:
    """How many times the other's parts per second: the middle one of the ratios of all turns.

    In a loop every frame counts, the slow ones too: a turn is its frames together.
    """
    starts = range(0, len(of.ms), block)
    return statistics.median(
        sum(beside.ms[start : start + block]) / sum(of.ms[start : start + block])
        for start in starts
    )


class Peer:
    """A running peer."""

    def __init__(self, asked: Asked, log: Path) -> None:
        """Start it and wait until it is ready.

        Raises:
            PeerError: it cannot be started, or ends before it is ready.
        """
        self.name = asked.name
        self.answers = Answers()
        self._log = log
        command = [str(asked.python), "-c", _START, str(ROOT), asked.module, json.dumps(asked.job)]
        with log.open("w", encoding="utf-8") as talk:
            try:
                self._child = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=talk, text=True
                )
            except OSError as wrong:
                raise PeerError(
                    f"{self.name}: {asked.python} cannot be started: {wrong}"
                ) from wrong
        try:
            self.ready: dict[str, Any] = self._line()["ready"]
            """What it says of itself."""
        except PeerError:
            self.close()
            raise

    def block(self, paths: Sequence[Path]) -> Answers:
        """Let it look at these pictures, and nobody else meanwhile.

        Raises:
            PeerError: it stopped.
        """
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps({"pictures": [str(path) for path in paths]}) + "\n")
            self._child.stdin.flush()
        except OSError as wrong:
            raise PeerError(f"{self.name}: stopped; see {self._log}") from wrong
        return Answers(**self._line())

    def close(self) -> None:
        """End it; safe to call twice."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        with contextlib.suppress(OSError):  # it may have died with something still to read
            self._child.stdin.close()
        self._child.stdout.close()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _line(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            last = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise PeerError(f"{self.name}: {' / '.join(last[-2:]) or 'no word'}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def together(asked: Sequence[Asked], folder: Path) -> Iterator[list[Peer]]:
    """Start peers, logs into `folder`; whoever cannot start is said aloud and left out."""
    with ExitStack() as stack:
        running = []
        for one in asked:
            try:
                peer = Peer(one, folder / f"{one.name.replace(' ', '-')}.log")
            except PeerError as wrong:
                sys.stderr.write(f"NOT COMPARED: {wrong}\n")
                continue
            stack.callback(peer.close)
            running.append(peer)
        yield running


def take_turns(
    peers: Sequence[Peer], shots: Sequence[Shot], frames: int, block: int = BLOCK
) -> None:
    """Blocks of frames in turn until each peer has seen `frames`; two blocks each to warm up.

    The order is turned by one each round, so that nobody always follows the same neighbour.
    `times` wants the usual block.
    """
    paths = [shot.path for shot in shots]
    for peer in peers:
        for _ in range(2):
            peer.block(_picked(paths, 0, BLOCK))
    for turn in range(-(-frames // block)):
        first = turn % len(peers)
        for peer in [*peers[first:], *peers[:first]]:
            answer = peer.block(_picked(paths, turn * block, block))
            peer.answers.ms += answer.ms
            peer.answers.cpu_s += answer.cpu_s
            peer.answers.boxes += answer.boxes


def _picked(paths: Sequence[Path], start: int, count: int) -> list[Path]:
    return [paths[(start + number) % len(paths)] for number in range(count)]
