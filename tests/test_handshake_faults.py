"""Faults by name: real codec, turns, handshake and PLC program, on a played wire and belt.

Node or PLC starts anew: tests/test_restarts.py."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from msgspec import structs

from edge.plc import modbus
from edge.plc.handshake import (
    EpochOpened,
    Expired,
    Missed,
    Triggered,
    Wrong,
)
from edge.plc.images import Outputs, Refused, Settled
from edge.plc.images import Taken as PlcTook
from edge.plc.plan import BusPlan
from edge.plc.program import Program, Site
from edge.plc.transaction import WRITE_REGISTERS, Request
from edge.plc.turns import LinkBack, LinkLost
from edge.settings import Bus
from edge.terms import Cause, Code
from tests.even_line import Line, all_ng, all_ok, conveyor, line
from tests.played_line import STATION, Conveyor, Wire
from tests.played_plc import met, of


@dataclass
class Aimed(Wire):
    """Spoils only frames that `hits` names, and only so many of them."""

    hits: Callable[[bytes], bool] = lambda _: False
    left: int = 0
    how: str = "flip"

    def carry(self, frame: bytes) -> bytes:
        self.rate = 0.0
        if self.left and self.hits(frame):
            self.left -= 1
            self.rate, self.kinds = 1.0, (self.how,)
        return super().carry(frame)


def is_write(frame: bytes) -> bool:
    """Any request that writes, or its reply."""
    return frame[1] == WRITE_REGISTERS


def is_verdict(frame: bytes) -> bool:
    """A request that writes a result, not the empty one of power-up."""
    asked = modbus.decode_request(frame[0], frame[1:-2])
    return isinstance(asked, Request) and asked.address == 105 and any(asked.values)


def is_verdict_reply(frame: bytes) -> bool:
    return len(frame) == 8 and frame[1] == WRITE_REGISTERS and frame[3] == 105


def test_a_line_without_faults_passes_every_part_and_the_node_counts_the_same() -> None:
    told = line().parts(20)
    assert told.passed() == list(range(1, 21)) == sorted(told.counted_ok())
    assert told.settled() == list(range(1, 21))


# -- heartbeat_frozen ------------------------------------------------------------------------


def test_heartbeat_frozen_at_the_plc() -> None:
    told = line().parts(4)
    told.halted = True
    told.run(1.5)
    (lost,) = told.of(LinkLost)
    assert "stands still" in lost.text
    told.halted = False
    told.run(0.5)
    assert len(told.of(LinkBack)) == 2
    assert told.parts(4).passed() == list(range(1, 9))


def test_heartbeat_frozen_at_the_node() -> None:
    told = line().parts(4)
    told.alive = False
    told.run(2.2)
    told.parts(4)
    told.alive = True
    told.run(1.0)
    assert told.parts(4).passed() == [1, 2, 3, 4, 9, 10, 11, 12]
    whys = {one.number: one.why for one in told.recorded(Settled)}
    assert {whys[number] for number in (5, 6, 7, 8)} == {"heartbeat"}  # the PLC knows by itself,
    assert told.of(Missed) == [Missed(1, n, n, Cause.NOT_READY) for n in (5, 6, 7, 8)]  # as we do
    assert told.settled() == list(range(1, 13))


def test_heartbeat_frozen_at_the_node_after_its_ok_was_taken() -> None:
    told = line(belt=conveyor(way_s=2.5))
    told.belt.feeding = True
    told.until(lambda: bool(told.recorded(PlcTook)))
    told.belt.feeding, told.dead = False, True
    told.run(4.0)
    assert [one.why for one in told.recorded(Settled)] == ["heartbeat"]


# -- trigger_overrun, verdict_superseded -----------------------------------------------------


def test_trigger_overrun() -> None:
    told = line().parts(2)
    told.wire.rate, told.wire.kinds = 1.0, ("lost",)
    told.belt.feeding = True
    told.until(lambda: told.belt.fed == 4)  # two parts while nobody can read
    told.belt.feeding = False
    told.wire.rate = 0.0
    told.run(2.0)
    assert told.of(Missed) == [Missed(1, 3, 3, Cause.NO_TRIGGER)]
    assert told.settled() == [1, 2, 3, 4]
    assert set(told.passed()) == told.counted_ok()
    assert 3 not in told.passed()


def test_verdict_superseded() -> None:
    waits = iter([0.3, 0.02])  # the second part is judged before the first
    told = line(lambda one: Code.OK if one.trigger.part.number == 1 else Code.NG)
    told.judge_s = lambda: next(waits)
    told.parts(2)
    words = [(one.number, one.word % 16) for one in told.recorded(PlcTook)]
    assert words == [(2, Code.NG), (1, Code.OK)]
    assert told.passed() == [1]
    assert {one.why for one in told.recorded(Refused)} == set()


# -- verdict_crc_then_resend -----------------------------------------------------------------


@dataclass
class EveryBit(Wire):
    """The first frame of each part that `hits` names arrives with another one of its bits wrong."""

    hits: Callable[[bytes], bool] = lambda _: False
    part: Callable[[], int] = lambda: 0
    spoilt: int = 0  # parts, and so bits

    def carry(self, frame: bytes) -> bytes:
        """The bytes that arrive."""
        if self.part() == self.spoilt or not self.hits(frame):
            return frame
        byte, bit = divmod(self.spoilt % (8 * len(frame)), 8)
        self.spoilt += 1
        return frame[:byte] + bytes([frame[byte] ^ 1 << bit]) + frame[byte + 1 :]


@pytest.mark.parametrize("code", [Code.OK, Code.NG, Code.UNDECIDED])  # 3 is 1 but for one bit
def test_verdict_crc_then_resend(code: Code) -> None:
    """Whatever bit of a verdict's frame is wrong: it is not taken, and comes again."""
    wire = EveryBit(hits=is_verdict)
    told = line(lambda _: code, wire=wire, belt=conveyor(rate=2.0))
    wire.part = lambda: told.belt.program.counter
    bits = 8 * 19
    told.parts(bits)
    assert wire.spoilt == bits
    taken = [(one.number, one.word % 16) for one in told.recorded(PlcTook)]
    assert taken == [(number, code) for number in range(1, bits + 1)]
    assert told.passed() == (told.settled() if code is Code.OK else [])
    assert not told.of(Expired)


@pytest.mark.parametrize("how", ["flip", "cut", "lost", "noise"])
@pytest.mark.parametrize("hits", [is_verdict, is_verdict_reply])
def test_verdict_crc_then_resend_of_one_frame(hits: Callable[[bytes], bool], how: str) -> None:
    wire = Aimed(hits=hits, how=how)
    told = line(wire=wire)
    wire.left = 1
    told.parts(3)
    assert sum(told.wire.spoiled.values()) == 1
    assert told.passed() == [1, 2, 3] == sorted(told.counted_ok())
    assert [one.number for one in told.recorded(PlcTook)] == [1, 2, 3]


# -- two_results_in_one_scan -----------------------------------------------------------------


def test_two_results_in_one_scan() -> None:
    """Both verdicts are known at once, and the program looks at the registers once in 0.1 s."""
    slow = structs.replace(STATION, scan_ms=100, deadline_ms=2000)
    told = line(station=slow, scan_s=0.1, belt=conveyor(rate=2.0, way_s=2.0))
    both_s = told.now_s + 1.2
    told.judge_s = lambda: both_s - told.now_s
    told.belt.feeding = True
    told.until(lambda: told.belt.fed == 2)
    told.belt.feeding = False
    told.run(3.0)
    assert [one.number for one in told.recorded(PlcTook)] == [1, 2]
    assert told.counted_ok() == {1, 2}


# -- verdict_past_deadline -------------------------------------------------------------------


def test_verdict_past_deadline_is_not_written() -> None:
    told = line(judge_s=lambda: 0.6).parts(3)
    assert told.of(Expired) == [Expired(1, number, False) for number in (1, 2, 3)]
    assert told.passed() == []
    assert not told.recorded(PlcTook)
    assert {one.why for one in told.recorded(Settled)} == {"no_verdict"}


def test_verdict_past_deadline_is_wiped_from_the_registers() -> None:
    """The PLC's program stands while the OK lies there; when it goes on the part is not counted."""
    told = line(belt=conveyor(way_s=2.5))  # the part is not yet at the gate
    told.belt.feeding = True
    told.until(lambda: bool(told.of(Triggered)))
    told.belt.feeding, told.halted = False, True
    told.until(lambda: bool(told.of(Expired)))
    assert told.of(Expired) == [Expired(1, 1, True)]
    told.run(0.1)
    told.halted = False
    told.run(3.0)
    assert not told.recorded(PlcTook)
    assert told.passed() == []


# -- torn_result, torn_counter ---------------------------------------------------------------


def test_torn_result() -> None:
    """The program sees every result number a scan before its word."""
    codes = [Code.OK, Code.NG, Code.OK, Code.OK, Code.UNDECIDED, Code.NG, Code.OK, Code.OK]
    told = line(lambda one: codes[one.trigger.part.number - 1], torn=True).parts(len(codes))
    assert told.passed() == [number for number, code in enumerate(codes, 1) if code is Code.OK]
    assert {one.number: one.word % 16 for one in told.recorded(PlcTook)} == told.computed


@pytest.mark.parametrize(
    "torn",
    [
        {"counter": 0, "trigger_number": 0},  # low word new, high word old
        {"counter": 0x1FFFF, "trigger_number": 0xFFFF},  # high word new, low word old
        {"counter": 0x10000, "trigger_number": 0xFFFF},  # the number old, the counter new
        {"counter": 0xFFFF, "trigger_number": 0},
    ],
)
def test_torn_counter(torn: dict[str, int]) -> None:
    plc = met(counter=0xFFFF)
    assert plc.read(**torn) == []
    (triggered,) = of(plc.read(counter=0x10000), Triggered)
    assert triggered.trigger.part.number == 0x10000
    assert len(of(plc.seen, EpochOpened)) == 1
    assert not of(plc.seen, Missed)


# -- wrong_plc -------------------------------------------------------------------------------


def test_wrong_plc_with_another_map_is_never_written_to() -> None:
    class Stranger(Conveyor):
        """Another machine that happens to have this unit number."""

        def scan(self, now_s: float, node: tuple[int, ...]) -> Outputs:
            out = super().scan(now_s, node)
            return replace(out, block=(*out.block[:7], 513, *out.block[8:]))

    written = Aimed(hits=is_write, how="lost", left=1)  # zeros over what stood there, too
    told = Line(None, all_ok, belt=Stranger(Program(Site(), 3), 4.0), wire=written)  # type: ignore[arg-type]
    told.parts(8)
    assert not written.spoiled
    assert told.of(Wrong) == [Wrong("the PLC has map version 513, this node needs 1")]
    assert told.passed() == []


def test_wrong_plc_of_the_same_kind_takes_no_verdict_of_the_other_ones_parts() -> None:
    """The cable moves to a neighbour's PLC that is at about the same number."""
    told = line(judge_s=lambda: 0.2)
    told.belt.feeding = True
    told.until(lambda: len(told.of(Triggered)) == 5)
    neighbour = Program(told.belt.program.site, 700, counter=told.belt.program.counter - 1)
    told.belt.program = neighbour
    told.judge = all_ng  # of the neighbour's parts none is good
    passed = len(told.passed())
    told.run(3.0)
    told.belt.feeding = False
    told.run(2.0)
    assert len(told.passed()) == passed
    assert [one.cause for one in told.of(EpochOpened)] == ["first_contact", "plc_restart"]
    assert any(one.why == "ng" for one in told.recorded(Settled))


# -- a part that the PLC cannot take ---------------------------------------------------------


def test_a_part_that_is_gone_holds_up_nobody_behind_it() -> None:
    """A hand took part 1 from the belt: its verdict is never taken, those behind come through."""
    told = line(station=structs.replace(STATION, deadline_ms=2000), judge_s=lambda: 0.4)
    told.belt.feeding = True
    told.until(lambda: told.belt.fed == 1)
    told.until(lambda: bool(told.of(Triggered)))
    told.belt.program._machine.put("parts", 0)
    told.until(lambda: told.belt.fed == 4)
    told.belt.feeding = False
    told.run(2.5)
    assert [one.number for one in told.recorded(PlcTook)] == [2, 3, 4]
    assert told.of(Expired) == [Expired(1, 1, True)]


# -- ten thousand cycles ---------------------------------------------------------------------


@pytest.mark.faults
def test_ten_thousand_cycles_with_one_frame_in_a_hundred_spoiled(many: int) -> None:
    chance = random.Random(11)
    codes = [Code.OK] * 93 + [Code.NG] * 5 + [Code.UNDECIDED] * 2

    def judge(_: Triggered) -> Code:
        return chance.choice(codes)

    bus = Bus(name="b", port="p")
    plan = BusPlan(bus, [STATION])  # with the reply_timeout_s that `check` names as the shortest
    told = line(
        judge,
        baudrate=bus.baudrate,
        reply_timeout_s=plan.least_timeout_s,
        belt=conveyor(rate=8.0),
    )
    told.judge_s = lambda: chance.uniform(0.03, 0.09)
    told.wire.rate = 0.01
    told.parts(many)
    assert told.settled() == list(range(1, many + 1))
    words = {one.number: one.word % 16 for one in told.recorded(PlcTook)}
    assert {number: told.computed[number] for number in words} == words
    good = {number for number, code in told.computed.items() if code is Code.OK}
    passed = set(told.passed())
    assert passed <= good
    assert told.counted_ok() <= passed  # never counted as ok what the PLC did not pass
    lost = len(good - passed) + many - len(told.computed)
    assert lost <= len(good) / 1000, f"{lost} of {len(good)} good parts lost to the link"
    assert min(told.wire.spoiled.values()) > many / 100
    assert told.believed == 0
    assert len(told.of(EpochOpened)) == 1
