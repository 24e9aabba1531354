"""How long from a cold start until parts are judged: the node's process against a simulated PLC.

The demo's recipe and model with all golden pictures, an empty ledger, the line waiting. Measured
twice: by the node (its log's "ready for parts", from the start of its process on) and by this
program, from starting the process to the PLC's first part that is counted as one to be judged.
Files are in the computer's cache, as after a restart of the service; a computer that boots reads
them from its disk first, which the log of that start tells.

    python -m bench.ready [--json] [--starts N]
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench.report import at_most, finish

BASE = Path(__file__).parent.parent / "models" / "base"
STARTS = 5
LIMIT_S = 60.0
DEMANDED_S = 10.0

EDGE = """
[node]
plant = "bench"
line = "line-1"
name = "node-1"
data_dir = "data"

[page]
port = 0

[[bus]]
name = "b1"
port = "{folder}/plc"

[[camera]]
name = "c1"
kind = "shared_memory"
source = "camera"

[[recipe]]
number = 1
path = "{base}/plate.toml"
model = "{base}/base.onnx"

[[station]]
name = "s1"
bus = "b1"
trigger = "hardware"
cameras = ["c1"]
"""


def start(folder: Path) -> dict[str, float]:
    """One cold start; seconds as the node says them and as the line saw them."""
    (folder / "edge.toml").write_text(EDGE.format(base=BASE, folder=folder), encoding="utf-8")
    line = subprocess.Popen(
        [
            *(sys.executable, "-m", "edge", "simulate", "--start-when-ready", "--parts", "1"),
            *("--port", str(folder / "plc"), "--camera", str(folder / "camera")),
            *("--summary", str(folder / "summary.json")),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _until(lambda: (folder / "plc").is_symlink() and (folder / "camera").exists())
        began_s = time.monotonic()
        node = subprocess.Popen(
            [
                *(sys.executable, "-m", "edge", "run", "--unsigned"),
                *("--config", str(folder / "edge.toml")),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert line.stderr is not None
            for text in line.stderr:
                if "parts enter the line" in text:
                    break
            fed_s = time.monotonic() - began_s
        finally:
            node.terminate()
            log = node.communicate(timeout=LIMIT_S)[1]
    finally:
        line.kill()
        line.communicate(timeout=LIMIT_S)
    said = re.search(r"ready for parts, ([0-9.]+) s after", log)
    return {"node_s": float(said.group(1)) if said else float("inf"), "plc_s": fed_s}


def _until(condition: Any) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    tick = threading.Event()
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"nothing within {LIMIT_S:.0f} s")
        tick.wait(0.01)


def main() -> int:
    """Start so often and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--starts", type=int, default=STARTS)
    asked = parser.parse_args()
    runs = []
    for _ in range(asked.starts):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(start(Path(folder)))
    plc_s = [run["plc_s"] for run in runs]
    bars = [
        at_most("start of the process to TriggerReady at the PLC, max, s", max(plc_s), DEMANDED_S)
    ]
    figures = {
        "starts": asked.starts,
        "plc_s": {"median": round(statistics.median(plc_s), 2), "max": round(max(plc_s), 2)},
        "node_s": [run["node_s"] for run in runs],
    }
    return finish("ready", bars, figures, asked.json)


if __name__ == "__main__":
    sys.exit(main())
