"""The same boxes as ultralytics, with the same weights, for every head layout and size.

Each network is trained briefly on simulated plates first (yolo11n is the demo model itself), since
random weights answer the same to every picture and prove nothing. Then both look at the same
pictures, `ultralytics predict` in its own environment and our detector, from the same ONNX file:

    every box of either side at or above 0.25 has its partner: IoU >= 0.99, scores within 1e-3

A box whose score lies within 1e-3 of 0.25 may miss its partner. Ours also reports the second class
of an anchor where that reaches the floor; ultralytics does not: such a box is counted apart, if it
lies where ultralytics has a better one of another class (its anchor's best class, or what pushed
that out). So is what has no area: a box of ultralytics' that lies in the border around the picture
and is clipped to a line, as ours drops it, and a segmented one of ours whose mask is empty, as
ultralytics drops that.

    python -m bench.heads --json                     # trains for as long as --minutes says
    python -m bench.heads --weights DIR --json       # DIR/yolov8n.pt and so on, as trained before
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report import EXIT_CANNOT_RUN, Bar, at_least, at_most, exactly, finish
from bench.turns.artefacts import BASE, command, exported
from bench.turns.frames import Shot, shots
from bench.turns.peer import BLOCK, Asked, Peer, PeerError, together
from edge.errors import EdgeError
from models.accuracy import overlap
from models.labels import read_labels
from models.trainer import DEFAULT_PYTHON, python_at

CONF, IOU = 0.25, 0.5
SLACK = 1e-3
FIRST_SEED = 9_000_000
TRAINING_SEED = 300_000
TRAINING_SIZES = "1.5,2.4"
"""Large defects: a network that learns for minutes must find more than half of them."""

HEADS = (
    ("yolov8n", "raw"),
    ("yolo11n", "raw"),
    ("yolo11n", "nms"),
    ("yolo12n", "raw"),
    ("yolo26n", "raw"),
    ("yolo26n", "end_to_end"),
    ("yolo11n-seg", "raw"),
    ("yolo26n-seg", "end_to_end"),
)
SIZES = ((320, 320), (640, 640), (384, 640))


@dataclass(slots=True)
class Agreement:
    """How two lists of boxes of many pictures agree."""

    pairs: int = 0
    least_iou: float = 1.0
    widest_score: float = 0.0
    alone: int = 0  # boxes of either side without a partner
    second_class: int = 0  # ours only: another class at the place of a stronger box
    no_area: int = 0  # theirs clipped to a line at the picture's edge, ours with an empty mask

    def add(self, ours: list[list[Any]], theirs: list[list[Any]]) -> None:
        """One picture: rows of x1, y1, x2, y2, score, label; ours with a mask's area behind."""
        left = list(ours)
        for row in theirs:
            if row[0] >= row[2] or row[1] >= row[3]:
                self.no_area += 1
                continue
            partner = max(
                (one for one in left if one[5] == row[5]),
                key=lambda one: overlap(_box(one), _box(row)),
                default=None,
            )
            if partner is None or overlap(_box(partner), _box(row)) < 0.5:
                self.alone += row[4] >= CONF + SLACK
                continue
            left.remove(partner)
            self.pairs += 1
            self.least_iou = min(self.least_iou, overlap(_box(partner), _box(row)))
            self.widest_score = max(self.widest_score, abs(partner[4] - row[4]))
        for one in left:
            if any(_is_second(one, row) for row in theirs):
                self.second_class += 1
            elif one[6:] == [0.0]:
                self.no_area += 1
            else:
                self.alone += one[4] >= CONF + SLACK


def _is_second(one: list[Any], row: list[Any]) -> bool:
    """Whether a box of ours may be the second guess at the place of one of theirs."""
    stands_there = overlap(_box(one), _box(row)) > IOU - SLACK
    return bool(stands_there and row[5] != one[5] and row[4] > one[4] - SLACK)


def _box(row: list[Any]) -> tuple[float, float, float, float]:
    return row[0], row[1], row[2], row[3]


def trained(
    names: Sequence[str], folder: Path, minutes: float, trainer: Path
) -> Iterator[tuple[str, Path]]:
    """Weights of these networks, trained where `folder` has none.

    Raises:
        TrainingError: the trainer is missing or failed.
    """
    for name in dict.fromkeys(names):
        weights = folder / f"{name}.pt"
        if name == "yolo11n":
            weights = BASE
        elif not weights.is_file():
            sys.stderr.write(f"training {name} for {minutes:g} min ...\n")
            start = folder / f"{name.removesuffix('-seg')}.pt"
            transfer = start if name.endswith("-seg") and start.is_file() else BASE
            run = folder / name
            words = ["--data", _plates(folder, name.endswith("-seg")), "--out", run]
            words += ["--architecture", name, "--transfer", transfer, "--minutes", minutes]
            command("models", "train", *words, "--trainer-python", trainer)
            (run / "best.pt").rename(weights)
        yield name, weights


def _plates(folder: Path, outlines: bool) -> Path:
    """data.yaml of plates to learn from; with outlines, a box's inner ellipse is the defect."""
    made = folder / ("plates-outlined" if outlines else "plates")
    if not (made / "data.yaml").is_file():
        words = ["--count", 1400, "--seed", TRAINING_SEED, "--sizes", TRAINING_SIZES]
        command("models", "synth", "--out", made, *words)
        for path in made.glob("labels/*/*.txt") if outlines else ():
            path.write_text(_outlined(path), encoding="ascii")
    return made / "data.yaml"


def _outlined(path: Path) -> str:
    lines = []
    corner = 0.7071
    for box in read_labels(path):
        x1, y1, x2, y2 = box.corners
        x, y, w, h = (x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) / 2, (y2 - y1) / 2
        around = [(1, 0), (corner, corner), (0, 1), (-corner, corner), (-1, 0)]
        around += [(-corner, -corner), (0, -1), (corner, -corner)]
        points = " ".join(f"{x + dx * w:.6f} {y + dy * h:.6f}" for dx, dy in around)
        lines.append(f"{box.kind} {points}\n")
    return "".join(lines)


def compare(peers: Sequence[Peer], seen: Sequence[Shot]) -> tuple[Agreement, float]:
    """How ours and theirs agree, and the share of the true defects that ours finds."""
    ours, theirs = peers
    agreement, found, there = Agreement(), 0, 0
    for first in range(0, len(seen), BLOCK):
        some = seen[first : first + BLOCK]
        paths = [shot.path for shot in some]
        answers = zip(some, ours.block(paths).boxes, theirs.block(paths).boxes, strict=True)
        for shot, mine, other in answers:
            agreement.add(mine, other)
            there += len(shot.truth)
            found += sum(
                any(row[5] == t.label and overlap(_box(row), t.box) >= 0.5 for row in mine)
                for t in shot.truth
            )
    return agreement, found / max(1, there)


def measure(asked: argparse.Namespace, folder: Path) -> tuple[list[Bar], dict[str, Any]]:
    """All heads, all sizes.

    Raises:
        EdgeError, PeerError: something of it cannot run here.
    """
    seen = shots(folder / "frames", (512, 512), 512, asked.pictures, FIRST_SEED)
    kept = (asked.weights or folder).resolve()
    kept.mkdir(parents=True, exist_ok=True)
    heads = [head for head in HEADS if not asked.only or head[0] in asked.only]
    names = [name for name, _head in heads]
    weights = dict(trained(names, kept, asked.minutes, asked.trainer_python))
    bars: list[Bar] = []
    figures: dict[str, Any] = {}
    for name, head in heads:
        for size in SIZES:
            key = f"{name} {head} {size[0]}x{size[1]}"
            sys.stderr.write(f"{key} ...\n")
            out = folder / f"{name}-{head}-{size[0]}x{size[1]}.onnx"
            model = exported(weights[name], out, size, head, asked.trainer_python)
            with together(_peers(asked, name, model, size), folder) as peers:
                if len(peers) < 2:
                    raise PeerError(f"{key}: a side is missing; see above")
                agreement, found = compare(peers, seen)
            figures[key] = {
                "pairs": agreement.pairs,
                "least_iou": round(agreement.least_iou, 5),
                "widest_score": round(agreement.widest_score, 6),
                "alone": agreement.alone,
                "second_class": agreement.second_class,
                "no_area": agreement.no_area,
                "found": round(found, 4),
            }
            bars += [
                at_least(f"{key}: boxes that both found", agreement.pairs, len(seen) // 10),
                at_least(f"{key}: least IoU of a pair", agreement.least_iou, 0.99),
                at_most(f"{key}: widest score difference", agreement.widest_score, 1e-3),
                exactly(f"{key}: boxes without a partner", agreement.alone, 0),
            ]
            if size == (320, 320):
                bars.append(at_least(f"{key}: share of defects found", found, 0.5))
    return bars, figures


def _peers(asked: argparse.Namespace, name: str, model: Path, size: tuple[int, int]) -> list[Asked]:
    segments = name.endswith("-seg")
    common = {"what": "detect", "model": str(model), "conf": CONF, "iou": IOU}
    ours = {
        **common,
        "what": "segment" if segments else "detect",
        "providers": ["CPUExecutionProvider"],
        "threads": 0,
        "spinning": False,
    }
    theirs = {
        **common,
        "do": "predict",
        "task": "segment" if segments else "detect",
        "imgsz": list(size),
        "max_det": 300,
    }
    return [
        Asked("ours", "bench.turns.ours", Path(sys.executable), ours),
        Asked("ultralytics", "models.train_ultralytics", asked.trainer_python, theirs),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="bench.heads", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--pictures", type=int, default=500)
    networks = sorted({name for name, _head in HEADS})
    parser.add_argument("--only", nargs="*", choices=networks, help="networks (default: all)")
    parser.add_argument("--weights", type=Path, help="folder of trained weights, NAME.pt")
    parser.add_argument("--minutes", type=float, default=6.0, help="of training per network")
    parser.add_argument("--trainer-python", type=python_at, default=DEFAULT_PYTHON)
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            bars, figures = measure(asked, Path(scratch))
        except (EdgeError, PeerError) as wrong:
            sys.stderr.write(f"bench.heads cannot run here: {wrong}\n")
            return EXIT_CANNOT_RUN
    return finish("heads", bars, figures, asked.json)


if __name__ == "__main__":
    sys.exit(main())
