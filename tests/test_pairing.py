"""Never another part's picture: the rules of edge.pairing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.pairing import Pairing, TriggerMode
from edge.terms import Frame, Mode, Part, Reason, Trigger

IMAGE = np.zeros((2, 2), np.uint8)
TAKT_S = 0.25


def trigger(number: int, edge_s: float) -> Trigger:
    return Trigger(Part("s1", 1, number), edge_s, 0.02, Mode.AUTO, 1)


def frame(number: int, exposed_s: float, count: int | None = None) -> Frame:
    return Frame("c1", number, exposed_s, IMAGE, count)


def test_the_first_frame_after_the_edge_shows_a_standing_part() -> None:
    pairing = Pairing("software", 0.06)
    assert not pairing.is_candidate(trigger(1, 10.0), frame(0, 9.999))
    assert pairing.is_candidate(trigger(1, 10.0), frame(1, 10.001))
    assert pairing.take(trigger(1, 10.0), frame(1, 10.001), alone=False) is None


def test_a_frame_is_never_given_to_two_parts() -> None:
    pairing = Pairing("free_run", 0.6)
    shared = frame(1, 10.5)
    assert pairing.take(trigger(1, 10.0), shared, alone=True) is None
    assert not pairing.is_candidate(trigger(2, 10.4), shared)


def test_a_moving_part_takes_only_a_frame_inside_its_window() -> None:
    pairing = Pairing("hardware", 0.06)
    part = trigger(1, 10.0)
    assert not pairing.is_candidate(part, frame(0, 9.97, 1))
    assert pairing.is_candidate(part, frame(0, 9.985, 1))
    assert pairing.is_candidate(part, frame(0, 10.06, 1))
    assert not pairing.is_candidate(part, frame(0, 10.061, 1))


def test_a_camera_without_a_trigger_count_is_not_trusted_on_moving_parts() -> None:
    assert Pairing("hardware", 0.06).take(trigger(1, 1.0), frame(0, 1.0), True) is Reason.PAIRING


def test_the_distance_is_learnt_only_from_a_part_alone_on_its_way() -> None:
    pairing = Pairing("hardware", 0.06)
    assert pairing.take(trigger(1, 1.0), frame(0, 1.01, 11), alone=False) is Reason.PAIRING
    assert pairing.take(trigger(2, 2.0), frame(1, 2.01, 12), alone=True) is None
    assert pairing.take(trigger(3, 3.0), frame(2, 3.01, 13), alone=False) is None


@pytest.mark.parametrize("jump", [-1, 1, 2, 100])
def test_an_extra_or_lost_camera_trigger_makes_parts_undecided_until_learnt_again(
    jump: int,
) -> None:
    pairing = Pairing("hardware", 0.06)
    assert pairing.take(trigger(1, 1.0), frame(0, 1.01, 1), alone=True) is None
    assert pairing.take(trigger(2, 2.0), frame(1, 2.01, 2 + jump), alone=True) is Reason.PAIRING
    assert pairing.take(trigger(3, 3.0), frame(2, 3.01, 3 + jump), alone=False) is Reason.PAIRING
    assert pairing.take(trigger(4, 4.0), frame(3, 4.01, 4 + jump), alone=True) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["both", "frame lost", "extra frame"]),
            st.floats(0, 0.02),
            st.floats(0, 0.05),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_whatever_is_lost_or_added_no_part_gets_another_parts_picture(
    line: list[tuple[str, float, float, bool]],
) -> None:
    pairing = Pairing("hardware", 0.06)
    frames: list[Frame] = []
    count = 0
    for number, (happening, error_s, delay_s, alone) in enumerate(line, 1):
        edge_s = number * TAKT_S
        if happening == "extra frame":
            count += 1
            frames.append(frame(count, edge_s - TAKT_S / 2, count))
        if happening != "frame lost":
            count += 1
            # the frame's number is the part it really shows
            frames.append(Frame("c1", number, edge_s + delay_s, IMAGE, count))
        part = trigger(number, edge_s + error_s)
        candidates = [f for f in frames if pairing.is_candidate(part, f)]
        if candidates and pairing.take(part, candidates[0], alone) is None:
            assert candidates[0].number == number


@pytest.mark.parametrize("mode", ["software", "free_run"])
def test_a_frame_that_may_show_the_next_part_is_not_taken(mode: TriggerMode) -> None:
    pairing = Pairing(mode, TAKT_S)
    late = frame(5, 10.0 + TAKT_S + 0.001)
    assert not pairing.is_candidate(trigger(1, 10.0), late)
    assert pairing.latest_s(trigger(1, 10.0), 99.0) == 10.0 + TAKT_S
