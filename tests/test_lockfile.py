"""Lock files of serial ports: held by who lives, taken over from who is gone, never in the way."""

import fcntl
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge.errors import PlcError
from edge.plc.lockfile import LockFile
from edge.plc.system import System
from tests.serial_peers import until

PORT = Path("/dev/ttyUSB0")


def lock(folder: Path) -> LockFile:
    return LockFile(PORT, System(locks=folder))


def gone() -> int:
    """The number of a process that lived."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_the_file_names_its_process_as_other_programs_expect_it(tmp_path: Path) -> None:
    held = lock(tmp_path)
    held.take()
    assert (tmp_path / "LCK..ttyUSB0").read_bytes() == b"%10d\n" % os.getpid()
    held.drop()
    held.drop()
    assert list(tmp_path.iterdir()) == []
    assert LockFile(Path("/dev/pts/3"), System(locks=tmp_path)).path.name == "LCK..pts_3"


def test_a_port_that_another_program_has_is_refused_and_the_program_named(tmp_path: Path) -> None:
    child = subprocess.Popen(["sleep", "60"])
    until(lambda: Path(f"/proc/{child.pid}/comm").read_text() == "sleep\n")  # it has become so
    try:
        for said in (b"%10d\n" % child.pid, b"%10d minicom root\n" % child.pid):
            (tmp_path / "LCK..ttyUSB0").write_bytes(said)
            with pytest.raises(PlcError, match=f"held by process {child.pid} sleep"):
                lock(tmp_path).take()
            assert (tmp_path / "LCK..ttyUSB0").read_bytes() == said
    finally:
        child.kill()
        child.wait()
    held = lock(tmp_path)
    held.take()
    assert (tmp_path / "LCK..ttyUSB0").read_bytes() == b"%10d\n" % os.getpid()
    held.drop()


CALLED = """
import pathlib
pathlib.Path("/proc/self/comm").write_bytes("a泉检串口调试".encode())
input("called so")
"""


def test_a_program_whose_name_the_kernel_cut_inside_a_character_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "utf8", "-c", CALLED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.read(9) == b"called so"
        (tmp_path / "LCK..ttyUSB0").write_bytes(b"%10d\n" % child.pid)
        with pytest.raises(PlcError, match=f"held by process {child.pid} a泉检串口"):
            lock(tmp_path).take()
        child.kill()


@pytest.mark.parametrize(
    "said",
    [b"%10d\n" % gone(), b"", b"\0\1", b"99999999999999999999\n"],
    ids=["of a process that is gone", "empty", "no number", "no number of a process"],
)
def test_a_stale_file_is_taken_over(tmp_path: Path, said: bytes) -> None:
    (tmp_path / "LCK..ttyUSB0").write_bytes(said)
    held = lock(tmp_path)
    held.take()
    assert (tmp_path / "LCK..ttyUSB0").read_bytes() == b"%10d\n" % os.getpid()
    held.drop()
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_our_own_number_that_we_do_not_hold_is_of_a_former_life(tmp_path: Path) -> None:
    (tmp_path / "LCK..ttyUSB0").write_bytes(b"%10d\n" % os.getpid())
    held = lock(tmp_path)
    held.take()
    with pytest.raises(PlcError, match=f"held by process {os.getpid()}"):
        lock(tmp_path).take()
    held.drop()


def test_of_many_that_find_a_stale_file_one_gets_it(tmp_path: Path) -> None:
    (tmp_path / "LCK..ttyUSB0").write_bytes(b"%10d\n" % gone())
    won: list[LockFile] = []
    refused: list[PlcError] = []
    together = threading.Barrier(8)

    def try_it() -> None:
        mine = lock(tmp_path)
        together.wait()
        try:
            mine.take()
            won.append(mine)
        except PlcError as wrong:
            refused.append(wrong)

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (len(won), len(refused)) == (1, 7)
    won[0].drop()


def test_who_takes_a_stale_file_over_waits_for_another_who_does(tmp_path: Path) -> None:
    file = tmp_path / "LCK..ttyUSB0"
    file.write_bytes(b"%10d\n" % gone())
    refused: list[PlcError] = []

    def try_it() -> None:
        try:
            lock(tmp_path).take()
        except PlcError as wrong:
            refused.append(wrong)

    winner = subprocess.Popen(["sleep", "60"])
    try:
        with file.open("r+b") as taken:
            fcntl.flock(taken, fcntl.LOCK_EX)
            thread = threading.Thread(target=try_it)
            thread.start()
            thread.join(0.2)
            assert thread.is_alive()
            taken.write(b"%10d\n" % winner.pid)
        thread.join(10)
    finally:
        winner.kill()
        winner.wait()
    assert str(refused[0]).startswith(f"/dev/ttyUSB0 is held by process {winner.pid} sleep")


def test_where_no_file_can_be_made_the_port_is_used_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held = lock(tmp_path / "nowhere")
    with caplog.at_level(logging.WARNING):
        held.take()
    assert "cannot be made" in caplog.text
    held.drop()
