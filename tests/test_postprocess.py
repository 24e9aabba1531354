"""Boxes out of a model's numbers: both layouts, nothing lost, nothing that is not a number."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ModelError
from edge.vision.postprocess import Found, find, layout_of
from edge.vision.preprocess import Fit, fit

SQUARE = Fit(0, 0, 640, 640, 640, 640)
NAN, INF = math.nan, math.inf

Row = tuple[tuple[float, float, float, float], list[float]]
"""Corners in input px, and one score per class."""


def raw(rows: list[Row], classes: int, anchors: int = 0) -> np.ndarray:
    head = np.zeros((1, 4 + classes, max(anchors, len(rows), 1)), np.float32)
    for number, ((x1, y1, x2, y2), scores) in enumerate(rows):
        head[0, :4, number] = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
        head[0, 4:, number] = scores
    return head


def end_to_end(rows: Sequence[tuple[float, ...]]) -> np.ndarray:
    return np.array([[*rows, (0.0,) * 6]], np.float32)


def told(found: Found) -> list[tuple[int, float, list[float]]]:
    return [
        (int(kind), round(float(score), 4), [round(float(edge), 2) for edge in box])
        for kind, score, box in zip(found.kinds, found.scores, found.boxes, strict=True)
    ]


@pytest.mark.parametrize(
    ("shape", "classes", "says", "layout"),
    [
        ((1, 9, 2100), 5, False, "raw"),
        ((1, 9, 2100), 5, None, "raw"),
        ((1, 300, 6), 5, True, "end_to_end"),
        ((1, 300, 6), 5, None, "end_to_end"),
        ((1, 6, 8400), 2, False, "raw"),
        ((1, 6, 6), 2, False, "raw"),
        ((1, 6, 6), 2, True, "end_to_end"),
    ],
)
def test_metadata_and_shape_tell_the_layout(
    shape: tuple[int, ...], classes: int, says: bool | None, layout: str
) -> None:
    assert layout_of(shape, classes, says) == layout


@pytest.mark.parametrize(
    ("shape", "classes", "says", "message"),
    [
        ((1, 9, 2100), 5, True, "metadata says end to end"),
        ((1, 300, 6), 5, False, "metadata says raw"),
        ((1, 10, 2100), 5, False, r"\[1, 9, anchors\] or \[1, rows, 6\]"),
        ((2, 9, 2100), 5, None, "no detection head"),
        ((9, 2100), 5, None, "no detection head"),
        ((1, 2100, 9), 5, None, "no detection head"),
        ((1, 300, 7), 5, True, "no detection head"),
    ],
)
def test_an_unknown_or_contradicting_layout_is_refused(
    shape: tuple[int, ...], classes: int, says: bool | None, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        layout_of(shape, classes, says)


def test_both_layouts_give_the_same_boxes_best_first() -> None:
    rows: list[Row] = [
        ((10, 20, 60, 40), [0.2, 0.0]),
        ((100, 100, 200, 150), [0.0, 0.9]),
        ((300, 300, 310, 310), [0.04, 0.0]),
    ]
    flat = [(*rows[0][0], 0.2, 0), (*rows[1][0], 0.9, 1), (*rows[2][0], 0.04, 0)]
    expected = [(1, 0.9, [100, 100, 200, 150]), (0, 0.2, [10, 20, 60, 40])]
    assert told(find(raw(rows, 2), "raw", 2, SQUARE, 0.05, 0.5)) == expected
    assert told(find(end_to_end(flat), "end_to_end", 2, SQUARE, 0.05, 0.5)) == expected


@given(
    st.integers(40, 2000),
    st.integers(40, 2000),
    st.floats(0, 0.8),
    st.floats(0, 0.8),
    st.floats(0.05, 0.2),
)
def test_a_box_comes_back_where_it_was_in_the_frame(
    height: int, width: int, x: float, y: float, size: float
) -> None:
    placed = fit(height, width, 320, 640)
    corners = np.array([x * width, y * height, (x + size) * width, (y + size) * height])
    inside = corners * (placed.scale * 2) + [placed.left, placed.top] * 2
    row: Row = ((inside[0], inside[1], inside[2], inside[3]), [0.9])
    found = find(raw([row], 1), "raw", 1, placed, 0.05, 0.5)
    assert np.allclose(found.boxes[0], corners, atol=0.05)


def test_boxes_are_cut_at_the_frame_and_those_in_the_padding_are_dropped() -> None:
    placed = Fit(0, 80, 320, 160, 640, 320)  # 640 x 320 in a square of 320
    rows: list[Row] = [((-20, 60, 30, 100), [0.9]), ((0, 0, 50, 70), [0.8])]
    found = find(raw(rows, 1), "raw", 1, placed, 0.05, 0.5)
    assert told(found) == [(0, 0.9, [0, 0, 60, 40])]


def test_of_overlapping_boxes_of_one_class_the_best_stays() -> None:
    rows: list[Row] = [
        ((10, 10, 50, 50), [0.6, 0.0]),
        ((11, 10, 51, 50), [0.9, 0.0]),
        ((12, 10, 52, 50), [0.0, 0.7]),  # another class
        ((40, 10, 80, 50), [0.5, 0.0]),  # overlaps little
    ]
    found = find(raw(rows, 2), "raw", 2, SQUARE, 0.05, 0.5)
    assert [(kind, score) for kind, score, _ in told(found)] == [(0, 0.9), (1, 0.7), (0, 0.5)]


def test_the_second_best_class_of_an_anchor_is_reported_too() -> None:
    rows: list[Row] = [((10, 10, 50, 50), [0.6, 0.5])]
    found = find(raw(rows, 2), "raw", 2, SQUARE, 0.05, 0.5)
    assert [(kind, score) for kind, score, _ in told(found)] == [(0, 0.6), (1, 0.5)]


def test_no_candidate_is_no_detection() -> None:
    for output, layout in ((raw([], 3), "raw"), (np.zeros((1, 0, 6), np.float32), "end_to_end")):
        found = find(output, layout, 3, SQUARE, 0.05, 0.5)  # type: ignore[arg-type]
        assert found.boxes.shape == (0, 4)
        assert len(found.scores) == len(found.kinds) == 0


def test_a_flood_of_candidates_is_no_verdict() -> None:
    rng = np.random.default_rng(3)
    rows: list[Row] = [((x, y, x + 4, y + 4), [0.5]) for x, y in rng.uniform(0, 600, (8400, 2))]
    with pytest.raises(ModelError, match="8400 candidates"):
        find(raw(rows, 1), "raw", 1, SQUARE, 0.05, 0.5)


def test_a_defect_is_not_pushed_out_by_many_better_specks() -> None:
    places = [(8.0 * (n % 70), 8.0 * (n // 70)) for n in range(700)]
    specks: list[Row] = [((x, y, x + 4, y + 4), [0.8, 0.0]) for x, y in places]
    found = find(raw([*specks, ((300, 300, 400, 400), [0.0, 0.4])], 2), "raw", 2, SQUARE, 0.3, 0.5)
    assert len(found.scores) == 701
    assert list(found.kinds).count(1) == 1


def test_a_score_a_little_above_one_is_one() -> None:
    found = find(raw([((10, 10, 50, 50), [1.0009])], 1), "raw", 1, SQUARE, 0.3, 0.5)
    assert found.scores.tolist() == [1.0]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2], 640) - max(a[0], b[0])
    height = min(a[3], b[3], 640) - max(a[1], b[1])
    shared = max(0.0, float(width)) * max(0.0, float(height))
    areas = sum(
        (min(float(c[2]), 640) - float(c[0])) * (min(float(c[3]), 640) - float(c[1]))
        for c in (a, b)
    )
    return shared / (areas - shared)
