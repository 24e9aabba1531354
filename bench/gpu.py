"""The detector on an NVIDIA card: the model alone and frame to boxes, by CUDA and by TensorRT.

One script for a machine with a card: it needs the extra `gpu` in place of `cpu` (onnxruntime-gpu,
the driver, CUDA and cuDNN), for TensorRT also libnvinfer; on a Jetson JetPack's own. Every order of
providers is opened twice, with an empty folder for engines and with the one it has just built, and
is then measured in blocks that take turns. What falls back to the CPU is an error, not a figure.

    python -m bench.gpu --json
    python -m bench.gpu --model base-640.onnx --frames 500
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import distributions
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.report import EXIT_CANNOT_RUN, at_most, finish
from edge.errors import EdgeError
from edge.settings import Runtime
from edge.terms import Detection
from edge.vision import providers
from edge.vision.detector import Detector
from edge.vision.session import built_in
from models.synth import scene

BASE = Path(__file__).parent.parent / "models" / "base" / "base.onnx"
ORDERS: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("CUDA", ("cuda",), False),
    ("TensorRT", ("tensorrt", "cuda"), False),
    ("TensorRT fp16", ("tensorrt", "cuda"), True),
)
"""Name, providers, half precision."""

FRAME = (1080, 1920, 3)
BLOCK = 10
PLATES = 50
MAY_DIFFER = 2  # a score at SEEN goes either way; a provider that computes wrong differs on most
FIRST_SEED = 7_500_000
SEEN = 0.25  # scores below it may go either way

_DRIVER = Path("/proc/driver/nvidia/version")


def needed(there: Sequence[str]) -> str:
    """What a machine lacks for this bench, for people; "" if it can be tried."""
    if providers.FULL["cuda"] in there:
        return ""
    return (
        f"this onnxruntime has only {list(there)}: a machine with an NVIDIA card is needed, its "
        "driver, CUDA 12 or 13 with cuDNN, `pip uninstall onnxruntime` and the extra `gpu` "
        "(onnxruntime-gpu); for TensorRT libnvinfer as well; not run"
    )


def opened(model: Path, runtime: Runtime) -> tuple[Detector, float]:
    """A warm detector and the seconds it took.

    Raises:
        ModelError: the provider does not take the work.
    """
    started_s = time.perf_counter()
    detector = Detector(model, runtime=runtime)
    return detector, time.perf_counter() - started_s


def measure(detectors: dict[str, Detector], frames: int) -> dict[str, dict[str, float]]:
    """Medians and p99 in ms, by name: the session alone on a ready input, and frame to boxes."""
    frame = np.random.default_rng(0).integers(0, 256, FRAME, np.uint8)
    work: dict[str, Callable[[], object]] = {}
    for name, detector in detectors.items():
        work[f"{name}: session.run"] = _floor(detector, frame)
        work[f"{name}: frame to boxes"] = _whole(detector, frame)
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _block in range(max(1, frames // BLOCK)):
        for name, do in work.items():
            do()  # not counted: the block before was another's
            for _frame in range(BLOCK):
                started_s = time.perf_counter()
                do()
                taken[name].append((time.perf_counter() - started_s) * 1000)
    return {
        name: {
            "median_ms": round(median(values), 3),
            "p99_ms": round(float(np.percentile(values, 99)), 3),
            "frames": len(values),
        }
        for name, values in taken.items()
    }


def _floor(detector: Detector, frame: npt.NDArray[np.uint8]) -> Callable[[], object]:
    fed = detector.fed(frame)
    return lambda: detector.session.run(None, fed)


def _whole(detector: Detector, frame: npt.NDArray[np.uint8]) -> Callable[[], object]:
    return lambda: detector.detect(frame)


def differing(one: Detector, other: Detector, plates: int) -> int:
    """Plates on which the two do not find the same classes."""
    return sum(
        _found(one.detect(image)) != _found(other.detect(image))
        for image in (scene(FIRST_SEED + number, 0.65).image for number in range(plates))
    )


def _found(detections: list[Detection]) -> list[str]:
    return sorted(d.label for d in detections if d.score >= SEEN)


def _versions() -> dict[str, str]:
    words = ("nvidia-", "tensorrt", "onnxruntime")
    found = {d.metadata["Name"]: d.version for d in distributions() if d.metadata["Name"]}
    return {name: found[name] for name in sorted(found) if name.lower().startswith(words)}


def _driver() -> str:
    try:
        return _DRIVER.read_text(encoding="ascii", errors="replace").splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="bench.gpu", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--model", type=Path, default=BASE)
    parser.add_argument("--frames", type=int, default=300, help="per cell")
    asked = parser.parse_args(argv)
    lacking = needed(built_in())
    if lacking:
        sys.stderr.write(lacking + "\n")
        return EXIT_CANNOT_RUN
    detectors: dict[str, Detector] = {}
    figures: dict[str, Any] = {"opened_s": {}, "failed": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name, order, half in ORDERS:
            if not all(providers.full_name(one) in built_in() for one in order):
                figures["failed"][name] = "not in this onnxruntime"
                continue
            sys.stderr.write(f"{name}: first engine, this can take minutes ...\n")
            runtime = Runtime(providers=order, threads=1, fp16=half, engine_dir=folder)
            try:
                _first, first_s = opened(asked.model, runtime)
                detectors[name], again_s = opened(asked.model, runtime)
            except EdgeError as wrong:
                figures["failed"][name] = str(wrong)
                continue
            figures["opened_s"][name] = {"first": round(first_s, 1), "again": round(again_s, 1)}
        figures["cells"] = measure(detectors, asked.frames)
    plain = Detector(asked.model)
    figures["plates that differ from the CPU"] = {
        name: differing(plain, detector, PLATES) for name, detector in detectors.items()
    }
    figures |= {
        "model_sha256": plain.sha256,
        "device": providers.nvidia_device(),
        "driver": _driver(),
        "tensorrt": providers.tensorrt_version(),
        "versions": _versions(),
        "runs_on": {name: str(detector.report) for name, detector in detectors.items()},
    }
    if not detectors:
        sys.stderr.write(f"no provider of NVIDIA runs here: {figures['failed']}; not run\n")
        return EXIT_CANNOT_RUN
    differ = figures["plates that differ from the CPU"]
    bars = [
        at_most(f"{name}: plates that differ from the CPU, of {PLATES}", differ[name], MAY_DIFFER)
        for name in detectors
    ]
    return finish("gpu", bars, figures, asked.json)


if __name__ == "__main__":
    sys.exit(main())
