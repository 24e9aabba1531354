"""Frames that are lines of text, as Host Link and MEWTOCOL have them. No port, no clock.

    head   text                check   CR
    @      00RD0012...         4B*
    %      01$RD0A00...        16

The check is the exclusive or of every character before it, in two hexadecimal digits. A head inside
a line begins it anew: neither protocol has it in its text, so what stands before was cut off.
"""

from collections.abc import Callable

from edge.plc.transaction import Answer, Broken, Refused, Reply

END = b"\r"


def check_of(text: bytes) -> bytes:
    """The exclusive or of all characters, as two hexadecimal digits."""
    check = 0
    for character in text:
        check ^= character
    return b"%02X" % check


class Lines:
    """Cuts what the line says into frames from `head` to CR, in any chunking.

    What stands between frames, and a frame longer than `longest`, is dropped and counted in
    `stray`.
    """

    def __init__(self, head: bytes, longest: int) -> None:
        self.stray = 0
        self.rest = b""
        self._head = head
        self._longest = longest

    def add(self, received: bytes) -> None:
        """Take bytes from the line; `next` gives the frames in them."""
        self.rest += received

    def next(self) -> bytes | None:
        """One whole frame with head and CR, or None until more was added."""
        while self.rest:
            end = self.rest.find(END) + 1
            begin = self.rest.rfind(self._head, 0, end or len(self.rest))
            if begin < 0:
                self._drop(end or len(self.rest))
                continue
            self._drop(begin)
            if not end:
                if len(self.rest) > self._longest:
                    self._drop(len(self.rest))
                return None
            size = end - begin
            if size > self._longest:
                self._drop(size)
                continue
            line, self.rest = self.rest[:size], self.rest[size:]
            return line
        return None

    def _drop(self, size: int) -> None:
        self.stray += size
        self.rest = self.rest[size:]


class LineReader:
    """The reader of one reply: `meaning` says what a frame is, None if it is another unit's."""

    def __init__(self, lines: Lines, meaning: Callable[[bytes], Reply | None]) -> None:
        self.foreign = 0
        self.stray = 0
        self._lines = lines
        self._meaning = meaning

    def feed(self, received: bytes) -> Reply | None:
        """Take bytes from the line; None means more are needed."""
        self._lines.add(received)
        reply = self._next()
        self.stray = self._lines.stray
        return reply

    def _next(self) -> Reply | None:
        while (line := self._lines.next()) is not None:
            reply = self._meaning(line)
            if isinstance(reply, Answer | Refused) and self._lines.rest:
                return Broken("trailing")
            if reply is None or reply == Broken("foreign"):
                self.foreign += 1
            if reply is not None:
                return reply
        return None

    def end(self) -> Broken | None:
        """No more bytes will be waited for: Broken if a frame was cut short, None if silent."""
        return Broken("short") if self._lines.rest else None


class LineSlave:
    """The PLC's side of such a protocol, frame by frame."""

    def __init__(self, head: bytes, longest: int, reply: Callable[[bytes], bytes]) -> None:
        """`reply` gives what answers one whole frame, empty for nothing."""
        self._lines = Lines(head, longest)
        self._reply_to = reply

    def feed(self, received: bytes) -> bytes:
        """Bytes of the line in; the replies that are due now out."""
        self._lines.add(received)
        replies = b""
        while (line := self._lines.next()) is not None:
            replies += self._reply_to(line)
        return replies

    def silence(self) -> bytes:
        """Nothing: frames have marks."""
        return b""

    def silence_s(self, character_s: float) -> float:
        """No silence ends a frame."""
        return float("inf")
