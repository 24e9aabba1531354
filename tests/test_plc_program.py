"""The PLC's program, scan by scan: what is counted, taken and decided, and what never is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.plc.blocks import Control, StatusFlags
from edge.plc.images import Counted, EyeEdge, Refused, Taken
from edge.plc.program import Site
from edge.terms import MAP_VERSION, Mode
from tests.scanned_plc import PROGRAMS, SITE, WAY_MM, Maker, Plc


@pytest.fixture(params=PROGRAMS)
def made(request: pytest.FixtureRequest) -> Maker:
    """The program in both its languages."""
    return PROGRAMS[request.param]


@pytest.fixture
def plc(made: Maker) -> Plc:
    """A PLC that has been up for two seconds with a node that is ready."""
    return Plc(made(SITE, 7)).run(200)


def test_a_part_is_counted_with_its_age_and_recipe(plc: Plc) -> None:
    plc.scan(eye=[plc.edge()])
    assert plc.block.agrees
    assert (plc.block.counter, plc.block.recipe, plc.block.trigger_age_ms) == (1, 1, 5)
    plc.run(10)
    assert plc.block.trigger_age_ms == 105
    assert (plc.block.map_version, plc.block.plc_start) == (MAP_VERSION, 7)
    assert plc.block.control == Control.LINE_RUNNING | Control.ENABLE


def test_the_age_saturates(plc: Plc) -> None:
    assert plc.block.trigger_age_ms == 0xFFFF
    plc.scan(eye=[plc.edge()])
    plc.now_s += 100
    plc.scan()
    assert plc.block.trigger_age_ms == 0xFFFF


def test_the_heartbeat_changes_with_every_scan(plc: Plc) -> None:
    beats = {plc.scan().block[6] for _ in range(50)}
    assert len(beats) == 50


def test_an_ok_is_taken_once_echoed_and_opens_the_gate(plc: Plc) -> None:
    rising_mm = plc.part()
    plc.answer(1, 1)
    plc.run(5)
    assert [r.number for r in plc.records if isinstance(r, Taken)] == [1]
    assert (plc.block.result_taken, plc.block.word_taken) == (1, 17)
    assert not plc.out.gate_pass
    assert plc.to_gate(rising_mm).gate_pass
    assert plc.settled() == [(1, "pass", "ok")]
    assert plc.counters.rejected == 0


@pytest.mark.parametrize("code", [2, 3, 4, 9, 15])
def test_every_code_but_ok_is_rejected(plc: Plc, code: int) -> None:
    rising_mm = plc.part()
    plc.answer(1, code)
    assert plc.block.word_taken == 16 + code
    assert not plc.to_gate(rising_mm).gate_pass
    assert plc.counters.rejected == 1


def test_a_part_without_a_verdict_is_rejected(plc: Plc) -> None:
    assert not plc.to_gate(plc.part()).gate_pass
    assert plc.settled() == [(1, "reject", "no_verdict")]


def test_a_torn_result_waits_until_number_and_word_agree(plc: Plc) -> None:
    rising_mm = plc.part()
    plc.result = (1, 2 * 16 + 1)
    plc.run(3)
    assert plc.block.result_taken == 0
    plc.result = (0, 16 + 1)
    plc.run(3)
    assert plc.block.result_taken == 0
    plc.answer(1, 1)
    assert plc.to_gate(rising_mm).gate_pass


def test_undefined_is_no_verdict(plc: Plc) -> None:
    plc.part()
    plc.answer(1, 0)
    assert plc.block.word_taken == 0
    plc.answer(1, 1)
    assert plc.block.word_taken == 17


def test_a_second_verdict_for_a_part_is_refused(plc: Plc) -> None:
    rising_mm = plc.part()
    plc.answer(1, 2)
    plc.answer(1, 1)
    assert [r.why for r in plc.records if isinstance(r, Refused)] == ["conflict"]
    assert not plc.to_gate(rising_mm).gate_pass


def test_a_verdict_for_a_part_that_never_was_is_refused(plc: Plc) -> None:
    plc.part()
    plc.answer(2, 1)
    assert [r.why for r in plc.records if isinstance(r, Refused)] == ["never_triggered"]
    assert plc.block.result_taken == 0


def test_a_verdict_after_the_gate_is_refused(plc: Plc) -> None:
    plc.to_gate(plc.part())
    plc.answer(1, 1)
    assert [r.why for r in plc.records if isinstance(r, Refused)] == ["gone"]
    assert not plc.out.gate_pass


def test_a_result_that_lay_there_before_the_part_came_is_not_its_verdict(plc: Plc) -> None:
    plc.answer(1, 1)
    rising_mm = plc.part()
    plc.run(3)
    assert plc.block.result_taken == 0
    assert not plc.to_gate(rising_mm).gate_pass


def test_verdicts_out_of_order_go_to_their_own_parts(plc: Plc) -> None:
    first_mm = plc.part()
    plc.run(12)
    second_mm = plc.part()
    plc.answer(2, 1)
    plc.answer(1, 2)
    assert not plc.to_gate(first_mm).gate_pass
    assert plc.to_gate(second_mm).gate_pass
    assert plc.settled() == [(1, "reject", "ng"), (2, "pass", "ok")]


@pytest.mark.parametrize("before", [0xFFFE, 0xFFFF, 0x1FFFF])
def test_numbers_go_on_past_65535(made: Maker, before: int) -> None:
    plc = Plc(made(SITE, 1, counter=before)).run(200)
    rising_mm = plc.part()
    assert (plc.block.counter, plc.block.agrees) == (before + 1, True)
    plc.answer(before + 1, 1)
    assert plc.to_gate(rising_mm).gate_pass


def test_a_silent_node_has_every_part_rejected(plc: Plc) -> None:
    rising_mm = plc.part()
    plc.answer(1, 1)
    plc.beating = False
    plc.now_s += 1.3
    plc.scan()
    assert not plc.to_gate(rising_mm).gate_pass
    assert plc.settled() == [(1, "reject", "heartbeat")]


def test_no_verdict_is_taken_from_a_node_whose_heartbeat_stands(plc: Plc) -> None:
    plc.beating = False
    plc.run(130)
    plc.part()
    plc.answer(1, 1)
    assert plc.block.result_taken == 0
    plc.beating = True
    plc.run(30)
    assert plc.block.result_taken == 1


def test_nothing_is_taken_in_the_first_second_after_power_up(made: Maker) -> None:
    plc = Plc(made(SITE, 7))
    plc.part()
    plc.run(30)
    plc.answer(1, 1)
    assert plc.block.result_taken == 0


def test_the_line_stops_when_the_node_is_silent_for_the_set_time(made: Maker) -> None:
    plc = Plc(made(Site(stop_after_s=3.0), 1)).run(100)
    plc.beating = False
    assert plc.run(250).out.run
    assert not plc.run(100).out.run
    assert Control.LINE_RUNNING not in plc.block.control


def test_a_node_that_is_not_ready_has_its_parts_counted_and_rejected(plc: Plc) -> None:
    plc.status = 1
    plc.scan()
    rising_mm = plc.part()
    plc.status = 1 | StatusFlags.TRIGGER_READY
    plc.answer(1, 1)
    assert plc.block.counter == 1
    assert not plc.to_gate(rising_mm).gate_pass
    assert plc.settled() == [(1, "reject", "not_ready")]


def test_the_bypass_key_passes_parts_uninspected_and_counts_them(plc: Plc) -> None:
    plc.keys["bypass"] = True
    rising_mm = plc.part()
    assert plc.block.mode is Mode.BYPASS
    assert plc.to_gate(rising_mm).gate_pass
    assert plc.counters.bypassed == 1


def test_the_keys_mean_the_next_part_never_one_on_its_way(plc: Plc) -> None:
    rising_mm = plc.part()
    plc.keys["bypass"] = True
    plc.run(5)
    assert plc.block.mode is Mode.AUTO
    assert not plc.to_gate(rising_mm).gate_pass


def test_monitor_takes_verdicts_and_passes_everything(plc: Plc) -> None:
    plc.keys["monitor"] = True
    rising_mm = plc.part()
    plc.answer(1, 2)
    assert (plc.block.mode, plc.block.word_taken) == (Mode.MONITOR, 18)
    assert plc.to_gate(rising_mm).gate_pass


def test_a_golden_sample_is_rejected_even_when_it_is_ok(plc: Plc) -> None:
    plc.keys["sample"] = True
    plc.scan()
    plc.keys["sample"] = False
    rising_mm = plc.part()
    assert plc.block.mode is Mode.SAMPLE
    plc.answer(1, 1)
    assert not plc.to_gate(rising_mm).gate_pass
    plc.part()
    assert plc.block.control & Control.SAMPLE_PART == 0


def test_a_stop_request_stops_the_line_until_a_person_presses_reset(plc: Plc) -> None:
    plc.status |= StatusFlags.STOP_REQUEST
    assert not plc.scan().run
    plc.keys["reset"] = True
    assert not plc.scan().run  # the node has not heard of it yet
    plc.keys["reset"] = False
    assert not plc.scan().run
    plc.status &= ~StatusFlags.STOP_REQUEST
    assert plc.scan().run


def test_a_stop_outlives_the_node_that_asked_for_it(plc: Plc) -> None:
    plc.status |= StatusFlags.STOP_REQUEST
    plc.scan()
    plc.status &= ~StatusFlags.STOP_REQUEST  # the node died and came back
    assert not plc.run(100).out.run
    plc.keys["reset"] = True
    assert plc.scan().run


@pytest.mark.parametrize("made", PROGRAMS.values(), ids=list(PROGRAMS))
@given(written=st.lists(st.lists(st.integers(0, 0xFFFF), min_size=10, max_size=10), max_size=5))
@settings(deadline=None)  # hundreds of scans each
def test_nothing_that_a_node_writes_turns_the_bypass_on(
    made: Maker, written: list[list[int]]
) -> None:
    plc = Plc(made(SITE, 7)).run(150)
    for registers in written:
        plc.registers = tuple(registers)
        plc.part()
        assert plc.out.block[0] & (Control.BYPASS | Control.MONITOR | Control.SAMPLE_PART) == 0
    counted = [one for one in plc.records if isinstance(one, Counted)]
    assert {one.mode for one in counted} <= {Mode.AUTO}
    assert len(counted) == len(written)


def test_touching_parts_make_one_number_and_are_rejected(plc: Plc) -> None:
    rising_mm = plc.part(length_mm=181.0)
    plc.answer(1, 1)
    assert plc.block.counter == 1
    assert not plc.to_gate(rising_mm).gate_pass
    assert plc.settled() == [(1, "reject", "length")]


def test_a_bouncing_eye_counts_one_part_of_the_right_length(plc: Plc) -> None:
    first = plc.edge()
    bounced = [first]
    bounced += [
        EyeEdge(first.at_s + n / 1000, first.encoder_mm + n * 0.76, n % 2 == 0) for n in (1, 2)
    ]
    plc.scan(eye=bounced)
    while plc.at_mm + WAY_MM < first.encoder_mm + 91:
        plc.scan()
    plc.scan(eye=[EyeEdge(plc.now_s, first.encoder_mm + 91, False)])
    plc.answer(1, 1)
    assert plc.block.counter == 1
    assert plc.to_gate(first.encoder_mm).gate_pass


def test_a_part_that_was_past_the_eye_at_power_up_is_not_counted_when_the_belt_runs_back(
    plc: Plc,
) -> None:
    plc.scan(eye=[EyeEdge(plc.now_s, plc.at_mm - 50, True)], way_mm=-100.0)
    plc.scan(eye=[EyeEdge(plc.now_s, plc.at_mm + 50, False)], way_mm=100.0)
    assert plc.block.counter == 0


def test_what_a_belt_running_back_repeats_is_not_counted(plc: Plc) -> None:
    rising_mm = plc.part()
    plc.run(3)
    plc.scan(eye=[EyeEdge(plc.now_s, rising_mm + 91, True)], way_mm=-30.0)
    plc.scan(eye=[EyeEdge(plc.now_s, rising_mm + 91, False)], way_mm=30.0)
    plc.answer(1, 1)
    assert plc.block.counter == 1
    assert plc.to_gate(rising_mm).gate_pass


@pytest.mark.parametrize("made", PROGRAMS.values(), ids=list(PROGRAMS))
@given(
    written=st.lists(
        st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.booleans()), max_size=60
    )
)
@settings(deadline=None)  # 250 scans each
def test_no_registers_whatever_open_the_gate_for_a_part_without_its_ok(
    made: Maker, written: list[tuple[int, int, bool]]
) -> None:
    plc = Plc(made(SITE, 7)).run(150)
    rising_mm = plc.part()
    for number, word, small in written:
        plc.result = (number % 4, word % 64) if small else (number, word)
        plc.scan()
    if not any(isinstance(r, Taken) and r.word == 17 for r in plc.records):
        assert not plc.to_gate(rising_mm).gate_pass
