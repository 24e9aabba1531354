"""Labelled pictures of parts as one set: what every layout is read into and written from. No files.

A picture without marks was looked at and shows nothing wrong. That is the negative evidence which
keeps a detector from rejecting good parts, so it must survive every way in and out.

A set is split by lot, or where no lot is known by part: two pictures of one part, or two parts of
one lot, are so alike that one of them in training makes the other worthless as a test.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from edge.errors import EdgeError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Corners = tuple[float, float, float, float]

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""Codes, not names: trainers put them on pictures with fonts that know ASCII only."""
TOLD = 20  # problems of a set that are told; the rest is counted


class DataSetError(EdgeError):
    """A data set cannot be used: not as its layout says, or changed since it was sealed."""

    hint = "Correct the named files; `quanjian-models dataset --help` says what is expected."

    def __init__(self, where: object, problems: Sequence[str], hint: str | None = None) -> None:
        told = [f"  {problem}" for problem in problems[:TOLD]]
        more = len(problems) - len(told)
        told += [f"  and {more} more"] if more else []
        super().__init__("\n".join([f"{where}: {len(problems)} problem(s)", *told]))
        self.hint = hint or self.hint


@dataclass(frozen=True, slots=True)
class Mark:
    """A defect: its class and its box (x1, y1, x2, y2), px from the picture's upper left corner."""

    label: str
    box: Corners


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture and what is known of it; no marks = nothing wrong with what it shows."""

    path: Path
    width: int  # px
    height: int
    marks: tuple[Mark, ...]
    part: str  # the workpiece; several pictures may show one
    lot: str = ""  # the batch it came with; "" = not known
    split: Split | None = None

    @property
    def group(self) -> str:
        """What must not be divided between two splits."""
        return f"lot {self.lot}" if self.lot else f"part {self.part}"


@dataclass(frozen=True, slots=True)
class DataSet:
    """Pictures with one list of classes, in the order in which trainers number them."""

    labels: tuple[str, ...]
    pictures: tuple[Picture, ...]

    def of(self, split: Split) -> tuple[Picture, ...]:
        """The pictures of one split."""
        return tuple(picture for picture in self.pictures if picture.split == split)


def renamed(data: DataSet, names: Mapping[str, str]) -> DataSet:
    """The same set with other words for some classes; two that become one are one.

    Raises:
        DataSetError: the set has no such class.
    """
    unknown = sorted(names.keys() - set(data.labels))
    if unknown:
        there = ", ".join(data.labels)
        raise DataSetError("--rename", [f"no class {one!r}; there are {there}" for one in unknown])
    labels = tuple(dict.fromkeys(names.get(label, label) for label in data.labels))
    pictures = tuple(
        replace(picture, marks=tuple(_renamed(mark, names) for mark in picture.marks))
        for picture in data.pictures
    )
    return DataSet(labels, pictures)


def _renamed(mark: Mark, names: Mapping[str, str]) -> Mark:
    return replace(mark, label=names.get(mark.label, mark.label))


def parted(data: DataSet, pattern: re.Pattern[str]) -> DataSet:
    """Parts and lots by the names of the files. Where these tell the lot, parts are numbered within
    it, as in plants that begin anew with each.

    Args:
        pattern: with the groups `part` and, if it tells them, `lot`; searched in the file's name
            without its ending.

    Raises:
        DataSetError: it does not fit some names.
    """
    found, wrong = [], []
    for picture in data.pictures:
        said = pattern.search(picture.path.stem)
        if said is None or not said["part"]:
            wrong.append(f"{picture.path.name}: no part in its name by {pattern.pattern}")
            continue
        lot = (said["lot"] or "") if "lot" in pattern.groupindex else ""
        part = f"{lot}-{said['part']}" if lot else said["part"]
        found.append(replace(picture, part=part, lot=lot or picture.lot))
    if wrong:
        raise DataSetError("--part-from", wrong, "Correct the pattern, or rename the files.")
    return replace(data, pictures=tuple(found))


def unsplit(data: DataSet) -> DataSet:
    """The same set with no split told."""
    pictures = tuple(replace(picture, split=None) for picture in data.pictures)
    return replace(data, pictures=pictures)


def split(data: DataSet, shares: Mapping[Split, float], seed: int) -> DataSet:
    """Give every picture without a split one, by its group; the same group always the same one.

    Args:
        shares: of val and test, 0..1 together; the rest is for training.
        seed: another one divides the groups anew.
    """
    pictures = tuple(
        picture if picture.split else replace(picture, split=_drawn(picture.group, shares, seed))
        for picture in data.pictures
    )
    return replace(data, pictures=pictures)


def _drawn(group: str, shares: Mapping[Split, float], seed: int) -> Split:
    digest = hashlib.sha256(f"{seed} {group}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    for name in ("test", "val"):
        place -= shares.get(name, 0.0)
        if place < 0:
            return name
    return "train"


def problems(data: DataSet) -> list[str]:
    """Why a set cannot be used, a sentence each; [] = it can."""
    found = [] if data.pictures else ["it has no pictures"]
    found += [
        f"class {label!r}: expected letters, digits, _ . - of ASCII; give it a code with "
        f"--rename {label}=CODE"
        for label in data.labels
        if LABEL.fullmatch(label) is None
    ]
    known = set(data.labels)
    for picture in data.pictures:
        found += _wrong_marks(picture, known)
    found += _torn(data)
    return found


def _wrong_marks(picture: Picture, known: set[str]) -> Iterator[str]:
    for mark in picture.marks:
        x1, y1, x2, y2 = mark.box
        if mark.label not in known:
            yield f"{picture.path.name}: class {mark.label!r} is none of the set's"
        inside = -0.5 <= x1 < x2 <= picture.width + 0.5 and -0.5 <= y1 < y2 <= picture.height + 0.5
        if not inside:
            yield (
                f"{picture.path.name}: box {x1:g} {y1:g} {x2:g} {y2:g} is not inside its "
                f"{picture.width} x {picture.height} px, or has no area"
            )


def _torn(data: DataSet) -> Iterator[str]:
    """Lots and parts that stand in more than one split, or in more than one lot."""
    seen: dict[str, set[str]] = defaultdict(set)
    lots: dict[str, set[str]] = defaultdict(set)
    for picture in data.pictures:
        lots[picture.part].add(picture.lot)
        for group in {picture.group, f"part {picture.part}"}:
            seen[group].add(picture.split or "")
    for part, among in sorted(lots.items()):
        if len(among) > 1:
            yield f"part {part}: in lots {', '.join(sorted(map(repr, among)))}; a part has one"
    for group, among in sorted(seen.items()):
        if len(among) > 1:
            yield (
                f"{group}: in {' and '.join(sorted(among))}; what is tested must not be of a "
                "lot or part that was learned"
            )
