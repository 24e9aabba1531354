"""A frame is never believed to be exposed later than it was."""

from hypothesis import given
from hypothesis import strategies as st

from edge.vision.camera_clock import CameraClock

seconds = st.floats(0, 1)
short = st.floats(0, 0.1)


@given(st.floats(0, 1e6), st.integers(1, 10**15), short, short, short, st.sampled_from([0.0, 1.0]))
def test_a_picture_that_was_held_back_is_dated_by_the_cameras_clock(
    began_s: float, latched_ns: int, exposure_s: float, held_s: float, idle_s: float, mark: float
) -> None:
    """`mark`: the stamp is of the start (0) or the end (1) of the exposure."""
    clock = CameraClock()
    clock.latched(latched_ns, began_s, began_s)
    exposed_s = began_s + idle_s
    stamp_ns = latched_ns + round((idle_s + mark * exposure_s) * 1e9)
    arrived_s = exposed_s + exposure_s + held_s
    told_s = clock.exposed_s(stamp_ns, arrived_s, exposure_s)
    assert told_s - exposed_s <= mark * min(exposure_s, held_s) + 1e-6
    assert told_s >= exposed_s - 1e-6


@given(short, st.integers(0, 10**18))
def test_a_camera_without_a_readable_clock_is_dated_by_its_arrival(
    exposure_s: float, stamp_ns: int
) -> None:
    assert CameraClock().exposed_s(stamp_ns, 100.0, exposure_s) == 100.0 - exposure_s


def test_a_stamp_of_another_clock_is_not_believed() -> None:
    clock = CameraClock()
    clock.latched(5_000_000_000, 100.0, 100.001)
    assert clock.exposed_s(0, 101.0, 0.01) == 100.99
    assert clock.exposed_s(900_000_000_000, 101.0, 0.01) == 100.99


def test_a_slow_answer_does_not_replace_a_good_one() -> None:
    clock = CameraClock()
    clock.latched(0, 100.0, 100.002)
    clock.latched(1_000_000_000, 101.0, 101.9)
    assert round(clock.exposed_s(2_000_000_000, 105.0, 0.0), 6) == 102.001
    clock.latched(2_000_000_000, 102.5, 102.5)
    assert round(clock.exposed_s(2_000_000_000, 105.0, 0.0), 6) == 102.5
