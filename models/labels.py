"""YOLO label files: one line per box, `class cx cy w h` as shares of the picture, six decimals.

An empty file says "looked at, nothing wrong": the negative evidence, which must survive every round
trip. A missing file says nothing at all and is an error here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ImageError


@dataclass(frozen=True, slots=True)
class Box:
    """One labelled box: class number and (x1, y1, x2, y2) as shares of the picture, 0..1."""

    kind: int
    corners: tuple[float, float, float, float]


def format_labels(boxes: Sequence[Box]) -> str:
    """Text of a label file; "" for a good part."""
    lines = []
    for box in boxes:
        x1, y1, x2, y2 = box.corners
        figures = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
        lines.append(" ".join([str(box.kind), *(f"{v:.6f}" for v in figures)]) + "\n")
    return "".join(lines)


def parse_labels(text: str, source: str) -> list[Box]:
    """Boxes of a label file's text; [] for a good part.

    Raises:
        ImageError: a line is not five numbers, a class is negative or a box leaves the picture.
    """
    boxes = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        try:
            kind = int(words[0])
            cx, cy, w, h = (float(word) for word in words[1:])
        except (ValueError, IndexError) as exc:
            raise ImageError(
                f"{source}:{number}: expected 'class cx cy w h', got {line!r}"
            ) from exc
        inside = all(
            -1e-4 <= v <= 1 + 1e-4 for v in (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        )
        if kind < 0 or w <= 0 or h <= 0 or not inside:
            raise ImageError(f"{source}:{number}: box {line!r} is not inside the picture")
        boxes.append(Box(kind, (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)))
    return boxes


def write_labels(path: Path, boxes: Sequence[Box]) -> str:
    """Write a label file, empty for a good part, and return its text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = format_labels(boxes)
    path.write_text(text, encoding="ascii")
    return text


def read_labels(path: Path) -> list[Box]:
    """Read a label file.

    Raises:
        ImageError: the file is missing, unreadable or malformed.
    """
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as exc:
        raise ImageError(f"{path}: label file cannot be read: {exc}") from exc
    return parse_labels(text, str(path))


def write_data_yaml(path: Path, parts: Mapping[str, str], names: Sequence[str]) -> None:
    """Write the file that tells a trainer where pictures are and what the classes are called."""
    lines = [f"{part}: {folder}" for part, folder in parts.items()]
    lines += ["names:", *(f"  {number}: {name}" for number, name in enumerate(names))]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
