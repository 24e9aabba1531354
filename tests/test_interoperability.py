"""Our master against slaves of others, and a master of others against our simulated line."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge.errors import PlcError
from edge.plc.links import Link
from edge.plc.slave import PtySlave, Slave
from edge.plc.tcp_slave import TcpSlave
from edge.plc.transaction import read_registers, write_registers
from edge.settings import Bus
from edge.terms import MAP_VERSION
from tests.broker_peer import free_port
from tests.serial_peers import (
    Cable,
    built_libmodbus_slave,
    libmodbus_slave,
    pymodbus_slave,
    umodbus_slave,
    until,
)
from tests.small_line import SimulatedPlc
from tests.wires import ASCII, TCP

READ = read_registers(1, 0, 12)
WRITE = write_registers(1, 105, [1, 2, 3, 4, 5])
HELD = [7] * 200


def serves_and_refuses(link: Link, held: Sequence[int]) -> None:
    """What is there is read, what is written is there, and what is not there is refused."""
    assert link.transact(READ).values == tuple(held[:12])
    link.transact(WRITE)
    assert link.transact(read_registers(1, 104, 3)).values == (held[104], 1, 2)
    with pytest.raises(PlcError, match="code 2"):
        link.transact(read_registers(1, 199, 2))
    link.close()


def test_pymodbus_rtu() -> None:
    with Cable() as cable, pymodbus_slave(cable.far, HELD):
        serves_and_refuses(Link(Bus(name="b", port=cable.near, reply_timeout_s=0.5)), HELD)


def test_pymodbus_ascii_7e1() -> None:
    with Cable(data_bits=7) as cable, pymodbus_slave(cable.far, HELD, ASCII):
        wiring = Bus(name="b", port=cable.near, protocol=ASCII, baudrate=9600, reply_timeout_s=0.5)
        serves_and_refuses(Link(wiring), HELD)


def test_pymodbus_tcp() -> None:
    port = free_port()
    with pymodbus_slave(str(port), HELD, TCP):
        wiring = Bus(name="b", protocol=TCP, host="127.0.0.1", tcp_port=port, reply_timeout_s=0.5)
        serves_and_refuses(Link(wiring), HELD)


def test_umodbus_rtu() -> None:
    with Cable() as cable, umodbus_slave(cable.far, 200, 7):
        serves_and_refuses(Link(Bus(name="b", port=cable.near, reply_timeout_s=0.5)), HELD)


@pytest.mark.needs_libmodbus
def test_libmodbus_rtu(tmp_path: Path) -> None:
    program = built_libmodbus_slave(tmp_path)
    with Cable() as cable, libmodbus_slave(program, cable.far):
        serves_and_refuses(
            Link(Bus(name="b", port=cable.near, reply_timeout_s=0.5)), range(1000, 1200)
        )


def mbpoll(*words: str, first: int = 10, count: int = 12) -> list[int]:
    """The registers that mbpoll reads once."""
    said = subprocess.run(
        ["mbpoll", "-a", "1", "-0", "-r", str(first), "-c", str(count), "-1", "-q", *words],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return [int(value) for value in re.findall(r"^\[\d+\]:\s+(\d+)", said.stdout, re.M)]


@pytest.mark.needs_mbpoll
def test_mbpoll_reads_and_writes_our_slave_over_rtu() -> None:
    slave = Slave(1, {10: 1, 11: 40000, 12: 3})
    with PtySlave([slave], parity="N") as line:
        wiring = ("-m", "rtu", "-b", "115200", "-P", "none", line.port)
        assert mbpoll(*wiring, count=3) == [1, 40000, 3]
        wrote = subprocess.run(
            ["mbpoll", "-a", "1", "-0", "-r", "10", "-q", *wiring, "5", "6"], capture_output=True
        )
        assert wrote.returncode == 0
    assert [slave.exchange({})[address] for address in (10, 11)] == [5, 6]


@pytest.mark.needs_mbpoll
def test_mbpoll_reads_the_simulated_line(tmp_path: Path) -> None:
    line = SimulatedPlc(tmp_path, parts=1, rate=1)
    try:
        until((tmp_path / "plc").exists, within_s=30)
        block = mbpoll("-m", "rtu", "-b", "115200", "-P", "even", str(tmp_path / "plc"), first=0)
        assert block[7] == MAP_VERSION
        assert (
            mbpoll(
                "-m",
                "rtu",
                "-b",
                "115200",
                "-P",
                "even",
                str(tmp_path / "plc"),
                first=100,
                count=10,
            )
            == [0] * 10
        )
    finally:
        line.process.kill()
        line.process.wait(10)


@pytest.mark.needs_mbpoll
def test_mbpoll_reads_our_slave_over_tcp() -> None:
    with TcpSlave([Slave(1, {10: 1, 11: 40000, 12: 3})]) as line:
        assert mbpoll("-m", "tcp", "-p", str(line.port), "127.0.0.1", count=3) == [1, 40000, 3]
