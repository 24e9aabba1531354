"""The master's link: its silences, its port, and what it costs. Faults: tests/test_plc_faults.py"""

import resource
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import PlcError, PlcTimeoutError
from edge.plc.backoff import Backoff
from edge.plc.links import Link
from edge.plc.slave import PtySlave, Slave
from edge.plc.tcp_slave import TcpSlave
from edge.plc.transaction import read_registers, write_registers
from edge.settings import Bus
from tests.serial_peers import Babbler, ScriptedPeer, echo_registers, scripted
from tests.wires import FRAMINGS, SERIAL, reply_to

READ = read_registers(1, 0, 12)
WRITE = write_registers(1, 5, [1, 2, 3])

framings = pytest.mark.parametrize("protocol", FRAMINGS)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("protocol", SERIAL)
def test_a_simulated_plc_is_read_and_written_over_a_pty(protocol: str) -> None:
    slave = Slave(1, dict.fromkeys(range(12), 7))
    with (
        PtySlave([slave], protocol=protocol) as line,
        closing(Link(Bus(name="b", port=line.port, protocol=protocol))) as link,  # type: ignore[arg-type]
    ):
        assert link.transact(READ).values == (7,) * 12
        link.transact(WRITE)
        slave.exchange({})
        assert link.transact(read_registers(1, 4, 4)).values == (7, 1, 2, 3)
        with pytest.raises(PlcError, match="code 2"):
            link.transact(read_registers(1, 5000, 1))


def test_a_simulated_plc_is_read_and_written_over_tcp() -> None:
    slave = Slave(1, dict.fromkeys(range(12), 7))
    with TcpSlave([slave]) as line:
        wiring = Bus(name="b", host="127.0.0.1", tcp_port=line.port, protocol="modbus_tcp")
        links = Link(wiring), Link(wiring)  # a PLC serves several masters
        for link in links:
            assert link.transact(READ).values == (7,) * 12
        links[0].transact(WRITE)
        slave.exchange({})
        assert links[1].transact(read_registers(1, 4, 4)).values == (7, 1, 2, 3)
        slave.answering = False
        with pytest.raises(PlcTimeoutError):
            links[1].transact(READ)
        slave.answering = True
        assert links[1].transact(READ).values[0] == 7
    with pytest.raises(PlcError, match="is lost"):
        links[0].transact(READ)
    assert not links[0].is_open
    with pytest.raises(PlcError, match="cannot be reached"):
        links[0].transact(READ)
    links[1].close()


def test_the_silence_before_a_request_is_what_the_plc_needs() -> None:
    with (
        ScriptedPeer(lambda n, request: [(0, echo_registers(request))]) as peer,
        closing(Link(peer.bus(gap_ms=40))) as link,
    ):
        link.transact(READ)
        heard_s = time.monotonic()
        reading = link.transact(READ)
        assert reading.sent_s - heard_s > 0.035
        assert reading.sent_s <= reading.made_s <= time.monotonic()


def test_bytes_before_a_request_are_counted_and_the_silence_begins_anew_after_them() -> None:
    with (
        ScriptedPeer(lambda n, request: [(0, echo_registers(request))]) as peer,
        closing(Link(peer.bus(gap_ms=40))) as link,
    ):
        first = link.transact(READ)
        peer.say(b"\x00\x55\xff")
        second = link.transact(READ)
        assert second.values == first.values
        assert link.stray == 3
        assert second.sent_s - first.sent_s > 0.08  # heard after one silence, then another one


def test_a_line_that_is_never_silent_is_said_and_waited_for_no_longer_than_for_an_answer() -> None:
    with (
        Babbler() as peer,
        closing(Link(Bus(name="b", port=peer.port, reply_timeout_s=0.05, gap_ms=100))) as link,
    ):
        with pytest.raises(PlcTimeoutError, match="bus b: the line is never silent") as said:
            link.transact(READ)
        assert "second master" in said.value.hint
        assert link.is_open


def test_a_reply_is_dated_by_when_it_came() -> None:
    with (
        ScriptedPeer(lambda n, request: [(0.05, echo_registers(request))]) as peer,
        closing(Link(peer.bus(reply_timeout_s=2.0))) as link,
    ):
        reading = link.transact(READ)
        assert reading.sent_s + 0.045 < reading.made_s <= time.monotonic()


def test_a_thing_that_is_no_serial_port_is_a_clear_error(tmp_path: Path) -> None:
    thing = tmp_path / "file"
    thing.write_text("", encoding="utf-8")
    with pytest.raises(PlcError, match="cannot be opened"):
        Link(Bus(name="b", port=str(thing))).open()


def test_a_driver_that_has_no_rs485_mode_is_named() -> None:
    with (
        PtySlave([Slave(1, {0: 1})]) as line,
        closing(Link(Bus(name="b", port=line.port, rs485=True, rs485_after_ms=1))) as link,
    ):
        with pytest.raises(PlcError, match=f"{line.port} refuses RS-485 mode") as refused:
            link.open()
        assert "Take rs485 out" in refused.value.hint
        assert not link.is_open
        other = Link(Bus(name="b", port=line.port))  # nothing of the failed one is left
        other.open()
        other.close()


@framings
def test_waiting_for_an_answer_costs_no_processor(protocol: str) -> None:
    with (
        scripted(protocol, lambda n, request: []) as peer,
        closing(Link(peer.bus(reply_timeout_s=0.3))) as link,
    ):
        link.open()
        before = resource.getrusage(resource.RUSAGE_THREAD)
        with pytest.raises(PlcTimeoutError):
            link.transact(READ)
        after = resource.getrusage(resource.RUSAGE_THREAD)
    spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent_s < 0.1


@framings
@settings(max_examples=25, deadline=None)
@given(said=st.lists(st.binary(max_size=60), min_size=1, max_size=4))
def test_no_noise_on_the_line_raises_anything_but_ours(protocol: str, said: list[bytes]) -> None:
    with (
        scripted(protocol, lambda n, request: [(0, part) for part in said]) as peer,
        closing(Link(peer.bus(reply_timeout_s=0.01))) as link,
        pytest.raises(PlcError),
    ):
        link.transact(READ)


@framings
def test_descriptors_are_given_back(protocol: str) -> None:
    with scripted(protocol, lambda n, request: [(0, reply_to(protocol, request))]) as peer:
        before = descriptors()
        for _ in range(5):
            link = Link(peer.bus(reply_timeout_s=0.01))
            link.open()
            link.close()
            link.close()
        assert descriptors() <= before + (protocol == "modbus_tcp")  # the peer's end of the last


def test_tries_come_further_apart_up_to_two_seconds_and_at_once_after_success() -> None:
    backoff = Backoff(chance=lambda: 0.5)
    waits = []
    for _ in range(6):
        backoff.failed(100.0)
        waits.append(round(backoff.due_s - 100, 3))
    assert waits == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    backoff.worked()
    assert backoff.due_s == 0.0
    early, late = Backoff(chance=lambda: 0.0), Backoff(chance=lambda: 1.0)
    early.failed(0.0)
    late.failed(0.0)
    assert (round(early.due_s, 3), round(late.due_s, 3)) == (0.15, 0.25)
