"""A serial port that goes and comes back, and one that two programs want."""

import os
import subprocess
from pathlib import Path

import pytest

from edge.errors import PlcError
from edge.plc.links import Link
from edge.plc.slave import PtySlave, Slave
from edge.plc.system import System
from edge.settings import Bus, BusProtocol
from tests.plc_faults import READ
from tests.wires import (
    FRAMINGS,
    SERIAL,
)

framings = pytest.mark.parametrize("protocol", FRAMINGS)
serial_framings = pytest.mark.parametrize("protocol", SERIAL)


@serial_framings
def test_port_lost_and_port_back(protocol: BusProtocol, tmp_path: Path) -> None:
    place = tmp_path / "plc"
    slave = Slave(1, dict.fromkeys(range(12), 5))
    link = Link(Bus(name="b", protocol=protocol, port=str(place)))
    with pytest.raises(PlcError, match="cannot be opened"):
        link.transact(READ)
    for _ in range(2):
        with PtySlave([slave], link=place, protocol=protocol):
            assert link.transact(READ).values == (5,) * 12
        with pytest.raises(PlcError, match="lost"):
            link.transact(READ)
        assert not link.is_open


def test_two_openers(tmp_path: Path) -> None:
    with PtySlave([Slave(1, {0: 1})]) as line:
        first = Link(Bus(name="b", port=line.port))
        first.open()
        with pytest.raises(PlcError, match=f"held by process {os.getpid()}") as refused:
            Link(Bus(name="b", port=line.port)).open()
        assert "running node" in refused.value.hint
        elsewhere = System(locks=tmp_path)  # a program that knows no lock files
        with pytest.raises(PlcError, match="cannot be opened"):
            Link(Bus(name="b", port=line.port), elsewhere).open()
        assert busy_for_others(line.port)
        first.close()
        assert not busy_for_others(line.port)
        second = Link(Bus(name="b", port=line.port))
        second.open()
        second.close()


def busy_for_others(port: str) -> bool:
    """Whether a program that asks for no lock is refused; root never is, so it goes as nobody."""
    root = os.getuid() == 0
    if root:
        Path(port).chmod(0o666)
    opened = subprocess.run(
        ["/bin/sh", "-c", f": <> {port}"], capture_output=True, user=65534 if root else None
    )
    return opened.returncode != 0
