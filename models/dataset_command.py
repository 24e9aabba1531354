"""quanjian-models dataset: labelled pictures in, out, and proved. Part of models/__main__.py.

import KIND   others' pictures and labels become a sealed set (models/manifest.py)
export KIND   a sealed set as other programs read it
check         every hash of a sealed set

A layout is a file of models/layouts with `read(source) -> DataSet`, whose pictures lie where they
were found, and `write(data, out)`, which fills a folder.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from models import manifest
from models.dataset import DataSet, DataSetError, Split, parted, renamed, split, unsplit
from models.layouts import coco, deeppcb, files, voc, yolo
from models.options import number

_READ: dict[str, Callable[[Path], DataSet]] = {
    "coco": coco.read,
    "yolo": yolo.read,
    "voc": voc.read,
    "deeppcb": deeppcb.read,
}
_WRITE: dict[str, Callable[[DataSet, Path], None]] = {
    "coco": coco.write,
    "yolo": yolo.write,
    "voc": voc.write,
    "deeppcb": deeppcb.write,
}
KINDS = tuple(_READ)

_share = number(float, lambda v: 0 <= v < 1, "a share from 0 to less than 1")

_Commands = argparse._SubParsersAction  # argparse has no public name for it


def add(commands: _Commands[argparse.ArgumentParser]) -> None:
    """The command and its own commands."""
    made = commands.add_parser(
        "dataset",
        help="labelled pictures: take in, hand out, prove",
        epilog="example: quanjian-models dataset check --data plates",
    )
    acts = made.add_subparsers(dest="act", required=True, metavar="ACT")
    _add_import(acts)
    given = acts.add_parser(
        "export",
        help="write a sealed set as other programs read it",
        epilog="example: quanjian-models dataset export yolo --data plates --out plates-yolo",
    )
    given.add_argument("kind", choices=KINDS, help="the layout to write")
    given.add_argument("--data", type=Path, required=True, help="folder of a sealed set")
    given.add_argument("--out", type=Path, required=True, help="folder to fill, not there yet")
    proved = acts.add_parser(
        "check",
        help="prove that a sealed set is as it was",
        epilog="example: quanjian-models dataset check --data plates",
    )
    proved.add_argument("--data", type=Path, required=True, help="folder of a sealed set")


def _add_import(acts: _Commands[argparse.ArgumentParser]) -> None:
    made = acts.add_parser(
        "import",
        help="make a sealed set of pictures that somebody labelled",
        epilog="example: quanjian-models dataset import coco --source labelled.json --out plates-1 "
        "--name 'Plate A, March' --origin 'line 1, camera c1, 2026-03' --licence proprietary "
        "--holder 'Plant 1' --level 1 --part-from '(?P<lot>L\\d+)-(?P<part>\\d+)'",
    )
    made.add_argument("kind", choices=KINDS, help="the layout to read")
    made.add_argument("--source", type=Path, required=True, help="its folder or file")
    made.add_argument("--out", type=Path, required=True, help="folder to fill, not there yet")
    for key, told in (
        ("name", "what people call the set"),
        ("origin", "how the pictures came to be"),
        ("licence", "SPDX name, proprietary or research-only (never on a line)"),
        ("holder", "who has the rights"),
    ):
        made.add_argument(f"--{key}", type=_words, required=True, help=told)
    made.add_argument(
        "--level", type=int, choices=(1, 2, 3), required=True, help="data level, 3 the most harmful"
    )
    made.add_argument(
        "--part-from",
        type=_pattern,
        help="regular expression with the groups part and lot, searched in the file's name",
    )
    made.add_argument(
        "--rename", type=_rename, action="append", default=[], help="OLD=CODE: another class code"
    )
    for key in ("val", "test"):
        made.add_argument(
            f"--{key}", type=_share, default=0.15, help="share of what has no split yet"
        )
    made.add_argument(
        "--split-anew", action="store_true", help="the source's own splits do not count"
    )
    made.add_argument("--seed", type=int, default=1, help="another one splits anew")


def absent(args: argparse.Namespace) -> str | None:
    """What the command line names and is not there."""
    if args.act == "import":
        return None if args.source.exists() else f"--source {args.source}: no such file or folder"
    return None if args.data.is_dir() else f"--data {args.data}: no such folder"


def run(args: argparse.Namespace, say: Callable[[str], None]) -> dict[str, object]:
    """Do it; what is printed.

    Raises:
        DataSetError, ImageError: it cannot be done; nothing was written.
    """
    if args.act == "import":
        return _import(args, say)
    sealed, data = manifest.load(args.data, say)
    if args.act == "export":
        _export(args.kind, data, args.out)
    return _told(sealed)


def _import(args: argparse.Namespace, say: Callable[[str], None]) -> dict[str, object]:
    if args.val + args.test >= 1:
        raise DataSetError("--val, --test", ["expected less than 1 together"])
    data = renamed(_READ[args.kind](args.source), dict(args.rename))
    if args.part_from is not None:
        data = parted(data, args.part_from)
    elif len({picture.group for picture in data.pictures}) == len(data.pictures):
        say(
            "each picture is taken for a part of its own: pictures of one part must not stand in "
            "two splits, --part-from tells which belong together"
        )
    if args.split_anew:
        data = unsplit(data)
    shares: dict[Split, float] = {"val": args.val, "test": args.test}
    data = split(data, shares, args.seed)
    origin = manifest.Origin(
        name=args.name,
        source=args.origin,
        licence=args.licence,
        holder=args.holder,
        level=args.level,
    )
    sealed, doubles = manifest.seal(data, origin, args.out, say)
    for name, n in manifest.counts(sealed).items():
        if n == 0 and name != "good":
            say(
                f"no pictures in split {name}: lots and parts are not divided, and a source that "
                "has splits keeps them without --split-anew"
            )
    if doubles:
        say(f"{doubles} pictures were there twice with the same marks, and are kept once")
    return _told(sealed)


def _export(kind: str, data: DataSet, out: Path) -> None:
    with files.filled(out) as fresh:
        _WRITE[kind](data, fresh)


def _told(sealed: manifest.Manifest) -> dict[str, object]:
    return {
        "name": sealed.origin.name,
        "licence": sealed.origin.licence,
        "level": sealed.origin.level,
        "labels": sealed.labels,
        "pictures": len(sealed.pictures),
        **manifest.counts(sealed),
        "sha256": sealed.sha256,
    }


def _words(text: str) -> str:
    if not 1 <= len(text.strip()) <= 300:
        raise argparse.ArgumentTypeError("expected 1 to 300 characters")
    return text.strip()


def _rename(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise argparse.ArgumentTypeError(f"expected OLD=CODE, got {text}")
    return old, new


def _pattern(text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as exc:
        raise argparse.ArgumentTypeError(f"no regular expression: {exc}") from exc
    if "part" not in pattern.groupindex:
        raise argparse.ArgumentTypeError("expected a group (?P<part>...), and perhaps (?P<lot>...)")
    return pattern
