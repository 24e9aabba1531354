"""The model files that a comparison runs: made once by this project's own commands.

base.pt --export--> plain (320, 640) --import--> folded --quantize--> INT8; tune --> settings
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.turns import openvino_python
from bench.turns.frames import shots
from bench.turns.peer import ROOT
from edge.errors import TrainingError

BASE = ROOT / "models" / "base" / "base.pt"
CALIBRATION = 150
"""Frames of four plates that INT8 ranges are taken from; their seeds meet no other pictures."""


@dataclass(frozen=True, slots=True)
class Artefacts:
    """Files by the side of the model's input; what `tune` picked for this machine."""

    plain: dict[int, Path]
    folded: dict[int, Path]
    int8: Path
    tuned: dict[str, Any]


def command(*words: object, python: Path | None = None) -> dict[str, Any]:
    """Run one of our commands, in another interpreter if given; the JSON object it prints last.

    Raises:
        TrainingError: it failed; its own sentence is in the message.
    """
    given = [str(python or sys.executable), "-m", *map(str, words)]
    done = subprocess.run(given, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise TrainingError(f"{' '.join(given[2:4])}: {done.stderr.strip()[-400:]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def exported(weights: Path, out: Path, imgsz: tuple[int, int], head: str, trainer: Path) -> Path:
    """`out`, exported from `weights` if it is not there yet."""
    if not out.is_file():
        sys.stderr.write(f"exporting {out.name} ...\n")
        words = ["models", "export", "--weights", weights, "--out", out, "--head", head]
        words += ["--imgsz", f"{imgsz[0]},{imgsz[1]}", "--trainer-python", trainer]
        command(*words)
    return out


def make(folder: Path, trainer: Path) -> Artefacts:
    """Make what is not in `folder` yet, and what is itself measured in any case.

    Raises:
        TrainingError: a command failed, such as for want of the trainer's environment.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    plain, folded = {}, {}
    for side in (320, 640):
        out = folder / f"base-{side}.onnx"
        plain[side] = exported(BASE, out, (side, side), "raw", trainer)
        folded[side] = folder / f"base-{side}-folded.onnx"
        command("models", "import", plain[side], "--out", folded[side])  # as this code makes it
    int8 = folder / "base-640-int8.onnx"
    if not int8.is_file():
        pictures = folder / "calibration"
        for shot in shots(pictures, (640, 640), 320, CALIBRATION, 8_000_000):
            cv2.imwrite(str(shot.path.with_suffix(".png")), np.load(shot.path))
            shot.path.unlink()
        command("models", "quantize", plain[640], "--pictures", pictures, "--out", int8)
    picked = folder / "tuned.json"
    if not picked.is_file():
        models = [word for path in (folded[640], int8) for word in ("--model", path)]
        words = ["tune", *models, "--goal", "throughput", "--json"]
        tuned = command("edge", *words, python=openvino_python.find())
        picked.write_text(json.dumps(tuned), encoding="utf-8")
    return Artefacts(plain, folded, int8, json.loads(picked.read_text(encoding="utf-8")))
