"""Slaves on Modbus TCP, as a PLC with an Ethernet port has them: for the simulated line."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Sequence

from edge.errors import PlcError
from edge.plc.modbus_tcp import TcpSlaveCodec
from edge.plc.slave import Slave, Slaves

LOOK_S = 0.05  # how often the thread looks whether it shall stop


class TcpSlave:
    """Slaves behind one port of this computer alone; the thread runs from `start` to `close`.

    Any number of masters may be connected; one that says what is no Modbus TCP is hung up on.

    Raises:
        PlcError: the port is taken.
    """

    def __init__(self, slaves: Sequence[Slave], port: int = 0) -> None:
        """`port` 0: any free one; `self.port` says which."""
        self._slaves = Slaves(slaves)
        try:
            self._listener = socket.create_server(("127.0.0.1", port))
        except OSError as wrong:
            raise PlcError(f"no simulated PLC on 127.0.0.1:{port}: {wrong}") from wrong
        self.port: int = self._listener.getsockname()[1]
        self._ready = selectors.DefaultSelector()
        self._ready.register(self._listener, selectors.EVENT_READ)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"tcp {self.port}", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering, hang up on everybody. Safe to call twice."""
        if self._stop.is_set():
            return
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=5)
        for key in list(self._ready.get_map().values()):
            self._hang_up(key.fileobj)
        self._ready.close()

    def __enter__(self) -> "TcpSlave":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._ready.select(LOOK_S):
                if key.data is None:
                    self._accept()
                else:
                    self._serve(key.fileobj, key.data)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it went again
            master, _ = self._listener.accept()
            master.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            codec = TcpSlaveCodec(self._slaves.answer)
            self._ready.register(master, selectors.EVENT_READ, codec)

    def _serve(self, master: object, codec: TcpSlaveCodec) -> None:
        assert isinstance(master, socket.socket)
        try:
            received = master.recv(4096)
            reply = codec.feed(received)
            if reply:
                master.sendall(reply)
        except OSError:
            received = b""
        if not received or codec.lost:
            self._hang_up(master)

    def _hang_up(self, one: object) -> None:
        assert isinstance(one, socket.socket)
        self._ready.unregister(one)
        one.close()
