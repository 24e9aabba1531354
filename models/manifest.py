"""A data set as it is kept: sealed, so that what a model learned can be named for good.

    DIR/images/        the pictures, each named by the hash of its bytes, bytes untouched
    DIR/coco.json      size, part, lot, split and boxes of each
    DIR/manifest.json  whose they are, what may be done with them, the hash of each and of all
    DIR/说明书.md       the same for people (数据集说明书)

A set is never changed: a new one is made. `sha256` of the manifest covers everything a result can
depend on, so two sets with the same one are the same set, wherever they lie.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from models import datasheet
from models.dataset import SPLITS, DataSet, DataSetError, Picture, Split, problems
from models.layouts import coco, files

MAX_BYTES = 256 * 1024 * 1024

Text = Annotated[str, Meta(min_length=1, max_length=300)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Level = Literal[1, 2, 3]
"""工业数据分类分级指南（试行）, 工信厅信发〔2020〕6号: level 3 does the most harm if it leaks."""


class Origin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose pictures these are, and what may be done with them."""

    name: Text
    source: Text  # how they came to be: line, station, camera, period; or the public set's name
    licence: Text  # an SPDX name, "proprietary", or "research-only"
    holder: Text  # who has the rights
    level: Level


class Item(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One picture."""

    file: Text
    sha256: Sha256
    marks: Annotated[int, Meta(ge=0)]
    split: Split


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file manifest.json."""

    format: Literal[1]
    made_at: Text  # UTC
    origin: Origin
    labels: list[Text]
    pictures: list[Item]
    coco_sha256: Sha256
    sha256: Sha256  # of all but `made_at` and itself


def for_research_only(licence: str) -> bool:
    """Whether nothing that is learned or tested under it may go to a production line."""
    words = licence.lower().replace("_", "-").replace(" ", "-").split("-")
    return "research" in words or "nc" in words or "noncommercial" in words


def seal(
    data: DataSet, origin: Origin, out: Path, progress: Callable[[str], None]
) -> tuple[Manifest, int]:
    """Write a set into a folder that is not there yet, whole or not at all.

    Returns:
        Its manifest, and how many pictures were left out as the same file with the same marks.

    Raises:
        DataSetError: it cannot be used, the folder is there, or it cannot be written.
    """
    wrong = problems(data)
    if wrong:
        raise DataSetError("the set", wrong)
    with files.filled(out) as fresh:
        (fresh / "images").mkdir()
        return _fill(data, origin, fresh, progress)


def _fill(
    data: DataSet, origin: Origin, folder: Path, progress: Callable[[str], None]
) -> tuple[Manifest, int]:
    kept: dict[str, Picture] = {}
    wrong: list[str] = []
    doubles = 0
    for done, picture in enumerate(data.pictures, 1):
        content = picture.path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        other = kept.get(digest)
        if other is None:
            name = folder / "images" / f"{digest}{picture.path.suffix.lower()}"
            _write(name, content)
            kept[digest] = picture
        elif _said(other) == _said(picture):
            doubles += 1
        else:
            wrong.append(
                f"{picture.path.name} and {other.path.name} are the same picture with other marks, "
                "part, lot or split"
            )
        if done % 500 == 0 or done == len(data.pictures):
            progress(f"{done} of {len(data.pictures)} pictures")
    if wrong:
        raise DataSetError("the set", wrong)
    ordered = sorted(kept.items())  # whatever order they came in, the same set is the same
    names = [f"{digest}{picture.path.suffix.lower()}" for digest, picture in ordered]
    told = coco.encode(DataSet(data.labels, tuple(picture for _, picture in ordered)), names)
    items = [
        Item(file=name, sha256=digest, marks=len(picture.marks), split=picture.split or "train")
        for name, (digest, picture) in zip(names, ordered, strict=True)
    ]
    bare = Manifest(
        format=1,
        made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        origin=origin,
        labels=list(data.labels),
        pictures=items,
        coco_sha256=hashlib.sha256(told).hexdigest(),
        sha256="0" * 64,
    )
    manifest = msgspec.structs.replace(bare, sha256=digest_of(bare))
    _write(folder / "coco.json", told)
    sheet = _sheet(manifest, DataSet(data.labels, tuple(p for _, p in ordered)))
    _write(folder / datasheet.NAME, sheet)
    _write(folder / "manifest.json", msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    return manifest, doubles


def digest_of(manifest: Manifest) -> str:
    """What `sha256` of a manifest has to be."""
    said = msgspec.structs.replace(manifest, made_at="-", sha256="0" * 64)
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


def load(folder: Path, progress: Callable[[str], None] | None = None) -> tuple[Manifest, DataSet]:
    """A sealed set, every hash of it proved.

    Args:
        progress: told from time to time.

    Raises:
        DataSetError: something is missing, changed or added since it was sealed.
    """
    manifest = read(folder)
    told = _content(folder / "coco.json")
    wrong = []
    if digest_of(manifest) != manifest.sha256:
        wrong.append("manifest.json was changed since it was sealed")
    if hashlib.sha256(told).hexdigest() != manifest.coco_sha256:
        wrong.append("coco.json was changed since it was sealed")
    for done, item in enumerate(manifest.pictures, 1):
        wrong += _changed(folder / "images", item)
        if progress and (done % 500 == 0 or done == len(manifest.pictures)):
            progress(f"{done} of {len(manifest.pictures)} pictures")
    names = {item.file for item in manifest.pictures}
    if (folder / "images").is_dir():
        there = {path.name for path in (folder / "images").iterdir()}
        wrong += [f"images/{name}: not of this set" for name in sorted(there - names)]
    if wrong:
        raise DataSetError(folder, wrong, "Make the set anew from its source.")
    data = coco.decode(told, folder / "coco.json", [folder / "images"])
    if _content(folder / datasheet.NAME) != _sheet(manifest, data):
        raise DataSetError(folder, [f"{datasheet.NAME} was changed since it was sealed"])
    return manifest, data


def read(folder: Path) -> Manifest:
    """The manifest alone, as it says it is.

    Raises:
        DataSetError: none, or it is not of this form.
    """
    try:
        return msgspec.json.decode(_content(folder / "manifest.json"), type=Manifest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise DataSetError(folder / "manifest.json", [f"no manifest of a set: {exc}"]) from exc


def counts(manifest: Manifest) -> dict[str, int]:
    """Pictures of each split, and how many of all show nothing wrong."""
    by_split = Counter(item.split for item in manifest.pictures)
    good = sum(item.marks == 0 for item in manifest.pictures)
    return {**{split: by_split[split] for split in SPLITS}, "good": good}


def _sheet(manifest: Manifest, data: DataSet) -> bytes:
    return datasheet.sheet(manifest, data, for_research_only(manifest.origin.licence)).encode()


def _changed(folder: Path, item: Item) -> list[str]:
    if Path(item.file).name != item.file:
        return [f"images/{item.file}: not a name of a picture"]
    try:
        content = (folder / item.file).read_bytes()
    except OSError as exc:
        return [f"images/{item.file}: {exc.strerror}"]
    if hashlib.sha256(content).hexdigest() != item.sha256:
        return [f"images/{item.file}: was changed since it was sealed"]
    return []


def _said(picture: Picture) -> tuple[object, ...]:
    return picture.marks, picture.part, picture.lot, picture.split


def _write(path: Path, content: bytes) -> None:
    """Onto the disk before the folder gets its name."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataSetError(path, [f"larger than {MAX_BYTES} bytes"])
        return path.read_bytes()
    except OSError as exc:
        raise DataSetError(path, [f"cannot be read: {exc.strerror}"]) from exc
