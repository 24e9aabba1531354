"""One serial port: found, taken for this process alone, read and written without waiting.

The waiting is poll() on the descriptor: pyserial's own read loop costs more than the wire.
"""

import contextlib
import errno
import fcntl
import os
import select
import termios
from pathlib import Path

import serial
import serial.rs485

from edge import settings
from edge.errors import PlcError
from edge.plc.codecs import data_bits_of
from edge.plc.lockfile import LockFile
from edge.plc.system import System
from edge.plc.usb import find

READ_SIZE = 256  # the longest frame of Modbus RTU; above 479 Python has to call malloc


def device_of(bus: settings.Bus, system: System) -> Path:
    """The device file of a bus's port, as it is plugged in now.

    Raises:
        PlcError: no adapter is the one that `usb` means.
    """
    if bus.usb is None:
        return Path(bus.port or "")
    try:
        return find(bus.usb, system)
    except PlcError as wrong:
        failed = PlcError(f"bus {bus.name}: cannot be opened: {wrong}")
        failed.hint = wrong.hint
        raise failed from wrong


class SerialPort:
    """A serial port, held from `open` to `close`. Used by one thread.

    Raises (every method but `close`):
        PlcError: port missing, held by another program, or lost; a lost port closes itself.
    """

    def __init__(self, bus: settings.Bus, system: System) -> None:
        self._bus = bus
        self._system = system
        self.is_open = False  # whether the port is held
        self._port: serial.Serial | None = None
        self._lock: LockFile | None = None
        self._descriptor = -1  # of the port that is held
        self._poll = select.poll()

    def open(self) -> None:
        """Take the port for this process alone; what came before is dropped."""
        device = device_of(self._bus, self._system).resolve()
        lock = LockFile(device, self._system)
        try:
            lock.take()
        except PlcError as wrong:
            raise self._said(f"cannot be opened: {wrong}", wrong.hint) from wrong
        self._lock = lock
        try:
            self._port = self._opened(device)
            fcntl.ioctl(self._port.fileno(), termios.TIOCEXCL)
            termios.tcflush(self._port.fileno(), termios.TCIOFLUSH)
            self._switch_rs485()
        except (OSError, ValueError, RuntimeError, termios.error) as wrong:
            self.close()
            hint = ""
            if getattr(wrong, "errno", None) in (errno.EAGAIN, errno.EBUSY):
                hint = "Another program holds the port, such as a running node: stop it."
            raise self._said(f"cannot be opened: {wrong}", hint) from wrong
        except PlcError:
            self.close()
            raise
        self._descriptor = self._port.fileno()
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        self.is_open = True

    def _opened(self, device: Path) -> serial.Serial:
        """With the line's settings. A pty has neither parity nor seven bits, and refuses them."""
        pty = device.parent == Path("/dev/pts")
        return serial.Serial(
            str(device),
            self._bus.baudrate,
            bytesize=8 if pty else data_bits_of(self._bus),
            parity="N" if pty else self._bus.parity,
            stopbits=self._bus.stop_bits,
            timeout=0,
            exclusive=True,  # flock: stops programs that ask; TIOCEXCL stops the others
        )

    def _switch_rs485(self) -> None:
        """Let the kernel switch the line's driver: a program would be late with it."""
        bus = self._bus
        if not bus.rs485 or self._port is None:
            return
        try:
            self._port.rs485_mode = serial.rs485.RS485Settings(
                delay_before_tx=bus.rs485_before_ms / 1000,
                delay_before_rx=bus.rs485_after_ms / 1000,
            )
        except ValueError as wrong:  # what pyserial makes of the refused ioctl
            raise self._said(
                f"the driver of {self._port.name} refuses RS-485 mode (TIOCSRS485): {wrong}",
                "Take rs485 out where the adapter switches by itself, or use another port.",
            ) from wrong

    def close(self) -> None:
        """Give the port back. Safe to call twice, and on a port that is gone."""
        port, self._port, self._descriptor, self.is_open = self._port, None, -1, False
        if port is not None:
            with contextlib.suppress(OSError, termios.error):
                fcntl.ioctl(port.fileno(), termios.TIOCNXCL)
            with contextlib.suppress(OSError, termios.error):
                port.close()
        if self._lock is not None:
            self._lock.drop()
            self._lock = None

    def hear(self, within_s: float) -> bytes:
        """What the line says within the time; empty if nothing."""
        if not self.is_open:
            raise self._said("is closed")
        try:
            if not self._poll.poll(within_s * 1000):
                return b""
            received = os.read(self._descriptor, READ_SIZE)
        except BlockingIOError:
            return b""
        except OSError as wrong:
            raise self._lost(str(wrong)) from wrong
        if not received:
            raise self._lost("hung up")
        return received

    def say(self, frame: bytes) -> None:
        """Hand the whole frame to the driver."""
        if not self.is_open:
            raise self._said("is closed")
        try:
            written = os.write(self._descriptor, frame)
        except OSError as wrong:
            raise self._lost(str(wrong)) from wrong
        if written != len(frame):
            raise self._lost(f"only {written} of {len(frame)} bytes went out")

    def _lost(self, why: str) -> PlcError:
        self.close()
        return self._said(f"is lost: {why}")

    def _said(self, what: str, hint: str = "") -> PlcError:
        wrong = PlcError(f"bus {self._bus.name}: {self._bus.place} {what}")
        wrong.hint = hint or wrong.hint
        return wrong
