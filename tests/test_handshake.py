"""The handshake: every number of the PLC's counter becomes exactly one observation."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.plc.blocks import NO_RESULT, Control, PlcBlock, Result, result_registers, verdict_word
from edge.plc.handshake import (
    Bypassed,
    EpochOpened,
    Expired,
    Handshake,
    Missed,
    Observation,
    ResetPressed,
    Resume,
    Running,
    Sampled,
    Taken,
    Triggered,
    Wrong,
)
from edge.settings import Station
from edge.terms import MAP_VERSION, Cause, Code, Mode

STATION = Station(name="s", bus="b", trigger="hardware", cameras=("c",), deadline_ms=400)
Seen = TypeVar("Seen")

START = PlcBlock(
    Control.ENABLE | Control.LINE_RUNNING, 1000, 2, 5, 1000, 0, MAP_VERSION, 0, 0, 9, 2
)


@dataclass
class Plc:
    """A PLC whose block a test changes and a handshake reads every 10 ms."""

    handshake: Handshake
    block: PlcBlock = START
    now_s: float = 50.0
    seen: list[Observation] = field(default_factory=list)

    def read(self, step_s: float = 0.01, **changes: int) -> list[Observation]:
        """Change fields, keep the trigger number with the counter, let the node read once."""
        self.block = replace(self.block, **changes)  # type: ignore[arg-type]
        if "trigger_number" not in changes:
            self.block = replace(self.block, trigger_number=self.block.counter & 0xFFFF)
        self.now_s += step_s
        seen = self.handshake.observe(self.block.encode(), self.now_s)
        self.seen += seen
        return seen

    def part(self, count: int = 1, step_s: float = 0.01, age_ms: int = 5) -> list[Observation]:
        """`count` parts came since the last read."""
        counter = (self.block.counter + count) % 2**32
        return self.read(step_s, counter=counter, trigger_age_ms=age_ms)

    def submit(self, number: int, code: Code = Code.OK) -> None:
        self.handshake.submit(self.handshake_epoch, number, code, 0, 0.5, 20, self.now_s)

    @property
    def handshake_epoch(self) -> int:
        return of(self.seen, EpochOpened)[-1].epoch

    def take(self) -> list[Observation]:
        """The PLC takes what the node writes now."""
        registers = self.handshake.due(self.now_s)
        assert registers is not None
        result = Result.decode(registers)
        assert result is not None
        return self.read(
            result_taken=result.number, word_taken=verdict_word(result.number, result.code)
        )


def of(seen: list[Observation], kind: type[Seen]) -> list[Seen]:
    return [one for one in seen if isinstance(one, kind)]


def met(resume: Resume | None = None, counter: int = 1000, **changes: int) -> Plc:
    """A PLC at first contact, read twice, result 0 written."""
    plc = Plc(Handshake(STATION, resume))
    plc.read(counter=counter, **changes)
    plc.read()
    assert plc.handshake.due(plc.now_s) == NO_RESULT
    plc.handshake.acknowledged(NO_RESULT)
    plc.handshake.ready = True
    return plc


def test_first_contact_opens_an_epoch_and_judges_nothing_in_flight() -> None:
    plc = met()
    assert of(plc.seen, EpochOpened) == [EpochOpened(1, 1000, 9, "first_contact")]
    assert of(plc.seen, Running) == [Running(True, Mode.AUTO, 2)]
    assert not of(plc.seen, Triggered)


def test_a_part_is_triggered_with_its_edge_and_deadline() -> None:
    plc = met()
    plc.now_s = 100.0
    (triggered,) = of(plc.part(age_ms=15), Triggered)
    trigger = triggered.trigger
    assert (trigger.part.station, trigger.part.epoch, trigger.part.number) == ("s", 1, 1001)
    assert trigger.edge_s == pytest.approx(100.01 - 0.015)
    assert triggered.deadline_s == pytest.approx(trigger.edge_s + 0.4)
    assert (trigger.mode, trigger.recipe) == (Mode.AUTO, 2)


def test_the_edge_is_never_named_earlier_than_it_can_have_been() -> None:
    handshake = Handshake(STATION, None)
    handshake.ready = True
    block = START
    for _ in range(2):
        handshake.observe(block.encode(), 10.0, wait_s=0.02)
    block = replace(START, counter=1001, trigger_number=1001, trigger_age_ms=30)
    (triggered,) = of(handshake.observe(block.encode(), 10.5, wait_s=0.02), Triggered)
    assert triggered.trigger.edge_s == pytest.approx(10.5 + 0.02 - 0.03)
    assert triggered.trigger.edge_error_s == pytest.approx(0.02 + 0.03)


def test_of_two_new_numbers_the_newest_is_triggered_after_a_second_read_says_so() -> None:
    plc = met()
    assert plc.part(2) == []
    seen = plc.read()
    assert of(seen, Missed) == [Missed(1, 1001, 1001, Cause.NO_TRIGGER)]
    assert [one.trigger.part.number for one in of(seen, Triggered)] == [1002]


def test_a_jump_that_the_next_read_takes_back_never_was() -> None:
    plc = met()
    assert plc.read(counter=70_000) == []
    assert plc.read(counter=1000) == []
    (triggered,) = of(plc.part(), Triggered)
    assert triggered.trigger.part.number == 1001


def test_a_torn_counter_is_not_believed() -> None:
    plc = met()
    assert plc.read(counter=1001, trigger_number=1000) == []
    assert plc.read(counter=1001, trigger_number=1002) == []
    assert len(of(plc.part(0), Triggered)) == 1
    for _ in range(5):
        plc.read(trigger_number=3)
    assert len(of(plc.seen, Wrong)) == 1


def test_more_parts_than_can_have_come_open_a_new_epoch() -> None:
    plc = met()
    plc.part(5)
    seen = plc.read()
    assert of(seen, EpochOpened) == [EpochOpened(2, 1005, 9, "jump")]
    assert not of(plc.seen, Missed)


def test_parts_that_can_have_come_in_a_long_silence_are_missed_in_the_same_epoch() -> None:
    plc = met()
    plc.part(50, step_s=5.0)
    seen = plc.read()
    assert of(seen, Missed) == [Missed(1, 1001, 1049, Cause.NO_TRIGGER)]
    assert not of(plc.seen, EpochOpened)[1:]


def test_a_part_found_after_its_deadline_is_missed() -> None:
    plc = met()
    seen = plc.part(age_ms=401)
    assert of(seen, Missed) == [Missed(1, 1001, 1001, Cause.NO_TRIGGER)]
    assert not of(seen, Triggered)


def test_a_step_back_opens_a_new_epoch() -> None:
    plc = met()
    plc.read(counter=990)
    assert of(plc.read(), EpochOpened) == [EpochOpened(2, 990, 9, "step_back")]


def test_a_new_plc_start_number_drops_every_pending_result() -> None:
    plc = met()
    plc.part()
    plc.submit(1001)
    assert plc.handshake.due(plc.now_s) is not None
    plc.part()
    plc.read(plc_start=10, counter=0)
    seen = plc.read()
    assert of(seen, Expired) == [Expired(1, 1001, True), Expired(1, 1002, False)]
    assert of(seen, EpochOpened) == [EpochOpened(2, 0, 10, "plc_restart")]
    assert of(plc.seen, Sampled)[-1] == Sampled(1, 1002)
    assert not plc.handshake.opened
    assert plc.handshake.due(plc.now_s) == NO_RESULT
    plc.handshake.submit(1, 1, Code.OK, 0, 0.5, 20, plc.now_s)
    plc.part()
    plc.handshake.submit(1, 1, Code.OK, 0, 0.5, 20, plc.now_s)  # verdict of the old part 1
    assert plc.handshake.due(plc.now_s) == NO_RESULT


def test_a_counter_that_wraps_goes_on() -> None:
    plc = met(counter=2**32 - 1)
    (triggered,) = of(plc.part(), Triggered)
    assert triggered.trigger.part.number == 2**32
    plc.submit(2**32)
    assert [one.number for one in of(plc.take(), Taken)] == [2**32]


def test_a_verdict_is_written_until_its_echo_is_read() -> None:
    plc = met()
    plc.part()
    assert plc.handshake.due(plc.now_s) is None
    plc.submit(1001, Code.NG)
    assert plc.handshake.due(plc.now_s) == result_registers(
        Result(1001, Code.NG, 0, 0.5, inspect_ms=20)
    )
    plc.now_s += 0.1
    assert of(plc.take(), Taken) == [Taken(1, 1001, Code.NG, plc.now_s)]
    assert plc.handshake.due(plc.now_s + 1) is None
    assert plc.handshake.expire(plc.now_s + 1) == []


def test_a_part_without_echo_expires_once() -> None:
    plc = met()
    plc.part()
    plc.submit(1001)
    plc.handshake.due(plc.now_s)
    assert plc.handshake.expire(plc.now_s + 0.3) == []
    assert plc.handshake.expire(plc.now_s + 0.5) == [Expired(1, 1001, True)]
    assert plc.handshake.expire(plc.now_s + 0.6) == []


@pytest.mark.parametrize(
    ("control", "mode"),
    [(Control.MONITOR, Mode.MONITOR), (Control.SAMPLE_PART, Mode.SAMPLE)],
)
def test_the_key_switch_gives_the_mode(control: Control, mode: Mode) -> None:
    plc = met(control=int(START.control | control))
    (triggered,) = of(plc.part(), Triggered)
    assert triggered.trigger.mode is mode
    assert of(plc.seen, Running) == [Running(True, mode, 2)]


def test_bypassed_parts_are_bypassed_and_the_change_is_said() -> None:
    plc = met()
    plc.read(control=int(START.control | Control.BYPASS))
    assert of(plc.part(), Bypassed) == [Bypassed(1, 1001, 1001)]
    assert of(plc.seen, Running)[-1] == Running(True, Mode.BYPASS, 2)
    assert not of(plc.seen, Triggered)


def test_parts_that_come_while_the_node_is_not_ready_or_not_wanted_are_missed() -> None:
    plc = met()
    plc.handshake.ready = False
    assert of(plc.part(), Missed) == [Missed(1, 1001, 1001, Cause.NOT_READY)]
    plc.handshake.ready = True
    plc.read(control=int(Control.LINE_RUNNING))
    assert of(plc.part(), Missed) == [Missed(1, 1002, 1002, Cause.NOT_READY)]


def test_reset_is_said_once_per_press() -> None:
    plc = met()
    for _ in range(3):
        plc.read(control=int(START.control | Control.RESET))
    plc.read(control=int(START.control))
    plc.read(control=int(START.control | Control.RESET))
    assert len(of(plc.seen, ResetPressed)) == 2


def test_the_counter_is_sampled_once_a_second_and_when_it_has_stopped() -> None:
    plc = met()
    for _ in range(30):
        plc.part(step_s=0.1)
    for _ in range(30):
        plc.read(0.1)
    sampled = of(plc.seen, Sampled)
    assert 3 <= len(sampled) <= 4
    assert sampled[-1] == Sampled(1, 1030)


def test_a_wrong_map_version_is_said_once_and_nothing_is_written() -> None:
    plc = Plc(Handshake(STATION, None))
    for _ in range(3):
        plc.read(map_version=7)
    assert len(plc.seen) == len(of(plc.seen, Wrong)) == 1
    assert plc.handshake.due(plc.now_s) is None
    assert not plc.handshake.opened


def test_nothing_is_written_before_the_map_matches_and_status_only_after_result_zero() -> None:
    handshake = Handshake(STATION, None)
    assert handshake.due(1.0) is None
    handshake.observe(START.encode(), 1.0)
    assert handshake.due(1.0) is None
    handshake.observe(START.encode(), 1.1)
    assert not handshake.opened
    assert handshake.due(1.1) == NO_RESULT
    handshake.acknowledged(NO_RESULT)
    assert handshake.opened


# -- after a restart of the node -------------------------------------------------------------

BEFORE = Resume(epoch=4, base=900, counter=990, plc_start=9, age_s=3.0)


def test_a_restarted_node_goes_on_in_its_epoch_and_misses_what_came_meanwhile() -> None:
    plc = met(BEFORE)
    assert not of(plc.seen, EpochOpened)
    assert of(plc.seen, Missed) == [Missed(4, 991, 1000, Cause.NODE_RESTART)]
    assert of(plc.seen, Sampled) == [Sampled(4, 1000)]
    (triggered,) = of(plc.part(), Triggered)
    assert triggered.trigger.part.epoch == 4


def test_a_restarted_node_hears_which_verdict_was_taken_before_anything_else() -> None:
    plc = met(BEFORE, result_taken=988, word_taken=verdict_word(988, Code.OK))
    assert plc.seen[0] == Taken(4, 988, Code.OK, plc.now_s)
    assert not of(met(BEFORE).seen, Taken)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"plc_start": 10}, "plc_restart"),
        ({"counter": 989}, "step_back"),
        ({"counter": 990 + 33}, "jump"),
    ],
)
def test_a_restarted_node_that_finds_another_count_opens_an_epoch(
    changes: dict[str, int], cause: str
) -> None:
    plc = met(BEFORE, **changes)
    (opened,) = of(plc.seen, EpochOpened)
    assert (opened.epoch, opened.cause) == (5, cause)
    assert not of(plc.seen, Missed)
    assert of(plc.seen, Sampled) == [Sampled(4, 990)]


def test_the_wait_for_the_plc_counts_as_time_for_parts_to_come() -> None:
    handshake = Handshake(STATION, BEFORE, begun_s=40.0)
    plc = Plc(handshake, now_s=50.0)
    plc.read(counter=990 + 120)
    assert of(plc.read(), Missed) == [Missed(4, 991, 1110, Cause.NODE_RESTART)]


def test_a_node_that_does_not_know_how_long_it_was_away_believes_a_day() -> None:
    resume = replace(BEFORE, age_s=None)
    assert not of(met(resume, counter=990 + 800_000).seen, EpochOpened)
    assert of(met(resume, counter=990 + 900_000).seen, EpochOpened)


# -- the core property -----------------------------------------------------------------------

moves = st.one_of(
    st.tuples(st.just("parts"), st.integers(0, 3)),
    st.tuples(st.just("silence"), st.integers(1, 40)),
    st.tuples(st.just("glitch"), st.integers(0, 2**32 - 1)),
    st.tuples(st.just("torn"), st.integers(0, 0xFFFF)),
    st.tuples(st.just("restart"), st.integers(0, 5000)),
    st.tuples(st.just("counter"), st.integers(0, 2**32 - 1)),
    st.tuples(st.just("control"), st.integers(0, 127)),
    st.tuples(st.just("ready"), st.booleans()),
    st.tuples(st.just("age"), st.integers(0, 65_535)),
    st.tuples(st.just("verdict"), st.sampled_from([Code.OK, Code.NG, Code.UNDECIDED])),
    st.tuples(st.just("node"), st.integers(0, 30)),
)


class Story(Plc):
    """A PLC to which things happen; each method is one move, `how` is its number."""

    def parts(self, how: int) -> None:
        self.part(how, step_s=0.05)

    def silence(self, how: int) -> None:
        self.part(how, step_s=how / 10)

    def glitch(self, how: int) -> None:
        true = self.block.counter
        self.read(counter=how)
        self.read(counter=true)

    def torn(self, how: int) -> None:
        self.read(trigger_number=how)

    def restart(self, how: int) -> None:
        start = (self.block.plc_start + 1) & 0xFFFF
        self.read(plc_start=start, counter=how, word_taken=0)

    def counter(self, how: int) -> None:
        self.read(counter=how)

    def control(self, how: int) -> None:
        self.read(control=how)

    def ready(self, how: int) -> None:
        self.handshake.ready = bool(how)

    def age(self, how: int) -> None:
        self.block = replace(self.block, trigger_age_ms=how)

    def verdict(self, how: int) -> None:
        for triggered in of(self.seen, Triggered)[-3:]:
            part = triggered.trigger.part
            self.handshake.submit(part.epoch, part.number, Code(how), 0, 0.5, 9, self.now_s)
        registers = self.handshake.due(self.now_s)
        if registers is not None:
            self.handshake.acknowledged(registers)
            self.read(result_taken=registers[3], word_taken=registers[4])

    def node(self, how: int) -> None:
        """The node dies and comes back `how` tenths of a second later."""
        numbers = accounted(self.seen)
        if not numbers:
            return
        self.seen += self.handshake.expire(1e9)  # its ledger closes what was on the way
        last = of(self.seen, EpochOpened)[-1]
        counter = max([last.base, *numbers[last.epoch]])
        resume = Resume(last.epoch, last.base, counter, last.plc_start, how / 10)
        self.handshake = Handshake(STATION, resume)
        self.handshake.ready = True
        self.block = replace(self.block, word_taken=0)


def accounted(seen: list[Observation]) -> dict[int, list[int]]:
    """Every number that an observation settled or triggered, per epoch, in order of coming."""
    numbers: dict[int, list[int]] = {}
    for one in seen:
        if isinstance(one, EpochOpened):
            numbers[one.epoch] = []
        elif isinstance(one, Triggered):
            numbers[one.trigger.part.epoch].append(one.trigger.part.number)
        elif isinstance(one, Missed | Bypassed):
            numbers[one.epoch].extend(range(one.first, min(one.last, one.first + 5000) + 1))
    return numbers


def answered(seen: list[Observation]) -> Iterator[tuple[int, int]]:
    for one in seen:
        if isinstance(one, Taken | Expired):
            yield one.epoch, one.number


@given(st.lists(moves, max_size=50))
def test_every_number_becomes_exactly_one_observation(
    told: list[tuple[str, int]],
) -> None:
    plc = Story(Handshake(STATION, None))
    plc.handshake.ready = True
    for what, how in told:
        getattr(plc, what)(how)
        plc.seen += plc.handshake.expire(plc.now_s)
    for _ in range(3):
        plc.read(1.1)
    plc.seen += plc.handshake.expire(1e9)

    opened = {one.epoch: one for one in of(plc.seen, EpochOpened)}
    assert list(opened) == list(range(1, len(opened) + 1))
    sampled = {one.epoch: one.counter for one in of(plc.seen, Sampled)}
    for epoch, numbers in accounted(plc.seen).items():
        base = opened[epoch].base
        assert numbers == list(range(base + 1, base + 1 + len(numbers)))
        assert sampled.get(epoch, base) == base + len(numbers)
    last = max(opened)
    believed = opened[last].base + len(accounted(plc.seen)[last])
    assert believed % 2**32 == plc.block.counter

    triggered = [(t.trigger.part.epoch, t.trigger.part.number) for t in of(plc.seen, Triggered)]
    assert sorted(answered(plc.seen)) == sorted(triggered)


@given(st.lists(st.lists(st.integers(0, 0xFFFF), min_size=12, max_size=12), max_size=20))
def test_no_registers_raise(reads: list[list[int]]) -> None:
    handshake = Handshake(STATION, None)
    for at, registers in enumerate(reads):
        registers[7] = MAP_VERSION
        registers[1] = registers[4]
        handshake.observe(registers, at * 0.01)
        handshake.observe(registers, at * 0.01 + 0.005)
        handshake.due(at * 0.01)
        handshake.expire(at * 0.01)
