"""Average precision of a detector on DeepPCB board groups it was not trained on.

The model is trained beforehand and never part of this repository:

    quanjian-models convert deeppcb --source deeppcb --out boards --holdout-groups 44000,77000 \
        --val-groups 50600 --templates 0.2
    quanjian-models train --data boards/data.yaml --out run --base models/base/base.pt --minutes 25
    quanjian-models export --weights run/best.pt --out run/boards.onnx
    python -m bench.deeppcb_model --data deeppcb --model run/boards.onnx --groups 44000,77000

A board is `NAME_test.jpg` with its defects, a good part its defect-free `NAME_temp.jpg`. Pictures
only, no line: the line's own figures come from driving these boards through PLC and hub.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from bench.base_model import SCORE_FLOOR, SWEEP, share
from bench.report import EXIT_CANNOT_RUN, data_folder, finish
from edge.errors import ImageError
from edge.vision.detector import Detector
from models.accuracy import Looked, Truth, precision_by_label, rejected
from models.deeppcb import CLASSES, SIDE_PX, read_board


def boards(folder: Path, groups: Sequence[str]) -> list[str]:
    """Names of the boards of these groups."""
    names = sorted(p.name[: -len("_test.jpg")] for p in folder.glob("*_test.jpg"))
    return [name for name in names if name[:5] in groups]


def look(detector: Detector, folder: Path, names: Sequence[str], kind: str) -> Iterator[Looked]:
    """What the detector says of each board (`test`) or of its template (`temp`)."""
    for done, name in enumerate(names, 1):
        path = folder / f"{name}_{kind}.jpg"
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise ImageError(f"{path}: not a picture")
        found = tuple(detector.detect(np.asarray(image, np.uint8)))
        truth = read_board(folder / f"{name}.txt") if kind == "test" else []
        scaled = [(box.kind, [v * SIDE_PX for v in box.corners]) for box in truth]
        yield Looked(found, tuple(Truth(CLASSES[k], (a, b, c, d)) for k, (a, b, c, d) in scaled))
        if done % 50 == 0:
            sys.stderr.write(f"{done} of {len(names)} {kind} pictures\n")


def measure(bad: Sequence[Looked], good: Sequence[Looked]) -> dict[str, object]:
    """Average precisions, and part-level mistakes over a range of thresholds."""
    by_class = precision_by_label([*bad, *good], CLASSES)
    sweep = []
    for limit in SWEEP:
        limits = dict.fromkeys(CLASSES, limit)
        escapes = sum(not rejected(part.detections, limits) for part in bad)
        overkills = sum(rejected(part.detections, limits) for part in good)
        sweep.append([limit, share(escapes, len(bad)), share(overkills, len(good))])
    return {
        "boards": len(bad),
        "templates": len(good),
        "defects": sum(len(part.truth) for part in bad),
        "mAP50": round(sum(by_class.values()) / len(by_class), 4),
        "AP50": {label: round(ap, 4) for label, ap in by_class.items()},
        "threshold_escapes_overkills": sweep,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench; it has no bar of its own, issue 2 asks for the record."""
    parser = argparse.ArgumentParser(prog="bench.deeppcb_model", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--data", help="folder with the data set (or QUANJIAN_TEST_DATA)")
    parser.add_argument("--model", type=Path, help="ONNX trained on the other groups")
    parser.add_argument("--groups", default="44000,77000", help="board groups held out")
    args = parser.parse_args(argv)
    folder = data_folder(args.data, "deeppcb")
    if folder is None:
        return EXIT_CANNOT_RUN
    if args.model is None:
        sys.stderr.write("no model: train one as this module's first lines say; not run\n")
        return EXIT_CANNOT_RUN
    detector = Detector(args.model, score_floor=SCORE_FLOOR)
    names = boards(folder, args.groups.split(","))
    bad = list(look(detector, folder, names, "test"))
    good = list(look(detector, folder, names, "temp"))
    figures = {"model_sha256": detector.sha256, "groups": args.groups, **measure(bad, good)}
    return finish("deeppcb_model", [], figures, args.json)


if __name__ == "__main__":
    sys.exit(main())
