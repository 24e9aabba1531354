"""The few packets of MQTT 5 that a played node needs, sans-IO.

Hundreds of clients of a library would measure that library; these cost a few microseconds each.
Source: OASIS MQTT Version 5.0, sections 2.1 and 3.1 to 3.9.
"""

from dataclasses import dataclass

CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9
_NO_PROPERTIES = b"\0"
_CLEAN_START = 0x02
_QOS_1 = 0x02  # in the flags of a PUBLISH


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet as it came; `body` is all behind the remaining length."""

    kind: int
    flags: int
    body: bytes

    @property
    def refused(self) -> bool:
        """Whether a CONNACK, SUBACK or PUBACK says no."""
        if self.kind == CONNACK:
            return self.body[1] >= 0x80
        if self.kind == SUBACK:
            return self.body[-1] >= 0x80
        return self.kind == PUBACK and len(self.body) > 2 and self.body[2] >= 0x80

    def published(self) -> tuple[int, bytes]:
        """Packet number (0: at most once) and payload of a PUBLISH."""
        at = 2 + int.from_bytes(self.body[:2], "big")
        number = 0
        if self.flags & 0x06:
            number = int.from_bytes(self.body[at : at + 2], "big")
            at += 2
        size, used = _read_varint(self.body, at)
        return number, self.body[at + used + size :]


def connect(client: str, keepalive_s: int) -> bytes:
    """A clean session of this client."""
    head = _text("MQTT") + bytes((5, _CLEAN_START)) + keepalive_s.to_bytes(2, "big")
    return _packet(0x10, head + _NO_PROPERTIES + _text(client))


def subscribe(number: int, topic: str) -> bytes:
    """One topic, at least once."""
    return _packet(0x82, number.to_bytes(2, "big") + _NO_PROPERTIES + _text(topic) + b"\x01")


def publish(number: int, topic: str, payload: bytes) -> bytes:
    """At least once."""
    head = _text(topic) + number.to_bytes(2, "big") + _NO_PROPERTIES
    return _packet(0x30 | _QOS_1, head + payload)


def puback(number: int) -> bytes:
    """What was published has been taken."""
    return _packet(0x40, number.to_bytes(2, "big"))


def ping() -> bytes:
    """Still here."""
    return _packet(0xC0, b"")


class Parser:
    """Bytes in any pieces to packets."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, received: bytes) -> list[Packet]:
        """The packets that are complete now."""
        self._held += received
        found = []
        while (packet := self._next()) is not None:
            found.append(packet)
        return found

    def _next(self) -> Packet | None:
        if len(self._held) < 2:
            return None
        size, used = _read_varint(self._held, 1)
        if used == 0 or len(self._held) < 1 + used + size:
            return None
        first, body = self._held[0], bytes(self._held[1 + used : 1 + used + size])
        del self._held[: 1 + used + size]
        return Packet(first >> 4, first & 0x0F, body)


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + _varint(len(body)) + body


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = divmod(value, 128)
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def _read_varint(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """Value and bytes used; used 0: not all of it is here yet."""
    value = 0
    for used in range(4):
        if at + used >= len(data):
            return 0, 0
        value |= (data[at + used] & 0x7F) << (7 * used)
        if not data[at + used] & 0x80:
            return value, used + 1
    raise ValueError("a length of more than four bytes")
