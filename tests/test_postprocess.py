"""Boxes out of a model's numbers: both layouts, nothing lost, nothing that is not a number."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ModelError
from edge.vision.postprocess import Found, Layout, check, find, layout_of
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
        ((1, 41, 2100), 5, False, "raw of masks"),
        ((1, 300, 38), 5, True, "end_to_end of masks"),
        ((1, 300, 38), 5, None, "end_to_end of masks"),
    ],
)
def test_metadata_and_shape_tell_the_layout(
    shape: tuple[int, ...], classes: int, says: bool | None, layout: str
) -> None:
    masks = 32 if "masks" in layout else 0
    assert layout_of(shape, classes, says, masks) == layout.partition(" ")[0]


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


@pytest.mark.parametrize("box", [(90, 40, 90, 60), (92, 60, 90, 40), (90, 50, 90, 50)])
@pytest.mark.parametrize("layout", ["raw", "end_to_end"])
def test_a_box_without_width_or_turned_round_is_still_a_defect(
    layout: Layout, box: tuple[float, float, float, float]
) -> None:
    output = raw([(box, [0.9])], 1) if layout == "raw" else end_to_end([(*box, 0.9, 0)])
    found = find(output, layout, 1, SQUARE, 0.05, 0.5)
    assert found.scores.tolist() == [np.float32(0.9)]
    x1, y1, x2, y2 = found.boxes[0].tolist()
    assert 90 <= x1 < x2 <= 92.1
    assert 40 <= y1 < y2 <= 60.1


def test_a_box_far_outside_the_frame_pushes_no_box_of_another_class_out() -> None:
    rows: list[Row] = [
        ((-300, -300, 20, 20), [0, 0.9]),
        ((341, 341, 640, 640), [0.8, 0]),
    ]
    found = find(raw(rows, 2), "raw", 2, SQUARE, 0.05, 0.5)
    assert found.kinds.tolist() == [1, 0]


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


def test_a_second_guess_pushes_out_no_best_class_of_another_place() -> None:
    rows: list[Row] = [
        ((10, 10, 50, 50), [0.7, 0.6]),
        ((14, 10, 54, 50), [0.0, 0.5]),  # what ultralytics finds of class 1
    ]
    found = find(raw(rows, 2), "raw", 2, SQUARE, 0.05, 0.5)
    assert [(kind, score) for kind, score, _ in told(found)] == [(0, 0.7), (1, 0.6), (1, 0.5)]


def test_what_a_best_class_pushes_out_does_not_come_back_because_of_a_second_guess() -> None:
    rows: list[Row] = [
        ((10, 10, 50, 50), [0.7, 0.6]),
        ((20, 10, 60, 50), [0.0, 0.5]),  # overlaps the second guess before it ...
        ((30, 10, 70, 50), [0.0, 0.4]),  # ... and pushes this out, which the guess does not overlap
    ]
    found = find(raw(rows, 2), "raw", 2, SQUARE, 0.05, 0.5)
    assert [(kind, score) for kind, score, _ in told(found)] == [(0, 0.7), (1, 0.6), (1, 0.5)]


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


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    width, height = (min(a[n + 2], b[n + 2]) - max(a[n], b[n]) for n in (0, 1))
    shared = max(0.0, width) * max(0.0, height)
    areas = sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
    return shared / (areas - shared)


def chosen(rows: list[Row], floor: float, overlap: float) -> list[tuple[int, float, list[float]]]:
    """What must be found, the long way: best classes one by one, then with the second guesses."""
    best = one_by_one(firsts(rows), floor, overlap)
    every = [(score, kind, box) for box, scores in rows for kind, score in enumerate(scores)]
    guesses = [one for one in every if one not in firsts(rows)]
    kept = {*best, *one_by_one([*best, *guesses], floor, overlap)}
    return [
        (kind, round(score, 4), [round(min(max(edge, 0), 640), 2) for edge in box])
        for score, kind, box in sorted(kept, reverse=True)
    ]


Candidate = tuple[float, int, tuple[float, float, float, float]]


def firsts(rows: list[Row]) -> list[Candidate]:
    """The best class of each anchor: all that ultralytics looks at."""
    return [(max(scores), scores.index(max(scores)), box) for box, scores in rows]


def one_by_one(every: list[Candidate], floor: float, overlap: float) -> list[Candidate]:
    """What of these stays, best first."""
    kept: list[Candidate] = []
    for score, kind, box in sorted(every, key=lambda found: -found[0]):
        if score < floor or box[2] <= 0 or box[3] <= 0 or box[0] >= 640 or box[1] >= 640:
            continue
        if all(other != kind or iou(box, seen) <= overlap for _, other, seen in kept):
            kept.append((score, kind, box))
    return kept


@given(st.integers(0, 10_000), st.sampled_from([0.05, 0.5]), st.sampled_from([0.3, 0.7]))
def test_what_is_found_is_what_the_long_way_finds(seed: int, floor: float, overlap: float) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.permutation(np.arange(1, 121)) / 128  # no two alike, exact in float32
    corners = np.round(rng.uniform(-60, 660, (40, 2)) / 8) * 8
    sides = rng.integers(2, 20, (40, 2)) * 8.0
    rows: list[Row] = [
        ((x, y, x + w, y + h), scores[3 * n : 3 * n + 3].tolist())
        for n, ((x, y), (w, h)) in enumerate(zip(corners.tolist(), sides.tolist(), strict=True))
    ]
    found = find(raw(rows, 3), "raw", 3, SQUARE, floor, overlap)
    assert told(found) == chosen(rows, floor, overlap)


@pytest.mark.parametrize("layout", ["raw", "end_to_end"])
def test_coefficients_stay_with_their_boxes(layout: Layout) -> None:
    boxes = [(10.0, 20.0, 60.0, 40.0), (100.0, 100.0, 200.0, 150.0), (12.0, 20.0, 60.0, 40.0)]
    scores = [0.6, 0.9, 0.5]
    masks = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    if layout == "raw":
        head = raw([(box, [score, 0.0]) for box, score in zip(boxes, scores, strict=True)], 2)
        output = np.concatenate([head, masks.T[None]], axis=1)
    else:
        rows = [(*box, score, 0) for box, score in zip(boxes, scores, strict=True)]
        output = np.concatenate([np.array([rows], np.float32), masks[None]], axis=2)
    found = find(output, layout, 2, SQUARE, 0.05, 0.5)
    expected = [[3, 4], [1, 2], [5, 6]][: 2 if layout == "raw" else 3]  # raw: the third overlaps
    assert found.coefficients.tolist() == expected


@pytest.mark.parametrize("wrong", [NAN, INF, -INF, 2e6, -2e6])
@pytest.mark.parametrize("edge", range(4))
@pytest.mark.parametrize("layout", ["raw", "end_to_end"])
def test_a_box_that_means_nothing_is_refused(layout: Layout, edge: int, wrong: float) -> None:
    numbers = [100.0, 100.0, 200.0, 200.0]
    numbers[edge] = wrong  # raw: of middle and sides
    output = raw([((0, 0, 0, 0), [0.9])], 1)
    output[0, :4, 0] = numbers
    if layout == "end_to_end":
        output = end_to_end([(*numbers, 0.9, 0)])
    with pytest.raises(ModelError, match="box"):
        find(output, layout, 1, SQUARE, 0.05, 0.5)


@pytest.mark.parametrize("floor", [0.0, -0.0, -1.0])
def test_a_floor_of_0_and_below_keeps_every_class_of_every_anchor(floor: float) -> None:
    rows: list[Row] = [((10, 10, 20, 20), [0.5, 0.0]), ((40, 40, 60, 60), [-0.0, -0.0005])]
    found = find(raw(rows, 2), "raw", 2, SQUARE, floor, 0.5)
    assert len(found.scores) == (4 if floor < 0 else 3)


def test_boxes_that_the_frame_cuts_are_compared_whole() -> None:
    rows: list[Row] = [((-90, 0, 10, 100), [0.9]), ((-30, 0, 10, 100), [0.8])]
    assert len(find(raw(rows, 1), "raw", 1, SQUARE, 0.05, 0.5).scores) == 2  # cut: the same box


@pytest.mark.parametrize("wrong", [NAN, INF, -INF, 1.5, -0.5])
@pytest.mark.parametrize("layout", ["raw", "end_to_end"])
def test_one_wrong_score_among_thousands_is_refused(layout: Layout, wrong: float) -> None:
    output = np.zeros((1, 9, 8400) if layout == "raw" else (1, 300, 6), np.float32)
    output[0, 7 if layout == "raw" else 150, 4321 if layout == "raw" else 4] = wrong
    for refuse in (
        lambda: find(output, layout, 5, SQUARE, 0.05, 0.5),
        lambda: check(output, layout, 5),
    ):
        with pytest.raises(ModelError, match="scores"):
            refuse()
