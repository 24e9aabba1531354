"""One TCP connection to a PLC, with the face of a serial port."""

import contextlib
import select
import socket

from edge import settings
from edge.errors import PlcError

CONNECT_S = 1.0
GONE_MS = 3000
"""A connection whose bytes nobody acknowledges for so long is lost: the cable is out."""
READ_SIZE = 4096


class TcpPort:
    """A connection, held from `open` to `close`. Used by one thread.

    Raises (every method but `close`):
        PlcError: nobody listens there, or the connection is lost; a lost one closes itself.
    """

    def __init__(self, bus: settings.Bus) -> None:
        self._bus = bus
        self._socket: socket.socket | None = None
        self._poll = select.poll()

    @property
    def is_open(self) -> bool:
        """Whether the connection is held."""
        return self._socket is not None

    def open(self) -> None:
        """Connect."""
        where = (self._bus.host or "", self._bus.tcp_port)
        try:
            made = socket.create_connection(where, CONNECT_S)
        except OSError as wrong:
            failed = self._said(f"cannot be reached: {wrong}")
            failed.hint = "Check the cable, the address, and that the PLC serves Modbus TCP."
            raise failed from wrong
        # a frame is one small packet and must not wait for the next
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_MS)
        made.setblocking(False)
        self._socket = made
        self._poll = select.poll()
        self._poll.register(made.fileno(), select.POLLIN)

    def close(self) -> None:
        """Give the connection back. Safe to call twice."""
        held, self._socket = self._socket, None
        if held is not None:
            with contextlib.suppress(OSError):
                held.close()

    def hear(self, within_s: float) -> bytes:
        """What the PLC says within the time; empty if nothing."""
        held = self._held()
        try:
            if not self._poll.poll(within_s * 1000):
                return b""
            received = held.recv(READ_SIZE)
        except BlockingIOError:
            return b""
        except OSError as wrong:
            raise self._lost(str(wrong)) from wrong
        if not received:
            raise self._lost("the PLC closed the connection")
        return received

    def say(self, frame: bytes) -> None:
        """Hand the whole frame to the network."""
        held = self._held()
        try:
            written = held.send(frame)
        except OSError as wrong:
            raise self._lost(str(wrong)) from wrong
        if written != len(frame):
            raise self._lost(f"only {written} of {len(frame)} bytes went out")

    def _held(self) -> socket.socket:
        if self._socket is None:
            raise self._said("is closed")
        return self._socket

    def _lost(self, why: str) -> PlcError:
        self.close()
        return self._said(f"is lost: {why}")

    def _said(self, what: str) -> PlcError:
        return PlcError(f"bus {self._bus.name}: {self._bus.place} {what}")
