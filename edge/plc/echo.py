"""An adapter that hears itself: what was sent comes back before the reply. No port, no clock."""

from edge.plc.transaction import Broken, Reader, Reply


class EchoReader:
    """Takes the echo of the request off what the line says, then reads the reply.

    The echo must be the request to the last bit: anything else was a collision on the line, or the
    adapter does not echo at all, and is Broken("echo").
    """

    def __init__(self, sent: bytes, reader: Reader) -> None:
        self._left = sent
        self._reader = reader

    @property
    def foreign(self) -> int:
        """As of the reply's reader."""
        return self._reader.foreign

    @property
    def stray(self) -> int:
        """As of the reply's reader."""
        return self._reader.stray

    def feed(self, received: bytes) -> Reply | None:
        """Take bytes from the line; None means more are needed."""
        echoed = received[: len(self._left)]
        if not self._left.startswith(echoed):
            return Broken("echo")
        self._left = self._left[len(echoed) :]
        return None if self._left else self._reader.feed(received[len(echoed) :])

    def end(self) -> Broken | None:
        """No more bytes will be waited for."""
        return Broken("echo") if self._left else self._reader.end()
