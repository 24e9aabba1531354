"""The lock file of a serial port, as minicom, picocom, pppd and others make theirs.

    /run/lock/LCK..ttyUSB0      the number of the process that has the port, ten characters and LF

It is made with O_EXCL before the port is touched, so that not even the baud rate of somebody's
session changes. A file whose process is gone is taken over, under a lock on the file itself so that
of two that find it only one gets it. Where none can be made the kernel's own locks stand alone.

Source: Filesystem Hierarchy Standard 3.0, section 5.9.
"""

import contextlib
import fcntl
import logging
import os
import threading
from pathlib import Path

from edge.errors import PlcError
from edge.plc.system import System

log = logging.getLogger(__name__)

_held: set[Path] = set()
"""Files of this process: another one may have had its number before, as in a container."""

_taking = threading.RLock()
"""Over a file and its place in `_held`: two threads have one number."""


class LockFile:
    """Held from `take` to `drop`."""

    def __init__(self, device: Path, system: System) -> None:
        """`device` is the real device file, no link to it."""
        name = "_".join(device.parts[2:] if device.is_relative_to("/dev") else device.parts[-1:])
        self.path = system.locks / f"LCK..{name}"
        self._device = device
        self._proc = system.proc
        self._mine = False

    def take(self) -> None:
        """Make the file, or take over that of a process that is gone.

        Raises:
            PlcError: a process that lives has it.
        """
        with _taking:
            try:
                self._make()
            except FileExistsError:
                self._take_over()
            except OSError as wrong:
                log.warning("%s cannot be made: %s; others are not warned", self.path, wrong)

    def drop(self) -> None:
        """Delete the file; safe to call twice."""
        if self._mine:
            self._mine = False
            _held.discard(self.path)
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _make(self) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_number())
        self._keep()

    def _take_over(self) -> None:
        try:
            with self.path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not _still(self.path, file.fileno()):
                    self.take()  # deleted meanwhile: begin again
                    return
                self._judge(file.read(64))
                file.seek(0)
                file.write(_number())
                file.truncate()
        except OSError as wrong:
            self._judge(self._said())
            log.warning("%s is stale and stays: %s; delete it", self.path, wrong)
            return
        self._keep()

    def _judge(self, said: bytes) -> None:
        """Raise if the process that the file names lives."""
        first = said.split()[:1]  # some write program and user behind the number
        number = int(first[0]) if first and first[0].isdigit() else 0
        alone = number == os.getpid() and self.path not in _held
        if number == 0 or alone or not _lives(number):
            return
        name = self._name_of(number)
        wrong = PlcError(f"{self._device} is held by process {number}{name} ({self.path})")
        wrong.hint = "Stop that program, such as a running node or a terminal on the port."
        raise wrong

    def _said(self) -> bytes:
        try:
            return self.path.read_bytes()[:64]
        except OSError:
            return b""

    def _name_of(self, number: int) -> str:
        comm = self._proc / str(number) / "comm"
        try:  # cut at 15 bytes, which may be inside a character
            return f" {comm.read_text(encoding='utf-8', errors='replace').strip()}"
        except OSError:
            return ""

    def _keep(self) -> None:
        self._mine = True
        _held.add(self.path)


def _number() -> bytes:
    return b"%10d\n" % os.getpid()


def _lives(number: int) -> bool:
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _still(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one that has the name now."""
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except OSError:
        return False
