"""Modbus ASCII: unit, PDU and LRC as hexadecimal text between a colon and CR LF.

    ":" | unit 2 | PDU | lrc 2 | CR LF

Digits are 0-9 and A-F: the specification knows no lower case, and neither do we, in either
direction. A colon begins a frame wherever it stands: what came before it is noise.

Source: MODBUS over Serial Line 1.02, sections 2.4.1, 2.5.2 and 6.2.1.
"""

import re

from edge.plc import modbus
from edge.plc.transaction import Answering, Broken, Reply, Request

PAUSE_S = 1.0
"""Longest pause between two characters of one frame (section 2.5.2.1)."""

MAX_SIZE = 513
"""Characters of the longest frame: 252 bytes of PDU data."""

_HEX = re.compile(rb"(?:[0-9A-F]{2}){3,}")


def lrc(body: bytes) -> int:
    """Two's complement of the sum of all bytes."""
    return -sum(body) & 0xFF


def sealed(unit: int, pdu: bytes) -> bytes:
    """The frame on the wire."""
    body = bytes([unit]) + pdu
    return b":" + (body + bytes([lrc(body)])).hex().upper().encode("ascii") + b"\r\n"


def opened(text: bytes) -> tuple[int, bytes] | None:
    """Unit and PDU of the text between colon and CR LF; None if it is damaged."""
    if not _HEX.fullmatch(text):
        return None
    frame = bytes.fromhex(text.decode("ascii"))
    return None if sum(frame) & 0xFF else (frame[0], frame[1:-1])


class FrameCutter:
    """Cuts what a line says into the texts between colon and CR LF; counts what belongs to none."""

    def __init__(self) -> None:
        self.stray = 0
        self.rest = b""  # what may become a frame

    def feed(self, received: bytes) -> None:
        """Take bytes from the line."""
        self.rest += received

    def next(self) -> bytes | None:
        """The text of the next frame, whole or damaged; None while there is none."""
        while (ends := self.rest.find(b"\r\n")) >= 0:
            begins = self.rest.rfind(b":", 0, ends)
            text = self.rest[begins + 1 : ends]
            self.rest = self.rest[ends + 2 :]
            if begins >= 0:
                self.stray += begins
                return text
            self.stray += ends + 2
        begins = self.rest.rfind(b":")
        if begins < 0 or len(self.rest) - begins >= MAX_SIZE:
            begins = len(self.rest) - self.rest.endswith(b"\r")
        self.stray += begins
        self.rest = self.rest[begins:]
        return None

    def drop(self) -> None:
        """Give the unfinished frame up."""
        self.stray += len(self.rest)
        self.rest = b""


class Ascii:
    """Modbus ASCII as a master speaks it."""

    pause_s = PAUSE_S

    def encode(self, request: Request) -> bytes:
        """The request with its lrc."""
        return sealed(request.unit, modbus.encode_request(request))

    def reader(self, request: Request) -> "AsciiReader":
        """For the reply to this request."""
        return AsciiReader(request)

    def request_size(self, request: Request) -> int:
        """Characters of the request."""
        return 7 + 2 * modbus.request_size(request)

    def reply_size(self, request: Request) -> int:
        """Characters of a good reply."""
        return 7 + 2 * modbus.reply_size(request)

    def silence_s(self, character_s: float) -> float:
        """None is needed: the colon begins a frame."""
        return 0.0


class AsciiReader:
    """Finds the reply to one request in what the line says; the contract is `Reader`'s.

    Requests of another master are counted as foreign; his request to this very unit ends the wait.
    """

    def __init__(self, request: Request) -> None:
        self.foreign = 0
        self._request = request
        self._frames = FrameCutter()

    @property
    def stray(self) -> int:
        """Bytes between the frames."""
        return self._frames.stray

    def feed(self, received: bytes) -> Reply | None:
        """Take bytes from the line; None means more are needed."""
        self._frames.feed(received)
        while (text := self._frames.next()) is not None:
            frame = opened(text)
            if frame is None:
                mine = text[:2] == b"%02X" % self._request.unit
                return Broken("checksum" if mine and not self._frames.rest else "noise")
            unit, pdu = frame
            if unit == self._request.unit:
                return self._mine(pdu)
            self.foreign += 1
        return None

    def end(self) -> Broken | None:
        """No more bytes will be waited for."""
        return Broken("short") if self._frames.rest else None

    def _mine(self, pdu: bytes) -> Reply:
        if self._frames.rest:
            return Broken("trailing")
        reply = modbus.meaning(self._request, pdu)
        self.foreign += reply == Broken("foreign")
        return reply


class AsciiSlaveCodec:
    """Modbus ASCII as slaves speak it."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._frames = FrameCutter()

    def feed(self, received: bytes) -> bytes:
        """Bytes of the line in; the replies to every whole request out."""
        self._frames.feed(received)
        replies = b""
        while (text := self._frames.next()) is not None:
            frame = opened(text)
            asked = None if frame is None else modbus.decode_request(*frame)
            said = None if asked is None else self._answering(asked)
            if asked is not None and said is not None:
                replies += sealed(asked.unit, modbus.encode_reply(asked, said))
        return replies

    def silence(self) -> bytes:
        """A frame that paused for so long is given up."""
        self._frames.drop()
        return b""

    def silence_s(self, character_s: float) -> float:
        """A second."""
        return PAUSE_S
