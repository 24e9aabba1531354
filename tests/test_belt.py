"""The belt's physics: what breaks a beam, what the camera sees, where a plate lands."""

from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.simulation.belt import Belt, BinPulse, Edge, Event, Exposure, Joined, Landed, Layout

SPEED = 760.0
T = TypeVar("T")


def of(kind: type[T], events: list[Event]) -> list[T]:
    return [event for event in events if isinstance(event, kind)]


def loaded(*places_mm: float) -> Belt:
    belt = Belt(Layout(), SPEED)
    for plate, x_mm in enumerate(places_mm):
        belt.put(plate, x_mm)
    return belt


def test_a_plate_is_seen_by_both_eyes_and_photographed_in_the_middle() -> None:
    belt = loaded(-400.0)
    layout = belt.layout
    events = belt.advance(1.5)
    rising = [e for e in of(Edge, events) if e.rising]
    assert [e.at_gate for e in rising] == [False, True]
    way = [layout.eye_mm - 45 + 400, layout.gate_eye_mm - 45 + 400]
    assert [e.at_s * SPEED for e in rising] == pytest.approx(way)
    assert [e.encoder_mm for e in rising] == pytest.approx(way)
    (exposure,) = of(Exposure, events)
    assert exposure.at_s == pytest.approx(400 / SPEED)
    assert exposure.placed[0] == pytest.approx((0, 0.0))
    assert exposure.at_s - rising[0].at_s == pytest.approx(layout.trigger_travel_mm / SPEED)


def test_a_beam_stays_broken_for_the_length_of_the_plate() -> None:
    falling, rising = sorted(
        (e for e in of(Edge, loaded(-400.0).advance(1.5)) if not e.at_gate), key=lambda e: e.rising
    )
    assert falling.encoder_mm - rising.encoder_mm == pytest.approx(91.0)


def test_without_power_the_gate_points_to_the_reject_bin() -> None:
    events = loaded(-400.0).advance(3.0)
    assert [e.bin for e in of(Landed, events)] == ["reject"]
    assert [e.good for e in of(BinPulse, events)] == [False]


def test_the_gate_counts_where_it_points_when_the_plate_is_in_it() -> None:
    belt = loaded(0.0)
    belt.advance(0.6)
    belt.point_gate(passes=True)
    assert of(Landed, belt.advance(0.63)) == []
    landed = of(Landed, belt.advance(1.0))
    assert [e.bin for e in landed] == ["good"]
    assert landed[0].at_s == pytest.approx(belt.layout.gate_mm / SPEED)


def test_a_gate_told_too_late_lets_the_plate_into_the_reject_bin() -> None:
    belt = loaded(0.0)
    lands_s = belt.layout.gate_mm / SPEED
    belt.advance(lands_s - belt.layout.gate_lag_s / 2)
    belt.point_gate(passes=True)
    assert [e.bin for e in of(Landed, belt.advance(1.0))] == ["reject"]


def test_touching_plates_make_one_pulse_and_one_picture_with_both() -> None:
    events = loaded(-200.0, -290.0).advance(2.0)
    assert sum(e.rising and not e.at_gate for e in of(Edge, events)) == 1
    assert [(e.plate, e.first) for e in of(Joined, events)] == [(1, 0)]
    (exposure,) = of(Exposure, events)
    assert [plate for plate, _ in exposure.placed] == [0, 1]
    assert len(of(Landed, events)) == 2


def test_a_bouncing_eye_fires_the_camera_twice() -> None:
    belt = loaded(-100.0)
    belt.bounce_next = True
    events = belt.advance(1.0)
    edges = [e for e in of(Edge, events) if not e.at_gate]
    assert [e.rising for e in edges] == [True, False, True, False]
    assert [e.plate for e in edges] == [0, None, None, 0]
    assert [e.count for e in of(Exposure, events)] == [1, 2]


def test_a_belt_running_back_breaks_the_beam_again() -> None:
    belt = loaded(0.0)
    belt.advance(0.2)  # the plate's end is past the eye
    belt.aim(-SPEED)
    assert of(Landed, belt.advance(0.9)) == []
    belt.aim(SPEED)
    events = belt.advance(3.0)
    assert len([e for e in of(Edge, events) if not e.at_gate]) >= 1
    assert len(of(Landed, events)) == 1


@given(st.lists(st.floats(0.0005, 0.3), min_size=1, max_size=40))
def test_events_do_not_depend_on_how_time_is_cut(steps: list[float]) -> None:
    whole, cut = loaded(-400.0, -580.0), loaded(-400.0, -580.0)
    now_s, pieces = 0.0, list[Event]()
    for step in steps:
        now_s += step
        pieces += cut.advance(now_s)
    expected = whole.advance(now_s)
    assert [type(e) for e in pieces] == [type(e) for e in expected]
    assert [e.at_s for e in pieces] == pytest.approx([e.at_s for e in expected])


@given(st.floats(-90.0, 50.0))
def test_the_next_exposure_is_foreseen(x_mm: float) -> None:
    belt = loaded(x_mm)
    foreseen_s = belt.next_exposure_s()
    exposures = of(Exposure, belt.advance(1.0))
    if foreseen_s is None:
        assert exposures == []
    else:
        assert exposures[0].at_s == pytest.approx(foreseen_s)


def test_a_picture_taken_late_shows_the_plate_displaced() -> None:
    belt = loaded(-10.6)  # the eye sees it at -10.5
    belt.slip_encoder(20.0)  # the camera's delay counts encoder travel, so it fires 20 mm late
    (exposure,) = of(Exposure, belt.advance(0.2))
    assert exposure.placed[0][1] == pytest.approx(20.0, abs=0.5)


def test_an_encoder_that_slips_counts_less_than_the_belt_moved() -> None:
    belt = loaded()
    belt.slip_encoder(60.0)
    belt.advance(1.0)
    assert belt.travel_mm == pytest.approx(SPEED)
    assert belt.encoder_mm == pytest.approx(SPEED - 60.0)


def test_an_encoder_that_spins_counts_more_than_the_belt_moved() -> None:
    belt = loaded()
    belt.slip_encoder(-60.0)
    belt.advance(1.0)
    assert belt.encoder_mm == pytest.approx(SPEED + 60.0)


def test_the_drive_ramps() -> None:
    belt = loaded()
    belt.aim(0.0)
    belt.advance(0.1)
    assert 0 < belt.speed_mm_s < SPEED
    belt.advance(1.0)
    assert belt.speed_mm_s == 0.0


def test_a_part_is_added_only_where_one_fits() -> None:
    assert loaded(150.0, 320.0).place_between() is None
    belt = loaded(150.0, 342.0)
    x_mm = belt.place_between()
    assert x_mm == pytest.approx(246.0)


def test_a_part_is_never_added_where_one_was_taken_away() -> None:
    belt = loaded(110.0, 225.0, 340.0)
    assert belt.between() == [2, 1, 0]
    assert belt.place_between() is None
    belt.remove(1)
    assert belt.place_between() is None
    belt.advance(0.02)
    assert belt.place_between() is None


def test_a_plate_slips_only_into_free_room() -> None:
    belt = loaded(120.0, 310.0)
    assert not belt.slip(1, 120.0)
    assert belt.slip(1, 60.0)
    assert belt.plates[1] == pytest.approx(250.0)


def test_a_dead_cylinder_sends_everything_to_the_good_bin() -> None:
    belt = loaded(0.0)
    belt.gate_stuck = True
    assert [e.bin for e in of(Landed, belt.advance(1.0))] == ["good"]


def test_a_full_bin_gives_no_pulse() -> None:
    belt = loaded(0.0, -190.0)
    belt.bin_room = 1
    events = belt.advance(2.0)
    assert len(of(Landed, events)) == 2
    assert len(of(BinPulse, events)) == 1
    assert belt.bin_full


def test_a_fast_belt_moves_the_gate_downstream() -> None:
    layout = Layout().for_speed(1900.0)
    assert layout.gate_mm / 1900.0 == pytest.approx(0.64)
    assert layout.gate_mm - layout.gate_eye_mm == pytest.approx(60.0)
