"""The PLC's side of the line: exchanged images, wire time, and masters that come and go."""

import os
import select
import time
from pathlib import Path

import pytest
from pymodbus.client import ModbusSerialClient

from edge.errors import PlcError
from edge.plc import modbus
from edge.plc.codecs import PROTOCOLS, wire_s
from edge.plc.slave import PtySlave, Slave
from edge.plc.transaction import (
    READ_COILS,
    Answer,
    Refusal,
    Refused,
    Reply,
    Request,
    read_registers,
    write_registers,
)
from tests.wires import ASCII, RTU


def registers(first: int = 0, count: int = 32) -> dict[int, int]:
    return dict.fromkeys(range(first, first + count), 0)


def opened(port: str) -> int:
    return os.open(port, os.O_RDWR | os.O_NOCTTY)


def asked(line: int, request: Request, within_s: float = 2.0, protocol: str = RTU) -> Reply | None:
    """Ask over a raw descriptor; None if no whole reply came."""
    os.write(line, encoded(request, protocol))
    return heard(line, request, within_s, protocol)


def encoded(request: Request, protocol: str = RTU) -> bytes:
    return PROTOCOLS[protocol].master().encode(request)


def heard(line: int, request: Request, within_s: float = 2.0, protocol: str = RTU) -> Reply | None:
    """What the line says to a request already sent."""
    reader = PROTOCOLS[protocol].master().reader(request)
    deadline_s = time.monotonic() + within_s
    while (left_s := deadline_s - time.monotonic()) > 0:
        if select.select([line], [], [], left_s)[0]:
            reply = reader.feed(os.read(line, 512))
            if reply is not None:
                return reply
    return None


def test_what_either_side_writes_is_seen_only_after_the_exchange() -> None:
    slave = Slave(1, registers())
    slave.exchange({0: 7})
    write = write_registers(1, 10, [5, 6])
    read = read_registers(1, 0, 12)
    assert slave.answer(write) == Answer()
    assert slave.answer(read) == Answer((7, *[0] * 11))
    seen = slave.exchange({0: 8})
    assert (seen[10], seen[11], seen[0]) == (5, 6, 8)
    assert slave.answer(read) == Answer((8, *[0] * 9, 5, 6))


def test_unknown_addresses_and_functions_are_refused_and_other_units_ignored() -> None:
    slave = Slave(1, registers(0, 4))
    assert slave.answer(read_registers(1, 2, 4)) == Refused(modbus.ILLEGAL_ADDRESS)
    assert slave.answer(Request(1, READ_COILS, 0, 1)) == Refused(modbus.ILLEGAL_FUNCTION)
    assert slave.answer(Refusal(1, 43, 1)) == Refused(1)
    assert slave.answer(read_registers(2, 0, 4)) is None
    assert slave.answer(Refusal(2, 43, 1)) is None
    with pytest.raises(KeyError, match="no registers"):
        slave.exchange({99: 1})


def test_an_independent_master_reads_and_writes_two_units() -> None:
    slaves = [Slave(1, registers()), Slave(2, registers())]
    slaves[1].exchange({3: 77})
    with PtySlave(slaves, parity="N") as line:
        master = ModbusSerialClient(line.port, baudrate=115200, timeout=2, retries=0)
        assert master.connect()
        assert master.read_holding_registers(2, count=3, device_id=2).registers == [0, 77, 0]
        assert not master.write_registers(5, [40000, 1], device_id=1).isError()
        assert master.read_holding_registers(40, count=1, device_id=1).exception_code == 2
        master.close()  # type: ignore[no-untyped-call]
    assert slaves[0].exchange({})[5] == 40000


def test_a_reply_takes_the_time_of_its_characters_on_the_wire() -> None:
    with PtySlave([Slave(1, registers())], baudrate=9600) as line:
        port = opened(line.port)
        began_s = time.monotonic()
        assert asked(port, read_registers(1, 0, 12)) == Answer((0,) * 12)
        took_s = time.monotonic() - began_s
        os.close(port)
    least_s = (8 + 3.5 + 29) * wire_s(9600, "E", 1)
    assert least_s <= took_s < least_s + 0.1


def test_a_request_in_two_pieces_is_one_request_and_a_pause_cuts_it() -> None:
    slave = Slave(1, registers())
    with PtySlave([slave], baudrate=9600) as line:
        port = opened(line.port)
        read = read_registers(1, 0, 1)
        os.write(port, encoded(read)[:3])
        os.write(port, encoded(read)[3:])
        assert heard(port, read) == Answer((0,))
        os.write(port, encoded(read)[:3])
        assert heard(port, read, within_s=0.1) is None
        os.write(port, encoded(read)[3:])
        assert heard(port, read, within_s=0.1) is None
        assert asked(port, read) == Answer((0,))
        os.close(port)


def test_a_master_may_close_the_port_and_open_it_again(tmp_path: Path) -> None:
    link = tmp_path / "dev" / "plc"
    with PtySlave([Slave(1, registers())], link=link) as line:
        assert line.port == str(link)
        for _ in range(3):
            port = opened(line.port)
            assert asked(port, read_registers(1, 0, 1)) == Answer((0,))
            os.close(port)


def test_a_dead_plc_says_nothing_and_closing_takes_the_port_away(tmp_path: Path) -> None:
    slave = Slave(1, registers())
    link = tmp_path / "plc"
    line = PtySlave([slave], link=link)
    line.start()
    port = opened(line.port)
    slave.answering = False
    assert asked(port, read_registers(1, 0, 1), within_s=0.1) is None
    os.close(port)
    line.close()
    line.close()
    assert not link.is_symlink()


def test_a_later_line_takes_over_a_stale_link_and_the_older_leaves_it_alone(tmp_path: Path) -> None:
    link = tmp_path / "plc"
    older = PtySlave([Slave(1, registers())], link=link)
    newer = PtySlave([Slave(1, registers())], link=link)
    older.close()
    assert link.is_symlink()
    newer.close()
    assert not link.is_symlink()


def test_a_link_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    with pytest.raises(PlcError, match="simulated serial line"):
        PtySlave([], link=blocked / "plc")


def test_ascii_needs_no_silence_and_takes_the_time_of_seven_bits() -> None:
    read = read_registers(1, 0, 12)
    with PtySlave([Slave(1, registers())], baudrate=9600, protocol=ASCII) as line:
        port = opened(line.port)
        began_s = time.monotonic()
        os.write(port, encoded(read, ASCII)[:3])
        os.write(port, encoded(read, ASCII)[3:] + encoded(read, ASCII)[:5])
        assert heard(port, read, protocol=ASCII) == Answer((0,) * 12)
        took_s = time.monotonic() - began_s
        assert asked(port, read, protocol=ASCII) == Answer((0,) * 12)  # a colon begins anew
        os.close(port)
    least_s = (17 + 7 + 2 * 26) * wire_s(9600, "E", 1, 7)
    assert least_s <= took_s < least_s + 0.1


def test_two_units_of_the_same_number_are_not_understood() -> None:
    with PtySlave([Slave(1, registers()), Slave(1, registers())]) as line:
        port = opened(line.port)
        assert asked(port, read_registers(1, 0, 1), within_s=0.1) is None
        os.close(port)


def test_the_time_of_a_character_is_that_of_all_its_bits() -> None:
    assert wire_s(9600, "E", 1) == pytest.approx(11 / 9600)
    assert wire_s(9600, "N", 1) == pytest.approx(10 / 9600)
    assert wire_s(9600, "E", 1, 7) == pytest.approx(10 / 9600)
    rtu, ascii_ = PROTOCOLS[RTU].master(), PROTOCOLS[ASCII].master()
    assert rtu.silence_s(wire_s(9600, "E", 1)) == pytest.approx(3.5 * 11 / 9600)
    for baudrate in (38400, 57600, 115200):
        assert rtu.silence_s(wire_s(baudrate, "E", 2)) == 0.00175
    assert ascii_.silence_s(wire_s(9600, "E", 1, 7)) == 0.0
