"""Small drawings as SVG coordinates: sparklines, a Pareto chart, boxes on a picture. Pure.

Only numbers are made here; the templates write the elements, so that every text is escaped in one
place and the page's Content-Security-Policy needs no inline style.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edge.mqtt.message import Mark, View


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A series as SVG path data in a box of `width` x `height`; gaps where the value is None."""

    line: str
    area: str
    width: int
    height: int
    top: float  # value at the upper edge
    last: float | None


@dataclass(frozen=True, slots=True)
class Bar:
    """One column of a Pareto chart."""

    label: str
    count: int
    cumulative: float  # share up to here, 0..1
    x: float
    y: float
    width: float
    height: float
    dot_x: float
    dot_y: float


@dataclass(frozen=True, slots=True)
class Pareto:
    """Columns, largest first, and the line of their running share."""

    bars: tuple[Bar, ...]
    line: str
    total: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Box:
    """One detection on its picture: px of the frame, label placed inside the frame."""

    x: float
    y: float
    width: float
    height: float
    label: str
    score: float  # 0..1
    text_x: float
    text_y: float


def sparkline(
    values: Sequence[float | None], width: int = 600, height: int = 100, at_least: float = 1.0
) -> Sparkline:
    """Draw a series from left to right, from 0 to its peak (but at least to `at_least`)."""
    top = max([at_least, *(v for v in values if v is not None)])
    step = width / max(len(values) - 1, 1)
    runs: list[list[tuple[float, float]]] = [[]]
    for i, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((i * step, height - value / top * height))
    drawn = [
        run if len(run) > 1 else [*run, (run[0][0] + step / 2, run[0][1])] for run in runs if run
    ]
    line = " ".join(_path(run) for run in drawn)
    area = " ".join(f"{_path(run)} V{height} H{_n(run[0][0])} Z" for run in drawn)
    return Sparkline(line, area, width, height, top, values[-1] if values else None)


def pareto(
    counts: Sequence[tuple[str, int]],
    other: str,
    most: int = 7,
    width: int = 560,
    height: int = 220,
) -> Pareto:
    """Columns of the `most` largest counts; the rest together as `other`, always last."""
    order = sorted(counts, key=lambda pair: (-pair[1], pair[0]))
    kept = order[:most]
    if len(order) > most:
        kept.append((other, sum(n for _, n in order[most:])))
    total = sum(n for _, n in kept)
    slot = width / max(len(kept), 1)
    wide = min(slot * 0.62, 90.0)
    bars: list[Bar] = []
    running = 0
    for i, (label, count) in enumerate(kept):
        running += count
        tall = count / total * height
        middle = (i + 0.5) * slot
        share = running / total
        bars.append(
            Bar(
                label,
                count,
                share,
                round(middle - wide / 2, 1),
                round(height - tall, 1),
                round(wide, 1),
                round(tall, 1),
                round(middle, 1),
                round(height - share * height, 1),
            )
        )
    line = _path([(bar.dot_x, bar.dot_y) for bar in bars]) if bars else ""
    return Pareto(tuple(bars), line, total, width, height)


def boxes(view: View) -> tuple[Box, ...]:
    """The view's detections in px of its frame; nothing where the frame's size is unknown."""
    if not view.width or not view.height:
        return ()
    letter = letter_size(view)
    return tuple(_box(mark, view.width, view.height, letter) for mark in view.marks)


def close_up(view: View, label: str | None) -> tuple[float, float, float] | None:
    """A square around the best detection of `label`: left, top, side in px of the frame.

    Four times the detection, at least a tenth of the frame, inside the frame. None without such a
    detection, or where it fills the frame anyway.
    """
    marks = [mark for mark in view.marks if mark.label == label]
    if not marks or not view.width or not view.height:
        return None
    best = _box(max(marks, key=lambda mark: mark.score), view.width, view.height, 0.0)
    shorter = min(view.width, view.height)
    side = max(4 * best.width, 4 * best.height, shorter / 10)
    if side > 0.75 * shorter:
        return None
    left = min(max(best.x + best.width / 2 - side / 2, 0.0), view.width - side)
    top = min(max(best.y + best.height / 2 - side / 2, 0.0), view.height - side)
    return round(left, 1), round(top, 1), round(side, 1)


def letter_size(view: View) -> float:
    """Height of the labels in px of the frame, so that they look alike on every camera."""
    return max((view.width or 0) / 26, 8.0)


def _box(mark: Mark, width: int, height: int, letter: float) -> Box:
    x1, y1, x2, y2 = (value / 10 for value in mark.box)
    left, right = (_inside(x, width) for x in sorted((x1, x2)))
    top, bottom = (_inside(y, height) for y in sorted((y1, y2)))
    above = top - letter * 0.4
    text_y = above if above > letter else min(bottom + letter * 1.1, height - letter * 0.3)
    return Box(
        round(left, 1),
        round(top, 1),
        round(max(right - left, 1.0), 1),
        round(max(bottom - top, 1.0), 1),
        mark.label,
        mark.score / 10_000,
        round(min(left, width * 0.7), 1),
        round(text_y, 1),
    )


def _inside(value: float, size: int) -> float:
    """Moved into 0..size; a node may say anything."""
    return min(max(value, 0.0), float(size))


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{_n(x)} {_n(y)}" for x, y in points)


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
