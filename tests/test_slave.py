"""The PLC's side of the line: exchanged images, wire time, and masters that come and go."""

import os
import select
import time
from pathlib import Path

import pytest
from pymodbus.client import ModbusSerialClient

from edge.errors import PlcError
from edge.plc import modbus
from edge.plc.slave import PtySlave, RtuSlave


def registers(first: int = 0, count: int = 32) -> dict[int, int]:
    return dict.fromkeys(range(first, first + count), 0)


def opened(port: str) -> int:
    return os.open(port, os.O_RDWR | os.O_NOCTTY)


def asked(line: int, request: modbus.Request, within_s: float = 2.0) -> modbus.Reply | None:
    """Ask over a raw descriptor; None if no whole reply came."""
    os.write(line, request.encode())
    return heard(line, request, within_s)


def heard(line: int, request: modbus.Request, within_s: float = 2.0) -> modbus.Reply | None:
    """What the line says to a request already sent."""
    reader = modbus.ReplyReader(request)
    deadline_s = time.monotonic() + within_s
    while (left_s := deadline_s - time.monotonic()) > 0:
        if select.select([line], [], [], left_s)[0]:
            reply = reader.feed(os.read(line, 512))
            if reply is not None:
                return reply
    return None


def test_what_either_side_writes_is_seen_only_after_the_exchange() -> None:
    slave = RtuSlave(1, registers())
    slave.exchange({0: 7})
    write = modbus.write_registers(1, 10, [5, 6])
    read = modbus.read_registers(1, 0, 12)
    assert slave.answer(write.encode()) == modbus.encode_reply(write)
    before = modbus.encode_reply(read, [7, *[0] * 11])
    assert slave.answer(read.encode()) == before
    seen = slave.exchange({0: 8})
    assert (seen[10], seen[11], seen[0]) == (5, 6, 8)
    after = modbus.encode_reply(read, [8, *[0] * 9, 5, 6])
    assert slave.answer(read.encode()) == after


def test_unknown_addresses_and_functions_are_refused_and_other_units_ignored() -> None:
    slave = RtuSlave(1, registers(0, 4))
    outside = slave.answer(modbus.read_registers(1, 2, 4).encode())
    assert outside == modbus.Refusal(1, 3, modbus.ILLEGAL_ADDRESS).encode()
    coils = modbus.Request(1, modbus.READ_COILS, 0, 1)
    assert slave.answer(coils.encode()) == modbus.Refusal(1, 1, 1).encode()
    assert slave.answer(modbus.read_registers(2, 0, 4).encode()) is None
    assert slave.answer(b"\x01\x03noise") is None
    with pytest.raises(KeyError, match="no registers"):
        slave.exchange({99: 1})


def test_an_independent_master_reads_and_writes_two_units() -> None:
    slaves = [RtuSlave(1, registers()), RtuSlave(2, registers())]
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
    with PtySlave([RtuSlave(1, registers())], baudrate=9600) as line:
        port = opened(line.port)
        began_s = time.monotonic()
        assert asked(port, modbus.read_registers(1, 0, 12)) == modbus.Answer((0,) * 12)
        took_s = time.monotonic() - began_s
        os.close(port)
    wire_s = (8 + 3.5 + 29) * modbus.character_s(9600, "E", 1)
    assert wire_s <= took_s < wire_s + 0.1


def test_a_request_in_two_pieces_is_one_request_and_a_pause_cuts_it() -> None:
    slave = RtuSlave(1, registers())
    with PtySlave([slave], baudrate=9600) as line:
        port = opened(line.port)
        read = modbus.read_registers(1, 0, 1)
        os.write(port, read.encode()[:3])
        os.write(port, read.encode()[3:])
        assert heard(port, read) == modbus.Answer((0,))
        os.write(port, read.encode()[:3])
        assert heard(port, read, within_s=0.1) is None
        os.write(port, read.encode()[3:])
        assert heard(port, read, within_s=0.1) is None
        assert asked(port, read) == modbus.Answer((0,))
        os.close(port)


def test_a_master_may_close_the_port_and_open_it_again(tmp_path: Path) -> None:
    link = tmp_path / "dev" / "plc"
    with PtySlave([RtuSlave(1, registers())], link=link) as line:
        assert line.port == str(link)
        for _ in range(3):
            port = opened(line.port)
            assert asked(port, modbus.read_registers(1, 0, 1)) == modbus.Answer((0,))
            os.close(port)


def test_a_dead_plc_says_nothing_and_closing_takes_the_port_away(tmp_path: Path) -> None:
    slave = RtuSlave(1, registers())
    link = tmp_path / "plc"
    line = PtySlave([slave], link=link)
    line.start()
    port = opened(line.port)
    slave.answering = False
    assert asked(port, modbus.read_registers(1, 0, 1), within_s=0.1) is None
    os.close(port)
    line.close()
    line.close()
    assert not link.is_symlink()


def test_a_later_line_takes_over_a_stale_link_and_the_older_leaves_it_alone(tmp_path: Path) -> None:
    link = tmp_path / "plc"
    older = PtySlave([RtuSlave(1, registers())], link=link)
    newer = PtySlave([RtuSlave(1, registers())], link=link)
    older.close()
    assert link.is_symlink()
    newer.close()
    assert not link.is_symlink()


def test_a_link_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    with pytest.raises(PlcError, match="simulated serial line"):
        PtySlave([], link=blocked / "plc")
