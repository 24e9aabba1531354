"""Light controllers on a serial port: brightness of channels, by ASCII protocol or Modbus RTU.

ascii    8 characters a command, see `light_protocol`; on and off are commands of their own
modbus   FC16 of one register, `base` + channel; off is brightness 0
"""

import contextlib
import termios
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import serial

from edge import settings
from edge.errors import PlcError, PlcTimeoutError
from edge.plc.light_protocol import OFF, ON, READ, SET, SIZE, Command, Outcome, answered
from edge.plc.links import Link
from edge.plc.transaction import read_registers, write_registers

SILENCE_S = 0.03  # after the last character of an answer; an echoing adapter needs longer to begin
CLOSE_S = 2.0  # `close` waits so long for a command under way


class _Line(Protocol):
    """One way to talk to a controller; raises PlcError."""

    def set(self, channel: int, brightness: int) -> None: ...

    def get(self, channel: int) -> int: ...

    def renew(self, channel: int, brightness: int) -> int: ...

    def close(self) -> None: ...


class LightController:
    """The channels of one controller; safe from several threads, each waits for the other.

    Raises (every method but `close`):
        PlcError: port missing, wrong or refused answer, no such channel.
        PlcTimeoutError: no answer in time.
    """

    def __init__(self, wiring: settings.Light) -> None:
        """Nothing is opened before the first use."""
        self.name, self.channels = wiring.name, wiring.channels
        self._line: _Line = _Ascii(wiring) if wiring.protocol == "ascii" else _Modbus(wiring)
        self._asked: dict[int, int] = {}  # brightness by channel, as it was set last
        self.alone = threading.RLock()
        """Hold it to keep other threads from switching anything meanwhile."""

    def set(self, brightness: Mapping[int, int]) -> None:
        """Brightness by channel, 0 (off) to 255; on return the controller has taken it."""
        for channel in brightness:
            self._check(channel)
        with self.alone:
            for channel, value in brightness.items():
                self._asked[channel] = value
                self._line.set(channel, value)

    def get(self, channel: int) -> int:
        """The brightness that a channel is set to."""
        self._check(channel)
        with self.alone:
            return self._line.get(channel)

    def hold(self, idle: Callable[[], bool]) -> None:
        """See whether every channel is still as it was set; one that cannot be read is set anew.

        A controller that was without power for a moment comes back dark, or in another brightness,
        and tells nobody.

        Args:
            idle: asked before each channel; the first False ends the look.

        Raises:
            PlcError: as above, or a channel is not as it was set.
        """
        for channel in list(self._asked):
            with self.alone:
                if not idle():
                    return
                self._hold(channel, self._asked[channel])

    def _hold(self, channel: int, brightness: int) -> None:
        try:
            found = self._line.renew(channel, brightness)
        except PlcError as wrong:
            if not wrong.refused:
                raise
            self._line.set(channel, brightness)
            return
        if found != brightness:
            raise PlcError(
                f"light {self.name}: channel {channel} is at {found} and was set to {brightness}: "
                "the controller was without power, or somebody else sets it"
            )

    def close(self) -> None:
        """Give the port back; safe to call twice. Whoever hangs with it is not waited for."""
        held = self.alone.acquire(timeout=CLOSE_S)
        try:
            self._line.close()
        finally:
            if held:
                self.alone.release()

    def _check(self, channel: int) -> None:
        if not 1 <= channel <= self.channels:
            raise PlcError(f"light {self.name}: no channel {channel}; it has 1 to {self.channels}")


class _Modbus:
    def __init__(self, wiring: settings.Light) -> None:
        self._unit, self._base = wiring.unit, wiring.base
        self._link = Link(
            settings.Bus(
                name=f"of light {wiring.name}",
                port=wiring.port,
                baudrate=wiring.baudrate,
                parity=wiring.parity,
                stop_bits=wiring.stop_bits,
                reply_timeout_s=wiring.reply_timeout_s,
            )
        )

    def set(self, channel: int, brightness: int) -> None:
        self._link.transact(write_registers(self._unit, self._base + channel, [brightness]))

    def get(self, channel: int) -> int:
        asked = read_registers(self._unit, self._base + channel, 1)
        return self._link.transact(asked).values[0]

    def renew(self, channel: int, _brightness: int) -> int:
        return self.get(channel)

    def close(self) -> None:
        self._link.close()


class _Ascii:
    def __init__(self, wiring: settings.Light) -> None:
        self._wiring = wiring
        self._port: serial.Serial | None = None

    def set(self, channel: int, brightness: int) -> None:
        if brightness == 0:
            self._ask(Command(OFF, channel))
            return
        self._ask(Command(SET, channel, brightness))
        self._ask(Command(ON, channel))

    def get(self, channel: int) -> int:
        return self._ask(Command(READ, channel))

    def renew(self, channel: int, brightness: int) -> int:
        """Only brightness can be read: whether the channel is on or off is said again."""
        if brightness == 0:
            return self._ask(Command(OFF, channel))
        found = self.get(channel)
        if found == brightness:
            self._ask(Command(ON, channel))
        return found

    def close(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            with contextlib.suppress(OSError):
                port.close()

    def _ask(self, command: Command) -> int:
        """One command and its answer; a fault closes the port, the next command opens it again."""
        where = f"light {self._wiring.name} at {self._wiring.port}: channel {command.channel}"
        try:
            heard = self._exchange(command)
        except (OSError, termios.error) as exc:  # pyserial's errors are OSErrors
            self.close()
            raise PlcError(f"{where}: {exc}") from exc
        outcome, value = answered(command, heard)
        if outcome is Outcome.DONE:
            return value
        if outcome is Outcome.REFUSED:
            told = f"{where}: the controller refuses command {command.command}"
            raise PlcError(told, refused=True)
        self.close()
        if not heard:
            late = f"no answer within {self._wiring.reply_timeout_s:g} s"
            raise PlcTimeoutError(f"{where}: {late}")
        raise PlcError(f"{where}: wrong answer {heard[:SIZE]!r}: baud rate, or an echoing adapter")

    def _exchange(self, command: Command) -> bytes:
        """Everything the controller says until it is silent.

        Raises:
            OSError: of the port.
            termios.error: of a port that is gone; no OSError.
        """
        wiring = self._wiring
        if self._port is None:
            self._port = serial.Serial(
                wiring.port,
                wiring.baudrate,
                parity=wiring.parity,
                stopbits=wiring.stop_bits,
                timeout=SILENCE_S,
                write_timeout=1.0,
                exclusive=True,
            )
        port = self._port
        port.reset_input_buffer()
        port.write(command.encode())
        until_s = time.monotonic() + wiring.reply_timeout_s
        heard = b""
        while len(heard) <= 2 * SIZE:
            more: bytes = port.read(SIZE)
            heard += more
            if not more and (heard or time.monotonic() > until_s):
                break
        return heard
