"""quanjian-models: data, training and export of detectors.

Data goes to stdout as one JSON object, talk to stderr. Exit 0 done, 1 failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from edge.errors import EdgeError
from models import anomaly, dataset_command, proof_command
from models.deeppcb import convert
from models.export import HEADS, export
from models.importer import take_in
from models.options import number
from models.quantize import LEAST_PICTURES, quantize
from models.recipe import write_recipe
from models.synth import TRAINING_SIZES, Order, synthesise
from models.train import Training, train
from models.trainer import DEFAULT_PYTHON, python_at

_Answer = dict[str, object]


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _figures(step: dict[str, object]) -> None:
    """One line of the trainer's talk, for people."""
    _say("  ".join(f"{key} {value}" for key, value in step.items()))


_share = number(float, lambda v: 0 <= v <= 1, "a share from 0 to 1")
_count = number(int, lambda v: v >= 1, "a whole number of 1 or more")
_whole = number(int, lambda v: v >= 0, "a whole number of 0 or more")
_above = number(float, lambda v: 0 < v < 1e6, "a number above 0")
_side = number(int, lambda v: v >= 32 and v % 32 == 0, "a multiple of 32 px")


def _sides(text: str) -> tuple[int, int]:
    height, _comma, width = text.partition(",")
    return _side(height), _side(width or height)


def _range(text: str) -> tuple[float, float]:
    low, _comma, high = text.partition(",")
    try:
        pair = (float(low), float(high))
    except ValueError:
        pair = (0.0, 0.0)
    if not 0.2 <= pair[0] <= pair[1] <= 3:
        raise argparse.ArgumentTypeError(f"expected LOW,HIGH from 0.2 to 3, got {text}")
    return pair


def _groups(text: str) -> list[str]:
    return [group for group in text.split(",") if group]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="quanjian-models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    dataset_command.add(commands)
    proof_command.add(commands)
    _add_synth(commands)
    _add_train(commands)
    _add_export(commands)
    _add_import(commands)
    _add_convert(commands)
    _add_recipe(commands)
    _add_quantize(commands)
    _add_anomaly(commands)
    return parser


_Commands = argparse._SubParsersAction  # argparse has no public name for it


def _add_synth(commands: _Commands[argparse.ArgumentParser]) -> None:
    made = commands.add_parser(
        "synth",
        help="draw simulated plates with labels",
        epilog="example: quanjian-models synth --out plates --count 3200 --seed 100000",
    )
    made.add_argument("--out", type=Path, required=True, help="folder to fill")
    made.add_argument("--count", type=_count, required=True, help="number of pictures")
    made.add_argument("--seed", type=_whole, default=100_000, help="seed of the first picture")
    made.add_argument("--defect-rate", type=_share, default=0.65, help="share of defective plates")
    made.add_argument(
        "--sizes",
        type=_range,
        default=TRAINING_SIZES,
        help="LOW,HIGH: defect sizes as multiples of the stated minimum; below 1 nobody must see",
    )


def _add_train(commands: _Commands[argparse.ArgumentParser]) -> None:
    made = commands.add_parser(
        "train",
        help="train a detector in the trainer's own environment",
        epilog="example: quanjian-models train --data plates/data.yaml --out run --minutes 60",
    )
    made.add_argument("--data", type=Path, required=True, help="data.yaml of a data set")
    made.add_argument("--out", type=Path, required=True, help="folder for weights, log, run.json")
    made.add_argument("--base", type=Path, help="weights to start from; without: from scratch")
    made.add_argument("--architecture", default="yolo11n", help="network, when from scratch")
    made.add_argument("--transfer", type=Path, help="weights whose fitting layers it starts from")
    made.add_argument("--imgsz", type=_side, default=320, help="side of the network's input, px")
    made.add_argument("--batch", type=_count, default=8, help="pictures per step")
    length = made.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=_count, default=40, help="passes over the data")
    length.add_argument("--minutes", "--time", type=_above, help="wall time instead of epochs")
    made.add_argument("--lr", type=_above, default=0.0015, help="highest learning rate")
    made.add_argument("--seed", type=_whole, default=1, help="seed of weights and order")
    made.add_argument("--device", default="cpu", help="cpu, or the number of a GPU")
    made.add_argument("--workers", type=_whole, default=0, help="processes that load pictures")
    _add_python(made)


def _add_export(commands: _Commands[argparse.ArgumentParser]) -> None:
    made = commands.add_parser(
        "export",
        help="write weights as ONNX for the edge",
        epilog="example: quanjian-models export --weights run/best.pt --out base.onnx",
    )
    made.add_argument("--weights", type=Path, required=True, help=".pt of the trainer")
    made.add_argument("--out", type=Path, required=True, help=".onnx to write")
    made.add_argument(
        "--imgsz", type=_sides, default=(320, 320), help="network's input, px: SIDE or HEIGHT,WIDTH"
    )
    made.add_argument(
        "--head",
        choices=HEADS,
        default="raw",
        help="raw: the node does the NMS; end_to_end: a head that needs none; nms: it is built in",
    )
    made.add_argument("--card", type=Path, help="JSON card whose classes and limits go along")
    folded = made.add_mutually_exclusive_group()
    folded.add_argument(
        "--fold",
        dest="fold",
        action="store_const",
        const="bgr",
        default="no",
        help="take the camera's bytes: preprocessing goes into the first convolution",
    )
    folded.add_argument(
        "--gray",
        dest="fold",
        action="store_const",
        const="gray",
        help="the same with one channel, for cameras without colour",
    )
    made.add_argument(
        "--pictures",
        type=Path,
        help="folded: folder of pictures to compare on (default: simulated plates)",
    )
    _add_python(made)


def _add_import(commands: _Commands[argparse.ArgumentParser]) -> None:
    made = commands.add_parser(
        "import",
        help="make an ONNX export ready for the line, and prove that it is the same",
        epilog="example: quanjian-models import yolo.onnx --out model.onnx --gray",
    )
    made.add_argument("model", type=Path, help="ONNX export of ultralytics, FP32 or FP16")
    made.add_argument("--out", type=Path, required=True, help=".onnx to write")
    made.add_argument("--gray", action="store_true", help="one channel in: no colour camera")
    made.add_argument(
        "--pictures", type=Path, help="folder of pictures to compare on (default: simulated plates)"
    )


def _add_convert(commands: _Commands[argparse.ArgumentParser]) -> None:
    made = commands.add_parser(
        "convert",
        help="make a labelled data set of a public one",
        epilog="example: quanjian-models convert deeppcb --source deeppcb --out boards "
        "--holdout-groups 44000,50600",
    )
    made.add_argument("kind", choices=("deeppcb",), help="the data set's layout")
    made.add_argument("--source", type=Path, required=True, help="folder with its files")
    made.add_argument("--out", type=Path, required=True, help="folder to fill")
    made.add_argument(
        "--holdout-groups", type=_groups, required=True, help="board groups kept for testing"
    )
    made.add_argument(
        "--val-groups", type=_groups, default=[], help="board groups for validation while training"
    )
    made.add_argument(
        "--templates", type=_share, default=1.0, help="share of the templates to train on"
    )


def _add_recipe(commands: _Commands[argparse.ArgumentParser]) -> None:
    made = commands.add_parser(
        "recipe",
        help="write the demo recipe and its golden pictures",
        epilog="example: quanjian-models recipe --card models/base/card.json --out models/base",
    )
    made.add_argument("--card", type=Path, required=True, help="JSON card with the thresholds")
    made.add_argument("--out", type=Path, required=True, help="folder to fill")


def _add_anomaly(commands: _Commands[argparse.ArgumentParser]) -> None:
    made = commands.add_parser(
        "anomaly",
        help="learn what good parts look like, from good parts only",
        epilog="example: quanjian-models anomaly --good good --model models/base/base.onnx "
        "--out plate-b.onnx",
    )
    made.add_argument("--good", type=Path, required=True, help="folder with pictures of good parts")
    made.add_argument("--model", type=Path, required=True, help=".onnx whose backbone describes")
    made.add_argument("--out", type=Path, required=True, help=".onnx to write")
    made.add_argument("--label", default="anomaly", help="class that the recipe limits")
    made.add_argument(
        "--max-shift-px",
        type=_above,
        help="how far a part may lie from its place (default: an eighth of the longer side)",
    )


def _add_quantize(commands: _Commands[argparse.ArgumentParser]) -> None:
    made = commands.add_parser(
        "quantize",
        help="write the 8-bit form of a model, if its decisions stay the same",
        epilog="example: quanjian-models quantize base.onnx --pictures plates --out base-int8.onnx",
    )
    made.add_argument("model", type=Path, help="FP32 .onnx of an ultralytics detector")
    made.add_argument("--pictures", type=Path, required=True, help="folder with pictures")
    made.add_argument("--out", type=Path, required=True, help=".onnx to write")
    made.add_argument(
        "--count", type=_count, default=100, help="pictures to calibrate with (default: 100)"
    )
    made.add_argument(
        "--engine",
        choices=("openvino", "tensorrt"),
        default="openvino",
        help="what will run it (default: openvino)",
    )
    made.add_argument(
        "--few",
        action="store_true",
        help=f"try the command with fewer than {LEAST_PICTURES} pictures for each",
    )


def _add_python(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--trainer-python",
        type=python_at,
        default=DEFAULT_PYTHON,
        help="interpreter of the trainer's environment (default: .venv-train)",
    )


_FOLDERS = ("source", "pictures", "good")
_FILLS_A_FOLDER = ("synth", "train", "convert", "recipe")  # others' --out is a file
_PROOFS = ("evaluate", "gate")


def _absent(args: argparse.Namespace) -> str | None:
    """What the command line names and is not there; None: it is, or its reader says so."""
    try:
        return _looked_for(args)
    except OSError as exc:  # no permission to look
        return str(exc)


def _looked_for(args: argparse.Namespace) -> str | None:
    if args.command == "dataset":
        return dataset_command.absent(args)
    if args.command in _PROOFS:
        return proof_command.absent(args)
    for key in _FOLDERS:
        folder = getattr(args, key, None)
        if folder is not None and not folder.is_dir():
            return f"--{key} {folder}: no such folder"
    if args.command == "train" and not args.data.is_file():
        return f"--data {args.data}: no such file"
    return None


def _train(args: argparse.Namespace) -> _Answer:
    job = Training(
        data=args.data,
        out=args.out,
        base=args.base,
        architecture=args.architecture,
        transfer=args.transfer,
        imgsz=args.imgsz,
        batch=args.batch,
        epochs=args.epochs,
        minutes=args.minutes,
        seed=args.seed,
        device=args.device,
        lr=args.lr,
        workers=args.workers,
    )
    return train(job, args.trainer_python, _figures)


def _anomaly(args: argparse.Namespace) -> _Answer:
    making = anomaly.Making(args.good, args.model, args.out, args.label, args.max_shift_px)
    return anomaly.make(making, _say)


def _run(args: argparse.Namespace) -> _Answer:
    if args.command == "dataset":
        return dataset_command.run(args, _say)
    if args.command in _PROOFS:
        return proof_command.run(args, _say)
    if args.command == "synth":
        order = Order(args.count, args.seed, args.defect_rate, sizes=args.sizes)
        return synthesise(args.out, order, _say)
    if args.command == "train":
        return _train(args)
    if args.command == "export":
        return export(
            args.weights,
            args.out,
            args.imgsz,
            args.card,
            args.trainer_python,
            _figures,
            args.head,
            args.fold,
            args.pictures,
        )
    if args.command == "import":
        return take_in(args.model, args.out, args.gray, args.pictures)
    if args.command == "quantize":
        given = (args.model, args.pictures, args.out, args.count, args.engine)
        return quantize(*given, _say, args.few)
    if args.command == "recipe":
        return write_recipe(args.card, args.out)
    if args.command == "anomaly":
        return _anomaly(args)
    return convert(args.source, args.out, args.holdout_groups, args.val_groups, args.templates)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is the return value, or SystemExit(2) for wrong usage."""
    parser = _parser()
    args = parser.parse_args(argv)
    if getattr(args, "model", "") == getattr(args, "out", None):
        parser.error(f"--out: {args.out} is the model itself, which would be gone")
    if args.command == "export" and args.pictures is not None and args.fold == "no":
        parser.error("--pictures: means nothing without --fold or --gray")
    absent = _absent(args)
    if absent is not None:
        parser.error(absent)
    if args.command in _FILLS_A_FOLDER:
        try:
            args.out.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            _say(f"--out {args.out}: cannot be made: {exc}; name a folder this user may write")
            return 1
    try:
        answer = _run(args)
    except (OSError, KeyboardInterrupt) as exc:
        _say(f"quanjian-models {args.command}: {str(exc) or 'interrupted'}")
        return 1 if isinstance(exc, OSError) else 130
    except EdgeError as exc:
        _say(f"quanjian-models {args.command}: {exc}")
        if exc.hint:
            _say(exc.hint)
        return 1
    sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
    return 0 if answer.get("passed", True) else 1


if __name__ == "__main__":
    sys.exit(main())
