"""How well detections agree with truth: matching, average precision, and part-level mistakes.

Average precision is the area under the precision envelope over recall, all points (PASCAL VOC 2010
and later). A part-level mistake is what the line feels: a defective part passed, a good part
rejected.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge.terms import Detection

Corners = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Truth:
    """A defect that is there: its label and box (x1, y1, x2, y2), in the detections' unit."""

    label: str
    box: Corners


@dataclass(frozen=True, slots=True)
class Looked:
    """One picture: what was found and what is there."""

    detections: tuple[Detection, ...]
    truth: tuple[Truth, ...]


def overlap(a: Corners, b: Corners) -> float:
    """Intersection over union, 0..1; 0 for boxes without area."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / both


def matches(
    detections: Sequence[Detection], truth: Sequence[Truth], least: float = 0.5
) -> list[tuple[float, bool]]:
    """(score, hit) of each detection of one label, best first.

    Each defect is hit once, by the best-scored detection that overlaps it by `least` or more; a
    second detection of it is a false one.
    """
    free = [t.box for t in truth]
    found = []
    for detection in sorted(detections, key=lambda d: -d.score):
        shares = [overlap(detection.box, box) for box in free]
        best = max(range(len(free)), key=shares.__getitem__, default=None)
        hit = best is not None and shares[best] >= least
        if hit and best is not None:
            del free[best]
        found.append((detection.score, hit))
    return found


def average_precision(found: Iterable[tuple[float, bool]], total: int) -> float:
    """Area under the precision envelope, 0..1, of (score, hit) pairs against `total` defects."""
    if total == 0:
        return 0.0
    hits, points = 0, []
    for rank, (_score, hit) in enumerate(sorted(found, key=lambda pair: -pair[0]), 1):
        hits += hit
        if hit:
            points.append(hits / rank)
    area, envelope = 0.0, 0.0
    for precision in reversed(points):
        envelope = max(envelope, precision)
        area += envelope
    return area / total


def precision_by_label(
    pictures: Sequence[Looked], labels: Sequence[str], least: float = 0.5
) -> dict[str, float]:
    """Average precision of each label over all pictures."""
    result = {}
    for label in labels:
        found: list[tuple[float, bool]] = []
        total = 0
        for picture in pictures:
            there = [t for t in picture.truth if t.label == label]
            seen = [d for d in picture.detections if d.label == label]
            total += len(there)
            found += matches(seen, there, least)
        result[label] = average_precision(found, total)
    return result


def rejected(detections: Iterable[Detection], thresholds: dict[str, float]) -> bool:
    """Whether a part is not passed: any score at or above its label's threshold."""
    return any(d.score >= thresholds[d.label] for d in detections)
