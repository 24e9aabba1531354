"""DeepPCB as a data set of ours: `quanjian-models convert deeppcb`.

Boards come as NAME_test.jpg with defects in NAME.txt (`x1 y1 x2 y2 type` per line, 640 x 640 px)
and NAME_temp.jpg, the same board without defects, which is a real OK part and becomes a picture
with an empty label file. A board group is the first five digits of the name: pictures of one group
show the same design, so whole groups are held out (part `test`), never single pictures.

Source: Tang et al., "Online PCB Defect Detector on a New PCB Defect Dataset", arXiv 1902.06197
(2019). For research; neither the pictures nor weights trained on them belong in this repository.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from edge.errors import ImageError
from models.labels import Box, write_data_yaml, write_labels

CLASSES = ("open", "short", "mousebite", "spur", "spurious_copper", "pin_hole")
"""Types 1 to 6 of the data set."""

SIDE_PX = 640


def convert(
    source: Path,
    out: Path,
    holdout: Sequence[str],
    validation: Sequence[str],
    templates: float = 1.0,
) -> dict[str, object]:
    """Write a YOLO data set into `out` and return its manifest.

    Args:
        source: folder with the data set's files.
        out: folder to fill: images/ and labels/ with train, val and test, data.yaml, manifest.json.
        holdout: board groups that become `test`.
        validation: board groups that become `val`.
        templates: share of the training boards whose template is used too; of the other parts all.

    Raises:
        ImageError: no boards, an unknown group, or a malformed label line.
    """
    boards = sorted(p.name[: -len("_test.jpg")] for p in source.glob("*_test.jpg"))
    groups = {board[:5] for board in boards}
    if not boards:
        raise ImageError(f"{source}: no NAME_test.jpg in it")
    unknown = sorted({*holdout, *validation} - groups)
    if unknown:
        raise ImageError(f"{source}: no board group {unknown}; it has {sorted(groups)}")
    counts = {
        part: {"boards": 0, "templates": 0, "defects": 0} for part in ("train", "val", "test")
    }
    digest = hashlib.sha256()
    for index, board in enumerate(boards):
        part = "test" if board[:5] in holdout else "val" if board[:5] in validation else "train"
        boxes = read_board(source / f"{board}.txt")
        digest.update(_copy(source / f"{board}_test.jpg", out, part, boxes))
        if part != "train" or int((index + 1) * templates) > int(index * templates):
            digest.update(_copy(source / f"{board}_temp.jpg", out, part, []))
            counts[part]["templates"] += 1
        counts[part]["boards"] += 1
        counts[part]["defects"] += len(boxes)
    parts = {part: f"images/{part}" for part in ("train", "val", "test") if counts[part]["boards"]}
    write_data_yaml(out / "data.yaml", parts, CLASSES)
    manifest: dict[str, object] = {
        "source": "DeepPCB",
        "licence": "research-only",
        "holdout_groups": sorted(holdout),
        "val_groups": sorted(validation),
        "counts": counts,
        "sha256": digest.hexdigest(),
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def read_board(path: Path) -> list[Box]:
    """Defects of one board.

    Raises:
        ImageError: the file is missing or a line is malformed.
    """
    try:
        lines = path.read_text(encoding="ascii").split("\n")
    except OSError as exc:
        raise ImageError(f"{path}: label file cannot be read: {exc}") from exc
    return [_box(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]


def _box(line: str, where: str) -> Box:
    try:
        x1, y1, x2, y2, kind = (int(word) for word in line.split())
    except ValueError as exc:
        raise ImageError(f"{where}: expected 'x1 y1 x2 y2 type', got {line!r}") from exc
    if not (0 <= x1 < x2 <= SIDE_PX and 0 <= y1 < y2 <= SIDE_PX and 1 <= kind <= len(CLASSES)):
        raise ImageError(f"{where}: {line!r} is no box in the picture with a type of 1 to 6")
    return Box(kind - 1, (x1 / SIDE_PX, y1 / SIDE_PX, x2 / SIDE_PX, y2 / SIDE_PX))


def _copy(image: Path, out: Path, part: str, boxes: list[Box]) -> bytes:
    """Put one picture with its labels into the data set; returns what the hash covers."""
    target = out / "images" / part / image.name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(image, target)
    except OSError as exc:
        raise ImageError(f"{image}: picture cannot be copied: {exc}") from exc
    text = write_labels(out / "labels" / part / f"{image.stem}.txt", boxes)
    return target.read_bytes() + text.encode()
