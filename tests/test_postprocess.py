"""Boxes out of a model's numbers: both layouts, nothing lost, nothing that is not a number."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ModelError
from edge.vision.postprocess import MAX_FOUND, Found, find, layout_of
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


def test_a_flood_of_candidates_keeps_the_best() -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 600, (8400, 2))
    scores = rng.uniform(0.1, 0.9, 8400)
    rows: list[Row] = [
        ((x, y, x + 4, y + 4), [s]) for (x, y), s in zip(corners, scores, strict=True)
    ]
    found = find(raw(rows, 1), "raw", 1, SQUARE, 0.05, 0.5)
    assert len(found.scores) == MAX_FOUND
    assert found.scores[0] == np.float32(scores.max())
    assert np.all(np.diff(found.scores) <= 0)


@pytest.mark.parametrize("bad", [NAN, INF, -INF, 1.5, -0.5])
@pytest.mark.parametrize("layout", ["raw", "end_to_end"])
def test_scores_that_mean_nothing_are_refused_never_dropped(bad: float, layout: str) -> None:
    rows: list[Row] = [((10, 10, 20, 20), [0.0, bad]), ((30, 30, 40, 40), [0.6, 0.0])]
    flat = [(10.0, 10.0, 20.0, 20.0, bad, 1.0), (30.0, 30.0, 40.0, 40.0, 0.6, 0.0)]
    output = raw(rows, 2, 100) if layout == "raw" else end_to_end(flat)
    with pytest.raises(ModelError, match="scores"):
        find(output, layout, 2, SQUARE, 0.05, 0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [NAN, INF, -INF, 3e38])
def test_a_box_that_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(ModelError, match="box"):
        find(raw([((bad, 1, 2, 3), [0.9])], 1), "raw", 1, SQUARE, 0.05, 0.5)
    with pytest.raises(ModelError, match="box"):
        find(end_to_end([(1, bad, 2, 3, 0.9, 0)]), "end_to_end", 1, SQUARE, 0.05, 0.5)


@pytest.mark.parametrize("bad", [NAN, INF, -1.0, 2.0])
def test_a_class_that_the_model_does_not_have_is_refused(bad: float) -> None:
    with pytest.raises(ModelError, match="class"):
        find(end_to_end([(1, 1, 2, 3, 0.9, bad)]), "end_to_end", 2, SQUARE, 0.05, 0.5)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 600),
            st.floats(0, 600),
            st.floats(1, 60),
            st.floats(1, 60),
            st.floats(0, 1),
            st.integers(0, 2),
        ),
        max_size=30,
    ),
    st.floats(0.01, 1),
    st.floats(0.1, 0.9),
)
def test_every_candidate_is_given_back_or_overlaps_a_better_one_of_its_class(
    drawn: list[tuple[float, float, float, float, float, int]], floor: float, overlap: float
) -> None:
    rows: list[Row] = [
        ((x, y, x + w, y + h), [score if kind == k else 0.0 for k in range(3)])
        for x, y, w, h, score, kind in drawn
    ]
    found = find(raw(rows, 3), "raw", 3, SQUARE, floor, overlap)
    kept = list(zip(found.boxes, found.scores, found.kinds, strict=True))
    assert np.all(found.scores >= np.float32(floor))
    assert np.all(np.diff(found.scores) <= 0)
    for number, (box, _, kind) in enumerate(kept):
        assert not any(
            k == kind and iou(box, other) > overlap + 1e-3 for other, _, k in kept[:number]
        )
    for x, y, w, h, score, kind in drawn:
        if score >= floor + 1e-6:
            mine = np.array([x, y, x + w, y + h])
            assert any(
                k == kind and s >= score - 1e-6 and (iou(mine, box) > overlap - 1e-3)
                for box, s, k in kept
            )


def iou(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2], 640) - max(a[0], b[0])
    height = min(a[3], b[3], 640) - max(a[1], b[1])
    shared = max(0.0, float(width)) * max(0.0, float(height))
    areas = sum(
        (min(float(c[2]), 640) - float(c[0])) * (min(float(c[3]), 640) - float(c[1]))
        for c in (a, b)
    )
    return shared / (areas - shared)
