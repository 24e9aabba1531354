"""The Modbus PDU, for both ends: what stands between unit and check sum. No framing, port or clock.

    request read    | 01-04 | address 2 | count 2 |
    reply read      | 01-04 | bytes 1 | values |
    request write   | 15,16 | address 2 | count 2 | bytes 1 | values |
    reply write     | 15,16 | address 2 | count 2 |
    refusal         | function + 128 | code 1 |

Numbers are big-endian. The framings are `modbus_rtu`, `modbus_ascii` and `modbus_tcp`.

Source: MODBUS Application Protocol 1.1b3, sections 6.1-6.4, 6.11, 6.12 and 7.
"""

import struct
from collections.abc import Sequence

from edge.plc.transaction import (
    BITS,
    MAX_COUNT,
    READS,
    REGISTER_READS,
    WRITE_REGISTERS,
    WRITES,
    Answer,
    Broken,
    Refusal,
    Refused,
    Reply,
    Request,
)

ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3
BUSY = 6

_ONE_VALUE = (5, 6)
"""Functions of other masters whose requests are as long as ours for a read."""

_ASKED = struct.Struct(">BHH")  # function, address, count
_REGISTERS = [struct.Struct(f">{count}H") for count in range(126)]
_WRITES = [struct.Struct(f">BHHB{count}H") for count in range(124)]


def encode_request(request: Request) -> bytes:
    """The master's PDU."""
    function, address, count = request.function, request.address, request.count
    if function == WRITE_REGISTERS:
        return _WRITES[count].pack(function, address, count, 2 * count, *request.values)
    pdu = _ASKED.pack(function, address, count)
    if function in WRITES:
        packed = _packed(function, request.values)
        pdu += bytes((len(packed),)) + packed
    return pdu


def request_size(request: Request) -> int:
    """Bytes of the master's PDU."""
    written = request.function in WRITES
    return 6 + _packed_size(request.function, request.count) if written else 5


def reply_size(request: Request) -> int:
    """Bytes of the PDU of a good reply."""
    if request.function in WRITES:
        return 5
    if request.function in BITS:
        return 2 + (request.count + 7) // 8
    return 2 + 2 * request.count


def meaning(request: Request, pdu: bytes) -> Reply:
    """What a whole, undamaged PDU of the asked unit says; every field must be the asked one.

    Broken("echo") is the request itself, Broken("foreign") that of another master. A request for
    17 to 24 bits from 0x0300 to 0x03FF has the form of its own reply: then too it is an echo.
    """
    function, count = request.function, request.count
    if function in REGISTER_READS:
        if len(pdu) == 2 + 2 * count and pdu[0] == function and pdu[1] == 2 * count:
            return Answer(_REGISTERS[count].unpack_from(pdu, 2))
    elif function in WRITES:
        if pdu == _ASKED.pack(function, request.address, count):
            return Answer()
    else:
        size = _packed_size(function, count)
        asked = len(pdu) == 2 + size and pdu[0] == function and pdu[1] == size
        if asked and not (size == 3 and pdu == encode_request(request)):
            return Answer(_unpacked(function, pdu[2:], count))
    if len(pdu) == 2 and pdu[0] == function | 128:
        return Refused(pdu[1])
    if _is_request(pdu):
        return Broken("echo" if pdu == encode_request(request) else "foreign")
    return Broken(_wrong(request, pdu))


def _wrong(request: Request, pdu: bytes) -> str:
    """The field that is not the asked one."""
    if not pdu or pdu[0] != request.function:
        return "function"
    acknowledged = request.function in WRITES and len(pdu) == reply_size(request)
    return "address" if acknowledged and pdu[1:3] != request.address.to_bytes(2, "big") else "count"


def size_of_reply(start: bytes) -> int | None:
    """Bytes of the reply PDU that starts with these two; None: no reply does."""
    if start[0] in READS:
        return 2 + start[1]
    if start[0] in WRITES:
        return 5
    return 2 if start[0] & 128 and start[0] & 127 in MAX_COUNT else None


def size_of_request(start: bytes) -> int | None:
    """Bytes of the request PDU, ours or another master's, that starts so; None: none, or unknown.

    It takes six bytes to know the size of a write.
    """
    if start[0] in READS or start[0] in _ONE_VALUE:
        return 5
    return 6 + start[5] if start[0] in WRITES and len(start) >= 6 else None


def decode_request(unit: int, pdu: bytes) -> Request | Refusal | None:
    """Slave side: what an undamaged PDU asks of this unit; None for what is no request."""
    if len(pdu) < 1 or pdu[0] & 128:
        return None
    function, body = pdu[0], pdu[1:]
    if function not in MAX_COUNT:
        return Refusal(unit, function, ILLEGAL_FUNCTION)
    if len(body) < 4 or unit > 247:
        return None
    address, count = struct.unpack(">HH", body[:4])
    if not 1 <= count <= MAX_COUNT[function]:
        return Refusal(unit, function, ILLEGAL_VALUE)
    if address + count > 0x10000:
        return Refusal(unit, function, ILLEGAL_ADDRESS)
    if function in READS:
        return Request(unit, function, address, count) if len(body) == 4 else None
    size = _packed_size(function, count)
    if len(body) != 5 + size or body[4] != size:
        return Refusal(unit, function, ILLEGAL_VALUE)
    return Request(unit, function, address, count, _unpacked(function, body[5:], count))


def encode_reply(asked: Request | Refusal, said: Answer | Refused) -> bytes:
    """Slave side: the PDU of the reply.

    Raises:
        ValueError: an answer with more or fewer values than were asked for.
    """
    if isinstance(said, Refused):
        return bytes([asked.function | 128, said.code])
    if isinstance(asked, Refusal):
        raise ValueError(f"function {asked.function} can only be refused")
    if asked.function in WRITES:
        return struct.pack(">BHH", asked.function, asked.address, asked.count)
    if len(said.values) != asked.count:
        raise ValueError(f"{len(said.values)} values for {asked.count} addresses")
    packed = _packed(asked.function, said.values)
    return bytes([asked.function, len(packed)]) + packed


def _is_request(pdu: bytes) -> bool:
    """Whether a PDU is one as masters say it; 05 and 06, alike both ways, are not told apart."""
    return len(pdu) >= 5 and pdu[0] in MAX_COUNT and size_of_request(pdu) == len(pdu)


def _packed_size(function: int, count: int) -> int:
    return (count + 7) // 8 if function in BITS else 2 * count


def _packed(function: int, values: Sequence[int]) -> bytes:
    if function not in BITS:
        return _REGISTERS[len(values)].pack(*values)
    bits = sum(bool(value) << place for place, value in enumerate(values))
    return bits.to_bytes(_packed_size(function, len(values)), "little")


def _unpacked(function: int, packed: bytes, count: int) -> tuple[int, ...]:
    if function not in BITS:
        return _REGISTERS[count].unpack(packed)
    bits = int.from_bytes(packed, "little")
    return tuple(bits >> place & 1 for place in range(count))
