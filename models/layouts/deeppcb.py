"""DeepPCB's layout: pairs of a board and the same board without defects.

    NAME_test.jpg   a board         NAME.txt    `x1 y1 x2 y2 type` per line, whole px, types from 1
    NAME_temp.jpg   its template: a part of its own, with nothing wrong

Five digits at the front of a name are the board's design, which is the lot here. Types have no
names in the files: `classes.txt`, a name a line, is ours, and without it they are those of the data
set. Boxes are rounded to whole pixels on the way out; a thin one keeps one pixel.
Source: Tang et al., arXiv 1902.06197 (2019).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from edge.errors import ImageError
from models.dataset import Corners, DataSet, DataSetError, Mark, Picture
from models.deeppcb import CLASSES
from models.layouts import files

NAMES = "classes.txt"
_GROUP = re.compile(r"\d{5}")


def read(source: Path) -> DataSet:
    """A folder, with its folders.

    Raises:
        DataSetError: no boards, or a malformed line.
        ImageError: a picture cannot be read.
    """
    boards = sorted(
        path
        for path in source.rglob("*_test.*")
        if path.suffix.lower() in files.ENDINGS and path.is_file()
    )
    if not boards:
        raise DataSetError(source, ["no NAME_test.jpg in it"])
    labels = _labels(source / NAMES)
    pictures: list[Picture] = []
    wrong: list[str] = []
    for board in boards:
        name = board.stem.removesuffix("_test")
        try:
            pictures.append(_board(board, name, labels))
            template = board.with_name(f"{name}_temp{board.suffix}")
            if template.is_file():
                width, height = files.size_of(template)
                good = Picture(template, width, height, (), f"{name}_temp", _lot(name))
                pictures.append(good)
        except (ImageError, DataSetError) as exc:
            wrong.append(str(exc))
    if wrong:
        raise DataSetError(source, wrong)
    return DataSet(tuple(labels), tuple(pictures))


def write(data: DataSet, out: Path) -> None:
    """Fill a folder: every picture a NAME_test, good ones with an empty text."""
    out.mkdir(parents=True, exist_ok=True)
    (out / NAMES).write_text("".join(f"{label}\n" for label in data.labels), encoding="utf-8")
    numbers = {label: number for number, label in enumerate(data.labels, 1)}
    for picture in data.pictures:
        name = picture.path.stem.removesuffix("_test")
        target = out / f"{name}_test{picture.path.suffix.lower()}"
        if target.exists():
            raise ImageError(f"{picture.path}: the set has another picture of that name")
        try:
            shutil.copyfile(picture.path, target)
        except OSError as exc:
            raise ImageError(f"{picture.path}: cannot be copied: {exc}") from exc
        lines = [
            " ".join(map(str, (*_whole(mark.box), numbers[mark.label]))) + "\n"
            for mark in picture.marks
        ]
        (out / f"{name}.txt").write_text("".join(lines), encoding="ascii")


def _whole(box: Corners) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (round(value) for value in box)
    return x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)


def _board(path: Path, name: str, labels: Sequence[str]) -> Picture:
    width, height = files.size_of(path)
    text = _text(path, name)
    marks = tuple(
        _mark(line, f"{name}.txt:{number}", labels)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    )
    return Picture(path, width, height, marks, name, _lot(name))


def _labels(file: Path) -> tuple[str, ...]:
    if not file.is_file():
        return CLASSES
    try:
        return tuple(file.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as exc:
        raise DataSetError(file, [f"cannot be read: {exc}"]) from exc


def _lot(name: str) -> str:
    found = _GROUP.match(name)
    return found[0] if found else ""


def _text(path: Path, name: str) -> str:
    """Beside the picture, or in GROUP_not, where the data set itself has it."""
    places = [path.with_name(f"{name}.txt"), *path.parent.parent.glob(f"*_not/{name}.txt")]
    for place in places:
        if place.is_file():
            try:
                return place.read_text(encoding="ascii")
            except (OSError, UnicodeDecodeError) as exc:
                raise DataSetError(place, [f"cannot be read: {exc}"]) from exc
    raise DataSetError(path, [f"no {name}.txt; nobody looked at it"])


def _mark(line: str, where: str, labels: Sequence[str]) -> Mark:
    try:
        x1, y1, x2, y2, kind = (int(word) for word in line.split())
    except ValueError as exc:
        raise DataSetError(where, [f"expected 'x1 y1 x2 y2 type', got {line[:80]!r}"]) from exc
    if not 1 <= kind <= len(labels):
        raise DataSetError(where, [f"type {kind}: expected 1 to {len(labels)}"])
    return Mark(labels[kind - 1], (float(x1), float(y1), float(x2), float(y2)))
