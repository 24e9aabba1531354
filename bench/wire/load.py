"""What a node does beside its bus: it infers without a pause, and commits what it found."""

import contextlib
import queue
import threading
import time
from pathlib import Path

import numpy as np

from edge.outbox import Outbox
from edge.settings import Runtime
from edge.terms import Code
from edge.vision.detector import Detector
from models.synth import scene
from tests.ledger_rows import epoch_row, part_row

BASE = Path(__file__).parent.parent.parent / "models" / "base" / "base.onnx"
PICTURES = 16  # different ones, so that no cache helps


class Load:
    """A detector and a ledger at work in this process, from `__enter__` to `__exit__`."""

    def __init__(self, folder: Path) -> None:
        self.parts = 0
        self.busy_s = 0.0  # inside the detector
        self.commits_s: list[float] = []
        self._detector = Detector(BASE, runtime=Runtime())
        self._pictures = [scene(7_000_000 + seed, 0.5).image for seed in range(PICTURES)]
        self._ledger = Outbox(folder / "ledger.db")
        self._stop = threading.Event()
        self._judged: queue.Queue[Code | None] = queue.Queue(1)
        self._threads = [
            threading.Thread(target=self._infer, name="load infer"),
            threading.Thread(target=self._commit, name="load commit"),
        ]

    def __enter__(self) -> "Load":
        self._ledger.append(epoch_row())
        self._began_s = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        self._ledger.close()

    def figures(self) -> dict[str, float | int]:
        """What was done beside the bus."""
        lasted_s = time.monotonic() - self._began_s
        return {
            "parts": self.parts,
            "commits": len(self.commits_s),
            "inference_share": round(self.busy_s / lasted_s, 3),
            "commit_ms_median": round(1000 * float(np.median(self.commits_s)), 2),
        }

    def _infer(self) -> None:
        while not self._stop.is_set():
            began_s = time.monotonic()
            found = self._detector.detect(self._pictures[self.parts % PICTURES])
            self.busy_s += time.monotonic() - began_s
            self.parts += 1
            with contextlib.suppress(queue.Full):  # the disk is slower: its thread is never idle
                self._judged.put_nowait(Code.NG if found else Code.OK)
        self._judged.put(None)

    def _commit(self) -> None:
        number = 0
        while (code := self._judged.get()) is not None:
            number += 1
            began_s = time.monotonic()
            self._ledger.open(part_row(number, code))
            self._ledger.close_part("s1", 1, number, code, None, 1)
            self.commits_s.append(time.monotonic() - began_s)
