"""Which frame may show which part: the rules of edge.pairing, one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.pairing import Pairing
from edge.terms import Frame, Mode, Part, Reason, Trigger, TriggerMode

IMAGE = np.zeros((2, 2), np.uint8)
TAKT_S = 0.25
ERROR_S = 0.02


def trigger(number: int, edge_s: float) -> Trigger:
    return Trigger(Part("s1", 1, number), edge_s, ERROR_S, Mode.AUTO, 1)


def frame(number: int, exposed_s: float, count: int | None = None) -> Frame:
    return Frame("c1", number, exposed_s, IMAGE, count)


def taken(pairing: Pairing, number: int, count: int | None, alone: bool = True) -> Reason | None:
    """The part of second `number` gets the frame that its sensor fired."""
    part, shown = trigger(number, float(number)), frame(number, number + 0.01, count)
    pairing.expect(part)
    assert pairing.is_candidate(part, shown)
    return pairing.take(part, shown, [shown], alone)


def test_the_first_frame_after_the_edge_shows_a_standing_part() -> None:
    pairing = Pairing("software", 0.06)
    part, shown = trigger(1, 10.0), frame(1, 10.001)
    assert not pairing.is_candidate(part, frame(0, 9.999))
    assert pairing.is_candidate(part, shown)
    assert pairing.take(part, shown, [shown], alone=False) is None


def test_a_frame_is_never_given_to_two_parts() -> None:
    pairing = Pairing("free_run", 0.6)
    shared = frame(1, 10.5)
    assert pairing.take(trigger(1, 10.0), shared, [shared], alone=True) is None
    assert not pairing.is_candidate(trigger(2, 10.4), shared)


@pytest.mark.parametrize("offset_s", [0.0, 0.5])
def test_a_moving_part_takes_only_a_frame_inside_its_window(offset_s: float) -> None:
    pairing = Pairing("hardware", 0.06, offset_s)
    part = trigger(1, 10.0)
    assert not pairing.is_candidate(part, frame(0, 9.97 + offset_s, 1))
    assert pairing.is_candidate(part, frame(0, 9.985 + offset_s, 1))
    assert pairing.is_candidate(part, frame(0, 10.059 + offset_s, 1))
    assert not pairing.is_candidate(part, frame(0, 10.061 + offset_s, 1))


def test_a_moving_parts_window_ends_before_the_next_part_can_be_there() -> None:
    pairing = Pairing("hardware", tolerance_s=0.5, takt_s=0.1)
    assert pairing.is_candidate(trigger(1, 10.0), frame(0, 10.079, 1))
    assert not pairing.is_candidate(trigger(1, 10.0), frame(0, 10.081, 1))


@pytest.mark.parametrize("mode", ["software", "free_run"])
@pytest.mark.parametrize("offset_s", [0.0, 0.5])
def test_a_standing_parts_window_ends_before_the_next_part_can_be_there(
    mode: TriggerMode, offset_s: float
) -> None:
    pairing = Pairing(mode, TAKT_S, offset_s)
    part = trigger(1, 10.0)
    assert pairing.window(part) == pytest.approx((10.0 + offset_s, 10.23 + offset_s))
    pairing.expect(part)
    pairing.expect(trigger(2, 10.2))
    assert pairing.window(part) == pytest.approx((10.0 + offset_s, 10.18 + offset_s))


def test_a_frame_that_may_be_younger_than_it_says_is_not_of_a_part_that_may_be_gone() -> None:
    pairing = Pairing("free_run", 1.0, delay_s=0.3)
    part = trigger(1, 10.0)
    pairing.expect(part)
    assert pairing.is_candidate(part, frame(0, 10.679))
    assert not pairing.is_candidate(part, frame(0, 10.681))
    pairing.expect(trigger(2, 10.5))
    assert pairing.is_candidate(part, frame(0, 10.179))
    assert not pairing.is_candidate(part, frame(0, 10.181)), "the next part may be in it"


def test_a_standing_part_that_had_left_when_its_frame_was_exposed_is_doubtful_afterwards() -> None:
    pairing = Pairing("free_run", 1.0)
    part, shown = trigger(1, 10.0), frame(1, 10.3)
    pairing.expect(part)
    assert pairing.take(part, shown, [shown], alone=True) is None
    assert not pairing.is_doubtful(part, shown, [shown])
    pairing.expect(trigger(2, 10.31))
    assert pairing.is_doubtful(part, shown, [shown])


def test_a_camera_without_a_trigger_count_is_not_trusted_on_moving_parts() -> None:
    assert taken(Pairing("hardware", 0.06), 1, None) is Reason.PAIRING


def test_a_first_distance_is_believed_of_a_part_alone_on_its_way() -> None:
    assert taken(Pairing("hardware", 0.06), 1, 11, alone=True) is None


def test_else_it_is_believed_once_two_parts_in_a_row_show_it() -> None:
    pairing = Pairing("hardware", 0.06)
    assert taken(pairing, 1, 11, alone=False) is Reason.PAIRING
    assert taken(pairing, 2, 12, alone=False) is None


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("jump", [-1, 1, 2, 100])
def test_an_extra_or_lost_camera_trigger_makes_parts_undecided_until_two_agree(
    jump: int, alone: bool
) -> None:
    pairing = Pairing("hardware", 0.06)
    assert taken(pairing, 1, 1) is None
    assert taken(pairing, 2, 2 + jump, alone) is Reason.PAIRING
    assert taken(pairing, 3, 3 + 2 * jump, alone) is Reason.PAIRING
    assert taken(pairing, 4, 4 + 2 * jump, alone) is None


def test_numbers_that_went_by_leave_the_distance_as_it_is() -> None:
    pairing = Pairing("hardware", 0.06)
    assert taken(pairing, 1, 1) is None
    assert taken(pairing, 9, 9, alone=False) is None


def test_after_a_new_count_a_distance_must_be_learnt_again() -> None:
    pairing = Pairing("hardware", 0.06)
    assert taken(pairing, 1, 1) is None
    pairing.lose()
    assert taken(pairing, 2, 2, alone=False) is Reason.PAIRING


def test_of_two_frames_in_one_window_none_is_trusted() -> None:
    pairing = Pairing("hardware", 0.06)
    assert taken(pairing, 1, 1) is None
    part, stray, own = trigger(2, 2.0), frame(2, 1.99, 2), frame(3, 2.01, 3)
    pairing.expect(part)
    assert pairing.take(part, stray, [stray, own], alone=True) is Reason.PAIRING


def test_a_second_frame_that_comes_after_the_first_was_taken_makes_that_doubtful() -> None:
    pairing = Pairing("hardware", 0.06)
    assert taken(pairing, 1, 1) is None
    part, stray, own = trigger(2, 2.0), frame(2, 1.99, 2), frame(3, 2.01, 3)
    pairing.expect(part)
    assert pairing.take(part, stray, [stray], alone=True) is None
    assert pairing.is_doubtful(part, stray, [stray, own])


def test_a_frame_in_the_windows_of_two_parts_is_nobodys() -> None:
    pairing = Pairing("hardware", 0.06)
    assert taken(pairing, 1, 1) is None
    part, shown = trigger(2, 2.0), frame(2, 2.03, 2)
    pairing.expect(part)
    pairing.expect(trigger(3, 2.04))
    assert pairing.take(part, shown, [shown], alone=False) is Reason.PAIRING


@given(
    st.sampled_from(["hardware", "software", "free_run"]),
    st.lists(
        st.tuples(
            st.sampled_from(["both", "frame lost", "extra frame"]),
            st.floats(0, ERROR_S),
            st.floats(ERROR_S, 0.05),
            st.booleans(),
        ),
        max_size=60,
    ),
)
def test_whatever_is_lost_or_added_no_part_gets_another_parts_picture(
    mode: TriggerMode, line: list[tuple[str, float, float, bool]]
) -> None:
    pairing = Pairing(mode, 0.06, takt_s=TAKT_S)
    frames: list[Frame] = []
    count = 0
    for number, (happening, error_s, delay_s, alone) in enumerate(line, 1):
        edge_s = number * TAKT_S
        if happening == "extra frame":
            count += 1
            frames.append(frame(number - 1, edge_s - TAKT_S / 2, count))
        if happening != "frame lost":
            count += 1
            # the frame's number is the part it really shows
            frames.append(frame(number, edge_s + delay_s, count))
        part = trigger(number, edge_s + error_s)
        pairing.expect(part)
        candidates = [f for f in frames if pairing.is_candidate(part, f)]
        if candidates and pairing.take(part, candidates[0], frames, alone) is None:
            assert candidates[0].number == number
