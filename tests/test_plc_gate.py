"""The PLC's program at the gate: tracking that explains every part, bins that confirm it."""

import pytest

from edge.plc.blocks import Control, LineCounters
from edge.plc.images import EyeEdge
from edge.plc.program import Program, Site
from tests.scanned_plc import FAR_MM, PROGRAMS, SITE, WAY_MM, Maker, Plc


@pytest.fixture(params=PROGRAMS)
def made(request: pytest.FixtureRequest) -> Maker:
    """The program in both its languages."""
    return PROGRAMS[request.param]


@pytest.fixture
def plc(made: Maker) -> Plc:
    """A PLC that has been up for two seconds with a node that is ready."""
    return Plc(made(SITE, 7)).run(200)


@pytest.mark.parametrize(("off_mm", "passes"), [(-19.0, True), (19.0, True), (-21.0, False)])
def test_a_part_must_come_in_its_window(plc: Plc, off_mm: float, passes: bool) -> None:
    rising_mm = plc.part()
    plc.answer(1, 1)
    assert plc.to_gate(rising_mm, off_mm).gate_pass is passes


def test_a_part_too_many_makes_all_on_their_way_doubtful(plc: Plc) -> None:
    rising_mm = plc.part()
    plc.answer(1, 1)
    plc.to_gate(rising_mm, -150.0)
    assert not plc.to_gate(rising_mm).gate_pass
    assert plc.settled() == [(None, "reject", "unexplained"), (1, "reject", "tracking")]
    assert plc.counters.reject_faults == 1


def test_a_missing_part_is_dropped_and_makes_those_behind_doubtful(plc: Plc) -> None:
    first_mm = plc.part()
    plc.answer(1, 1)
    plc.run(10)
    second_mm = plc.part()
    plc.answer(2, 1)
    while plc.at_mm < first_mm + FAR_MM + 30:
        plc.scan()
    assert not plc.to_gate(second_mm).gate_pass
    assert plc.settled() == [(1, "lost", "lost"), (2, "reject", "tracking")]


def fed(plc: Plc, parts: int) -> list[float]:
    """So many good parts pass the eye 137 mm apart, the first is not at the gate eye yet."""
    places = []
    for number in range(plc.block.counter + 1, plc.block.counter + parts + 1):
        plc.run(4)
        places.append(plc.part())
        plc.answer(number, 1)
    return places


def told(plc: Plc) -> list[str]:
    """What became of every part, in short."""
    return [f"{number} {why}" for number, _, why in plc.settled()]


def test_a_part_that_slid_back_is_lost_alone(plc: Plc) -> None:
    first_mm, second_mm, third_mm = fed(plc, 3)
    assert not plc.to_gate(first_mm, 50.0).gate_pass
    assert plc.to_gate(second_mm).gate_pass
    plc.run(6)
    plc.scan(pulses=(0, 1))
    plc.scan(pulses=(1, 0))
    assert plc.to_gate(third_mm).gate_pass
    assert told(plc) == ["1 lost", "None unexplained", "2 ok", "3 ok"]
    assert plc.counters.reject_faults == 2
    assert plc.counters.rejected == 1


def test_parts_that_slid_back_one_after_the_other_cast_no_doubt_on_the_next(plc: Plc) -> None:
    first_mm, second_mm, third_mm = fed(plc, 3)
    plc.to_gate(first_mm, 50.0)
    plc.to_gate(second_mm, 40.0)
    assert plc.to_gate(third_mm).gate_pass


def test_a_part_held_up_by_a_whole_pitch_does_not_pass_as_the_next(plc: Plc) -> None:
    _, second_mm, third_mm = fed(plc, 3)
    plc.to_gate(second_mm)  # the first, or the second: nobody can know
    plc.to_gate(third_mm)
    assert told(plc) == ["1 lost", "2 tracking", "3 tracking"]


def test_one_that_comes_late_does_not_explain_two_that_are_missing(plc: Plc) -> None:
    _, second_mm, third_mm = fed(plc, 3)
    plc.to_gate(second_mm, 50.0)
    assert not plc.to_gate(third_mm).gate_pass
    assert told(plc) == ["1 lost", "2 lost", "None unexplained", "3 tracking"]


def test_one_that_comes_late_explains_no_two_to_a_part_counted_before_it_came(plc: Plc) -> None:
    _, second_mm, third_mm = fed(plc, 3)
    while plc.at_mm < second_mm + FAR_MM + 22.0:
        plc.scan()
    leading = plc.edge()
    plc.scan(eye=[leading])
    plc.scan(gate=[plc.edge()])
    while plc.at_mm + WAY_MM < leading.encoder_mm + 82.0:
        plc.scan()
    plc.scan(eye=[EyeEdge(plc.now_s, leading.encoder_mm + 82.0, False)])
    plc.to_gate(third_mm)
    plc.answer(4, 1)
    assert not plc.to_gate(leading.encoder_mm).gate_pass
    assert told(plc)[2:] == ["None unexplained", "3 tracking", "4 tracking"]


def test_a_second_stranger_behind_a_missing_part_makes_those_behind_doubtful(plc: Plc) -> None:
    first_mm, second_mm = fed(plc, 2)
    plc.to_gate(first_mm, 22.0)
    plc.scan(gate=[plc.edge()])
    assert not plc.to_gate(second_mm).gate_pass
    assert told(plc)[1:] == ["None unexplained", "None unexplained", "2 tracking"]


def test_a_stranger_behind_a_part_in_its_place_is_not_the_missing_one(plc: Plc) -> None:
    [first_mm] = fed(plc, 1)
    plc.run(12)
    [second_mm] = fed(plc, 1)
    while plc.at_mm < first_mm + FAR_MM + 22.0:
        plc.scan()
    [third_mm] = fed(plc, 1)
    plc.to_gate(second_mm)
    plc.scan(gate=[plc.edge()])
    plc.to_gate(third_mm)
    assert told(plc) == ["1 lost", "2 tracking", "None unexplained", "3 tracking"]


def test_a_missing_part_that_comes_late_takes_back_no_doubt_there_was_before(plc: Plc) -> None:
    first_mm, second_mm = fed(plc, 2)
    plc.scan(gate=[plc.edge()])
    plc.to_gate(first_mm, 50.0)
    assert not plc.to_gate(second_mm).gate_pass
    assert told(plc) == ["None unexplained", "1 lost", "None unexplained", "2 tracking"]


def test_a_missing_part_that_comes_late_takes_back_no_doubt_about_the_encoder(plc: Plc) -> None:
    first_mm, second_mm = fed(plc, 2)
    while plc.at_mm < first_mm + FAR_MM + 22.0:
        plc.scan()
    leading = plc.edge()
    plc.scan(eye=[leading])
    plc.run(3)
    plc.scan(eye=[EyeEdge(plc.now_s, leading.encoder_mm + 30.0, False)])  # far too short
    plc.scan(gate=[plc.edge()])
    assert not plc.to_gate(second_mm).gate_pass
    assert told(plc) == ["1 lost", "None unexplained", "2 tracking"]


def test_a_missing_part_that_comes_late_takes_back_no_doubt_of_the_gate_eye(plc: Plc) -> None:
    first_mm, second_mm, third_mm = fed(plc, 3)
    plc.to_gate(first_mm, 100.0)
    while plc.at_mm < second_mm + FAR_MM + 22.0:
        plc.scan()
    plc.scan(gate=[EyeEdge(plc.now_s, plc.at_mm + 1.0, False)])  # the first, far too short
    plc.scan(gate=[plc.edge()])
    assert not plc.to_gate(third_mm).gate_pass
    assert told(plc)[2:] == ["2 lost", "None unexplained", "3 tracking"]


def test_a_missing_part_that_comes_late_takes_back_no_doubt_about_too_many_parts() -> None:
    """The program follows 32 parts; the first is missing, then two more come than it can follow."""
    site = Site(part_mm=30.0, tolerance_mm=4.0, eye_to_gate_eye_mm=5000.0)
    plc = Plc(Program(site, 7)).run(200)
    first_mm = plc.part(length_mm=31.0)
    plc.answer(1, 1)
    for number in range(2, 35):
        while plc.at_mm < first_mm + 300.0 + 155.0 * (number - 2):
            plc.scan()
        plc.part(length_mm=31.0)
        plc.answer(number, 1)
    assert told(plc) == ["1 lost", "2 lost"]
    plc.scan(gate=[plc.edge()])
    while plc.at_mm + WAY_MM < first_mm + 300.0 + 155.0 + 5000.0:
        plc.scan()
    plc.scan(gate=[plc.edge()])
    assert told(plc)[2:] == ["None unexplained", "3 tracking"]


def test_what_was_missing_is_forgotten_when_the_belt_is_clear(plc: Plc) -> None:
    fed(plc, 1)
    plc.run(100)
    [second_mm] = fed(plc, 1)
    plc.to_gate(second_mm, -100.0)
    assert not plc.to_gate(second_mm).gate_pass
    assert told(plc) == ["1 lost", "None unexplained", "2 tracking"]


def standing(plc: Plc, scans: int = 12) -> None:
    """The belt moves on, and the encoder does not."""
    for _ in range(scans):
        plc.scan(way_mm=0.0)


@pytest.mark.parametrize("scans", [2, 12])
def test_an_encoder_that_stands_while_a_part_leaves_the_eye_makes_all_doubtful(
    plc: Plc, scans: int
) -> None:
    first_mm, second_mm = fed(plc, 2)
    leading = plc.edge()
    plc.scan(eye=[leading])
    standing(plc, scans)
    plc.scan(eye=[EyeEdge(plc.now_s, plc.at_mm, False)], way_mm=0.0)
    assert plc.counters.reject_faults == 1
    assert not plc.to_gate(first_mm).gate_pass
    assert not plc.to_gate(second_mm).gate_pass
    assert not plc.to_gate(leading.encoder_mm).gate_pass
    assert told(plc) == ["1 tracking", "2 tracking", "3 tracking"]


def test_an_encoder_that_stands_while_a_part_leaves_the_gate_eye_shuts_the_gate(plc: Plc) -> None:
    first_mm, second_mm = fed(plc, 2)
    while plc.at_mm + WAY_MM < first_mm + FAR_MM:
        plc.scan()
    plc.scan(gate=[EyeEdge(plc.now_s, first_mm + FAR_MM, True)])
    standing(plc)
    plc.scan(gate=[EyeEdge(plc.now_s, plc.at_mm, False)], way_mm=0.0)
    plc.run(7)
    assert not plc.out.gate_pass
    assert not plc.to_gate(second_mm).gate_pass
    assert told(plc) == ["1 ok", "2 tracking"]


def test_an_encoder_that_stands_between_two_parts_makes_all_doubtful(plc: Plc) -> None:
    first_mm, _ = fed(plc, 2)
    leading = plc.edge()
    plc.scan(eye=[leading])
    plc.run(11)
    way_mm = leading.encoder_mm + 88.0 - plc.at_mm
    plc.scan(eye=[EyeEdge(plc.now_s, plc.at_mm + way_mm, False)], way_mm=way_mm)
    standing(plc)
    plc.scan(eye=[EyeEdge(plc.now_s, plc.at_mm + 1.0, True)], way_mm=1.0)
    assert plc.block.counter == 3
    assert plc.counters.reject_faults == 1
    assert not plc.to_gate(first_mm).gate_pass


@pytest.mark.parametrize("scans", [0, 1])
def test_an_edge_that_comes_back_at_once_is_a_bounce_and_no_standing_encoder(
    plc: Plc, scans: int
) -> None:
    [first_mm] = fed(plc, 1)
    leading = plc.edge()
    plc.scan(eye=[leading])
    for rising in (False, True):
        standing(plc, scans)
        plc.scan(eye=[EyeEdge(plc.now_s, plc.at_mm, rising)], way_mm=0.0)
    assert plc.counters.reject_faults == 0
    assert plc.to_gate(first_mm).gate_pass


def test_parts_behind_the_fault_are_trusted_again(plc: Plc) -> None:
    plc.scan(gate=[plc.edge()])
    rising_mm = plc.part()
    plc.answer(1, 1)
    assert plc.to_gate(rising_mm).gate_pass


def test_parts_on_the_belt_at_power_up_are_rejected_and_doubt_nobody(made: Maker) -> None:
    plc = Plc(made(SITE, 7))
    rising_mm = plc.part()
    plc.scan(gate=[plc.edge()])
    assert plc.settled() == [(None, "reject", "unexplained")]
    plc.now_s += 1.0
    plc.run(30)
    plc.answer(1, 1)
    assert plc.to_gate(rising_mm).gate_pass


def test_the_gate_is_open_for_one_plate_only(plc: Plc) -> None:
    rising_mm = plc.part()
    plc.answer(1, 1)
    plc.to_gate(rising_mm)
    open_mm = 0.0
    while plc.out.gate_pass:
        open_mm = plc.at_mm - (rising_mm + FAR_MM)
        plc.scan()
    half = SITE.part_mm / 2
    assert open_mm > SITE.gate_eye_to_gate_mm + half  # its centre was through
    assert open_mm < SITE.gate_eye_to_gate_mm + 3 * half - WAY_MM  # a plate touching it: not yet


def test_a_part_that_measures_short_means_a_slipping_encoder(plc: Plc) -> None:
    first_mm = plc.part()
    plc.answer(1, 1)
    plc.run(10)
    plc.part(length_mm=60.0)
    assert not plc.to_gate(first_mm).gate_pass
    assert plc.settled()[0] == (1, "reject", "tracking")


def test_the_gate_shuts_for_a_stranger_right_behind_a_good_part(plc: Plc) -> None:
    rising_mm = plc.part()
    plc.answer(1, 1)
    assert plc.to_gate(rising_mm).gate_pass
    stranger = EyeEdge(plc.now_s + 0.001, rising_mm + FAR_MM + 97.0, True)
    while plc.at_mm + WAY_MM < stranger.encoder_mm:
        plc.scan()
    assert not plc.scan(gate=[stranger]).gate_pass
    plc.run(5)
    plc.scan(pulses=(0, 1))  # wherever the good part fell, the gate did what it was told
    assert plc.counters.reject_faults == 1
    assert plc.out.run


def test_the_gate_stays_shut_when_the_belt_runs_back_after_a_part(plc: Plc) -> None:
    rising_mm = plc.part()
    plc.answer(1, 1)
    plc.to_gate(rising_mm)
    while plc.at_mm < rising_mm + FAR_MM + 120.0:
        plc.scan()
    plc.scan(pulses=(1, 0), way_mm=-20.0)
    assert not plc.out.gate_pass


def test_what_is_known_of_forty_parts_before_is_not_known_of_the_next(plc: Plc) -> None:
    for number in range(1, 41):
        rising_mm = plc.part()
        plc.answer(number, 1)
        assert plc.to_gate(rising_mm).gate_pass
        plc.run(8)
        plc.scan(pulses=(1, 0))
    assert not plc.to_gate(plc.part()).gate_pass
    plc.run(8)
    plc.scan(pulses=(0, 1))
    leading = plc.edge()
    plc.scan(eye=[leading])
    plc.answer(42, 1)
    assert not plc.to_gate(leading.encoder_mm).gate_pass
    assert plc.settled()[-2:] == [(41, "reject", "no_verdict"), (42, "reject", "length")]


def confirmed(plc: Plc, code: int, good: int, reject: int) -> Plc:
    rising_mm = plc.part()
    plc.answer(1, code)
    plc.to_gate(rising_mm)
    plc.run(20)
    plc.scan(pulses=(good, reject))
    return plc


def test_bins_confirm_what_the_gate_was_told(plc: Plc) -> None:
    confirmed(plc, 1, 1, 0).run(100)
    assert plc.counters == LineCounters(1, 0, 0, 0, 0)
    assert plc.out.run


def test_a_confirmed_reject_is_counted(plc: Plc) -> None:
    confirmed(plc, 2, 0, 1).run(100)
    assert plc.counters == LineCounters(0, 1, 1, 0, 0)
    assert plc.out.run


def test_a_rejected_part_in_the_good_bin_stops_the_line_at_once(plc: Plc) -> None:
    confirmed(plc, 2, 1, 0)
    assert not plc.out.run
    assert Control.REJECT_FAULT in plc.block.control
    assert plc.counters == LineCounters(1, 1, 0, 0, 1)


def test_a_reject_that_no_sensor_confirms_stops_the_line(plc: Plc) -> None:
    confirmed(plc, 2, 0, 0)
    plc.run(100)
    assert not plc.out.run
    assert plc.counters == LineCounters(0, 1, 0, 0, 1)


@pytest.mark.parametrize(("good", "reject"), [(0, 0), (1, 0)])
def test_a_reset_button_that_is_stuck_keeps_no_fault_away(plc: Plc, good: int, reject: int) -> None:
    plc.keys["reset"] = True
    confirmed(plc, 2, good, reject).run(100)
    assert not plc.out.run
    assert plc.counters.reject_faults == 1
    plc.keys["reset"] = False
    assert not plc.run(60).out.run
    plc.keys["reset"] = True
    assert plc.scan().run


def test_a_part_in_the_good_bin_that_nobody_passed_stops_the_line(plc: Plc) -> None:
    plc.scan(pulses=(1, 0))
    assert not plc.out.run


def test_a_full_bin_stops_the_line_until_reset(plc: Plc) -> None:
    assert not plc.scan(bin_full=True).run
    plc.keys["reset"] = True
    assert plc.scan().run
    assert Control.RESET in plc.block.control
    plc.keys["reset"] = False
    plc.run(60)
    assert Control.RESET not in plc.block.control
