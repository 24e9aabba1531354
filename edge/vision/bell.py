"""The socket beside a ring of frames: who reads it, and the byte that wakes them.

    writer   listens on F.sock, takes every reader that comes, rings after each frame
    reader   connects, sleeps in the socket; its end says that the writer is gone, however it died

A thread takes readers while no frame is written: a camera may stand for hours, and a connection
that nobody takes stays in the socket's short queue even after its reader has left.
"""

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_QUEUE = 128  # connections at once, before the thread gets its turn
PAUSE_S = 0.1  # before a reader is tried again that could not be taken
HANGS_S = 1.0  # a writer whose queue stays full for so long takes nobody


class Bell:
    """The writer's end. `ring` and `close` may be called from any thread."""

    def __init__(self, ring: Path) -> None:
        """Listen beside the file of this ring; an old socket there is replaced.

        Raises:
            OSError: it cannot be made here.
        """
        self._path = _socket_of(ring)
        self._readers: list[socket.socket] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._listening = _listen(self._path)
        self._thread = threading.Thread(target=self._run, name=f"readers of {ring}", daemon=True)
        self._thread.start()

    @property
    def readers(self) -> int:
        """How many are connected, as far as has been noticed."""
        with self._lock:
            return len(self._readers)

    def ring(self) -> None:
        """Wake every reader; one that has just connected too."""
        with self._lock:
            self._take()
            self._readers = [reader for reader in self._readers if _woken(reader)]

    def close(self) -> None:
        """Tell the readers that no more will come; safe to call twice."""
        if self._listening.fileno() == -1:
            return
        self._closing.set()
        self._listening.shutdown(socket.SHUT_RDWR)  # wakes the thread, which finds it shut
        self._thread.join()
        for bell in (self._listening, *self._readers):
            bell.close()
        self._readers.clear()
        self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        comes = select.poll()
        comes.register(self._listening, select.POLLIN)
        while not any(told & select.POLLHUP for _, told in comes.poll()):
            with self._lock:
                taken = self._take()
                self._readers = [reader for reader in self._readers if not _left(reader)]
            if not taken:
                self._closing.wait(PAUSE_S)

    def _take(self) -> bool:
        """Every reader that waits; False if they must: no descriptor is left for them."""
        try:
            while True:
                reader, _ = self._listening.accept()
                reader.setblocking(False)
                self._readers.append(reader)
        except BlockingIOError:
            return True
        except OSError:
            return False


def connect(ring: Path) -> socket.socket:
    """A reader's end, which does not block.

    Raises:
        BlockingIOError: a writer lives there and takes nobody for a second: it hangs.
        OSError: no writer lives there.
    """
    give_up_s = time.monotonic() + HANGS_S
    while True:
        try:
            return _connected(ring)
        except BlockingIOError:  # a writer that was only busy takes those who wait soon
            if time.monotonic() > give_up_s:
                raise
        time.sleep(0.01)


def _connected(ring: Path) -> socket.socket:
    bell = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bell.setblocking(False)
    try:
        with _short(_socket_of(ring)) as address:
            bell.connect(address)
    except OSError:
        bell.close()
        raise
    return bell


def writer_lives(ring: Path) -> bool:
    """Does a program listen there, even one that hangs?"""
    try:
        connect(ring).close()
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


def _woken(reader: socket.socket) -> bool:
    """Wake a reader; False when it has gone."""
    try:
        reader.send(b"\1")
    except BlockingIOError:  # it has bytes enough to wake up from
        return True
    except OSError:
        reader.close()
        return False
    return True


def _left(reader: socket.socket) -> bool:
    """Has a reader gone? It never sends anything."""
    try:
        gone = not reader.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        gone = True
    if gone:
        reader.close()
    return gone


def _listen(path: Path) -> socket.socket:
    bell = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bell.setblocking(False)
    try:
        path.unlink(missing_ok=True)
        with _short(path) as address:
            bell.bind(address)
        bell.listen(_QUEUE)
    except OSError:
        bell.close()
        raise
    return bell


def _socket_of(ring: Path) -> Path:
    return ring.with_name(ring.name + ".sock")


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for `path` of at most 108 bytes, which is all that a socket address holds."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
