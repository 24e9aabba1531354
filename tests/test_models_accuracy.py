"""Matching and average precision against cases worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.terms import Detection
from models.accuracy import (
    Looked,
    Truth,
    average_precision,
    matches,
    overlap,
    precision_by_label,
    rejected,
)

BOX = (10.0, 10.0, 20.0, 20.0)
FAR = (50.0, 50.0, 60.0, 60.0)


def found(score: float, box: tuple[float, float, float, float], label: str = "pit") -> Detection:
    return Detection(label, score, box)


def test_overlap_is_shared_area_over_covered_area() -> None:
    assert overlap(BOX, BOX) == 1
    assert overlap(BOX, FAR) == 0
    assert overlap(BOX, (15, 10, 25, 20)) == pytest.approx(50 / 150)
    assert overlap(BOX, (20, 10, 30, 20)) == 0  # touching is not overlapping
    assert overlap(BOX, (12, 12, 18, 18)) == pytest.approx(0.36)


def test_a_defect_is_hit_once_by_the_best_scored_detection() -> None:
    both = [found(0.6, BOX), found(0.9, (10, 10, 20, 19))]
    assert matches(both, [Truth("pit", BOX)]) == [(0.9, True), (0.6, False)]


def test_a_detection_takes_the_defect_it_covers_best() -> None:
    near, nearer = (13.0, 10.0, 23.0, 20.0), (15.0, 10.0, 25.0, 20.0)  # BOX covers near by 0.54
    truth = [Truth("pit", near), Truth("pit", BOX)]
    assert matches([found(0.9, BOX), found(0.8, nearer)], truth) == [(0.9, True), (0.8, True)]


def test_half_an_overlap_is_a_hit_and_less_is_none() -> None:
    truth = [Truth("pit", BOX)]
    assert matches([found(0.9, (10, 10, 20, 15))], truth) == [(0.9, True)]
    assert matches([found(0.9, (10, 10, 20, 14.9))], truth) == [(0.9, False)]
    assert matches([found(0.9, BOX)], []) == [(0.9, False)]


def test_average_precision_of_a_hand_computed_case() -> None:
    # ranks: hit, miss, hit, miss, hit of 4 defects: precisions 1, 2/3, 3/5 at recalls 1/4, 2/4, 3/4
    pairs = [(0.9, True), (0.8, False), (0.7, True), (0.6, False), (0.5, True)]
    assert average_precision(pairs, 4) == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)


def test_the_envelope_lifts_a_precision_that_rises_later() -> None:
    # miss, hit, hit of 2: precisions 1/2 and 2/3, so 2/3 at both recalls
    assert average_precision([(0.9, False), (0.8, True), (0.7, True)], 2) == pytest.approx(2 / 3)


def test_nothing_found_is_zero_and_everything_found_first_is_one() -> None:
    assert average_precision([], 3) == 0
    assert average_precision([(0.9, True), (0.8, True), (0.1, False)], 2) == 1
    assert average_precision([(0.9, False)], 0) == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=30))
def test_average_precision_stays_between_zero_and_recall(pairs: list[tuple[float, bool]]) -> None:
    hits = sum(hit for _score, hit in pairs)
    total = hits + 3
    assert 0 <= average_precision(pairs, total) <= hits / total


def test_a_detection_on_a_good_picture_costs_precision_of_its_own_label_only() -> None:
    bad = Looked(
        (found(0.5, BOX), found(0.8, FAR, "stain")), (Truth("pit", BOX), Truth("stain", FAR))
    )
    good = Looked((found(0.9, BOX),), ())
    assert precision_by_label([bad, good], ("pit", "stain")) == {"pit": 0.5, "stain": 1.0}


def test_a_box_in_the_right_place_with_the_wrong_label_is_no_hit() -> None:
    picture = Looked((found(0.9, BOX, "stain"),), (Truth("pit", BOX),))
    assert precision_by_label([picture], ("pit", "stain")) == {"pit": 0.0, "stain": 0.0}


def test_a_part_is_rejected_at_its_label_s_own_threshold() -> None:
    limits = {"pit": 0.5, "stain": 0.8}
    assert rejected([found(0.5, BOX)], limits)
    assert not rejected([found(0.49, BOX), found(0.79, BOX, "stain")], limits)
    assert not rejected([], limits)
