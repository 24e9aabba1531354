"""Modbus TCP: the PDU behind a header that says whose request it answers and how long it is.

    | transaction 2 | protocol 2 = 0 | length 2 | unit 1 | PDU |        length counts unit and PDU

The transaction number is the one field that no serial framing has: an answer from the past is
known by it, whatever its shape, and skipped. No check sum: TCP has one.

Source: MODBUS Messaging on TCP/IP Implementation Guide 1.0b, section 3.1.
"""

import math
import struct

from edge.plc import modbus
from edge.plc.transaction import Answering, Broken, Reply, Request

HEADER = struct.Struct(">HHHB")
MIN_LENGTH, MAX_LENGTH = 3, 254
"""Unit, and a PDU of 2 to 253 bytes."""


class Frames:
    """Cuts what a connection says into (transaction, unit, PDU)."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, received: bytes) -> None:
        """Take bytes of the connection."""
        self.rest += received

    def next(self) -> tuple[int, int, bytes] | None:
        """The next frame; None while there is none.

        Raises:
            ValueError: no header of Modbus TCP; what follows cannot be cut any more.
        """
        if len(self.rest) < HEADER.size:
            return None
        transaction, protocol, length, unit = HEADER.unpack_from(self.rest)
        if protocol != 0 or not MIN_LENGTH <= length <= MAX_LENGTH:
            raise ValueError(f"protocol {protocol}, length {length}")
        size = HEADER.size - 1 + length
        if len(self.rest) < size:
            return None
        pdu, self.rest = self.rest[HEADER.size : size], self.rest[size:]
        return transaction, unit, pdu


def sealed(transaction: int, unit: int, pdu: bytes) -> bytes:
    """The frame as it goes out."""
    return HEADER.pack(transaction, 0, len(pdu) + 1, unit) + pdu


class Tcp:
    """Modbus TCP as a master speaks it; numbers its requests, modulo 65536."""

    pause_s = math.inf

    def __init__(self) -> None:
        self.transaction = 0  # of the request that was encoded last

    def encode(self, request: Request) -> bytes:
        """The request, with the next number."""
        self.transaction = (self.transaction + 1) & 0xFFFF
        return sealed(self.transaction, request.unit, modbus.encode_request(request))

    def reader(self, request: Request) -> "TcpReader":
        """For the reply to the request that was encoded last."""
        return TcpReader(request, self.transaction)

    def request_size(self, request: Request) -> int:
        """Bytes of the request."""
        return HEADER.size + modbus.request_size(request)

    def reply_size(self, request: Request) -> int:
        """Bytes of a good reply."""
        return HEADER.size + modbus.reply_size(request)

    def silence_s(self, character_s: float) -> float:
        """None."""
        return 0.0


class TcpReader:
    """Finds the reply to one request in what a connection says; the contract is `Reader`'s.

    A frame with another transaction number answers a request of the past: stray, never an answer.
    """

    def __init__(self, request: Request, transaction: int) -> None:
        self.foreign = 0
        self.stray = 0
        self._request = request
        self._transaction = transaction
        self._frames = Frames()

    def feed(self, received: bytes) -> Reply | None:
        """Take bytes of the connection; None means more are needed."""
        self._frames.feed(received)
        try:
            while (frame := self._frames.next()) is not None:
                transaction, unit, pdu = frame
                if transaction != self._transaction:
                    self.stray += HEADER.size + len(pdu)
                elif unit != self._request.unit:
                    self.foreign += 1
                elif self._frames.rest:
                    return Broken("trailing")
                else:
                    return modbus.meaning(self._request, pdu)
        except ValueError:
            return Broken("noise")
        return None

    def end(self) -> Broken | None:
        """No more bytes will be waited for."""
        return Broken("short") if self._frames.rest else None


class TcpSlaveCodec:
    """Modbus TCP as a slave speaks it; one per connection.

    After bytes that are no header nothing is understood any more, as on a real connection, which
    would be closed.
    """

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._frames = Frames()
        self.lost = False  # no header where one must stand: nothing more is understood

    def feed(self, received: bytes) -> bytes:
        """Bytes of the connection in; the replies to every whole request out."""
        if self.lost:
            return b""
        self._frames.feed(received)
        replies = b""
        try:
            while (frame := self._frames.next()) is not None:
                transaction, unit, pdu = frame
                asked = modbus.decode_request(unit, pdu)
                said = None if asked is None else self._answering(asked)
                if asked is not None and said is not None:
                    replies += sealed(transaction, unit, modbus.encode_reply(asked, said))
        except ValueError:
            self.lost = True
        return replies

    def silence(self) -> bytes:
        """Silence ends nothing here."""
        return b""

    def silence_s(self, character_s: float) -> float:
        """None does."""
        return math.inf
