"""USB adapters found by number or path, and what else wants their port, on a computer of paper."""

import os
import subprocess
from pathlib import Path

import pytest

from edge import buses
from edge.errors import PlcError
from edge.plc.hindrances import LATENCY_FILE, LATENCY_RULE, hindrances
from edge.plc.links import Link
from edge.plc.slave import PtySlave, Slave
from edge.plc.system import LINUX, System
from edge.plc.transaction import read_registers
from edge.plc.usb import adapters, find
from edge.settings import Bus


class Paper:
    """The folders of a computer that a test describes."""

    def __init__(self, folder: Path) -> None:
        self.system = System(folder / "dev", folder / "sys", folder / "proc", folder / "locks")
        for place in (folder / "dev", folder / "sys" / "class" / "tty", folder / "locks"):
            place.mkdir(parents=True)
        self.processes = 0
        self._folder = folder
        self.process("init")
        self.command_line("BOOT_IMAGE=/vmlinuz root=/dev/sda1")

    def adapter(
        self,
        tty: str,
        path: str,
        interface: str = "1.0",
        serial: str | None = None,
        identity: str = "1a86:7523",
        latency_ms: int | None = None,
    ) -> None:
        """One serial port of a USB adapter, as the kernel shows it."""
        device = self.system.sys / "devices" / "pci0000:00" / "usb1" / path.split(".")[0] / path
        port = device / f"{path}:{interface}" / tty
        port.mkdir(parents=True)
        for file, said in zip(("idVendor", "idProduct"), identity.split(":"), strict=True):
            (device / file).write_text(said + "\n", encoding="utf-8")
        (device / "product").write_text("USB Serial\n", encoding="utf-8")
        if serial is not None:
            (device / "serial").write_text(serial + "\n", encoding="utf-8")
        if latency_ms is not None:
            (port / "latency_timer").write_text(f"{latency_ms}\n", encoding="utf-8")
        entry = self.system.sys / "class" / "tty" / tty
        entry.mkdir()
        (entry / "device").symlink_to(port)
        (self.system.dev / tty).touch()

    def process(self, *words: str, holds: Path | None = None) -> int:
        """A program that runs."""
        self.processes += 1
        folder = self.system.proc / str(self.processes)
        (folder / "fd").mkdir(parents=True)
        (folder / "cmdline").write_bytes("\0".join(words).encode() + b"\0")
        if holds is not None:
            (folder / "fd" / "3").symlink_to(holds)
        return self.processes

    def command_line(self, text: str) -> None:
        """What the kernel was started with."""
        (self.system.proc / "cmdline").write_text(text + "\n", encoding="utf-8")


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    return Paper(tmp_path)


def test_an_adapter_is_found_by_number_and_by_path(paper: Paper) -> None:
    paper.adapter("ttyUSB0", "1-1.4")
    paper.adapter("ttyUSB1", "1-1.3", serial="A50285BI", identity="0403:6001")
    paper.adapter("ttyACM0", "3-2", serial="E6614", identity="2e8a:000a")
    assert find("A50285BI", paper.system) == paper.system.dev / "ttyUSB1"
    assert find("1-1.4", paper.system) == paper.system.dev / "ttyUSB0"
    assert find("3-2:1.0", paper.system) == paper.system.dev / "ttyACM0"


def test_a_port_that_is_on_no_usb_is_no_adapter(paper: Paper) -> None:
    entry = paper.system.sys / "class" / "tty" / "ttyS0"
    place = paper.system.sys / "devices" / "pnp0" / "00:04" / "tty"
    place.mkdir(parents=True)
    entry.mkdir()
    (entry / "device").symlink_to(place)
    (paper.system.sys / "class" / "tty" / "tty1").mkdir()
    assert list(adapters(paper.system)) == []


def test_one_port_of_an_adapter_with_several_is_named_by_its_interface(paper: Paper) -> None:
    paper.adapter("ttyUSB0", "1-1", "1.0", serial="FT4232", identity="0403:6011")
    paper.adapter("ttyUSB1", "1-1", "1.1", serial="FT4232", identity="0403:6011")
    assert find("FT4232:1.1", paper.system) == paper.system.dev / "ttyUSB1"
    with pytest.raises(PlcError, match=r"several ports: 1-1:1\.0 .* 1-1:1\.1") as wrong:
        find("FT4232", paper.system)
    assert "USB path" in wrong.value.hint


def test_adapters_of_one_number_are_told_apart_by_their_path(paper: Paper) -> None:
    paper.adapter("ttyUSB0", "1-1", serial="0001", identity="10c4:ea60")
    paper.adapter("ttyUSB1", "1-2", serial="0001", identity="10c4:ea60")
    with pytest.raises(PlcError, match="several ports"):
        find("0001", paper.system)
    assert find("1-2", paper.system) == paper.system.dev / "ttyUSB1"


def test_a_missing_adapter_is_told_with_those_that_are_there(paper: Paper) -> None:
    with pytest.raises(PlcError, match="there are: none"):
        find("1-1.4", paper.system)
    paper.adapter("ttyUSB0", "1-1.3")
    with pytest.raises(PlcError, match=r"1-1\.3:1\.0 \(USB Serial, no serial number\)"):
        find("1-1.4", paper.system)


def test_an_adapter_that_comes_back_under_another_name_is_the_same_bus(paper: Paper) -> None:
    link = Link(Bus(name="b", usb="1-1.4", reply_timeout_s=0.1), paper.system)
    for number, tty in enumerate(("ttyUSB0", "ttyUSB3")):
        with PtySlave([Slave(1, {0: number})]) as line:
            paper.adapter(tty, "1-1.4", "1.0" if number == 0 else "1.1")
            (paper.system.dev / tty).unlink()
            (paper.system.dev / tty).symlink_to(line.port)
            assert link.transact(read_registers(1, 0, 1)).values == (number,)
            (paper.system.sys / "class" / "tty" / tty / "device").unlink()
        with pytest.raises(PlcError, match="lost"):
            link.transact(read_registers(1, 0, 1))
        with pytest.raises(PlcError, match=r"no USB adapter is '1-1\.4'"):
            link.transact(read_registers(1, 0, 1))


@pytest.mark.parametrize("word", ["console=ttyS0,115200n8", "console=ttyS0"])
def test_a_port_that_is_the_kernels_console_is_named(paper: Paper, word: str) -> None:
    port = paper.system.dev / "ttyS0"
    assert hindrances(port, paper.system) == []
    paper.command_line(f"root=/dev/sda1 {word} quiet")
    (found,) = hindrances(port, paper.system)
    assert "console= in /proc/cmdline" in found
    assert hindrances(paper.system.dev / "ttyS1", paper.system) == []


def test_a_login_on_a_port_is_named_with_its_service(paper: Paper) -> None:
    number = paper.process("/sbin/agetty", "-o", "-p -- \\u", "--keep-baud", "ttyUSB0", "vt220")
    (found,) = hindrances(paper.system.dev / "ttyUSB0", paper.system)
    assert f"agetty (process {number})" in found
    assert "systemctl disable --now serial-getty@ttyUSB0" in found
    assert hindrances(paper.system.dev / "ttyUSB1", paper.system) == []


def test_brltty_is_named_for_an_adapter_that_it_takes(paper: Paper) -> None:
    paper.adapter("ttyUSB0", "1-1")
    paper.adapter("ttyUSB1", "1-2", identity="2e8a:000a")
    assert hindrances(paper.system.dev / "ttyUSB0", paper.system) == []
    paper.process("/usr/bin/brltty", "--no-daemon")
    (found,) = hindrances(paper.system.dev / "ttyUSB0", paper.system)
    assert "apt-get remove brltty" in found
    assert hindrances(paper.system.dev / "ttyUSB1", paper.system) == []


def test_brltty_is_named_where_the_adapter_is_gone(paper: Paper) -> None:
    paper.process("brltty")
    with pytest.raises(PlcError, match="no USB adapter") as wrong:
        buses.tried(Bus(name="b", usb="1-1"), paper.system)
    assert "brltty" in wrong.value.hint
    with pytest.raises(PlcError, match="cannot be opened") as wrong:
        buses.tried(Bus(name="b", port=str(paper.system.dev / "ttyUSB7")), paper.system)
    assert "brltty" in wrong.value.hint


def test_a_program_that_has_the_port_open_is_named(paper: Paper) -> None:
    port = paper.system.dev / "ttyUSB0"
    number = paper.process("/usr/bin/minicom", "-D", str(port), holds=port)
    (found,) = hindrances(port, paper.system)
    assert found == f"minicom (process {number}) has {port} open: stop it"


def test_a_latency_of_more_than_a_millisecond_is_told_with_the_rule_to_write(paper: Paper) -> None:
    paper.adapter("ttyUSB0", "1-1", identity="0403:6015", latency_ms=16)
    paper.adapter("ttyUSB1", "1-2", identity="0403:6015", latency_ms=1)
    (found,) = hindrances(paper.system.dev / "ttyUSB0", paper.system)
    assert "latency_timer of ttyUSB0 is 16 ms" in found
    assert LATENCY_RULE in found
    assert LATENCY_FILE in found
    assert hindrances(paper.system.dev / "ttyUSB1", paper.system) == []


def test_the_port_of_a_bus_is_described_or_what_spoils_it_is_told(paper: Paper) -> None:
    paper.adapter("ttyUSB0", "1-1.4")
    with PtySlave([Slave(1, {0: 1})]) as line:
        (paper.system.dev / "ttyUSB0").unlink()
        (paper.system.dev / "ttyUSB0").symlink_to(line.port)
        device = Path(line.port).resolve()
        wiring = Bus(name="b", usb="1-1.4", reply_timeout_s=0.1, protocol="modbus_ascii")
        told = buses.tried(wiring, paper.system)
        assert told.startswith(f"usb 1-1.4 is {device}")
        assert told.endswith("modbus_ascii 115200 7E1")
        paper.command_line(f"console={device.name}")
        with pytest.raises(PlcError, match="1 thing") as wrong:
            buses.tried(wiring, paper.system)
        assert "console=" in wrong.value.hint


def test_another_master_on_the_line_is_told() -> None:
    line, far_end = os.openpty()
    port = os.ttyname(far_end)
    talker = subprocess.Popen(
        ["/bin/sh", "-c", "while :; do printf x; sleep 0.02; done"], stdout=line
    )
    try:
        with pytest.raises(PlcError, match="though nobody was asked") as wrong:
            buses.tried(Bus(name="b", port=port, reply_timeout_s=0.3), LINUX)
        assert "Another master" in wrong.value.hint
    finally:
        talker.kill()
        talker.wait()
        os.close(line)
        os.close(far_end)
