"""A model's guesses weighed by differences: a difference stays, a guess alone hardly counts."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.terms import Detection
from edge.vision.confirm import UNCONFIRMED, confirmed

SHAPE = (100, 120)

edges = st.tuples(st.floats(0, 90), st.floats(0, 90), st.floats(1, 30), st.floats(1, 30))
scores = st.floats(0.01, 1)


def detections(labels: str) -> st.SearchStrategy[list[Detection]]:
    def made(label: str, score: float, edge: tuple[float, float, float, float]) -> Detection:
        x, y, width, height = edge
        return Detection(label, score, (x, y, min(x + width, 120), min(y + height, 100)))

    return st.lists(st.builds(made, st.sampled_from(labels), scores, edges), max_size=6)


@given(detections("ab"), detections("d"), st.floats(0, 20))
def test_every_difference_stays_and_every_guess_is_weighed(
    guesses: list[Detection], differences: list[Detection], margin_px: float
) -> None:
    found = confirmed(guesses, differences, margin_px, SHAPE)
    assert found[: len(differences)] == differences
    assert all(0 < d.score <= 1 for d in found)
    assert all(0 <= d.box[0] < d.box[2] <= 120 and 0 <= d.box[1] < d.box[3] <= 100 for d in found)
    assert {d.label for d in found} == {d.label for d in (*guesses, *differences)}


@given(detections("ab"))
def test_a_guess_where_nothing_differs_keeps_its_place_and_a_tenth_of_its_score(
    guesses: list[Detection],
) -> None:
    found = confirmed(guesses, [], 5, SHAPE)
    assert [(d.label, d.box) for d in found] == [(d.label, d.box) for d in guesses]
    assert [d.score for d in found] == [d.score * UNCONFIRMED for d in guesses]


def test_the_best_guess_of_each_class_counts_in_the_box_of_the_difference() -> None:
    difference = Detection("difference", 0.64, (40, 40, 50, 50))
    guesses = [
        Detection("open", 0.25, (35, 35, 48, 48)),
        Detection("open", 0.09, (45, 45, 60, 60)),
        Detection("short", 0.01, (30, 30, 41, 41)),
        Detection("spur", 0.9, (50, 40, 60, 50)),  # beside it: they share no area
    ]
    found = confirmed(guesses, [difference], 4, SHAPE, mm_per_px=0.5)
    assert [(d.label, d.box) for d in found[1:3]] == [
        ("open", (36, 36, 54, 54)),
        ("short", (36, 36, 54, 54)),
    ]
    assert found[1].score == pytest.approx(math.sqrt(0.25 * 0.64))
    assert found[1].width_mm == 9
    assert found[3] == Detection("spur", 0.9 * UNCONFIRMED, (50, 40, 60, 50))


def test_a_confirmed_box_does_not_leave_the_frame() -> None:
    corner = Detection("difference", 0.5, (0, 0, 5, 100))
    (_difference, found) = confirmed([Detection("a", 0.5, (1, 1, 4, 4))], [corner], 8, SHAPE)
    assert found.box == (0, 0, 13, 100)
