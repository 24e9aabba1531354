"""The bus thread against PLCs on a pty: parts come, verdicts are taken, ports go and come."""

import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import pytest
from msgspec import structs

from edge.plc.blocks import LineCounters, StatusFlags
from edge.plc.bus import LinkBack, LinkLost
from edge.plc.handshake import (
    EpochOpened,
    Expired,
    Missed,
    Resume,
    Sampled,
    Taken,
    Triggered,
    Wrong,
)
from edge.plc.slave import PtySlave, Slave
from edge.plc.transaction import Answer, Refusal, Refused, Request
from edge.terms import Cause, Code
from tests.serial_peers import Babbler, ScriptedPeer, until
from tests.tiny_plc import (
    REGISTERS,
    SECOND,
    ForgetfulSlave,
    TinyPlc,
    accounted,
    answer,
    ready,
    running,
    station,
)


def test_a_part_is_triggered_judged_and_its_verdict_taken() -> None:
    with (
        TinyPlc() as plc,
        PtySlave([plc.slave]) as line,
        running(line.port, station()) as (_, all_),
    ):
        (watcher,) = all_
        assert watcher.wait(EpochOpened)[0].base == 100
        ready(plc)
        for made in range(1, 6):
            before_s = time.monotonic()
            number = plc.part()
            after_s = time.monotonic()
            triggered = watcher.wait(Triggered, made)[-1]
            trigger = triggered.trigger
            assert trigger.part.number == number
            assert trigger.edge_s - trigger.edge_error_s <= after_s
            assert before_s <= trigger.edge_s
            answer(watcher, triggered, Code.NG)
            taken = watcher.wait(Taken, made)[-1]
            assert (taken.number, taken.code) == (number, Code.NG)
        until(lambda: watcher.station.counters == LineCounters(1, 2, 3, 4, 5))
        watcher.wait(Sampled)
        watcher.station.acquired(105)
        until(lambda: plc.node[3] == 105)
    assert plc.taken == [(number, Code.NG) for number in range(101, 106)]
    assert not watcher.of(Missed)


def test_several_parts_in_flight_are_all_answered_in_the_order_of_their_deadlines() -> None:
    with (
        TinyPlc() as plc,
        PtySlave([plc.slave]) as line,
        running(line.port, station()) as (_, all_),
    ):
        (watcher,) = all_
        ready(plc)
        for made in range(1, 5):
            plc.part()
            watcher.wait(Triggered, made)
        for triggered in reversed(watcher.of(Triggered)):
            answer(watcher, triggered)
        assert {taken.number for taken in watcher.wait(Taken, 4)} == {101, 102, 103, 104}


def test_a_verdict_that_the_plc_does_not_take_expires_and_is_wiped() -> None:
    with (
        TinyPlc(takes=False) as plc,
        PtySlave([plc.slave]) as line,
        running(line.port, station(deadline_ms=150)) as (_, all_),
    ):
        (watcher,) = all_
        ready(plc)
        plc.part()
        answer(watcher, watcher.wait(Triggered)[0])
        assert watcher.wait(Expired) == [Expired(1, 101, True)]
        until(lambda: plc.node[5:] == [0] * 5)


def test_the_heartbeat_beats_and_stops_when_it_is_not_granted() -> None:
    with (
        TinyPlc() as plc,
        PtySlave([plc.slave]) as line,
        running(line.port, station()) as (_, all_),
    ):
        ready(plc)
        until(lambda: len(plc.beats) >= 4)
        assert plc.beats[-1] - plc.beats[-3] == pytest.approx(0.5, abs=0.15)
        all_[0].station.alive(0.0)
        until(lambda: not plc.node[0] & StatusFlags.TRIGGER_READY)
        assert plc.node[0] & StatusFlags.ONLINE
        assert time.monotonic() - plc.beats[-1] > 0.9


def test_a_node_that_goes_says_so() -> None:
    with TinyPlc() as plc, PtySlave([plc.slave]) as line:
        with running(line.port, station()):
            ready(plc)
        until(lambda: plc.node[0] == 0)


def test_a_restarted_plc_gets_a_new_epoch_and_is_told_again() -> None:
    with (
        TinyPlc() as plc,
        PtySlave([plc.slave]) as line,
        running(line.port, station()) as (_, all_),
    ):
        (watcher,) = all_
        ready(plc)
        plc.part()
        watcher.wait(Triggered)
        plc.restart()
        opened = watcher.wait(EpochOpened, 2)[1]
        assert (opened.epoch, opened.base, opened.cause) == (2, 0, "plc_restart")
        assert watcher.of(Expired) == [Expired(1, 101, False)]


def test_a_restarted_node_goes_on_where_its_ledger_stopped() -> None:
    resume = Resume(3, 50, 95, 1, 10.0)
    with (
        TinyPlc() as plc,
        PtySlave([plc.slave]) as line,
        running(line.port, station(), resumes={"s1": resume}) as (_, all_),
    ):
        assert all_[0].wait(Missed) == [Missed(3, 96, 100, Cause.NODE_RESTART)]
        assert not all_[0].of(EpochOpened)


def test_a_wrong_map_is_said_and_nothing_is_written() -> None:
    plc = TinyPlc()
    plc.map_version = 9
    with plc, PtySlave([plc.slave]) as line, running(line.port, station()) as (_, all_):
        assert "map version 9" in all_[0].wait(Wrong)[0].text
    assert plc.node == [0] * 10


def test_a_port_that_is_missing_comes_and_goes_is_found_again(tmp_path: Path) -> None:
    port = tmp_path / "plc"
    with TinyPlc() as plc, running(str(port), station()) as (_, all_):
        (watcher,) = all_
        assert "cannot be opened" in watcher.wait(LinkLost)[0].text
        with PtySlave([plc.slave], link=port):
            watcher.wait(LinkBack)
            ready(plc)
        watcher.wait(LinkLost, 2)
        plc.part()
        with PtySlave([plc.slave], link=port):
            watcher.wait(LinkBack, 2)
            plc.part()
            until(lambda: accounted(watcher) == [101, 102])
        assert len(watcher.of(EpochOpened)) == 1


def test_a_plc_in_stop_is_lost_and_back_when_it_runs() -> None:
    with (
        TinyPlc() as plc,
        PtySlave([plc.slave]) as line,
        running(line.port, station()) as (_, all_),
    ):
        all_[0].wait(LinkBack)
        plc.halted = True
        assert "stands still" in all_[0].wait(LinkLost)[0].text
        plc.halted = False
        all_[0].wait(LinkBack, 2)


def test_a_dead_plc_does_not_stop_its_neighbour_on_the_same_line() -> None:
    with (
        TinyPlc(1) as one,
        TinyPlc(2) as two,
        PtySlave([one.slave, two.slave]) as line,
        running(line.port, station(1), station(2)) as (_, (first, second)),
    ):
        ready(one)
        ready(two)
        two.slave.answering = False
        second.wait(LinkLost)
        for made in range(1, 11):
            one.part()
            triggered = first.wait(Triggered, made)[-1]
            assert time.monotonic() - triggered.trigger.edge_s < 0.3
            answer(first, triggered)
            first.wait(Taken, made)
        assert not first.of(LinkLost)
        two.slave.answering = True
        second.wait(LinkBack, 2, within_s=5.0)


class Watched(Slave):
    """Notes who is asked and when."""

    asked: ClassVar[list[tuple[int, float]]]

    def answer(self, asked: Request | Refusal) -> Answer | Refused | None:
        """What it says to one request."""
        if asked.unit == self.unit:
            self.asked.append((self.unit, time.monotonic()))
        return super().answer(asked)


def test_a_dead_plc_is_asked_no_longer_than_it_would_answer_while_its_neighbour_waits() -> None:
    Watched.asked = []
    dead = Watched(2, REGISTERS)
    with (
        TinyPlc(1, takes=False, slave=Watched(1, REGISTERS)) as one,
        TinyPlc(2, slave=dead) as two,
        PtySlave([one.slave, dead]) as line,
        running(line.port, station(1, deadline_ms=12_000), station(2), reply_timeout_s=1.0) as (
            _,
            (first, second),
        ),
    ):
        ready(one)
        ready(two)
        dead.answering = False
        second.wait(LinkLost)
        until(lambda: [unit for unit, _ in Watched.asked[-40:]].count(2) == 1, within_s=20.0)
        one.part()
        first.wait(Triggered, within_s=10.0)
        began_s = time.monotonic()
        until(lambda: sum(u == 2 and s > began_s for u, s in Watched.asked) >= 2, within_s=10.0)
        kept_s = [
            later - sooner
            for (unit, sooner), (_, later) in pairwise(Watched.asked)
            if unit == 2 and sooner > began_s
        ]
        assert max(kept_s) < 0.5, "half of its reply_timeout_s"
        dead.answering = True
        second.wait(LinkBack, 2, within_s=8.0)
        assert first.of(Expired) == [], "the part of the neighbour is still under way"


def test_a_verdict_does_not_go_out_late_behind_an_answer_owed_to_another_station() -> None:
    """Two blocks in one PLC: what it does not answer of one is listened out for the other, too."""
    slave = ForgetfulSlave()
    other = structs.replace(
        station(deadline_ms=500), name="s2", read_base=SECOND, write_base=100 + SECOND,
        counters_base=200 + SECOND,
    )  # fmt: skip
    with (
        TinyPlc(slave=slave) as one,
        TinyPlc(slave=slave, base=SECOND) as two,
        PtySlave([slave]) as line,
        running(line.port, station(), other, reply_timeout_s=0.3) as (_, (_, second)),
    ):
        ready(one)
        ready(two)
        two.part()
        (triggered,) = second.wait(Triggered)
        slave.forgets = 0
        until(lambda: slave.forgets is None)
        answer(second, triggered)
        assert second.wait(Expired) == [Expired(1, 101, False)]
        two.part()
        answer(second, second.wait(Triggered, 2)[1])
        assert second.wait(Taken)[0].number == 102
    assert two.taken == [(102, Code.OK)]


def test_garbage_on_the_line_never_stops_the_bus() -> None:
    with ScriptedPeer(lambda n, request: [(0, bytes([n % 256] * (n % 40)))]) as peer:
        with running(peer.port, station()) as (bus, all_):
            all_[0].wait(LinkLost)
            until(lambda: len(peer.requests) > 4)
        with pytest.raises(KeyError):
            bus.station("nobody")


def test_a_line_that_is_never_silent_stops_neither_the_clock_of_the_bus_nor_its_end() -> None:
    threads = threading.active_count()
    with Babbler() as peer, running(peer.port, station(), gap_ms=100) as (_, all_):
        assert "the line is never silent" in all_[0].wait(LinkLost, within_s=4.0)[0].text
    assert threading.active_count() == threads


def test_nothing_is_left_of_a_bus_that_is_closed() -> None:
    threads = threading.active_count()
    with TinyPlc() as plc, PtySlave([plc.slave]) as line, running(line.port, station()):
        ready(plc)
    assert threading.active_count() == threads
