"""The serial master against good, faulty and independent slaves."""

import resource
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import PlcError, PlcTimeoutError
from edge.plc import modbus
from edge.plc.backoff import Backoff
from edge.plc.links import SerialLink
from edge.plc.slave import PtySlave, RtuSlave
from edge.settings import Bus
from tests.serial_peers import (
    Cable,
    Script,
    ScriptedPeer,
    Step,
    built_libmodbus_slave,
    echo_registers,
    libmodbus_slave,
    pymodbus_slave,
)

TIMEOUT_S = 0.12
READ = modbus.read_registers(1, 0, 12)
READ_FAR = modbus.read_registers(1, 200, 12)
WRITE = modbus.write_registers(1, 105, [1, 2, 3, 4, 5])


def bus(port: str, **changes: object) -> Bus:
    wiring: dict[str, object] = {"name": "b", "port": port, "reply_timeout_s": TIMEOUT_S}
    return Bus(**(wiring | changes))  # type: ignore[arg-type]


def damaged(frame: bytes, place: int = -1) -> bytes:
    changed = bytearray(frame)
    changed[place] ^= 0x10
    return bytes(changed)


def first_then_good(*said: Step) -> Script:
    return lambda n, request: said if n == 0 else [(0, echo_registers(request))]


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def values_of(request: modbus.Request) -> tuple[int, ...]:
    return tuple(range(request.address, request.address + request.count))


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (lambda reply: damaged(reply), "crc"),
        (lambda reply: damaged(reply, 4), "crc"),
        (lambda reply: reply[:5], "short"),
        (lambda reply: b"\x00" + reply, "function|noise"),
        (lambda reply: reply + b"\xff\xff", "trailing"),
        (lambda reply: modbus.sealed(bytes([1, 3, 4, 0, 1, 0, 2])), "count"),
        (lambda reply: modbus.Refusal(1, 3, 2).encode(), "code 2"),
        (lambda reply: modbus.encode_reply(WRITE), "function"),
        (lambda reply: READ.encode(), "count"),  # an adapter that echoes, and a dead PLC
        (lambda reply: b"", "no answer"),
    ],
)
def test_a_wrong_answer_is_an_error_and_the_next_one_is_right(fault: object, cause: str) -> None:
    assert callable(fault)
    spoilt = fault(modbus.encode_reply(READ, values_of(READ)))
    with ScriptedPeer(first_then_good((0, spoilt))) as peer:
        link = SerialLink(bus(peer.port))
        with pytest.raises(PlcError, match=cause):
            link.transact(READ)
        assert link.transact(READ).values == values_of(READ)
        link.close()


def test_a_pause_inside_a_reply_is_accepted() -> None:
    reply = modbus.encode_reply(READ, values_of(READ))
    with ScriptedPeer(lambda n, request: [(0, reply[:4]), (0.02, reply[4:])]) as peer:
        link = SerialLink(bus(peer.port))
        assert link.transact(READ).values == values_of(READ)
        link.close()


def test_a_frame_of_another_unit_does_not_end_the_waiting() -> None:
    stranger = modbus.encode_reply(modbus.read_registers(7, 0, 12), [9] * 12)
    reply = modbus.encode_reply(READ, values_of(READ))
    with ScriptedPeer(lambda n, request: [(0, stranger), (0.02, reply)]) as peer:
        link = SerialLink(bus(peer.port))
        assert link.transact(READ).values == values_of(READ)
        assert link.foreign == 1
        link.close()


def test_only_another_unit_answers_is_a_timeout() -> None:
    stranger = modbus.encode_reply(modbus.read_registers(7, 0, 12), [9] * 12)
    with ScriptedPeer(lambda n, request: [(0, stranger)]) as peer:
        link = SerialLink(bus(peer.port))
        with pytest.raises(PlcTimeoutError, match="no answer"):
            link.transact(READ)
        link.close()


@pytest.mark.parametrize("following", [READ_FAR, WRITE])
@pytest.mark.parametrize("late_s", [1.1 * TIMEOUT_S, 1.7 * TIMEOUT_S])
def test_a_late_reply_is_nobodys_answer(following: modbus.Request, late_s: float) -> None:
    late = modbus.encode_reply(READ, values_of(READ))
    with ScriptedPeer(first_then_good((late_s, late))) as peer:
        link = SerialLink(bus(peer.port))
        with pytest.raises(PlcTimeoutError):
            link.transact(READ)
        expected = () if following is WRITE else values_of(READ_FAR)
        assert link.transact(following).values == expected
        link.close()


def test_a_reply_that_follows_noise_is_not_the_answer_to_the_next_request() -> None:
    reply = modbus.encode_reply(READ, values_of(READ))
    with ScriptedPeer(first_then_good((0, b"\xff\xff\xff"), (TIMEOUT_S / 2, reply))) as peer:
        link = SerialLink(bus(peer.port))
        with pytest.raises(PlcError, match="wrong answer"):
            link.transact(READ)
        assert link.transact(READ_FAR).values == values_of(READ_FAR)
        link.close()


def test_another_unit_is_asked_at_once_and_the_late_reply_is_not_its_answer() -> None:
    other = modbus.read_registers(2, 0, 12)
    late = modbus.encode_reply(READ, [9] * 12)

    def script(n: int, request: bytes) -> list[Step]:
        if n == 0:
            return []
        return [(0, late), (0, echo_registers(request))] if n == 1 else [(0, late)]

    with ScriptedPeer(script) as peer:
        link = SerialLink(bus(peer.port))
        with pytest.raises(PlcTimeoutError):
            link.transact(READ)
        failed_s = time.monotonic()
        reading = link.transact(other)
        assert reading.values == values_of(other)
        assert reading.sent_s - failed_s < TIMEOUT_S / 2
        link.transact(READ)
        assert link.foreign == 1
        link.close()


def test_a_late_reply_is_no_acknowledgement_of_a_write_that_a_dead_plc_never_saw() -> None:
    late = modbus.encode_reply(READ, values_of(READ))
    with ScriptedPeer(lambda n, request: [(1.5 * TIMEOUT_S, late)] if n == 0 else []) as peer:
        link = SerialLink(bus(peer.port))
        with pytest.raises(PlcTimeoutError):
            link.transact(READ)
        with pytest.raises(PlcTimeoutError):
            link.transact(WRITE)
        link.close()


def test_a_write_acknowledged_at_another_address_is_an_error() -> None:
    elsewhere = modbus.encode_reply(modbus.write_registers(1, 100, [0] * 5))
    with ScriptedPeer(lambda n, request: [(0, elsewhere)]) as peer:
        link = SerialLink(bus(peer.port))
        with pytest.raises(PlcError, match="address"):
            link.transact(WRITE)
        link.close()


def test_an_echoing_adapter_with_a_dead_plc_is_never_success() -> None:
    with ScriptedPeer(lambda n, request: [(0, request)]) as peer:
        link = SerialLink(bus(peer.port))
        for request in (READ, WRITE):
            with pytest.raises(PlcError):
                link.transact(request)
        link.close()


def test_a_request_keeps_the_gap_that_the_plc_needs() -> None:
    with ScriptedPeer(lambda n, request: [(0, echo_registers(request))]) as peer:
        link = SerialLink(bus(peer.port, gap_ms=40))
        link.transact(READ)
        heard_s = time.monotonic()
        reading = link.transact(READ)
        assert reading.sent_s - heard_s > 0.035
        assert reading.sent_s <= reading.made_s <= time.monotonic()
        link.close()


def test_a_lost_port_is_an_error_and_a_returned_one_works_again(tmp_path: Path) -> None:
    place = tmp_path / "plc"
    link = SerialLink(bus(str(place), parity="E"))
    with pytest.raises(PlcError, match="cannot be opened"):
        link.transact(READ)
    slave = RtuSlave(1, dict.fromkeys(range(12), 5))
    for _ in range(2):
        with PtySlave([slave], link=place):
            assert link.transact(READ).values == (5,) * 12
        with pytest.raises(PlcError, match="lost"):
            link.transact(READ)
        assert not link.is_open


def test_a_port_is_held_by_one_link_only() -> None:
    with PtySlave([RtuSlave(1, {0: 1})]) as line:
        first, second = SerialLink(bus(line.port)), SerialLink(bus(line.port))
        first.open()
        with pytest.raises(PlcError, match="cannot be opened") as refused:
            second.open()
        assert "running node" in refused.value.hint
        first.close()
        first.close()
        second.open()
        second.close()


def test_a_thing_that_is_no_serial_port_is_a_clear_error(tmp_path: Path) -> None:
    thing = tmp_path / "file"
    thing.write_text("", encoding="utf-8")
    with pytest.raises(PlcError, match="cannot be opened"):
        SerialLink(bus(str(thing))).open()


def test_waiting_for_an_answer_costs_no_processor() -> None:
    with ScriptedPeer(lambda n, request: []) as peer:
        link = SerialLink(bus(peer.port, reply_timeout_s=0.3))
        before = resource.getrusage(resource.RUSAGE_THREAD)
        with pytest.raises(PlcTimeoutError):
            link.transact(READ)
        after = resource.getrusage(resource.RUSAGE_THREAD)
        link.close()
    spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent_s < 0.1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4))
def test_no_noise_on_the_line_raises_anything_but_ours(said: list[bytes]) -> None:
    with ScriptedPeer(lambda n, request: [(0, part) for part in said]) as peer:
        link = SerialLink(bus(peer.port, reply_timeout_s=0.01))
        with pytest.raises(PlcError):
            link.transact(READ)
        link.close()


def test_pymodbus_serves_what_the_link_writes() -> None:
    with Cable() as cable, pymodbus_slave(cable.far, [7] * 200):
        link = SerialLink(bus(cable.near, parity="N", reply_timeout_s=0.5))
        assert link.transact(READ).values == (7,) * 12
        link.transact(WRITE)
        assert link.transact(modbus.read_registers(1, 104, 3)).values == (7, 1, 2)
        with pytest.raises(PlcError, match="code 2"):
            link.transact(modbus.read_registers(1, 5000, 1))
        link.close()


@pytest.mark.needs_libmodbus
def test_libmodbus_serves_what_the_link_writes(tmp_path: Path) -> None:
    program = built_libmodbus_slave(tmp_path)
    with Cable() as cable, libmodbus_slave(program, cable.far):
        link = SerialLink(bus(cable.near, parity="N", reply_timeout_s=0.5))
        assert link.transact(READ).values == tuple(range(1000, 1012))
        link.transact(WRITE)
        assert link.transact(modbus.read_registers(1, 104, 3)).values == (1104, 1, 2)
        with pytest.raises(PlcError, match="code 2"):
            link.transact(modbus.read_registers(1, 199, 2))
        link.close()


def test_descriptors_are_given_back() -> None:
    with PtySlave([RtuSlave(1, {0: 1})]) as line:
        before = descriptors()
        for _ in range(5):
            link = SerialLink(bus(line.port, reply_timeout_s=0.01))
            link.open()
            link.close()
        assert descriptors() == before


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
