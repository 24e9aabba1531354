"""The PLC's program, scan by scan: what is counted, taken, passed, and everything that is not."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.plc.blocks import Control, LineCounters, PlcBlock
from edge.plc.images import EyeEdge, Inputs, Outputs, Refused, Settled, Taken
from edge.plc.program import STOP_REQUEST, TRIGGER_READY, Program, Site
from edge.terms import MAP_VERSION, Mode

SITE = Site()
SCAN_S = 0.01
WAY_MM = 7.6  # per scan: 760 mm/s
FAR_MM = SITE.eye_to_gate_eye_mm


@dataclass
class Plc:
    """The program on a moving belt: edges are given by their encoder place, scans follow."""

    program: Program = field(default_factory=lambda: Program(SITE, 7))
    now_s: float = 100.0
    at_mm: float = 0.0
    beating: bool = True
    status: int = 1 | TRIGGER_READY
    result: tuple[int, int] = (0, 0)
    keys: dict[str, bool] = field(default_factory=dict)
    out: Outputs = field(init=False)
    records: list[object] = field(default_factory=list)
    beats: int = 0

    def __post_init__(self) -> None:
        self.scan()

    def scan(
        self,
        eye: Sequence[EyeEdge] = (),
        gate: Sequence[EyeEdge] = (),
        pulses: tuple[int, int] = (0, 0),
        bin_full: bool = False,
        way_mm: float = WAY_MM,
    ) -> Outputs:
        self.now_s += SCAN_S
        self.at_mm += way_mm
        self.beats += self.beating
        node = (self.status, self.beats // 25, 0, 0, 0, 0, 0, 0, *self.result)
        inputs = Inputs(
            node=node,
            encoder_mm=self.at_mm,
            eye=tuple(eye),
            gate_eye=tuple(gate),
            good_pulses=pulses[0],
            reject_pulses=pulses[1],
            bin_full=bin_full,
            bypass_key=self.keys.get("bypass", False),
            monitor_key=self.keys.get("monitor", False),
            sample_button=self.keys.get("sample", False),
            reset_button=self.keys.get("reset", False),
        )
        self.out = self.program.scan(inputs, self.now_s)
        self.records += self.out.records
        return self.out

    def run(self, scans: int) -> "Plc":
        for _ in range(scans):
            self.scan()
        return self

    def edge(self, rising: bool = True) -> EyeEdge:
        """An edge in the middle of the coming scan."""
        return EyeEdge(self.now_s + SCAN_S / 2, self.at_mm + WAY_MM / 2, rising)

    def part(self, length_mm: float = 91.0) -> float:
        """One part passes the eye; returns the place of its leading edge."""
        rising = self.edge()
        self.scan(eye=[rising])
        while self.at_mm + WAY_MM < rising.encoder_mm + length_mm:
            self.scan()
        falling = EyeEdge(self.now_s + SCAN_S / 2, rising.encoder_mm + length_mm, False)
        self.scan(eye=[falling])
        return rising.encoder_mm

    def to_gate(self, rising_mm: float, off_mm: float = 0.0) -> Outputs:
        """Run until the part is at the gate eye, `off_mm` from where it should be."""
        place = rising_mm + FAR_MM + off_mm
        while self.at_mm < place - WAY_MM:
            self.scan()
        return self.scan(gate=[EyeEdge(self.now_s + SCAN_S / 2, place, True)])

    def answer(self, number: int, code: int) -> None:
        self.result = (number & 0xFFFF, code + 16 * (number % 4096))
        self.scan()

    def settled(self) -> list[tuple[int | None, str, str]]:
        return [(r.number, r.action, r.why) for r in self.records if isinstance(r, Settled)]

    @property
    def block(self) -> PlcBlock:
        return PlcBlock.decode(self.out.block)

    @property
    def counters(self) -> LineCounters:
        return LineCounters.decode(self.out.counters)


@pytest.fixture
def plc() -> Plc:
    """A PLC that has been up for two seconds with a node that is ready."""
    return Plc().run(200)


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
def test_numbers_go_on_past_65535(before: int) -> None:
    plc = Plc(Program(SITE, 1, counter=before)).run(200)
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


def test_nothing_is_taken_in_the_first_second_after_power_up() -> None:
    plc = Plc()
    plc.part()
    plc.run(30)
    plc.answer(1, 1)
    assert plc.block.result_taken == 0


def test_the_line_stops_when_the_node_is_silent_for_the_set_time() -> None:
    plc = Plc(Program(Site(stop_after_s=3.0), 1)).run(100)
    plc.beating = False
    assert plc.run(250).out.run
    assert not plc.run(100).out.run
    assert Control.LINE_RUNNING not in plc.block.control


def test_a_node_that_is_not_ready_has_its_parts_counted_and_rejected(plc: Plc) -> None:
    plc.status = 1
    plc.scan()
    rising_mm = plc.part()
    plc.status = 1 | TRIGGER_READY
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


def test_a_stop_request_stops_the_line(plc: Plc) -> None:
    plc.status |= STOP_REQUEST
    assert not plc.scan().run
    plc.status &= ~STOP_REQUEST
    assert plc.scan().run


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


def test_what_a_belt_running_back_repeats_is_not_counted(plc: Plc) -> None:
    rising_mm = plc.part()
    plc.run(3)
    plc.scan(eye=[EyeEdge(plc.now_s, rising_mm + 91, True)], way_mm=-30.0)
    plc.scan(eye=[EyeEdge(plc.now_s, rising_mm + 91, False)], way_mm=30.0)
    plc.answer(1, 1)
    assert plc.block.counter == 1
    assert plc.to_gate(rising_mm).gate_pass


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


@given(
    st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.booleans()), max_size=60)
)
def test_no_registers_whatever_open_the_gate_for_a_part_without_its_ok(
    written: list[tuple[int, int, bool]],
) -> None:
    plc = Plc().run(150)
    rising_mm = plc.part()
    for number, word, small in written:
        plc.result = (number % 4, word % 64) if small else (number, word)
        plc.scan()
    if not any(isinstance(r, Taken) and r.word == 17 for r in plc.records):
        assert not plc.to_gate(rising_mm).gate_pass
