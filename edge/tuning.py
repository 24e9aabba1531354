"""Which settings of [runtime] are fastest for a model on this machine: candidates, blocks, choice.

    round 1    candidate 1: a block of pictures, candidate 2: a block, ...   far slower ones leave
    round 2    candidate 1: a block, ...
    ...        the median over all blocks decides, so that what disturbs one round disturbs all

latency      one picture at a time: the shortest median
throughput   as many pictures at a time as there are workers: the most parts a second
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from edge.settings import Runtime
from edge.vision.detector import Detector

Goal = Literal["latency", "throughput"]

BLOCK = 8  # pictures of one worker in one block
FAR = 1.6  # so many times slower than the best after the first round: no hope
CLOSE = 1.03  # within so much of the best: the one that takes less of the machine
_BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    pass\n"


@dataclass(slots=True)
class Trial:
    """One candidate and what was measured of it."""

    model: Path
    runtime: Runtime
    detector: Detector = field(repr=False)
    latencies_ms: list[float] = field(default_factory=list, repr=False)
    rates: list[float] = field(default_factory=list, repr=False)  # parts/s of each block

    @property
    def median_ms(self) -> float:
        """One picture, from frame to detections."""
        return statistics.median(self.latencies_ms)

    @property
    def p99_ms(self) -> float:
        """Not exceeded by 99 % of the pictures."""
        return float(np.percentile(self.latencies_ms, 99))

    @property
    def parts_per_s(self) -> float:
        """All workers together."""
        return statistics.median(self.rates)

    def cost(self, goal: Goal) -> float:
        """What the goal wants small."""
        return self.median_ms if goal == "latency" else 1 / self.parts_per_s

    def figures(self) -> dict[str, object]:
        """For the JSON."""
        return {
            "model": str(self.model),
            "runtime": chosen_keys(self.runtime),
            "median_ms": round(self.median_ms, 2),
            "p99_ms": round(self.p99_ms, 2),
            "parts_per_s": round(self.parts_per_s, 2),
            "runs_on": str(self.detector.report),
        }


def chosen_keys(runtime: Runtime) -> dict[str, object]:
    """The keys of [runtime] that tuning decides."""
    return {
        "providers": list(runtime.providers),
        "threads": runtime.threads,
        "spinning": runtime.spinning,
        "workers": runtime.workers,
    }


def candidates(base: Runtime, providers: Sequence[str], goal: Goal, cores: int) -> list[Runtime]:
    """Settings worth trying with these providers, the least greedy first."""
    cpu = providers[0] in ("cpu", "openvino")
    if not cpu:
        pairs = [(1, 1)] if goal == "latency" else [(1, 1), (1, 2), (1, 4)]
    elif goal == "latency":
        pairs = [(threads, 1) for threads in sorted({1, max(1, cores // 2), cores})]
    else:
        splits = sorted({1, 2, max(1, cores // 2), cores} & set(range(1, cores + 1)))
        pairs = [(max(1, cores // workers), workers) for workers in splits]
    return [
        replace(
            base, providers=tuple(providers), threads=threads, spinning=spinning, workers=workers
        )
        for threads, workers in pairs
        for spinning in ((False, True) if providers[0] == "cpu" and threads > 1 else (False,))
    ]


def measure(
    trials: Sequence[Trial],
    image: npt.NDArray[np.uint8],
    goal: Goal,
    rounds: int,
    say: Callable[[str], None],
) -> None:
    """Let the candidates take turns, block by block; fills in their figures."""
    left = list(trials)
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}, {len(left)} candidates")
        for trial in left:
            _block(trial, image, trial.runtime.workers)
        best = min(trial.cost(goal) for trial in left)
        left = [trial for trial in left if trial.cost(goal) <= FAR * best]


def choose(trials: Sequence[Trial], goal: Goal) -> Trial:
    """The best; of those close to it the first, which asks least of the machine."""
    rounds = max(len(trial.rates) for trial in trials)
    whole = [trial for trial in trials if len(trial.rates) == rounds]
    best = min(trial.cost(goal) for trial in whole)
    return next(trial for trial in whole if trial.cost(goal) <= CLOSE * best)


def _block(trial: Trial, image: npt.NDArray[np.uint8], workers: int) -> None:
    def timed(_number: int) -> float:
        started_s = time.perf_counter()
        trial.detector.detect(image)
        return (time.perf_counter() - started_s) * 1000

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(timed, range(2 * workers)))  # caches and clocks of the processor: not counted
        started_s = time.perf_counter()
        trial.latencies_ms += pool.map(timed, range(BLOCK * workers))
        trial.rates.append(BLOCK * workers / (time.perf_counter() - started_s))


@contextmanager
def neighbour(wanted: bool) -> Iterator[None]:
    """A process that keeps one core busy meanwhile; it ends with this one in any case."""
    if not wanted:
        yield
        return
    busy = subprocess.Popen([sys.executable, "-c", _BUSY])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


def cores() -> int:
    """Of this process."""
    return len(os.sched_getaffinity(0))
