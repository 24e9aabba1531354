"""Replies that come late, later, or from a memory: they are never anybody's answer."""

import itertools
import time
from contextlib import closing

import pytest

from edge.errors import PlcError, PlcTimeoutError
from edge.plc import bus as plc_bus
from edge.plc.blocks import BLOCK_SIZE, Control, PlcBlock, StatusFlags
from edge.plc.bus import LinkBack, LinkLost
from edge.plc.links import Link
from edge.plc.transaction import Answer, Request, read_registers, write_registers
from edge.settings import Slave, Station, Tag
from edge.terms import MAP_VERSION
from tests.plc_faults import FAR, READ, READ_FAR, TIMEOUT_S, VALUES, WRITE, fails_then_is_right
from tests.serial_peers import Script, Step, scripted, until
from tests.wires import (
    ASCII,
    FRAMINGS,
    RTU,
    SERIAL,
    TCP,
    answer_to,
    reply_of,
    reply_to,
    request_in,
)

framings = pytest.mark.parametrize("protocol", FRAMINGS)
serial_framings = pytest.mark.parametrize("protocol", SERIAL)


@pytest.mark.parametrize("late_s", [1.3 * TIMEOUT_S, 1.7 * TIMEOUT_S])
@framings
def test_late_reply(protocol: str, late_s: float) -> None:
    def script(n: int, asked: bytes) -> list[Step]:
        return [(late_s if n == 0 else 0, reply_to(protocol, asked))]

    fails_then_is_right(protocol, script, "no answer")


@framings
def test_late_reply_then_write(protocol: str) -> None:
    """The late reply to a read is no acknowledgement of a write that a dead PLC never saw."""

    def script(n: int, asked: bytes) -> list[Step]:
        return [(1.5 * TIMEOUT_S, reply_to(protocol, asked))] if n == 0 else []

    with (
        scripted(protocol, script) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
    ):
        with pytest.raises(PlcTimeoutError):
            link.transact(READ)
        with pytest.raises(PlcTimeoutError):
            link.transact(WRITE)


@framings
def test_a_reply_that_follows_a_wrong_one_is_not_the_answer_to_the_next_request(
    protocol: str,
) -> None:
    def script(n: int, asked: bytes) -> list[Step]:
        reply = reply_to(protocol, asked)
        wrong = reply_of(protocol, read_registers(1, 0, 2), Answer((1, 2)), asked)
        return [(0, wrong), (TIMEOUT_S / 2, reply)] if n == 0 else [(0, reply)]

    fails_then_is_right(protocol, script, "wrong answer")


def one_behind(protocol: str) -> Script:
    """A slave that says its first answer when the next request comes, and is in step after that."""
    owed: list[bytes] = []

    def script(n: int, asked: bytes) -> list[Step]:
        reply = reply_to(protocol, asked)
        if n == 0:
            owed[:] = [reply]
            return []
        late, owed[:] = owed[:], []
        return [(0, late[0])] if late else [(0, reply)]

    return script


@pytest.mark.parametrize("first", [READ, WRITE])
@serial_framings
def test_late_beyond_quarantine(protocol: str, first: Request) -> None:
    """A reply that comes when the next request of the same shape is out is not its answer."""
    following = write_registers(1, 105, [9] * 5) if first is WRITE else READ_FAR
    with (
        scripted(protocol, one_behind(protocol)) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
    ):
        with pytest.raises(PlcTimeoutError):
            link.transact(first)
        with pytest.raises(PlcError, match="wrong answer"):
            link.transact(following)
        written = request_in(protocol, peer.requests[-1])
        assert isinstance(written, Request)
        assert not written.values  # nothing was written while an answer was owed
        assert link.transact(READ_FAR).values == FAR


def test_late_beyond_quarantine_over_tcp_is_known_by_its_number() -> None:
    def script(n: int, asked: bytes) -> list[Step]:
        if n == 0:
            first.append(asked)
            return []
        late = reply_of(TCP, READ, answer_to(READ), first[0])
        return [(0, late), (0.01, reply_to(TCP, asked))]

    first: list[bytes] = []
    with scripted(TCP, script) as peer, closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link:
        with pytest.raises(PlcTimeoutError):
            link.transact(READ)
        assert link.transact(READ_FAR).values == FAR
        assert link.stray > 0


@framings
def test_another_unit_is_asked_at_once_and_the_late_reply_is_not_its_answer(protocol: str) -> None:
    other = read_registers(2, 0, 12)
    first: list[bytes] = []

    def script(n: int, asked: bytes) -> list[Step]:
        if n == 0:
            first.append(asked)
            return []
        late = reply_of(protocol, READ, Answer((9,) * 12), first[0])
        return [(0, late), (0, reply_to(protocol, asked))]

    with (
        scripted(protocol, script) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
    ):
        with pytest.raises(PlcTimeoutError):
            link.transact(READ)
        failed_s = time.monotonic()
        reading = link.transact(other)
        assert reading.values == VALUES
        assert reading.sent_s - failed_s < TIMEOUT_S / 2


@serial_framings
def test_slow_slave(protocol: str) -> None:
    def script(n: int, asked: bytes) -> list[Step]:
        return [(0.9, reply_to(protocol, asked))]

    with scripted(protocol, script) as peer, closing(Link(peer.bus(reply_timeout_s=1.0))) as link:
        assert link.transact(READ).values == VALUES


def test_a_pause_of_more_than_a_second_ends_a_frame_of_ascii() -> None:
    def script(n: int, asked: bytes) -> list[Step]:
        reply = reply_to(ASCII, asked)
        return [(0, reply[:9]), (1.3, reply[9:])]

    with scripted(ASCII, script) as peer, closing(Link(peer.bus(reply_timeout_s=2.0))) as link:
        begun_s = time.monotonic()
        with pytest.raises(PlcTimeoutError, match="short"):
            link.transact(READ)
        assert time.monotonic() - begun_s < 6.5


def test_a_sounding_is_no_part_of_the_transaction_that_comes_after_it() -> None:
    with (
        scripted(RTU, one_behind(RTU)) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
    ):
        with pytest.raises(PlcTimeoutError):
            link.transact(READ)
        with pytest.raises(PlcError, match="wrong answer"):
            link.sound(READ_FAR)  # the late answer shows itself: it is still owed
        assert link.sound(READ_FAR)
        assert not link.sound(READ_FAR)
        before = len(peer.requests)
        assert link.transact(READ_FAR).values == FAR
        assert len(peer.requests) == before + 1


STATION = Station(name="s1", bus="b", trigger="hardware", cameras=("c",))
METER = Slave(name="meter", bus="b", unit=7)
METERED = [Tag(name=f"m{n}", slave="meter", address=4 * n, type="u32") for n in range(2)]


def test_a_sounding_takes_a_turn_of_its_own_between_two_reads_of_the_block() -> None:
    """As the plan has it: a block, one other frame, a block. An answer of the wrong count leaves a
    debt of the meter, and the sounding that settles it is no second frame between two blocks."""
    wrong: list[bytes] = []
    beats = itertools.count()

    def script(n: int, asked: bytes) -> list[Step]:
        request = request_in(RTU, asked)
        assert isinstance(request, Request)
        if request.unit == METER.unit and not wrong:
            wrong.append(asked)
            other = read_registers(METER.unit, 0, 3)
            return [(0, reply_of(RTU, other, Answer((0, 0, 0))))]
        block = request.unit == STATION.unit and request.count == BLOCK_SIZE
        return [(0, reply_to(RTU, asked, Answer(_block(next(beats))) if block else None))]

    with scripted(RTU, script) as peer:
        bus = plc_bus.Bus(peer.bus(reply_timeout_s=0.05), [STATION], {}, [METER], METERED)
        bus.start()
        until(lambda: 1 in _counts(peer.requests)[:-4])  # the sounding, and what comes after it
        bus.close()
    assert all(BLOCK_SIZE in pair for pair in itertools.pairwise(_counts(peer.requests)))


def _counts(frames: list[bytes]) -> list[int]:
    """Of the registers that were asked for."""
    asked = [request_in(RTU, frame) for frame in frames]
    return [request.count for request in asked if isinstance(request, Request)]


def _block(beat: int) -> tuple[int, ...]:
    control = Control.ENABLE | Control.LINE_RUNNING
    return PlcBlock(control, 100, 1, 0xFFFF, 100, beat, MAP_VERSION, 0, 0, 1, 1).encode()


def test_late_beyond_quarantine_without_end_is_caught_by_the_heartbeat() -> None:
    """A gateway that answers every read of the block with an old one: the PLC is lost."""

    def script(n: int, asked: bytes) -> list[Step]:
        request = request_in(RTU, asked)
        assert isinstance(request, Request)
        remembered = request.address == 0 and request.count == BLOCK_SIZE
        return [(0, reply_to(RTU, asked, Answer(_block(7)) if remembered else None))]

    with scripted(RTU, script) as peer:
        bus = plc_bus.Bus(peer.bus(reply_timeout_s=TIMEOUT_S), [STATION], {})
        station = bus.station("s1")
        station.status(StatusFlags.ONLINE | StatusFlags.TRIGGER_READY)
        station.alive(1e9)
        bus.start()
        seen: list[object] = []
        while not any(isinstance(one, LinkLost) for one in seen):
            seen.append(station.observations.get(timeout=5))
        bus.close()
    assert seen[-1] == LinkLost("the PLC's program stands still (heartbeat 7)")
    assert not any(isinstance(one, LinkBack) for one in seen)
