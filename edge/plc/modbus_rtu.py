"""Modbus RTU: the PDU between a unit number and a CRC, in frames that silence parts.

    | unit 1 | PDU | crc 2, low byte first |

A frame says nowhere how long it is: a reply is cut by what its function must bring. Another
master's request on the line is told apart by its CRC at the length that a request has.

Source: MODBUS over Serial Line 1.02, sections 2.4.1 and 2.5.1.
"""

import math

from edge.plc import modbus
from edge.plc.crc import crc16
from edge.plc.transaction import READS, Answer, Answering, Broken, Reply, Request


def sealed(unit: int, pdu: bytes) -> bytes:
    """The frame on the wire."""
    body = bytes((unit,)) + pdu
    return body + crc16(body).to_bytes(2, "little")


def intact(frame: bytes) -> bool:
    """True if the last two bytes are the crc of what stands before them."""
    return len(frame) >= 4 and crc16(frame) == 0


def silence_s(character_s: float) -> float:
    """t3.5, the silence that ends a frame: 3.5 characters, 1.75 ms above 19200 baud."""
    return max(0.00175, 3.5 * character_s)


class RtuReader:
    """Finds the reply to one request in what the line says; the contract is `Reader`'s.

    Whole, intact frames of other units are skipped and counted, requests of another master too; his
    request to this very unit ends the wait, for whose reply comes next nobody could tell.
    """

    __slots__ = ("_buffer", "_request", "foreign")

    stray = 0  # nothing stands between the frames

    def __init__(self, request: Request) -> None:
        self.foreign = 0
        self._request = request
        self._buffer = b""

    def feed(self, received: bytes) -> Reply | None:
        """Take bytes from the line; None means more are needed."""
        asked = self._request
        if not self._buffer and crc16(received) == 0 and received[0] == asked.unit:
            reply = modbus.meaning(asked, received[1:-2])
            if isinstance(reply, Answer):
                return reply  # whole and alone, as it nearly always comes
        self._buffer += received
        while len(self._buffer) >= 3:
            frame = self._frame()
            if frame is None or isinstance(frame, Broken):
                return frame
            self._buffer = self._buffer[len(frame) :]
            unit, pdu = frame[0], frame[1:-2]
            if unit == self._request.unit:
                return self._mine(pdu)
            self.foreign += 1
        return None

    def end(self) -> Broken | None:
        """No more bytes will be waited for."""
        return Broken("short") if self._buffer else None

    def _frame(self) -> bytes | Broken | None:
        """The intact frame that the buffer begins with; None while there may still be one."""
        heard = self._buffer
        mine = heard[0] == self._request.unit
        reply = modbus.size_of_reply(heard[1:3])
        request = modbus.size_of_request(heard[1:])
        due = modbus.reply_size(self._request)
        asked = mine and heard[1] == self._request.function and reply == due
        if asked and heard[1] in READS:
            request = None  # eight bytes of a longer reply may pass for a request by chance
        sizes = [3 + size for size in (reply, request) if size is not None]
        for size in sizes:
            if len(heard) >= size and intact(heard[:size]):
                return heard[:size]
        if not sizes:
            return Broken("function" if mine else "noise")
        if asked and reply == len(heard) - 3:
            return Broken("checksum")  # the reply itself: nothing else would be as long
        return None if len(heard) < max(sizes) else Broken("noise")

    def _mine(self, pdu: bytes) -> Reply:
        if self._buffer:
            return Broken("trailing")
        reply = modbus.meaning(self._request, pdu)
        self.foreign += reply == Broken("foreign")
        return reply


class Rtu:
    """Modbus RTU as a master speaks it."""

    pause_s = math.inf  # t1.5 inside a frame is given up: USB adapters pause for longer
    reader = RtuReader  # for the reply to a request

    def __init__(self) -> None:
        self._reads: dict[Request, bytes] = {}  # the same few are polled for ever

    def encode(self, request: Request) -> bytes:
        """The request with its crc."""
        if request.function not in READS:
            return sealed(request.unit, modbus.encode_request(request))
        frame = self._reads.get(request)
        if frame is None:
            frame = self._reads[request] = sealed(request.unit, modbus.encode_request(request))
        return frame

    def request_size(self, request: Request) -> int:
        """Characters of the request."""
        return 3 + modbus.request_size(request)

    def reply_size(self, request: Request) -> int:
        """Characters of a good reply."""
        return 3 + modbus.reply_size(request)

    def silence_s(self, character_s: float) -> float:
        """t3.5."""
        return silence_s(character_s)


class RtuSlaveCodec:
    """Modbus RTU as slaves speak it: whatever silence ends is one frame."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._buffer = b""

    def feed(self, received: bytes) -> bytes:
        """Bytes of the line in; nothing is due before the silence."""
        self._buffer += received
        return b""

    def silence(self) -> bytes:
        """The frame is over: its reply, if it was a request and somebody answers."""
        frame, self._buffer = self._buffer, b""
        if not intact(frame):
            return b""
        unit = frame[0]
        asked = modbus.decode_request(unit, frame[1:-2])
        said = None if asked is None else self._answering(asked)
        if asked is None or said is None:
            return b""
        return sealed(unit, modbus.encode_reply(asked, said))

    def silence_s(self, character_s: float) -> float:
        """t3.5."""
        return silence_s(character_s)
