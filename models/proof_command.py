"""quanjian-models evaluate and gate: what a release does, and whether it may go to a line.

Part of models/__main__.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import msgspec

from models import evaluate, gate
from models.dataset import SPLITS, DataSetError
from models.options import number

_share = number(float, lambda v: 0 < v < 1, "a share above 0 and below 1")
_above = number(float, lambda v: 0 < v < 1e3, "a number above 0")

_Commands = argparse._SubParsersAction  # argparse has no public name for it


def add(commands: _Commands[argparse.ArgumentParser]) -> None:
    """Both commands."""
    made = commands.add_parser(
        "evaluate",
        help="judge every part of a sealed set by a recipe and its model, as the node does",
        epilog="example: quanjian-models evaluate --recipe plate.toml --model plate.onnx "
        "--data plates --out new.json",
    )
    made.add_argument("--recipe", type=Path, required=True, help="recipe to judge by")
    made.add_argument("--model", type=Path, help=".onnx of the recipe, where it has one")
    made.add_argument("--data", type=Path, required=True, help="folder of a sealed set")
    made.add_argument("--split", choices=SPLITS, default="test", help="which of its parts")
    made.add_argument("--mm-per-px", type=_above, help="scale, which limits in mm need")
    made.add_argument("--camera", help="whose view the pictures are, which recipes that name need")
    made.add_argument("--out", type=Path, required=True, help="evaluation to write, .json")
    _add_gate(commands)


def _add_gate(commands: _Commands[argparse.ArgumentParser]) -> None:
    rules = gate.Rules()
    made = commands.add_parser(
        "gate",
        help="prove that a change may go to a line; exit 1 = it may not",
        epilog="example: quanjian-models gate --candidate new.json --current old.json "
        "--escape 0.01 --out gate.json",
    )
    made.add_argument("--candidate", type=Path, required=True, help="evaluation of the change")
    made.add_argument("--current", type=Path, help="of what runs now; without: a first release")
    made.add_argument(
        "--escape", type=_share, default=rules.escape, help="share of defective parts that may pass"
    )
    made.add_argument(
        "--recall-margin",
        type=_share,
        default=rules.recall_margin,
        help="share of the defective parts by which it may pass more than the running release",
    )
    made.add_argument(
        "--overkill-margin",
        type=_share,
        default=rules.overkill_margin,
        help="share of the good parts by which it may reject more",
    )
    made.add_argument(
        "--borne",
        action="append",
        default=[],
        metavar="CLASS",
        help="class of which a few may be lost, within the recall margin; as often as needed",
    )
    made.add_argument("--out", type=Path, required=True, help="report to write, .json")


def absent(args: argparse.Namespace) -> str | None:
    """What the command line names and is not there."""
    if args.command == "evaluate":
        folders, files = {"data": args.data}, {"recipe": args.recipe, "model": args.model}
    else:
        folders, files = {}, {"candidate": args.candidate, "current": args.current}
    for key, path in folders.items():
        if not path.is_dir():
            return f"--{key} {path}: no such folder"
    for key, path in files.items():
        if path is not None and not path.is_file():
            return f"--{key} {path}: no such file"
    given = [path.resolve() for path in (*folders.values(), *files.values()) if path is not None]
    out = args.out.resolve()
    if any(out == path or path in out.parents for path in given):
        return f"--out {args.out}: is one of the inputs, or lies in one; name another file"
    if args.out.is_dir() or not out.parent.is_dir():
        return f"--out {args.out}: expected a file in a folder that is there"
    return None


def run(args: argparse.Namespace, say: Callable[[str], None]) -> dict[str, object]:
    """Do it; what is printed.

    Raises:
        EdgeError: it cannot be done.
    """
    if args.command == "evaluate":
        found = evaluate.evaluate(
            args.recipe, args.model, args.data, args.split, say, args.mm_per_px, args.camera
        )
        evaluate.write(found, args.out)
        return evaluate.figures(found)
    rules = gate.Rules(
        recall_margin=args.recall_margin,
        overkill_margin=args.overkill_margin,
        escape=args.escape,
        borne=tuple(args.borne),
    )
    current = None if args.current is None else evaluate.read(args.current)
    report = gate.gate(evaluate.read(args.candidate), current, rules)
    try:
        args.out.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    except OSError as exc:
        raise DataSetError(args.out, [f"cannot be written: {exc.strerror}"]) from exc
    for check in report.checks:
        say(f"{'通过' if check.ok else '不通过'}  {check.said}")
    return {
        "passed": report.passed,
        "refused_by": [check.name for check in report.checks if not check.ok],
        "candidate": report.candidate,
        "current": report.current,
    }
