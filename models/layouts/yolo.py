"""YOLO, as ultralytics reads it: a text file of boxes for each picture, folders for the splits.

    data.yaml                   names of the classes, folders of the splits
    images/{train,val,test}/N   pictures
    labels/{train,val,test}/N.txt   `class cx cy w h`, shares of the picture; empty = nothing wrong

A picture without a text file was never looked at, and is refused: ultralytics would learn that it
is good. Six decimals are kept: a box comes back to a thousandth of a pixel in 1000.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from edge.errors import ImageError
from models.dataset import SPLITS, DataSet, DataSetError, Mark, Picture, Split
from models.labels import Box, read_labels, write_data_yaml, write_labels
from models.layouts import files

_ALSO = {"val": ("val", "valid", "validation")}
MAX_YAML_BYTES = 1_000_000


def read(source: Path) -> DataSet:
    """A data.yaml, or the folder with it.

    Raises:
        DataSetError: no such file, no classes, a picture without labels, a wrong line.
        ImageError: a picture cannot be read.
    """
    file = source / "data.yaml" if source.is_dir() else source
    said = _yaml(file)
    labels = _labels(said.get("names"), file)
    pictures: list[Picture] = []
    wrong: list[str] = []
    for split in SPLITS:
        for folder in _folders(said, split, file):
            found = files.pictures_in(folder, deep=True)
            wrong += [*files.twins(found), *_lonely(folder, found)]
            for path in found:
                try:
                    picture = _picture(path, labels, split)
                    part = str(path.relative_to(folder).with_suffix(""))
                    pictures.append(replace(picture, part=part))
                except (ImageError, DataSetError) as exc:
                    wrong.append(str(exc))
    if wrong:
        raise DataSetError(file, wrong)
    return DataSet(labels, tuple(pictures))


def write(data: DataSet, out: Path) -> None:
    """Fill a folder, data.yaml last."""
    parts: dict[str, str] = {}
    for split in SPLITS:
        for picture in data.of(split):
            name = files.copy(picture, out / "images" / split)
            boxes = [_box(mark, picture, data.labels) for mark in picture.marks]
            write_labels((out / "labels" / split / name).with_suffix(".txt"), boxes)
            parts[split] = f"images/{split}"
    write_data_yaml(out / "data.yaml", parts, data.labels)


def _yaml(file: Path) -> Mapping[str, Any]:
    try:
        if file.stat().st_size > MAX_YAML_BYTES:
            raise DataSetError(file, [f"larger than {MAX_YAML_BYTES} bytes"])
        said = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as exc:
        raise DataSetError(file, [f"cannot be read: {exc}"]) from exc
    if not isinstance(said, dict):
        raise DataSetError(file, ["expected keys such as `names` and `train`"])
    return said


def _labels(names: object, file: Path) -> tuple[str, ...]:
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        told = "names: expected a list of classes, or 0: first, 1: second, ..."
        raise DataSetError(file, [told])
    return tuple(names)


def _folders(said: Mapping[str, Any], split: Split, file: Path) -> list[Path]:
    """Where the pictures of a split lie."""
    given = next((said[key] for key in _ALSO.get(split, (split,)) if said.get(key)), None)
    if given is None:
        return []
    top = file.parent / str(said.get("path") or "")
    found = []
    for entry in given if isinstance(given, list) else [given]:
        places = [top / str(entry), file.parent / str(entry)]
        places.append(file.parent / str(entry).removeprefix("../"))  # as Roboflow writes it
        folder = next((place for place in places if place.is_dir()), None)
        if folder is None:
            told = f"{split}: {entry}: no such folder; lists of pictures are not read"
            raise DataSetError(file, [told])
        found.append(folder)
    return found


def _picture(path: Path, labels: tuple[str, ...], split: Split) -> Picture:
    width, height = files.size_of(path)
    marks = []
    for box in read_labels(_label_file(path)):
        if box.kind >= len(labels):
            raise DataSetError(path.name, [f"class {box.kind}: there are only {len(labels)}"])
        x1, y1, x2, y2 = box.corners
        corners = (x1 * width, y1 * height, x2 * width, y2 * height)
        marks.append(Mark(labels[box.kind], corners))
    return Picture(path, width, height, tuple(marks), path.stem, split=split)


def _lonely(folder: Path, found: list[Path]) -> list[str]:
    """Label files whose picture is not there, or is none that is read."""
    known = {_label_file(path) for path in found}
    labels = _label_file(folder / "any.txt").parent
    if labels == folder or not labels.is_dir():
        return []
    return [
        f"{path.relative_to(labels)}: no picture of that name ending in {', '.join(files.ENDINGS)}"
        for path in sorted(labels.rglob("*.txt"))
        if path not in known
    ]


def _label_file(path: Path) -> Path:
    """The last `images` in the path becomes `labels`, as ultralytics has it."""
    parts = list(path.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _box(mark: Mark, picture: Picture, labels: tuple[str, ...]) -> Box:
    x1, y1, x2, y2 = mark.box
    width, height = picture.width, picture.height
    shares = (x1 / width, y1 / height, x2 / width, y2 / height)
    left, top, right, bottom = (min(1.0, max(0.0, share)) for share in shares)
    return Box(labels.index(mark.label), (left, top, right, bottom))  # half a pixel may stand out
