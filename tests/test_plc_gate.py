"""The PLC's program at the gate: tracking that explains every part, bins that confirm it."""

import pytest

from edge.plc.blocks import Control, LineCounters
from edge.plc.images import EyeEdge
from tests.scanned_plc import FAR_MM, SITE, WAY_MM, Plc


@pytest.fixture
def plc() -> Plc:
    """A PLC that has been up for two seconds with a node that is ready."""
    return Plc().run(200)


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


def test_parts_behind_the_fault_are_trusted_again(plc: Plc) -> None:
    plc.scan(gate=[plc.edge()])
    rising_mm = plc.part()
    plc.answer(1, 1)
    assert plc.to_gate(rising_mm).gate_pass


def test_parts_on_the_belt_at_power_up_are_rejected_and_doubt_nobody() -> None:
    plc = Plc()
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
