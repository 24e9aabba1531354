"""One serial port as a Modbus master: strict transactions, and no answer from the past.

    idle      a silence of max(t3.5, the PLC's gap) after the last character on the line
    request   FC03 or FC16, one at a time
    reply     every field checked; frames of other units are skipped until the deadline
    listen    after a wrong answer: until no answer to that request can come any more; after none:
              the same, before the same unit is asked again (another's late frame names its unit)

The waiting is poll() on the descriptor: pyserial's own read loop costs more than the wire.
Measured against faulty peers: reference page `plc`, section 5.
"""

import contextlib
import errno
import fcntl
import os
import select
import termios
import time
from dataclasses import dataclass
from pathlib import Path

import serial

from edge import settings
from edge.errors import PlcError, PlcTimeoutError
from edge.plc import modbus

SETTLE_S = 0.02  # longest pause inside one reply (USB adapters)
READ_SIZE = 512


@dataclass(frozen=True, slots=True)
class Reading:
    """A good reply. The PLC made it between `sent_s` and `made_s` (monotonic)."""

    values: tuple[int, ...]  # empty for a write
    sent_s: float  # the request went out
    made_s: float  # the first character of the reply can have left no later


class SerialLink:
    """The master's end of one bus. Used by one thread.

    Raises (every method but `close`):
        PlcError: port missing, held by another program, lost; wrong or refused answer.
        PlcTimeoutError: no complete answer in time.
    """

    def __init__(self, bus: settings.Bus) -> None:
        self._bus = bus
        self._character_s = modbus.character_s(bus.baudrate, bus.parity, bus.stop_bits)
        silence_s = modbus.silence_s(bus.baudrate, bus.parity, bus.stop_bits)
        self._gap_s = max(silence_s, bus.gap_ms / 1000)
        self._port: serial.Serial | None = None
        self._poll = select.poll()
        self._active_s = 0.0  # last character on the line, either way
        self._late: dict[int, tuple[modbus.ReplyReader, float]] = {}  # by unit: may come until
        self.stray = 0  # bytes that answered nothing
        self.foreign = 0  # intact frames of other units

    @property
    def is_open(self) -> bool:
        """Whether the port is held; a lost port closes itself."""
        return self._port is not None

    def open(self) -> None:
        """Take the port for this process alone and listen out what a former master asked."""
        if self._port is not None:
            return
        bus = self._bus
        try:
            self._port = serial.Serial(
                bus.port,
                bus.baudrate,
                parity=_parity(bus),
                stopbits=bus.stop_bits,
                timeout=0,
                exclusive=True,  # flock: stops programs that ask; TIOCEXCL stops the others
            )
            fcntl.ioctl(self._port.fileno(), termios.TIOCEXCL)
            termios.tcflush(self._port.fileno(), termios.TCIOFLUSH)
        except (OSError, ValueError, RuntimeError, termios.error) as wrong:
            self.close()
            failed = PlcError(f"bus {bus.name}: {bus.port} cannot be opened: {wrong}")
            if getattr(wrong, "errno", None) in (errno.EAGAIN, errno.EBUSY):
                failed.hint = "Another program holds the port, such as a running node: stop it."
            raise failed from wrong
        self._poll = select.poll()
        self._poll.register(self._port.fileno(), select.POLLIN)
        self._late.clear()
        self._listen(None, time.monotonic() + bus.reply_timeout_s)

    def close(self) -> None:
        """Give the port back. Safe to call twice, and on a port that is gone."""
        port, self._port = self._port, None
        if port is None:
            return
        with contextlib.suppress(OSError, termios.error):
            fcntl.ioctl(port.fileno(), termios.TIOCNXCL)
        with contextlib.suppress(OSError, termios.error):
            port.close()

    def transact(self, request: modbus.Request) -> Reading:
        """Ask one unit and get the answer, or fail; a request is sent once and never repeated."""
        self.open()
        if request.unit in self._late:
            self._listen(*self._late.pop(request.unit))
        self._keep_silence()
        frame = request.encode()
        sent_s = time.monotonic()
        self._say(frame)
        deadline_s = sent_s + len(frame) * self._character_s + self._bus.reply_timeout_s
        self._active_s = sent_s + len(frame) * self._character_s
        reader = modbus.ReplyReader(request)
        reply: modbus.Reply | None = None
        while reply is None and (left_s := deadline_s - time.monotonic()) > 0:
            reply = reader.feed(self._hear(left_s))
        heard_s = time.monotonic()
        self.foreign += reader.foreign
        if isinstance(reply, modbus.Answer):
            made_s = max(sent_s, heard_s - request.reply_size * self._character_s)
            return Reading(reply.values, sent_s, made_s)
        raise self._failure(request, reply or reader.end(), reader, deadline_s)

    def _failure(
        self,
        request: modbus.Request,
        reply: modbus.Reply | None,
        reader: modbus.ReplyReader,
        deadline_s: float,
    ) -> PlcError:
        """The error to raise, with the line listened out where it must be."""
        asked = (
            f"bus {self._bus.name}: unit {request.unit}, function {request.function}, "
            f"registers {request.address} to {request.address + request.count - 1}"
        )
        if isinstance(reply, modbus.Refused):
            return PlcError(f"{asked}: the PLC refuses with code {reply.code}")
        late_s = self._bus.reply_timeout_s
        if reply is None:
            self._late[request.unit] = (reader, deadline_s + late_s)
            return PlcTimeoutError(f"{asked}: no answer within {late_s:.3f} s")
        assert isinstance(reply, modbus.Broken)
        if reply.cause == "crc" and not self._hear(SETTLE_S):
            return PlcError(f"{asked}: damaged answer (crc)")
        self._listen(None, deadline_s + late_s)
        kind = PlcTimeoutError if reply.cause == "short" else PlcError
        return kind(f"{asked}: wrong answer ({reply.cause})")

    def _listen(self, reader: modbus.ReplyReader | None, until_s: float) -> None:
        """Hear and drop everything until `until_s`, or until the reply `reader` waits for came."""
        while (left_s := until_s - time.monotonic()) > 0:
            received = self._hear(left_s)
            self.stray += len(received)
            if reader is not None and received:
                reply = reader.feed(received)
                if isinstance(reply, modbus.Answer | modbus.Refused):
                    return
                if reply is not None:
                    reader = None

    def _keep_silence(self) -> None:
        """Wait until the line has been silent long enough for a new frame to begin."""
        while True:
            left_s = self._active_s + self._gap_s - time.monotonic()
            if left_s > 0:
                time.sleep(left_s)
            received = self._hear(0)
            if not received:
                return
            self.stray += len(received)

    def _hear(self, within_s: float) -> bytes:
        """What the line says within the time; empty if nothing."""
        port = self._port
        if port is None:
            raise PlcError(f"bus {self._bus.name}: {self._bus.port} is closed")
        try:
            if not self._poll.poll(within_s * 1000):
                return b""
            received = os.read(port.fileno(), READ_SIZE)
        except BlockingIOError:
            return b""
        except OSError as wrong:
            raise self._lost(str(wrong)) from wrong
        if not received:
            raise self._lost("hung up")
        self._active_s = time.monotonic()
        return received

    def _say(self, frame: bytes) -> None:
        port = self._port
        if port is None:
            raise PlcError(f"bus {self._bus.name}: {self._bus.port} is closed")
        try:
            written = os.write(port.fileno(), frame)
        except OSError as wrong:
            raise self._lost(str(wrong)) from wrong
        if written != len(frame):
            raise self._lost(f"only {written} of {len(frame)} bytes went out")

    def _lost(self, why: str) -> PlcError:
        self.close()
        return PlcError(f"bus {self._bus.name}: {self._bus.port} is lost: {why}")


def _parity(bus: settings.Bus) -> str:
    """The parity to ask the driver for: a pty has none, and Linux refuses it at a second open."""
    return "N" if Path(bus.port).resolve().parent == Path("/dev/pts") else bus.parity
