"""Where a box lies against a polygon, compared with counting points: edge.zones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.zones import Box, Polygon, holds, touches

SQUARE: Polygon = ((10, 10), (30, 10), (30, 30), (10, 30))
HORSESHOE: Polygon = ((0, 0), (30, 0), (30, 30), (20, 30), (20, 10), (10, 10), (10, 30), (0, 30))
TRIANGLE: Polygon = ((0, 0), (40, 0), (0, 40))
PENTAGRAM: Polygon = ((50, 0), (80, 90), (2, 35), (98, 35), (20, 90))

corners = st.tuples(st.integers(0, 12), st.integers(0, 12))
polygons = st.lists(corners, min_size=3, max_size=7).map(
    lambda points: tuple((float(x), float(y)) for x, y in points)
)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x, y = draw(st.integers(-2, 12)), draw(st.integers(-2, 12))
    return (
        float(x),
        float(y),
        float(x + draw(st.integers(1, 6))),
        float(y + draw(st.integers(1, 6))),
    )


def covered(polygon: Polygon, x: float, y: float) -> bool:
    """Even-odd, by shooting a ray to the right from a point that is on no edge."""
    inside = False
    for (x1, y1), (x2, y2) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
            inside = not inside
    return inside


def points_in(box: Box) -> list[tuple[float, float]]:
    """Points well inside the box, at places where no edge between whole corners passes often."""
    steps = [0.0137 + 0.0973 * n for n in range(11)]
    x1, y1, x2, y2 = box
    return [(x1 + (x2 - x1) * a, y1 + (y2 - y1) * b) for a in steps for b in steps]


@given(polygons, boxes())
def test_a_box_is_held_only_if_every_point_of_it_is_covered(polygon: Polygon, box: Box) -> None:
    if holds(polygon, box):
        assert all(covered(polygon, x, y) for x, y in points_in(box))


@given(polygons, boxes())
def test_a_box_is_apart_only_if_no_point_of_it_is_covered(polygon: Polygon, box: Box) -> None:
    if not touches(polygon, box):
        assert not any(covered(polygon, x, y) for x, y in points_in(box))
        assert not holds(polygon, box)


@given(polygons, boxes())
def test_the_way_round_does_not_matter(polygon: Polygon, box: Box) -> None:
    assert touches(polygon[::-1], box) == touches(polygon, box)
    assert holds(polygon[::-1], box) == holds(polygon, box)


@pytest.mark.parametrize(
    ("polygon", "box", "touched", "held"),
    [
        (SQUARE, (12, 12, 20, 20), True, True),
        (SQUARE, (10, 10, 30, 30), True, True),  # the polygon itself
        (SQUARE, (10, 10, 30.001, 30), True, False),
        (SQUARE, (30, 12, 40, 20), True, False),  # side by side
        (SQUARE, (30, 30, 40, 40), True, False),  # corner to corner
        (SQUARE, (30.001, 12, 40, 20), False, False),
        (SQUARE, (0, 0, 40, 40), True, False),  # all around it
        (SQUARE, (15, 15, 15, 15), True, True),  # a point
        (SQUARE, (15, 5, 15, 20), True, False),  # a line that sticks out, its middle inside
        (SQUARE, (10, 5, 10, 20), True, False),  # a line along its side that sticks out
        (TRIANGLE, (10, 10, 20, 20), True, True),  # a corner on the slanted side
        (TRIANGLE, (10, 10, 20, 20.001), True, False),
        (HORSESHOE, (2, 12, 28, 20), True, False),  # across the gap, all four corners inside
        (HORSESHOE, (12, 12, 18, 20), False, False),  # in the gap
        (HORSESHOE, (22, 12, 28, 20), True, True),
        (PENTAGRAM, (48, 48, 52, 52), True, False),  # covered twice: forbidden, not ignored
    ],
)
def test_a_box_against_a_polygon(polygon: Polygon, box: Box, touched: bool, held: bool) -> None:
    assert (touches(polygon, box), holds(polygon, box)) == (touched, held)
