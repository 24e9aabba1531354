"""Second detectors: a template beside the model on DeepPCB, and an anomaly model of a new plate.

1. DeepPCB comes in pairs: a board and its defect-free template. The model of `bench.deeppcb_model`
   looks at boards of groups it was not trained on, alone, and confirmed by a comparison with each
   board's template. Tolerance, contrast and margin were chosen on group 50600.
2. The demo model's backbone, 30 good plates of a design that no model here was trained on, and then
   good and defective plates that are judged at score 0.5, which is set from the good parts alone.
   Light, focus, dirt and place (up to 8 mm off) vary from plate to plate, look-alikes are on many.

    python -m bench.second_detector --data deeppcb --weights run/boards.onnx --json

Without `--weights` the model is trained first, as docs/benchmarks.md says, for `--minutes`.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from bench.base_model import share
from bench.deeppcb_model import boards
from bench.report import EXIT_CANNOT_RUN, Bar, at_least, at_most, data_folder, finish
from edge.errors import ImageError, TrainingError
from edge.limits import TemplateLimits
from edge.terms import Detection
from edge.vision.anomaly import Anomaly
from edge.vision.confirm import SCORE_FLOOR, confirmed
from edge.vision.detector import Detector
from edge.vision.image import decode_image
from edge.vision.lens import expose
from edge.vision.plates import FLANGE, make_plate, plan
from edge.vision.template import Template
from models import anomaly, deeppcb, export, train
from models.accuracy import Looked, Truth, precision_by_label
from models.labels import Box
from models.synth import JITTER_MM, draw_optics
from models.trainer import DEFAULT_PYTHON

BASE = Path(__file__).parent.parent / "models" / "base"
HELD_OUT, VALIDATION = ("44000", "77000"), ("50600",)
LIMITS = TemplateLimits(
    pictures=("template.jpg",),
    tolerance_px=3,
    contrast=80,
    min_size_px=5,
    confirms=True,
    margin_px=12,
)
"""As chosen on the validation group."""

GOOD_PARTS = 30
FIRST_SEED = 9_000_000
"""Good plates to learn from; those to judge start a million and two million later."""

THRESHOLD = 0.5
"""Of an anomaly: three standard deviations above what the good parts reached (models.anomaly)."""


def trained(folder: Path, data: Path, minutes: float) -> Path:
    """Train a detector of boards and return its ONNX.

    Raises:
        TrainingError: there is no trainer here, or it failed.
    """
    deeppcb.convert(data, folder / "boards", HELD_OUT, VALIDATION, templates=0.2)
    job = train.Training(
        folder / "boards" / "data.yaml", folder / "run", BASE / "base.pt", minutes=minutes
    )
    train.train(job, DEFAULT_PYTHON, _say)
    out = folder / "boards.onnx"
    sides = (job.imgsz, job.imgsz)
    export.export(folder / "run" / "best.pt", out, sides, None, DEFAULT_PYTHON, _say)
    return out


def _say(step: dict[str, object]) -> None:
    sys.stderr.write(f"{step}\n")


def pairs(
    detector: Detector, folder: Path, groups: Sequence[str]
) -> Iterator[tuple[Looked, Looked]]:
    """Each board as the model alone sees it, and as it and the board's template see it.

    A board that cannot be registered is undecided on a line; here the model alone speaks for it.
    """
    for name in boards(folder, groups):
        board = decode_image(folder / f"{name}_test.jpg")
        template = Template(LIMITS, [decode_image(folder / f"{name}_temp.jpg")])
        truth = tuple(_truth(box) for box in deeppcb.read_board(folder / f"{name}.txt"))
        alone = detector.detect(board)
        try:
            differences = template.detect(board)
        except ImageError as wrong:
            sys.stderr.write(f"{name}: not compared: {wrong}\n")
            yield Looked(tuple(alone), truth), Looked(tuple(alone), truth)
            continue
        both = confirmed(alone, differences, LIMITS.margin_px, board.shape)
        yield Looked(tuple(alone), truth), Looked(tuple(both), truth)


def _truth(box: Box) -> Truth:
    x1, y1, x2, y2 = (corner * deeppcb.SIDE_PX for corner in box.corners)
    return Truth(deeppcb.CLASSES[box.kind], (x1, y1, x2, y2))


def template_bars(detector: Detector, folder: Path) -> tuple[list[Bar], dict[str, object]]:
    """The first part."""
    seen = list(pairs(detector, folder, HELD_OUT))
    alone, both = (
        precision_by_label([pair[place] for pair in seen], deeppcb.CLASSES) for place in (0, 1)
    )
    means = [round(sum(found.values()) / len(found), 4) for found in (alone, both)]
    differences = [sum(d.label == LIMITS.label for d in pair[1].detections) for pair in seen]
    figures = {
        "model_sha256": detector.sha256,
        "groups": list(HELD_OUT),
        "boards": len(seen),
        "defects": sum(len(pair[0].truth) for pair in seen),
        "mAP50_model_alone": means[0],
        "mAP50_model_and_template": means[1],
        "AP50_model_alone": {label: round(ap, 4) for label, ap in alone.items()},
        "AP50_model_and_template": {label: round(ap, 4) for label, ap in both.items()},
        "defects_with_a_difference": sum(_covered(pair[1]) for pair in seen),
        "boards_not_compared": sum(pair[0] == pair[1] for pair in seen),
        "differences_per_board": round(sum(differences) / len(seen), 2),
    }
    above = at_least(
        "mAP50 of model and template: above the model's own", means[1], means[0] + 1e-4
    )
    return [above], figures


def _covered(looked: Looked) -> int:
    """Defects that a difference touches."""
    found = [d.box for d in looked.detections if d.label == LIMITS.label]
    return sum(
        any(
            min(a[2], t.box[2]) > max(a[0], t.box[0]) and min(a[3], t.box[3]) > max(a[1], t.box[1])
            for a in found
        )
        for t in looked.truth
    )


def plate(seed: int, labels: Sequence[str]) -> np.ndarray:
    """A picture of a plate of the new design, as `models.synth` takes those of the old one."""
    rng = np.random.default_rng((seed, 20))
    x, y = (float(v) for v in rng.uniform(-JITTER_MM, JITTER_MM, 2))
    drawn = make_plate(2 * seed, labels, sizes=(1.0, 2.2), design=FLANGE)
    return expose([(drawn, x, y)], draw_optics(rng), rng)


def anomaly_bars(parts: int, folder: Path) -> tuple[list[Bar], dict[str, object]]:
    """The second part."""
    good = folder / "good"
    good.mkdir()
    for number in range(GOOD_PARTS):
        cv2.imwrite(str(good / f"{number:03}.png"), plate(FIRST_SEED + number, ()))
    job = anomaly.Making(good, BASE / "base.onnx", folder / "flange.onnx", max_shift_px=80)
    made = anomaly.make(job, lambda _text: None)
    detector = Anomaly(Detector(job.out))
    passed = [_best(detector, FIRST_SEED + 1_000_000 + n, ()) for n in range(parts)]
    kinds = [plan(np.random.default_rng((n, 21)), 1.0) for n in range(parts)]
    caught = [_best(detector, FIRST_SEED + 2_000_000 + n, kinds[n]) for n in range(parts)]
    escapes = [kinds[n] for n in range(parts) if caught[n] < THRESHOLD]
    overkills = sum(score >= THRESHOLD for score in passed)
    bars = [
        at_most("escapes on the unseen design", len(escapes) / parts, 0.10),
        at_most("overkills on the unseen design", overkills / parts, 0.05),
    ]
    return bars, {
        "good_parts_learned": GOOD_PARTS,
        "anomaly_model": {key: made[key] for key in ("sha256", "bytes", "limit", "step")},
        "threshold": THRESHOLD,
        "escapes": share(len(escapes), parts),
        "overkills": share(overkills, parts),
        "defects_on_escaped_parts": [list(labels) for labels in escapes],
    }


def _best(detector: Anomaly, seed: int, labels: Sequence[str]) -> float:
    found: list[Detection] = detector.detect(plate(seed, labels))
    return max((d.score for d in found), default=0.0)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="bench.second_detector", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--data", help="folder with the data set (or QUANJIAN_TEST_DATA)")
    parser.add_argument("--weights", type=Path, help="ONNX trained on the other board groups")
    parser.add_argument("--minutes", type=float, default=25, help="of training without --weights")
    parser.add_argument("--parts", type=int, default=300, help="good and defective plates, each")
    args = parser.parse_args(argv)
    data = data_folder(args.data, "deeppcb")
    if data is None:
        return EXIT_CANNOT_RUN
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        try:
            weights = args.weights or trained(folder, data, args.minutes)
        except TrainingError as wrong:
            sys.stderr.write(f"no --weights, and none can be trained here: {wrong}; not run\n")
            return EXIT_CANNOT_RUN
        compared, template_figures = template_bars(Detector(weights, score_floor=SCORE_FLOOR), data)
        learned, anomaly_figures = anomaly_bars(args.parts, folder)
    figures = {"template": template_figures, "anomaly": anomaly_figures}
    return finish("second_detector", [*compared, *learned], figures, args.json)


if __name__ == "__main__":
    sys.exit(main())
