"""COCO: one JSON file for all pictures. The form in which a set of ours is kept.

    {"images": [{"id", "file_name", "width", "height", ...}], "categories": [{"id", "name"}],
     "annotations": [{"image_id", "category_id", "bbox": [x, y, w, h], ...}]}

Ours say `part`, `lot` and `split` of each picture too; other readers pass over these. An outline
(`segmentation`) is read as its `bbox`; a crowd (`iscrowd` 1) marks no single defect and is refused.
Source: https://cocodataset.org/#format-data.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from edge.errors import ImageError
from models.dataset import SPLITS, DataSet, DataSetError, Mark, Picture, Split
from models.layouts import files

MAX_BYTES = 1024 * 1024 * 1024
_Number = Annotated[float, Meta(ge=-1e9, le=1e9)]


class _Image(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: int
    file_name: Annotated[str, Meta(min_length=1, max_length=1000)]
    width: Annotated[int, Meta(ge=1, le=10**6)]
    height: Annotated[int, Meta(ge=1, le=10**6)]
    part: str | None = None
    lot: str = ""
    split: Split | None = None


class _Category(Struct, frozen=True):
    id: int
    name: str


class _Annotation(Struct, frozen=True, kw_only=True):
    id: int = 0
    image_id: int
    category_id: int
    bbox: tuple[_Number, _Number, _Number, _Number]
    area: float = 0.0
    iscrowd: int = 0


class _Coco(Struct, frozen=True):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


_decoder = msgspec.json.Decoder(_Coco)


def read(source: Path) -> DataSet:
    """A JSON file, or every one in a folder; the pictures lie beside it or under images/.

    Raises:
        DataSetError: no file, or one that is not as COCO says.
    """
    found = sorted(source.rglob("*.json")) if source.is_dir() else [source]
    found = [file for file in found if file.name != "manifest.json"]
    if not found:
        raise DataSetError(source, ["no JSON file in it"])
    labels: dict[str, None] = {}
    pictures: list[Picture] = []
    for file in found:
        data = decode(_content(file), file, _roots(source, file))
        labels |= dict.fromkeys(data.labels)
        pictures += data.pictures
    wrong = [told for picture in pictures for told in _unlike(picture)]
    if source.is_dir():
        said = {picture.path for picture in pictures}
        wrong += [
            f"{path.name}: no JSON file speaks of it; nobody looked at it"
            for folder in sorted({path.parent for path in said if path.parent.is_dir()})
            for path in files.pictures_in(folder)
            if path not in said
        ]
    if wrong:
        raise DataSetError(source, wrong)
    return DataSet(tuple(labels), tuple(pictures))


def decode(content: bytes, where: Path, roots: list[Path]) -> DataSet:
    """The set that a COCO file describes.

    Args:
        where: for messages; a name like instances_val.json says the split.
        roots: folders in which a picture may lie, the first that has it counts.

    Raises:
        DataSetError: it is not as COCO says.
    """
    try:
        found = _decoder.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise DataSetError(where, [f"not as COCO says: {exc}"]) from exc
    names = {category.id: category.name for category in found.categories}
    images = {image.id: image for image in found.images}
    wrong = []
    if len(names) < len(found.categories) or len(set(names.values())) < len(names):
        wrong.append("two categories with one id or one name")
    if len(images) < len(found.images):
        wrong.append("two images with one id")
    marks: dict[int, list[Mark]] = defaultdict(list)
    for entry in found.annotations:
        told = f"annotation {entry.id} of image {entry.image_id}"
        if entry.image_id not in images or entry.category_id not in names:
            wrong.append(f"{told}: no such image, or no category {entry.category_id}")
        elif entry.iscrowd:
            wrong.append(f"{told}: a crowd (iscrowd 1) marks no single defect; draw boxes")
        else:
            x, y, width, height = entry.bbox
            box = (x, y, x + width, y + height)
            marks[entry.image_id].append(Mark(names[entry.category_id], box))
    if wrong:
        raise DataSetError(where, wrong)
    said = _split_of(where)
    pictures = [
        Picture(
            _found(image.file_name, roots),
            image.width,
            image.height,
            tuple(marks[image.id]),
            image.part if image.part is not None else str(Path(image.file_name).with_suffix("")),
            image.lot,
            image.split or said,
        )
        for image in found.images
    ]
    return DataSet(tuple(names[key] for key in sorted(names)), tuple(pictures))


def encode(data: DataSet, names: list[str]) -> bytes:
    """The COCO file of a set.

    Args:
        names: `file_name` of each picture.
    """
    numbers = {label: number for number, label in enumerate(data.labels, 1)}
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, (picture, name) in enumerate(zip(data.pictures, names, strict=True), 1):
        images.append(
            {
                **{"id": number, "file_name": name},
                **{"width": picture.width, "height": picture.height},
                **{"part": picture.part, "lot": picture.lot, "split": picture.split},
            }
        )
        for mark in picture.marks:
            x1, y1, x2, y2 = mark.box
            annotations.append(
                {
                    **{"id": len(annotations) + 1, "image_id": number},
                    "category_id": numbers[mark.label],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    **{"area": (x2 - x1) * (y2 - y1), "iscrowd": 0},
                }
            )
    categories = [{"id": number, "name": label} for label, number in numbers.items()]
    told = {"images": images, "annotations": annotations, "categories": categories}
    return msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n"


def write(data: DataSet, out: Path) -> None:
    """annotations/instances_SPLIT.json for each split, pictures under images/."""
    folder = out / "annotations"
    folder.mkdir(parents=True)
    for split in SPLITS:
        part = DataSet(data.labels, data.of(split))
        names = [files.copy(picture, out / "images") for picture in part.pictures]
        if part.pictures:
            (folder / f"instances_{split}.json").write_bytes(encode(part, names))


def _unlike(picture: Picture) -> list[str]:
    """What a picture has against what is said of it."""
    if not picture.path.is_file():
        return [f"{picture.path.name}: no such picture, in {picture.path.parent} or beside it"]
    if picture.path.suffix.lower() not in files.ENDINGS:
        return [f"{picture.path.name}: expected one of {', '.join(files.ENDINGS)}"]
    try:
        size = files.size_of(picture.path)
    except ImageError as exc:
        return [str(exc)]
    if size != (picture.width, picture.height):
        told = f"{picture.width} x {picture.height} px by the JSON file"
        return [f"{picture.path.name}: {size[0]} x {size[1]} px, {told}"]
    return []


def _content(file: Path) -> bytes:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise DataSetError(file, [f"larger than {MAX_BYTES} bytes"])
        return file.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as exc:
        raise DataSetError(file, [f"cannot be read: {exc}"]) from exc


def _roots(source: Path, file: Path) -> list[Path]:
    if source.is_dir():  # nothing outside of it
        return [source / "images", source, file.parent / "images", file.parent]
    return [file.parent / "images", file.parent, file.parent.parent / "images"]


def _found(name: str, roots: list[Path]) -> Path:
    """Where a picture lies; a name cannot lead out of the set."""
    inside = [part for part in Path(name.replace("\\", "/")).parts if part not in ("..", "/")]
    places = [root.joinpath(*inside) for root in roots]
    return next((place for place in places if place.is_file()), places[0])


def _split_of(where: Path) -> Split | None:
    """By the last word of the name: instances_val2017.json."""
    word = where.stem.rsplit("_", 1)[-1].rstrip("0123456789")
    return next((split for split in SPLITS if word == split), None)
