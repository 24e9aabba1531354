"""Trains a detector on a labelled data set: `quanjian-models train`.

Writes DIR/best.pt, DIR/last.pt, DIR/trainer.log and DIR/run.json (job, environment, hardware, data
set's manifest, validation figures of every epoch), so that a model can be traced to what made it.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from models.trainer import delegate


@dataclass(frozen=True, slots=True)
class Training:
    """One training job."""

    data: Path  # data.yaml
    out: Path
    base: Path | None = None  # weights to start from; None starts from scratch
    transfer: Path | None = None  # weights whose fitting layers the architecture starts from
    architecture: str = "yolo11n"  # a one-to-many head; its raw boxes get their NMS on the edge
    imgsz: int = 320  # side of the network's input, px
    batch: int = 8
    epochs: int = 40
    minutes: float | None = (
        None  # wall time; replaces epochs, the learning rate is re-planned to it
    )
    seed: int = 1
    device: str = "cpu"
    lr: float = 0.0015
    workers: int = 0


def train(
    job: Training, python: Path, progress: Callable[[dict[str, object]], None]
) -> dict[str, object]:
    """Train and return what run.json says.

    Raises:
        TrainingError: the trainer is not installed or failed.
    """
    started = datetime.now(timezone.utc)
    given = asdict(job)
    words = {k: str(v.resolve()) if isinstance(v, Path) else v for k, v in given.items()}
    answer = delegate(python, {"do": "train", **words}, job.out / "trainer.log", progress)
    manifest = job.data.parent / "manifest.json"
    run = {
        "started": started.isoformat(timespec="seconds"),
        "job": {k: v.name if isinstance(v, Path) else v for k, v in given.items()},
        "data": json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else None,
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count(), "cpu": _cpu()},
        **{k: v for k, v in answer.items() if k != "best"},
    }
    (job.out / "run.json").write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    return run


def _cpu() -> str:
    """What Linux calls the processor; "" where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((s.partition(":")[2].strip() for s in lines if s.startswith("model name")), "")
