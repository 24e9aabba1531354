"""Whatever happens to PLC, line and node: every number becomes exactly one observation."""

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edge.plc.blocks import Control, Result
from edge.plc.handshake import (
    Bypassed,
    EpochOpened,
    Expired,
    Handshake,
    Missed,
    Observation,
    Resume,
    Sampled,
    Taken,
    Triggered,
)
from edge.terms import MAP_VERSION, Code
from tests.played_plc import STATION, Plc, of

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
    st.tuples(st.just("unread"), st.integers(0, 7)),
)


class Story(Plc):
    """A PLC to which things happen; each method is one move, `how` is its number."""

    def read(self, step_s: float = 0.01, **changes: int) -> list[Observation]:
        """One read. Bypass speaks for the newest part, and between two such parts for the rest."""
        before = self.handshake.block
        seen = super().read(step_s, **changes)
        for one in of(seen, Bypassed):
            assert self.block.control & Control.BYPASS
            assert one.last % 2**32 == self.block.counter
            was = before is not None and before.control & Control.BYPASS
            assert one.first == one.last or was
        return seen

    def parts(self, how: int) -> None:
        self.part(how, step_s=0.05)

    def unread(self, how: int) -> None:
        """Up to three parts pass while nobody reads, with the bypass key turned or not."""
        count, key = divmod(how, 2)
        counter = (self.block.counter + count) % 2**32
        control = self.block.control & ~Control.BYPASS | Control.BYPASS * key
        self.block = replace(self.block, counter=counter, control=control)

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
            self.handshake.submit(part.epoch, Result(part.number, Code(how), 0, 0.5, 9), self.now_s)
        registers = self.handshake.due(self.now_s)
        if registers is not None:
            self.handshake.acknowledged(registers, self.now_s)
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
