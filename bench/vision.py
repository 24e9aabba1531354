"""From frame to boxes: what ours costs beside the model itself, and beside other ways of doing it.

One trained model (models/base/base.pt, exported at 640 and at 320), frames of 1920 x 1080 and
640 x 640 px full of simulated plates, one frame at a time. Every peer is a process in an
environment of its own; the parent lets them take turns in blocks of 10 frames (50 where parts per
second are asked for), so that only ratios count. A bar is the median over the turns of one's block
by the other's beside it, not the ratio of two medians over a whole run: a shared machine changes
its speed from second to second, and neighbouring blocks share it. "Around the model" is the same
work with the model's answer taken from memory.

The floor is `session.run` alone with the file that everybody runs, as ultralytics exports it. Ours
runs what `quanjian-models import` makes of it, which gives the same answers in less time; the
figures also tell what ours takes beside its own file alone.

    python -m bench.vision --json
    python -m bench.vision --textbook-python DIR/bin/python --inference-python DIR/bin/python

The trainer's environment (`make train-env`) exports the model and is the peer `ultralytics`. The
other two peers need environments with `supervision onnxruntime opencv-python-headless` and with
`inference-models`; who cannot start is said aloud and left out.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench.report import EXIT_CANNOT_RUN, Bar, at_least, at_most, exactly, finish
from bench.turns import openvino_python
from bench.turns import stream_age as rtsp
from bench.turns.artefacts import Artefacts, make
from bench.turns.frames import Shot, shots
from bench.turns.peer import (
    BLOCK,
    Answers,
    Asked,
    PeerError,
    parts_per_s,
    take_turns,
    times,
    together,
)
from edge.errors import EdgeError
from edge.terms import Detection
from edge.vision.plates import CLASSES
from models.accuracy import Looked, precision_by_label
from models.trainer import DEFAULT_PYTHON, python_at

CONF, IOU = 0.05, 0.5
"""Lowest score reported, and IoU above which the weaker box goes: the same for every peer."""

THREADS = os.cpu_count() or 1
HERE = Path(sys.executable)
FULL_HD, SQUARE = (1080, 1920), (640, 640)
CELLS = ((640, FULL_HD, 960), (640, SQUARE, 320), (320, FULL_HD, 960), (320, SQUARE, 640))
"""Side of the model's input, frame (height, width), side of a plate's picture in the frame."""

LOOP = 50
"""Frames a turn where parts per second are asked for: at the end of each one worker of two is done
up to a frame before the other, which a line that runs on does not know."""

FIRST_SEED = 7_000_000
CANDIDATES = 120
STEADY_FROM, STEADY_TO = 2_000, 10_000


class Bench:
    """Everything that the parts of this bench share."""

    def __init__(self, asked: argparse.Namespace, folder: Path, artefacts: Artefacts) -> None:
        self.asked, self.folder, self.artefacts = asked, folder, artefacts
        self.frames = asked.frames
        self.turns = max(2, 2 * asked.frames // LOOP)
        self.bars: list[Bar] = []
        self.figures: dict[str, Any] = {}

    def ours(self, name: str, model: Path, **given: Any) -> Asked:
        """Our detector as a peer."""
        job = {
            "what": "detect",
            "model": str(model),
            "providers": ["CPUExecutionProvider"],
            "threads": THREADS,
            "spinning": True,
            "conf": CONF,
            "iou": IOU,
            **given,
        }
        python = openvino_python.find() if "openvino" in job["providers"] else HERE
        return Asked(name, "bench.turns.ours", python or HERE, job)

    def floor(self, name: str, model: Path) -> Asked:
        """`session.run` alone as a peer."""
        job = {"model": str(model), "threads": THREADS, "spinning": True}
        return Asked(name, "bench.turns.floor", HERE, job)

    def ultralytics(self, name: str, side: int, **given: Any) -> Asked:
        """`ultralytics predict` as a peer."""
        job = {
            "do": "predict",
            "what": "detect",
            "task": "detect",
            "model": str(self.artefacts.plain[side]),
            "imgsz": [side, side],
            "conf": CONF,
            "iou": IOU,
            "max_det": 300,
            **given,
        }
        return Asked(name, "models.train_ultralytics", self.asked.trainer_python, job)

    def compare(
        self,
        asked: Sequence[Asked],
        seen: Sequence[Shot],
        key: str,
        turns: int | None = None,
    ) -> dict[str, Answers]:
        """Let peers take turns; their answers by name, their figures under `key`.

        Args:
            turns: how many of LOOP frames; None = of BLOCK frames, as many as were asked for.
        """
        sys.stderr.write(f"{key} ...\n")
        with together(asked, self.folder) as peers:
            if turns is None:
                take_turns(peers, seen, self.frames)
            else:
                take_turns(peers, seen, turns * LOOP, LOOP)
            self.figures[key] = {peer.name: peer.answers.figures() for peer in peers}
            self.figures.setdefault("peers", {}).update({p.name: p.ready for p in peers})
            return {peer.name: peer.answers for peer in peers}


def cells(bench: Bench) -> None:
    """Frame to boxes, every peer: the table."""
    for side, size, tile_px in CELLS:
        seen = shots(bench.folder, size, tile_px, 20 if size == FULL_HD else 100, FIRST_SEED)
        plain, folded = bench.artefacts.plain[side], bench.artefacts.folded[side]
        others = {"model": str(plain), "conf": CONF, "iou": IOU, "labels": CLASSES}
        peers = [
            bench.floor("floor", plain),
            bench.ours("ours", folded),
            bench.floor("floor of the imported file", folded),
            bench.ours("ours, file as exported", plain),
            bench.ultralytics("ultralytics", side),
            Asked("textbook", "bench.turns.textbook", bench.asked.textbook_python, others),
            Asked("inference-models", "bench.turns.roboflow", bench.asked.inference_python, others),
        ]
        if side == 640:
            int8 = bench.artefacts.int8
            peers.append(bench.ours("ours, INT8 on OpenVINO", int8, providers=["openvino"]))
        key = f"{size[1]}x{size[0]} at {side}"
        got = bench.compare(peers, seen, key)
        limit = 1.05 if side == 640 else 1.08
        over = times(got["ours"], got["floor"])
        bench.bars.append(at_most(f"{key}: ours / floor", over, limit))
        own = times(got["ours"], got["floor of the imported file"])
        bench.figures[f"{key}: ours / floor of the imported file"] = round(own, 4)
        if side == 640:
            faster = times(got["ultralytics"], got["ours, INT8 on OpenVINO"])
            name = f"{key}: ultralytics FP32 / ours INT8 on OpenVINO"
            bench.bars.append(at_least(name, faster, 1.25))
        if (side, size) == (640, SQUARE):
            _accuracy(bench, got, seen)


def _accuracy(bench: Bench, got: dict[str, Answers], seen: Sequence[Shot]) -> None:
    """AP50 of the peers on the frames of one cell, each frame once."""
    ap = {name: _ap50(answers, seen) for name, answers in got.items() if any(answers.boxes)}
    bench.figures["AP50"] = ap
    lost = abs(ap["ultralytics"] - ap["ours, INT8 on OpenVINO"])
    bench.bars.append(at_most("AP50 difference, ours INT8 and ultralytics FP32", lost, 0.01))


def _ap50(answers: Answers, seen: Sequence[Shot]) -> float:
    looked = [
        Looked(
            tuple(Detection(row[5], row[4], (row[0], row[1], row[2], row[3])) for row in rows),
            shot.truth,
        )
        for rows, shot in zip(answers.boxes, seen, strict=False)
    ]
    by_label = precision_by_label(looked, CLASSES)
    return round(sum(by_label.values()) / len(by_label), 4)


def around(bench: Bench) -> None:
    """What each does around the model, its answer taken from memory."""
    for size, tile_px, limit in ((FULL_HD, 960, 1 / 3), (SQUARE, 320, 1 / 10)):
        seen = shots(bench.folder, size, tile_px, 20, FIRST_SEED)
        key = f"around the model, {size[1]}x{size[0]} at 640"
        peers = [
            bench.ours("ours", bench.artefacts.folded[640], what="around"),
            bench.ultralytics("ultralytics", 640, what="around"),
        ]
        got = bench.compare(peers, seen, key)
        share = times(got["ours"], got["ultralytics"])
        bench.bars.append(at_most(f"{key}: ours / ultralytics", share, limit))


def suppression(bench: Bench) -> None:
    """NMS alone: a raw output with 120 candidates planted."""
    output = np.zeros((1, 4 + len(CLASSES), 8400), np.float32)
    rng = np.random.default_rng(0)
    output[0, :2] = rng.uniform(40, 600, (2, 8400))
    output[0, 2:4] = rng.uniform(10, 40, (2, 8400))
    chosen = rng.choice(8400, CANDIDATES, replace=False)
    output[0, 4 + rng.integers(0, len(CLASSES), CANDIDATES), chosen] = rng.uniform(
        0.1, 0.9, CANDIDATES
    )
    path = bench.folder / "candidates.npy"
    np.save(path, output)
    peers = [
        bench.ours("ours", path, what="nms", classes=len(CLASSES)),
        bench.ultralytics("ultralytics", 640, what="nms", compiled=False),
        bench.ultralytics("ultralytics with a compiled kernel", 640, what="nms", compiled=True),
    ]
    key = f"NMS of {CANDIDATES} candidates"
    got = bench.compare(peers, [Shot(path, ())], key)
    faster = times(got["ultralytics"], got["ours"])
    bench.bars.append(at_least(f"{key}: ultralytics / ours", faster, 30))


def throughput(bench: Bench) -> None:
    """Parts per second of all cores: two workers on one session, and what `tune` picks.

    Two workers gain what two threads of one session leave idle: at 320 px, and in what is done
    around the model; decision 0020 says why the bar is on that cell and 640 px beside it.
    """
    _workers(bench, 320, FULL_HD, 960)
    seen = shots(bench.folder, SQUARE, 320, 20, FIRST_SEED)
    folded = bench.artefacts.folded[640]
    tuned = bench.artefacts.tuned
    peers = [
        *_one_and_two(bench, folded),
        bench.ours("as tuned", Path(tuned["model"]), **tuned["runtime"]),
        bench.ultralytics("ultralytics", 640),
    ]
    got = bench.compare(peers, seen, "throughput, 640x640 at 640", bench.turns // 2)
    bench.figures["two workers, 640x640 at 640"] = round(_gain(got), 3)
    bench.figures["tuned"] = {
        "model": Path(tuned["model"]).name,
        "runtime": tuned["runtime"],
        "runs_on": tuned["runs_on"],
    }
    gain = parts_per_s(got["as tuned"], got["ultralytics"], LOOP)
    bench.bars.append(at_least("as tuned: parts/s of an ultralytics predict loop", gain, 1.7))
    lost = abs(_ap50(got["as tuned"], seen) - _ap50(got["ultralytics"], seen))
    bench.bars.append(at_most("as tuned: AP50 difference to ultralytics", lost, 0.01))


def _workers(bench: Bench, side: int, size: tuple[int, int], tile_px: int) -> None:
    seen = shots(bench.folder, size, tile_px, 20, FIRST_SEED)
    cell = f"{size[1]}x{size[0]} at {side}"
    peers = _one_and_two(bench, bench.artefacts.folded[side])
    got = bench.compare(peers, seen, f"throughput, {cell}", bench.turns)
    name = f"{cell}: two workers: parts/s of one session with two threads"
    bench.bars.append(at_least(name, _gain(got), 1.2))


def _one_and_two(bench: Bench, model: Path) -> list[Asked]:
    return [
        bench.ours("one session, two threads", model, threads=2),
        bench.ours("two workers on one session", model, threads=1, workers=2),
    ]


def _gain(got: dict[str, Answers]) -> float:
    one, two = got["one session, two threads"], got["two workers on one session"]
    return parts_per_s(two, one, LOOP)


def neighbour(bench: Bench) -> None:
    """One thread, with and without another busy process on the machine, in turn."""
    seen = shots(bench.folder, SQUARE, 320, 20, FIRST_SEED)
    idle, busy = Answers(), Answers()
    sys.stderr.write("busy neighbour ...\n")
    asked = bench.ours("one thread", bench.artefacts.folded[640], threads=1, spinning=False)
    with together([asked], bench.folder) as (peer,), _busy() as process:
        paths = [shot.path for shot in seen[:BLOCK]]
        for _ in range(bench.frames // BLOCK):
            for answers, word in ((idle, signal.SIGSTOP), (busy, signal.SIGCONT)):
                process.send_signal(word)
                answers.ms += peer.block(paths).ms
    bench.figures["busy neighbour"] = {
        "idle": idle.figures(),
        "busy": busy.figures(),
    }
    bench.bars.append(
        at_most("one busy neighbour: p50 / p50 idle", busy.median_ms / idle.median_ms, 1.2)
    )


@contextmanager
def _busy() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def steadiness(bench: Bench) -> None:
    """Memory and descriptors over 10,000 frames."""
    seen = shots(bench.folder, SQUARE, 640, 20, FIRST_SEED)
    asked = bench.ours("ours", bench.artefacts.folded[320])
    points: list[tuple[int, int, int]] = []
    sys.stderr.write(f"{STEADY_TO} frames ...\n")
    with together([asked], bench.folder) as (peer,):
        for done in range(BLOCK, STEADY_TO + 1, BLOCK):
            answer = peer.block([shot.path for shot in seen[:BLOCK]])
            if done >= STEADY_FROM:
                points.append((done, answer.rss_kib, answer.descriptors))
    frames, rss_kib, descriptors = (np.array(column) for column in zip(*points, strict=True))
    slope = float(np.polyfit(frames / 1000, rss_kib, 1)[0])
    bench.figures["memory"] = {"rss_kib": [int(rss_kib[0]), int(rss_kib[-1])]}
    bench.bars += [
        at_most(f"KiB per 1,000 frames from {STEADY_FROM} to {STEADY_TO}", round(slope, 3), 1.0),
        exactly("descriptors more at the end", int(descriptors[-1] - descriptors[0]), 0),
    ]


def stream_age(bench: Bench) -> None:
    """RTSP: the age of the newest picture at a consumer of 10 a second."""
    for codec in ("h264", "h265"):
        sys.stderr.write(f"RTSP {codec} ...\n")
        ages = rtsp.measure(codec, bench.frames / 10)
        bench.figures[f"RTSP frame age, {codec}"] = {
            key: round(value, 4) for key, value in asdict(ages).items()
        }
        name = f"RTSP {codec}: oldest frame at a 10 fps consumer, s"
        bench.bars.append(at_most(name, round(ages.max_s, 4), 0.2))


PARTS = {
    "cells": cells,
    "around": around,
    "nms": suppression,
    "throughput": throughput,
    "neighbour": neighbour,
    "steadiness": steadiness,
    "stream": stream_age,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="bench.vision", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--frames", type=int, default=200, help="per peer and cell")
    parser.add_argument("--only", choices=PARTS, nargs="*", help="parts of the bench")
    parser.add_argument("--artefacts", type=Path, help="folder that keeps the exported models")
    parser.add_argument("--trainer-python", type=python_at, default=DEFAULT_PYTHON)
    build = Path("build/peers")
    parser.add_argument("--textbook-python", type=python_at, default=build / "textbook/bin/python")
    inference = build / "inference/bin/python"
    parser.add_argument("--inference-python", type=python_at, default=inference)
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        try:
            artefacts = make(asked.artefacts or folder, asked.trainer_python)
            bench = Bench(asked, folder, artefacts)
            for name in asked.only or PARTS:
                PARTS[name](bench)
        except (EdgeError, PeerError, KeyError, TimeoutError) as wrong:
            sys.stderr.write(f"bench.vision cannot run here: {wrong!r}\n")
            return EXIT_CANNOT_RUN
    return finish("vision", bench.bars, bench.figures, asked.json)


if __name__ == "__main__":
    sys.exit(main())
