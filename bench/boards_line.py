"""Real boards through the whole line: held-out DeepPCB boards, a part each, from PLC to hub.

    python -m bench.boards_line --data deeppcb --model run/boards.onnx [--groups 44000,77000]
    [--json]

The model is trained beforehand (see bench.deeppcb_model) and never part of this repository. A board
is one part, and so is its defect-free template; both come in a shuffled order, at a given rate, to
a node that runs the model behind a simulated PLC on a serial line, and to a hub with its database.
One threshold for all classes is chosen on other boards (`--val-groups`) that training did not use
either.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.base_model import SCORE_FLOOR, SWEEP, share
from bench.deeppcb_model import boards, look
from bench.report import EXIT_CANNOT_RUN, EXIT_FAILED, Bar, data_folder, exactly, finish
from edge.vision.detector import Detector
from models.accuracy import Looked, rejected
from models.deeppcb import CLASSES

OK, NG, UNDECIDED = 1, 2, 3

RECIPE_HEAD = """name = "deeppcb"
product = "bare board"

[image]
dark_below = 0.0
saturated_share = 1.0
frozen = false
"""
"""Boards are binary pictures: the limits of a camera picture do not fit them."""


def best_threshold(bad: Sequence[Looked], good: Sequence[Looked]) -> float:
    """The threshold with the fewest escapes and overkills together; the lowest of equals."""

    def mistakes(limit: float) -> int:
        limits = dict.fromkeys(CLASSES, limit)
        escapes = sum(not rejected(part.detections, limits) for part in bad)
        return escapes + sum(rejected(part.detections, limits) for part in good)

    return min(SWEEP, key=mistakes)


def write_recipe(path: Path, threshold: float) -> None:
    """One threshold for every class."""
    classes = (f'\n[[class]]\nlabel = "{label}"\nthreshold = {threshold}\n' for label in CLASSES)
    path.write_text(RECIPE_HEAD + "".join(classes), encoding="utf-8")


def lay_out(source: Path, names: Sequence[str], folder: Path) -> None:
    """Boards and templates in a shuffled order, which their file names keep."""
    folder.mkdir()
    pictures = [source / f"{name}_{kind}.jpg" for name in names for kind in ("test", "temp")]
    random.Random(1).shuffle(pictures)
    for number, picture in enumerate(pictures):
        shutil.copyfile(picture, folder / f"{number:05d}_{picture.name}")


def run_line(
    folder: Path, model: Path, rate: float
) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
    """Every picture through the line; figures of the demo and the verdict of every part."""
    verdicts = folder / "verdicts.jsonl"
    command = [sys.executable, "-m", "hub", "demo", "--data", str(folder / "demo")]
    command += ["--pictures", str(folder / "pictures"), "--recipe", str(folder / "boards.toml")]
    command += ["--model", str(model), "--rate", str(rate), "--verdicts", str(verdicts)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0 or not done.stdout.strip():
        return None
    lines = verdicts.read_text(encoding="utf-8").splitlines()
    return json.loads(done.stdout.splitlines()[-1]), [json.loads(line) for line in lines]


def of_kind(parts: Sequence[dict[str, Any]], kind: str) -> list[int]:
    """Codes of the boards (`test`) or templates (`temp`)."""
    return [p["code"] for p in parts if p["views"][0]["source"].endswith(f"_{kind}.jpg")]


def compare(line: dict[str, Any], parts: Sequence[dict[str, Any]]) -> dict[str, object]:
    """What became of boards and templates, and how long it took."""
    bad, good = of_kind(parts, "test"), of_kind(parts, "temp")
    words = {OK: "ok", NG: "ng", UNDECIDED: "undecided"}
    return {
        "parts": len(parts),
        "boards": Counter(words[code] for code in bad),
        "templates": Counter(words[code] for code in good),
        "escapes": share(bad.count(OK), len(bad)),
        "overkills": share(good.count(NG), len(good)),
        "latency_ms": line["latency_ms"],
        "line": line,
    }


def bars(line: dict[str, Any]) -> list[Bar]:
    """The laws, which must hold on real pictures as on simulated ones."""
    return [
        exactly("residue", line["residue"], 0),
        exactly("hub_parts - triggers", line["hub_parts"] - line["triggers"], 0),
        exactly("wrong_verdicts_at_plc", line["wrong_verdicts_at_plc"], 0),
        exactly("good_bin_without_ok", line["good_bin_without_ok"], 0),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="bench.boards_line", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--data", help="folder with the data set (or QUANJIAN_TEST_DATA)")
    parser.add_argument("--model", type=Path, help="ONNX trained on the other groups")
    parser.add_argument("--groups", default="44000,77000", help="board groups held out")
    parser.add_argument("--val-groups", default="50600", help="groups that choose the threshold")
    parser.add_argument("--rate", type=float, default=2.0, help="parts/s")
    args = parser.parse_args(argv)
    source = data_folder(args.data, "deeppcb")
    if source is None:
        return EXIT_CANNOT_RUN
    if args.model is None:
        sys.stderr.write("no model: train one as bench.deeppcb_model says; not run\n")
        return EXIT_CANNOT_RUN
    detector = Detector(args.model, score_floor=SCORE_FLOOR)
    chosen_on = boards(source, args.val_groups.split(","))
    threshold = best_threshold(
        list(look(detector, source, chosen_on, "test")),
        list(look(detector, source, chosen_on, "temp")),
    )
    with tempfile.TemporaryDirectory(prefix="boards-") as made:
        folder = Path(made)
        folder.chmod(0o755)  # so that PostgreSQL reaches it when the bench runs as root
        lay_out(source, boards(source, args.groups.split(",")), folder / "pictures")
        write_recipe(folder / "boards.toml", threshold)
        outcome = run_line(folder, args.model, args.rate)
    if outcome is None:
        sys.stderr.write("the line gave no figures; what it said stands above\n")
        return EXIT_FAILED
    line, parts = outcome
    figures = {"model_sha256": detector.sha256, "threshold": threshold, **compare(line, parts)}
    return finish("boards_line", bars(line), figures, args.json)


if __name__ == "__main__":
    sys.exit(main())
