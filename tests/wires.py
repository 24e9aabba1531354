"""Frames of the three framings of Modbus, as a slave of ours or a broken one would say them."""

from edge.plc import modbus, modbus_ascii, modbus_rtu, modbus_tcp
from edge.plc.codecs import PROTOCOLS
from edge.plc.transaction import READS, Answer, Refusal, Refused, Request
from edge.settings import BusProtocol

RTU: BusProtocol = "modbus_rtu"
ASCII: BusProtocol = "modbus_ascii"
TCP: BusProtocol = "modbus_tcp"
FRAMINGS = (RTU, ASCII, TCP)
SERIAL = (RTU, ASCII)


def sealed(protocol: str, unit: int, pdu: bytes, asked: bytes = b"\0\0") -> bytes:
    """The PDU in its frame; over TCP with the transaction number of the frame `asked`."""
    if protocol == RTU:
        return modbus_rtu.sealed(unit, pdu)
    if protocol == ASCII:
        return modbus_ascii.sealed(unit, pdu)
    return modbus_tcp.sealed(int.from_bytes(asked[:2], "big"), unit, pdu)


def request_in(protocol: str, heard: bytes) -> Request | Refusal | None:
    """The request that these bytes are, as a slave of ours reads them."""
    found: list[Request | Refusal] = []

    def note(asked: Request | Refusal) -> None:
        found.append(asked)

    codec = PROTOCOLS[protocol].slave(note)
    codec.feed(heard)
    codec.silence()
    return found[-1] if found else None


def reply_to(
    protocol: str, asked: bytes, said: Answer | Refused | None = None, unit: int | None = None
) -> bytes:
    """The reply to the request frame `asked`; by default every register holds its own address."""
    request = request_in(protocol, asked)
    assert isinstance(request, Request)
    return reply_of(protocol, request, said or answer_to(request), asked, unit)


def reply_of(
    protocol: str,
    request: Request,
    said: Answer | Refused,
    asked: bytes = b"\0\0",
    unit: int | None = None,
) -> bytes:
    """The reply to another request than was asked; over TCP it carries the number of `asked`."""
    pdu = modbus.encode_reply(request, said)
    return sealed(protocol, request.unit if unit is None else unit, pdu, asked)


def answer_to(request: Request) -> Answer:
    """Every register holds its own address, every bit the lowest one of it."""
    if request.function not in READS:
        return Answer()
    mask = 1 if request.function in (1, 2) else 0xFFFF
    addresses = range(request.address, request.address + request.count)
    return Answer(tuple(address & mask for address in addresses))
