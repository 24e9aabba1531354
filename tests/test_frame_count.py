"""Whatever a camera's counter does, frames keep their distance."""

from hypothesis import given
from hypothesis import strategies as st

from edge.vision.frame_count import FrameCount

WRAP = 65_535


def sixteen_bits(count: int) -> int:
    """A counter of 16 bits that skips 0."""
    return count % WRAP + 1


@given(st.integers(0, 200_000), st.lists(st.integers(1, 1000), max_size=300))
def test_a_counter_of_16_bits_keeps_every_distance_over_its_wraps(
    start: int, steps: list[int]
) -> None:
    counter, true = FrameCount(), start
    assert counter.next(sixteen_bits(true)) == 0
    for step in steps:
        true += step
        assert counter.next(sixteen_bits(true)) == true - start


@given(st.integers(0, 2**63), st.lists(st.integers(1, 1000), max_size=100))
def test_a_wide_counter_keeps_every_distance(start: int, steps: list[int]) -> None:
    counter, true = FrameCount(), start
    assert counter.next(true) == 0
    for step in steps:
        true += step
        assert counter.next(true) == true - start


@given(st.integers(0, 200_000), st.integers(1, 60), st.integers(1, 60))
def test_a_late_frame_gets_its_own_place_and_moves_nothing(
    start: int, ahead: int, back: int
) -> None:
    counter = FrameCount()
    counter.next(sixteen_bits(start))
    counter.next(sixteen_bits(start + ahead))
    assert counter.next(sixteen_bits(start + ahead - back)) == max(0, ahead - back)
    assert counter.next(sixteen_bits(start + ahead + 1)) == ahead + 1


def test_a_camera_that_does_not_count_or_starts_again_is_followed_frame_by_frame() -> None:
    counter = FrameCount()
    assert [counter.next(0) for _ in range(3)] == [0, 1, 2]
    assert [counter.next(n) for n in (1_000_000, 1, 2)] == [1_000_002, 1_000_003, 1_000_004]
    counter.restart()
    assert [counter.next(n) for n in (60_000, 60_001)] == [1_000_005, 1_000_006]
