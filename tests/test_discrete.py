"""The window of the OK pulse: edge.plc.discrete."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.plc.discrete import Contact, Pulses, Timing
from edge.plc.handshake import Expired, Taken
from edge.terms import Code

TICK_S = 1 / 1024
"""Times are counted in this, so that sums of them are exact."""

AFTER_EDGE = Timing(400 * TICK_S, 50 * TICK_S)
AT_GATE = Timing(20 * TICK_S, 50 * TICK_S, True, 500 * TICK_S, 40 * TICK_S)


def standing(pulses: Pulses, until: int, after: int = 0) -> list[int]:
    """Every tick at which OK is wanted, looked at and read back at each."""
    found = []
    for tick in range(after, until):
        if pulses.wanted(tick * TICK_S):
            pulses.seen(tick * TICK_S)
            found.append(tick)
    return found


def one(code: Code, decided_s: float = 100 * TICK_S, deadline_s: float = 400 * TICK_S) -> Pulses:
    pulses = Pulses(AFTER_EDGE)
    pulses.expect((1, 1), 0 * TICK_S, deadline_s)
    pulses.decide((1, 1), code, decided_s)
    return pulses


def test_an_ok_stands_exactly_in_its_own_window_and_is_then_taken() -> None:
    pulses = one(Code.OK)
    assert standing(pulses, 1000) == list(range(400, 450))
    assert pulses.leave(1000 * TICK_S) == [Taken(1, 1, Code.OK, 400 * TICK_S)]
    assert pulses.leave(1000 * TICK_S) == []


def test_the_order_for_off_is_given_as_much_earlier_as_the_output_needs() -> None:
    pulses = Pulses(Timing(400 * TICK_S, 50 * TICK_S, lead_s=10 * TICK_S))
    pulses.expect((1, 1), 0 * TICK_S, 400 * TICK_S)
    pulses.decide((1, 1), Code.OK, 100 * TICK_S)
    assert standing(pulses, 1000) == list(range(400, 440))


def test_ng_and_undecided_are_silence_and_are_taken_when_their_window_is_past() -> None:
    for code in (Code.NG, Code.UNDECIDED):
        pulses = one(code)
        assert standing(pulses, 1000) == []
        assert pulses.leave(449 * TICK_S) == []
        assert pulses.leave(450 * TICK_S) == [Taken(1, 1, code, 450 * TICK_S)]


def test_a_golden_sample_is_never_passed_and_keeps_its_verdict() -> None:
    pulses = Pulses(AFTER_EDGE)
    pulses.expect((1, 1), 0 * TICK_S, 400 * TICK_S, silent=True)
    pulses.decide((1, 1), Code.OK, 100 * TICK_S)
    assert standing(pulses, 1000) == []
    assert pulses.leave(1000 * TICK_S) == [Taken(1, 1, Code.OK, 450 * TICK_S)]


def test_a_verdict_after_the_deadline_is_none() -> None:
    pulses = one(Code.OK, decided_s=310 * TICK_S, deadline_s=300 * TICK_S)
    assert pulses.leave(310 * TICK_S) == [Expired(1, 1, written=False)]
    assert standing(pulses, 1000) == []


def test_a_verdict_that_comes_when_the_window_has_begun_is_none() -> None:
    pulses = one(Code.OK, decided_s=401 * TICK_S, deadline_s=9000 * TICK_S)
    assert standing(pulses, 1000) == []
    assert pulses.leave(1000 * TICK_S) == [Expired(1, 1, written=False)]


def test_the_first_verdict_stands() -> None:
    pulses = one(Code.NG)
    pulses.decide((1, 1), Code.OK, 200 * TICK_S)
    assert standing(pulses, 1000) == []


def test_an_ok_that_was_not_read_back_in_its_window_is_not_delivered() -> None:
    pulses = one(Code.OK)
    assert pulses.wanted(410 * TICK_S)
    assert pulses.leave(1000 * TICK_S) == [Expired(1, 1, written=True)]


def test_a_pulse_that_could_not_begin_in_the_first_half_is_not_given() -> None:
    pulses = one(Code.OK)
    assert standing(pulses, 1000, after=425) == []
    early = one(Code.OK)
    assert standing(early, 1000, after=424) == list(range(424, 450))


def test_after_a_failed_order_the_part_gets_no_more() -> None:
    pulses = one(Code.OK)
    assert pulses.wanted(400 * TICK_S)
    pulses.failed(402 * TICK_S)
    assert standing(pulses, 1000, after=403) == []
    assert pulses.leave(1000 * TICK_S) == [Expired(1, 1, written=True)]


def test_an_order_that_may_be_lost_is_repeated_while_a_pulse_may_still_begin() -> None:
    for doubted, then in ((424, list(range(425, 450))), (425, [])):
        pulses = one(Code.OK)
        assert pulses.wanted(400 * TICK_S)
        pulses.doubted(doubted * TICK_S)
        assert standing(pulses, 1000, after=doubted + 1) == then
        assert len(pulses.leave(1000 * TICK_S)) == 1


def test_a_pulse_that_was_read_back_is_not_cut_by_an_order_that_may_be_lost() -> None:
    pulses = one(Code.OK)
    assert standing(pulses, 430, after=400) == list(range(400, 430))
    pulses.doubted(430 * TICK_S)
    assert standing(pulses, 1000, after=431) == list(range(431, 450))


def test_two_parts_whose_windows_overlap_get_nothing_and_a_pulse_under_way_is_cut() -> None:
    pulses = Pulses(AFTER_EDGE)
    for number, edge_s in ((1, 0 * TICK_S), (2, 30 * TICK_S)):
        pulses.expect((1, number), edge_s, edge_s + 400 * TICK_S)
        pulses.decide((1, number), Code.OK, 100 * TICK_S)
    assert standing(pulses, 1000) == []
    assert pulses.leave(1000 * TICK_S) == [Expired(1, 1, written=True), Expired(1, 2, written=True)]


def test_a_part_whose_edge_nobody_knows_gets_nothing() -> None:
    pulses = Pulses(AFTER_EDGE)
    pulses.expect((1, 1), None, 400 * TICK_S)
    pulses.decide((1, 1), Code.OK, 100 * TICK_S)
    assert standing(pulses, 1000) == []
    assert pulses.leave(1000 * TICK_S) == [Expired(1, 1, written=True)]


def test_the_gate_eye_ties_the_part_that_is_due_there() -> None:
    pulses = Pulses(AT_GATE)
    pulses.expect((1, 1), 0 * TICK_S, 400 * TICK_S)
    pulses.expect((1, 2), 200 * TICK_S, 600 * TICK_S)
    pulses.decide((1, 1), Code.NG, 100 * TICK_S)
    pulses.decide((1, 2), Code.OK, 300 * TICK_S)
    pulses.at_gate(510 * TICK_S)
    assert standing(pulses, 690, after=511) == []
    pulses.at_gate(690 * TICK_S)
    assert standing(pulses, 2000, after=691) == list(range(710, 760))
    assert pulses.leave(2000 * TICK_S) == [
        Taken(1, 1, Code.NG, 580 * TICK_S),
        Taken(1, 2, Code.OK, 710 * TICK_S),
    ]


def test_a_part_that_does_not_come_to_the_gate_is_not_delivered() -> None:
    pulses = Pulses(AT_GATE)
    pulses.expect((1, 1), 0 * TICK_S, 400 * TICK_S)
    pulses.decide((1, 1), Code.OK, 100 * TICK_S)
    assert pulses.leave(539 * TICK_S) == []
    assert pulses.leave(540 * TICK_S) == [Expired(1, 1, written=True)]


def test_a_part_too_many_at_the_gate_takes_the_pulse_from_the_one_it_touches() -> None:
    pulses = Pulses(AT_GATE)
    pulses.expect((1, 1), 0 * TICK_S, 400 * TICK_S)
    pulses.decide((1, 1), Code.OK, 100 * TICK_S)
    pulses.at_gate(500 * TICK_S)
    assert standing(pulses, 530, after=520) == list(range(520, 530))
    pulses.at_gate(530 * TICK_S)
    assert standing(pulses, 2000, after=530) == []
    assert pulses.leave(2000 * TICK_S) == [Expired(1, 1, written=True)]


def test_an_edge_at_the_gate_that_two_parts_could_mean_is_nobodys() -> None:
    pulses = Pulses(AT_GATE)
    for number, edge_s in ((1, 0 * TICK_S), (2, 30 * TICK_S)):
        pulses.expect((1, number), edge_s, 400 * TICK_S)
        pulses.decide((1, number), Code.OK, 100 * TICK_S)
    pulses.at_gate(520 * TICK_S)
    pulses.at_gate(550 * TICK_S)
    assert standing(pulses, 2000, after=551) == []


def test_a_new_count_leaves_nobody_in_its_window() -> None:
    pulses = one(Code.OK)
    assert pulses.clear() == [Expired(1, 1, written=False)]
    assert standing(pulses, 1000) == []
    assert pulses.leave(1000 * TICK_S) == []


# -- whatever comes ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Coming:
    """One part of a random line, in ticks of a coarser clock."""

    edge: int
    decided: int  # after the edge
    code: Code
    gate: int | None  # after the edge


parts = st.lists(
    st.builds(
        Coming,
        edge=st.integers(0, 150),
        decided=st.integers(1, 70),
        code=st.sampled_from([Code.OK, Code.OK, Code.NG, Code.UNDECIDED]),
        gate=st.none() | st.integers(44, 56),
    ),
    max_size=6,
)
COARSE_S = 10 * TICK_S


def run(
    timing: Timing, line: Sequence[Coming], strangers: Sequence[int], deadline: int
) -> tuple[list[int], list[Taken | Expired]]:
    """At every tick: what happens, then the output. Returns when it is on, and who left how."""
    pulses = Pulses(timing)
    on: list[int] = []
    left: list[Taken | Expired] = []
    for tick in range(260):
        now_s = tick * COARSE_S
        for number, part in enumerate(line):
            if part.edge == tick:
                pulses.expect((1, number), now_s, now_s + deadline * COARSE_S)
        for number, part in enumerate(line):
            if part.edge + part.decided == tick:
                pulses.decide((1, number), part.code, now_s)
            if part.gate is not None and part.edge + part.gate == tick:
                pulses.at_gate(now_s)
        for _ in range(strangers.count(tick)):
            pulses.at_gate(now_s)
        if pulses.wanted(now_s):
            pulses.seen(now_s)
            on.append(tick)
        left += pulses.leave(now_s)
    return on, left


@settings(deadline=None)
@given(parts, st.integers(5, 40))
def test_after_the_edge_ok_stands_only_for_an_ok_part_that_is_alone_and_in_time(
    line: list[Coming], deadline: int
) -> None:
    on, left = run(AFTER_EDGE, line, (), deadline)
    windows = [set(range(part.edge + 40, part.edge + 45)) for part in line]
    for tick in on:
        inside = [part for part, window in zip(line, windows, strict=True) if tick in window]
        assert len(inside) == 1
        assert inside[0].code is Code.OK
        assert inside[0].decided <= deadline
    assert sorted(one.number for one in left) == list(range(len(line)))
    for number, (part, window) in enumerate(zip(line, windows, strict=True)):
        others = [other for at, other in enumerate(windows) if at != number]
        told = next(one for one in left if one.number == number)
        if part.decided <= deadline and not any(other & window for other in others):
            assert isinstance(told, Taken)
            assert told.code is part.code
            assert part.code is not Code.OK or window <= set(on)
        if isinstance(told, Taken) and told.code is Code.OK:
            assert window & set(on)


@settings(deadline=None)
@given(parts, st.lists(st.integers(0, 220), max_size=3))
def test_at_the_gate_no_pulse_meets_the_window_of_another_part(
    line: list[Coming], strangers: list[int]
) -> None:
    on, left = run(AT_GATE, line, strangers, 40)
    came = [part.edge + part.gate for part in line if part.gate is not None]
    windows = [range(tick + 2, tick + 7) for tick in (*came, *strangers)]
    for tick in on:
        assert sum(tick in window for window in windows) == 1
        assert any(
            part.code is Code.OK and part.decided <= 40 and 46 + 2 <= tick - part.edge < 54 + 7
            for part in line
        )
    assert sorted(one.number for one in left) == list(range(len(line)))


# -- contacts ---------------------------------------------------------------------------------


def test_what_is_there_at_the_first_look_is_no_edge() -> None:
    contact = Contact(0.005)
    contact.look(True, 0.0)
    assert contact.rises(1.0) == []
    assert contact.closed is True


def test_a_closing_is_dated_when_it_began_and_told_once() -> None:
    contact = Contact(0.005)
    contact.look(False, 0.0)
    contact.look(True, 1.0)
    assert contact.rises(1.004) == []
    assert contact.rises(1.006) == [1.0]
    assert contact.rises(9.0) == []


@given(
    st.lists(st.tuples(st.integers(20, 200), st.integers(20, 200)), max_size=8),
    st.lists(st.integers(1, 4), max_size=6),
)
def test_bounces_shorter_than_the_debounce_add_no_edge_and_lose_none(
    spans: list[tuple[int, int]], bounces: list[int]
) -> None:
    contact, now_ms, closings, told = Contact(0.005), 0, 0, 0
    contact.look(False, 0.0)
    for open_ms, closed_ms in spans:
        for level, lasts_ms in ((True, closed_ms), (False, open_ms)):
            now_ms += lasts_ms
            for bounce_ms in bounces:
                contact.look(level, now_ms / 1000)
                now_ms += bounce_ms
                contact.look(not level, now_ms / 1000)
                now_ms += 1
            contact.look(level, now_ms / 1000)
        closings += 1
        told += len(contact.rises(now_ms / 1000))
    told += len(contact.rises(now_ms / 1000 + 1))
    assert told == closings
