"""The demo model on simulated plates it has never seen: does it hold what its card says?

1,000 defective plates, every defect at or above its stated minimum size, and 1,000 good ones with
look-alikes (oil film, dust, tool marks, glare), through the same detector as on the line, judged
with the thresholds of models/base/card.json. A part is an escape if it is defective and nothing on
it reaches its threshold; an overkill if it is good and something does.

    python -m bench.base_model --json
    python -m bench.base_model --parts 500 --first-seed 3000000    # how the thresholds were chosen
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.report import Bar, at_least, at_most, finish
from edge.stats import wilson
from edge.vision.detector import Detector
from edge.vision.plates import CLASSES
from models.accuracy import Looked, Truth, matches, precision_by_label, rejected
from models.synth import scene

BASE = Path(__file__).parent.parent / "models" / "base"
FIRST_SEED = 5_000_000
"""The card's training seeds end far below; good plates start a million later."""

SIZES = (1.0, 2.2)
"""From the stated minimum itself on, a little below what the model learned from."""

SCORE_FLOOR = 0.005  # average precision needs the weak detections too
SWEEP = tuple(round(0.05 * step, 2) for step in range(1, 19))


def look(detector: Detector, first_seed: int, parts: int, *, defective: bool) -> list[Looked]:
    """Draw `parts` plates from `first_seed` on and what the detector says of each."""
    rate = 1.0 if defective else 0.0
    looked = []
    for seed in range(first_seed, first_seed + parts):
        shot = scene(seed, rate, sizes=SIZES)
        truth = tuple(Truth(d.label, d.box) for d in shot.defects)
        looked.append(Looked(tuple(detector.detect(shot.image)), truth))
        if len(looked) % 200 == 0:
            kind = "defective" if defective else "good"
            sys.stderr.write(f"{len(looked)} of {parts} {kind} plates\n")
    return looked


def mistakes(
    bad: Sequence[Looked], good: Sequence[Looked], thresholds: dict[str, float]
) -> tuple[int, int]:
    """(escapes, overkills) at these thresholds."""
    escapes = sum(not rejected(part.detections, thresholds) for part in bad)
    return escapes, sum(rejected(part.detections, thresholds) for part in good)


def share(count: int, total: int) -> dict[str, float | int]:
    """A share with its Wilson 95 % interval, for the JSON."""
    low, high = wilson(count, total)
    return {
        "count": count,
        "of": total,
        "share": round(count / total, 5),
        "low": round(low, 5),
        "high": round(high, 5),
    }


def measure(
    bad: Sequence[Looked], good: Sequence[Looked], thresholds: dict[str, float]
) -> tuple[list[Bar], dict[str, object]]:
    """Bars of issue 2 and the raw figures."""
    by_class = precision_by_label([*bad, *good], CLASSES)
    mean = sum(by_class.values()) / len(by_class)
    escapes, overkills = mistakes(bad, good, thresholds)
    sweep = {limit: mistakes(bad, good, dict.fromkeys(CLASSES, limit)) for limit in SWEEP}
    bars = [at_least("mAP50", round(mean, 4), 0.90)]
    bars += [at_least(f"AP50 {label}", round(ap, 4), 0.80) for label, ap in by_class.items()]
    bars += [
        at_most("escapes", escapes / len(bad), 0.02),
        at_most("overkills", overkills / len(good), 0.02),
    ]
    return bars, {
        "thresholds": thresholds,
        "escapes": share(escapes, len(bad)),
        "overkills": share(overkills, len(good)),
        "missed_defects_by_class": _unseen(bad, thresholds),
        "sweep_threshold_escapes_overkills": [[t, *pair] for t, pair in sweep.items()],
    }


def _unseen(bad: Sequence[Looked], thresholds: dict[str, float]) -> dict[str, str]:
    """Defects of which no detection of their class reached its threshold and half an overlap."""
    unseen = {}
    for label in CLASSES:
        total = sum(t.label == label for part in bad for t in part.truth)
        seen = 0
        for part in bad:
            strong = [d for d in part.detections if d.score >= thresholds[d.label]]
            alone = Looked(tuple(strong), part.truth)
            seen += _hits(alone, label)
        unseen[label] = f"{total - seen} of {total}"
    return unseen


def _hits(part: Looked, label: str) -> int:
    found = [d for d in part.detections if d.label == label]
    there = [t for t in part.truth if t.label == label]
    return sum(hit for _score, hit in matches(found, there))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="bench.base_model", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--model", type=Path, default=BASE / "base.onnx")
    parser.add_argument("--card", type=Path, default=BASE / "card.json", help="its thresholds")
    parser.add_argument("--parts", type=int, default=1000, help="defective and good plates, each")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    args = parser.parse_args(argv)
    thresholds: dict[str, float] = json.loads(args.card.read_text(encoding="utf-8"))["thresholds"]
    detector = Detector(args.model, score_floor=SCORE_FLOOR)
    bad = look(detector, args.first_seed, args.parts, defective=True)
    good = look(detector, args.first_seed + 1_000_000, args.parts, defective=False)
    bars, figures = measure(bad, good, thresholds)
    figures = {
        "model_sha256": detector.sha256,
        "first_seeds": [args.first_seed, args.first_seed + 1_000_000],
        **figures,
    }
    return finish("base_model", bars, figures, args.json)


if __name__ == "__main__":
    sys.exit(main())
