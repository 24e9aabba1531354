"""Answers blocks of pictures over stdin and stdout: how one detector is compared with another.

Each detector of a comparison is a process in an environment of its own, told to take its turn by
the parent, which gives all of them the same pictures, a block at a time.

    in    {"pictures": ["a.npy", ...]}                       a line per block
    out   {"ms": [...], "cpu_s": 0.41, "rss_kib": 91234, "descriptors": 9,
           "boxes": [[[x1, y1, x2, y2, score, label], ...], ...]}

The first line out is {"ready": {...}}, what the process knows of itself. A picture is read once and
kept, in the form that `detect` is to be given; neither is timed. The end of stdin ends the process.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

Rows = list[list[Any]]
"""x1, y1, x2, y2 in px of the picture, score 0..1, label; a row per detection."""

_PAGE_KIB = 4


def serve(
    detect: Callable[[Any], Any],
    ready: Mapping[str, Any],
    rows: Callable[[Any], Rows],
    workers: int = 1,
    kept_as: Callable[[Any], Any] = np.asarray,
) -> None:
    """Answer blocks until stdin ends.

    Args:
        detect: what is timed: takes one array as it lies in the file, or as it is kept.
        ready: JSON that describes this peer, such as versions.
        rows: turns what `detect` returned into rows; not timed.
        workers: threads that share a block; with more than one, a frame's time is its share of the
            block's.
        kept_as: what is made of an array once, before its block.
    """
    answers, sys.stdout = sys.stdout, sys.stderr  # a chatty library must not break the protocol
    kept: dict[str, Any] = {}

    def tell(answer: Mapping[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    def timed(picture: Any) -> tuple[float, Any]:
        began_s = time.perf_counter()
        found = detect(picture)
        return (time.perf_counter() - began_s) * 1000, found

    with ThreadPoolExecutor(workers) as pool:
        tell({"ready": dict(ready)})
        for line in sys.stdin:
            paths = json.loads(line)["pictures"]
            for path in paths:
                if path not in kept:
                    kept[path] = kept_as(np.load(path, allow_pickle=False))
            pictures = [kept[path] for path in paths]
            cpu_s, began_s = time.process_time(), time.perf_counter()
            looked = list(map(timed, pictures) if workers == 1 else pool.map(timed, pictures))
            share_ms = (time.perf_counter() - began_s) * 1000 / len(pictures)
            cpu_s = time.process_time() - cpu_s
            tell(
                {
                    "ms": [ms if workers == 1 else share_ms for ms, _found in looked],
                    "cpu_s": cpu_s,
                    "rss_kib": int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_KIB,
                    "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
                    "boxes": [rows(found) for _ms, found in looked],
                }
            )
