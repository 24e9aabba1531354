"""The wire of one bus: its silences, who may speak, and what is heard when nobody may.

A serial port and a TCP connection have the same face here. What was wrong on a serial line is
listened out; a connection that says what is no frame is made anew, for it cannot be cut any more.
"""

import contextlib
import time
from typing import Protocol

from edge import settings
from edge.errors import PlcError, PlcTimeoutError
from edge.plc import punctual
from edge.plc.codecs import character_s, silence_s
from edge.plc.serial_port import SerialPort
from edge.plc.system import System
from edge.plc.tcp_port import TcpPort
from edge.plc.transaction import Answer, Codec, Reader, Refused


class Port(Protocol):
    """Where the bytes go; a lost one closes itself and raises PlcError."""

    @property
    def is_open(self) -> bool: ...

    def open(self) -> None: ...

    def close(self) -> None: ...

    def hear(self, within_s: float) -> bytes: ...

    def say(self, frame: bytes) -> None: ...


class Line:
    """A port and the time on its wire. Used by one thread.

    Raises (every method but `close`):
        PlcError: port missing, held by another program, or lost.
        PlcTimeoutError: nobody may speak, as the line is never silent.
    """

    def __init__(self, bus: settings.Bus, codec: Codec, system: System) -> None:
        self.serial = bus.host is None
        self._place = f"bus {bus.name}"
        self.character_s = character_s(bus)
        self.stray = 0  # bytes that came while nobody was asked
        self.port: Port = SerialPort(bus, system) if self.serial else TcpPort(bus)
        self._gap_s = silence_s(bus, codec)
        self._late_s = bus.reply_timeout_s
        self.active_s = 0.0  # when the last character was heard, or will have been sent (monotonic)
        self._said = b""  # the last request
        self._back = b""  # what was heard since, at least as much as that was

    @property
    def echoed(self) -> bool:
        """Whether what was heard since the last request begins with that very request."""
        return bool(self._said) and self._back.startswith(self._said)

    def open(self) -> None:
        """Take the port, and on a serial line listen out what a former master asked."""
        self.port.open()
        if self.serial:
            self.listen(None, time.monotonic() + self._late_s)

    def close(self) -> None:
        """Give the port back. Safe to call twice, and on a port that is gone."""
        self.port.close()

    def say(self, frame: bytes) -> tuple[float, float]:
        """Send a frame after the silence that must be; when it began and will have ended, s."""
        self._keep_silence()
        self._said, self._back = frame, b""
        begins_s = time.monotonic()
        self.port.say(frame)
        self.active_s = ends_s = begins_s + len(frame) * self.character_s
        return begins_s, ends_s

    def hear(self, within_s: float) -> bytes:
        """What the line says within the time; empty if nothing."""
        received = self.port.hear(within_s)
        if received:
            self.active_s = time.monotonic()
            if len(self._back) < len(self._said):
                self._back += received
        return received

    def listen(self, reader: Reader | None, until_s: float) -> bool:
        """Hear and drop everything until then, or until the reply `reader` waits for came.

        Returns:
            Whether it came.
        """
        while (left_s := until_s - time.monotonic()) > 0:
            received = self.hear(left_s)
            self.stray += len(received)
            if reader is not None and received:
                reply = reader.feed(received)
                if isinstance(reply, Answer | Refused):
                    return True
                if reply is not None:
                    reader = None
        return False

    def clear(self, until_s: float) -> None:
        """After a wrong answer: nothing of it may be heard as the next."""
        if self.serial:
            self.listen(None, until_s)
            return
        self.port.close()
        with contextlib.suppress(PlcError):  # whoever uses it next will hear so
            self.port.open()

    def _keep_silence(self) -> None:
        """Wait until the line has been silent long enough for a new frame to begin.

        Raises:
            PlcTimeoutError: it is not for `reply_timeout_s`; nobody else of the bus waits longer.
        """
        silent_s = self.active_s + self._gap_s
        begins_s = time.monotonic()
        if begins_s < silent_s:
            punctual.wait_until(silent_s)
            begins_s = silent_s
        while received := self.hear(0):
            self.stray += len(received)
            if self.active_s > begins_s + self._late_s:
                raise self._babble()
            punctual.wait_until(self.active_s + self._gap_s)

    def _babble(self) -> PlcTimeoutError:
        wrong = PlcTimeoutError(
            f"{self._place}: the line is never silent: nobody was asked, and bytes kept coming for "
            f"{self._late_s:.3f} s"
        )
        wrong.hint = (
            "Look for a second master and for a unit that talks unasked; an RS-485 line without "
            "bias and termination resistors floats and is heard as bytes."
        )
        return wrong
