"""A TCP proxy of ours on loopback: a wire that is cut, silent, slow or reset while it is in use."""

import contextlib
import socket
import struct
import threading
from types import TracebackType

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close sends RST
_READ_BYTES = 4096


class Proxy:
    """Passes bytes between clients and one port of loopback, as `silent` and `rate` allow."""

    def __init__(self, port: int) -> None:
        self.silent = False  # nothing passes, nobody is told: half-open on both sides
        self.deaf = False  # new connections are refused
        self.bytes_per_s: float | None = None
        self._target = ("127.0.0.1", port)
        self._sockets: set[socket.socket] = set()
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.2)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)

    def __enter__(self) -> "Proxy":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._listener.close()
        self.reset()

    def reset(self) -> None:
        """RST on every connection, to both sides."""
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                one.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                one.close()
        self._sockets.clear()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            try:
                if self.deaf:
                    raise ConnectionRefusedError
                server = socket.create_connection(self._target, 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self._sockets |= {client, server}
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        pause = threading.Event()
        with contextlib.suppress(OSError):
            while data := source.recv(_READ_BYTES):
                while self.silent and not self._stop.is_set():
                    pause.wait(0.05)
                if self.bytes_per_s is not None:
                    pause.wait(len(data) / self.bytes_per_s)
                sink.sendall(data)
        for one in (source, sink):
            self._sockets.discard(one)
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
                one.close()
