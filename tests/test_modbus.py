"""Modbus in its three framings: both sides agree, and no noise is an answer or an exception."""

import random
import struct

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pymodbus.framer import FramerAscii, FramerRTU

from edge.plc import modbus, modbus_ascii, modbus_rtu, modbus_tcp
from edge.plc.codecs import PROTOCOLS
from edge.plc.transaction import (
    MAX_COUNT,
    READS,
    Answer,
    Broken,
    Reader,
    Refusal,
    Refused,
    Reply,
    Request,
    read_registers,
    write_registers,
)
from tests.wires import ASCII, FRAMINGS, RTU, SERIAL, TCP, answer_to, reply_of, request_in, sealed

framings = pytest.mark.parametrize("protocol", FRAMINGS)
serial_framings = pytest.mark.parametrize("protocol", SERIAL)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    function = draw(st.sampled_from((*READS, 15, 16)))
    count = draw(st.integers(1, min(40, MAX_COUNT[function])))
    top = 1 if function in (1, 2, 15) else 0xFFFF
    value = st.lists(st.integers(0, top), min_size=count, max_size=count)
    values = () if function in READS else tuple(draw(value))
    address = draw(st.integers(0, 0x10000 - count))
    return Request(draw(st.integers(1, 247)), function, address, count, values)


def asked(protocol: str, request: Request) -> tuple[bytes, Reader]:
    """A request on its way, and who waits for its reply."""
    codec = PROTOCOLS[protocol].master()
    return codec.encode(request), codec.reader(request)


def fed(reader: Reader, stream: bytes, chunk: int) -> Reply | None:
    for first in range(0, len(stream), chunk):
        reply = reader.feed(stream[first : first + chunk])
        if reply is not None:
            return reply
    return None


def test_the_crc_is_that_of_the_specification_and_of_pymodbus() -> None:
    assert modbus_rtu.sealed(2, b"\x07") == bytes.fromhex("02074112")  # Serial Line, appendix B
    body = bytes(range(200))
    assert struct.pack(">H", FramerRTU.compute_CRC(body)) == modbus_rtu.sealed(0, body[1:])[-2:]


def test_the_lrc_is_that_of_pymodbus_and_of_a_manual() -> None:
    # Delta DVP-ES2 manual: read 16 bits from 0x0614 of unit 1
    assert modbus_ascii.sealed(1, bytes.fromhex("0306140008")) == b":010306140008DA\r\n"
    body = bytes(range(200))
    assert FramerAscii.compute_LRC(body) == modbus_ascii.lrc(body)


def test_a_tcp_frame_is_that_of_the_specification() -> None:
    read = read_registers(255 - 8, 4, 1)
    codec = modbus_tcp.Tcp()
    assert codec.encode(read) == bytes.fromhex("000100000006f70300040001")
    assert codec.encode(read)[:2] == b"\0\2"


@framings
@given(request_=requests())
def test_a_slave_reads_every_request_as_the_master_meant_it(
    protocol: str, request_: Request
) -> None:
    frame, _ = asked(protocol, request_)
    assert request_in(protocol, frame) == request_
    assert len(frame) == PROTOCOLS[protocol].master().request_size(request_)


@framings
@given(request_=requests(), chunk=st.integers(1, 9))
def test_every_chunking_of_a_good_reply_gives_the_same_answer(
    protocol: str, request_: Request, chunk: int
) -> None:
    frame, reader = asked(protocol, request_)
    reply = reply_of(protocol, request_, answer_to(request_), frame)
    assert len(reply) == PROTOCOLS[protocol].master().reply_size(request_)
    assert fed(reader, reply, chunk) == answer_to(request_)


@framings
@given(request_=requests(), code=st.sampled_from((1, 2, 3, 4, 6)), chunk=st.integers(1, 9))
def test_a_refusal_carries_its_code_and_is_that_of_the_asked_function(
    protocol: str, request_: Request, code: int, chunk: int
) -> None:
    frame, reader = asked(protocol, request_)
    assert fed(reader, reply_of(protocol, request_, Refused(code), frame), chunk) == Refused(code)
    other = Request(request_.unit, 3 + (request_.function == 3), 0, 1)
    refused = reply_of(protocol, other, Refused(code), frame)
    assert fed(asked(protocol, request_)[1], refused, chunk) == Broken("function")


@framings
@given(request_=requests(), other=requests(), chunk=st.integers(1, 9))
def test_frames_of_another_unit_are_counted_and_the_right_one_still_answers(
    protocol: str, request_: Request, other: Request, chunk: int
) -> None:
    unit = other.unit if other.unit != request_.unit else other.unit % 247 + 1
    frame, reader = asked(protocol, request_)
    stream = reply_of(protocol, other, answer_to(other), frame, unit)
    # one in 65,536 is an intact request as well, with a byte more: then nothing is believed
    assume(protocol != RTU or not modbus_rtu.intact(stream[:8]) or len(stream) <= 8)
    stream += reply_of(protocol, request_, answer_to(request_), frame)
    assert fed(reader, stream, chunk) == answer_to(request_)
    assert reader.foreign == 1


@serial_framings
@given(request_=requests(), other=requests(), chunk=st.integers(1, 9))
def test_requests_of_another_master_are_counted_and_the_right_reply_still_answers(
    protocol: str, request_: Request, other: Request, chunk: int
) -> None:
    unit = other.unit if other.unit != request_.unit else other.unit % 247 + 1
    frame, reader = asked(protocol, request_)
    stream = sealed(protocol, unit, modbus.encode_request(other))
    stream += reply_of(protocol, request_, answer_to(request_), frame)
    assert fed(reader, stream, chunk) == answer_to(request_)
    assert reader.foreign == 1


@serial_framings
def test_a_request_of_another_master_to_the_same_unit_ends_the_wait(protocol: str) -> None:
    _, reader = asked(protocol, read_registers(1, 0, 12))
    others = sealed(protocol, 1, modbus.encode_request(read_registers(1, 500, 12)))
    assert reader.feed(others) == Broken("foreign")
    assert reader.foreign == 1


@given(request_=requests(), data=st.data())
def test_a_flipped_bit_is_never_another_answer_by_rtu(
    request_: Request, data: st.DataObject
) -> None:
    _, reader = asked(RTU, request_)
    frame = bytearray(reply_of(RTU, request_, answer_to(request_)))
    place = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[place // 8] ^= 1 << place % 8
    assert not isinstance(reader.feed(bytes(frame)), Answer | Refused)


@given(request_=requests(), data=st.data())
def test_a_flipped_bit_is_never_another_answer_by_ascii(
    request_: Request, data: st.DataObject
) -> None:
    _, reader = asked(ASCII, request_)
    frame = bytearray(reply_of(ASCII, request_, answer_to(request_)))
    place = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[place // 8] ^= 1 << place % 8
    assert not isinstance(reader.feed(bytes(frame)), Answer | Refused)


@framings
@given(request_=requests(), other=requests())
def test_the_reply_to_another_request_of_other_shape_is_never_an_answer(
    protocol: str, request_: Request, other: Request
) -> None:
    late = Request(request_.unit, other.function, other.address, other.count, other.values)
    frame, reader = asked(protocol, request_)
    shape = modbus.reply_size(late) == modbus.reply_size(request_)
    if late.function == request_.function and late.function in READS and shape:
        return  # a read's reply names no address: quarantine and sounding of the link part them
    reply = reader.feed(reply_of(protocol, late, answer_to(late), frame))
    same_write = (late.function, late.address, late.count) == (
        request_.function,
        request_.address,
        request_.count,
    )
    assert isinstance(reply, Answer) == same_write


@framings
@given(request_=requests(), chunk=st.integers(1, 9))
@example(request_=Request(1, 1, 0x0300, 17), chunk=1)  # of the form of its own reply
@example(request_=Request(1, 2, 0x03FF, 24), chunk=9)
def test_an_echo_of_the_request_is_never_an_answer(
    protocol: str, request_: Request, chunk: int
) -> None:
    frame, reader = asked(protocol, request_)
    reply = fed(reader, frame, chunk)
    assert not isinstance(reply, Answer | Refused)
    assert reply is not None or reader.end() == Broken("short")


@given(request_=requests(), steps=st.integers(1, 0xFFFF), chunk=st.integers(1, 9))
def test_an_answer_of_the_past_is_stray_over_tcp(request_: Request, steps: int, chunk: int) -> None:
    frame, reader = asked(TCP, request_)
    old = struct.pack(">H", int.from_bytes(frame[:2], "big") - steps & 0xFFFF)
    late = reply_of(TCP, request_, answer_to(request_), old)
    stream = late + reply_of(TCP, request_, answer_to(request_), frame)
    assert fed(reader, late, chunk) is None
    assert fed(asked(TCP, request_)[1], stream, chunk) == answer_to(request_)
    assert reader.stray == len(late)


noise = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=40).map(lambda body: modbus_rtu.sealed(1, body)),
    st.binary(max_size=40).map(lambda body: modbus_ascii.sealed(1, body)),
    st.binary(max_size=40).map(lambda body: modbus_tcp.sealed(1, 1, body)),
    st.builds(
        lambda protocol, unit, function, rest: sealed(protocol, unit, bytes([function]) + rest),
        st.sampled_from(FRAMINGS),
        st.integers(0, 3),
        st.sampled_from((1, 2, 3, 4, 15, 16, 0x83, 0x90, 0x85, 5)),
        st.binary(max_size=30),
    ),
    st.text(":0123456789ABCDEFabc\r\n", max_size=60).map(str.encode),
)


@framings
@given(request_=requests(), said=st.lists(noise, max_size=4), chunk=st.integers(1, 64))
def test_no_noise_raises_at_either_end(
    protocol: str, request_: Request, said: list[bytes], chunk: int
) -> None:
    _, reader = asked(protocol, request_)
    reply = fed(reader, b"".join(said), chunk)
    assert reply is None or isinstance(reply, Answer | Refused | Broken)
    assert reader.end() in (None, Broken("short"))
    for frame in said:
        asked_ = request_in(protocol, frame)
        assert asked_ is None or isinstance(asked_, Request | Refusal)


@framings
def test_100000_frames_right_in_form_and_wrong_inside_are_never_an_answer(protocol: str) -> None:
    chance = random.Random(20261130)
    for _ in range(100_000 // len(FRAMINGS) + 1):
        request_ = _any_request(chance)
        frame, reader = asked(protocol, request_)
        unit = request_.unit if chance.random() < 0.8 else chance.randrange(256)
        pdu = _wrong_inside(chance, request_)
        said = sealed(protocol, unit, pdu, frame)
        reply = fed(reader, said, chance.randrange(1, 40))
        assert reply is None or isinstance(reply, Answer | Refused | Broken)
        if isinstance(reply, Answer):
            assert unit == request_.unit
            assert len(reply.values) == (request_.count if request_.function in READS else 0)
            if request_.function not in (1, 2):  # their last byte may hold bits of no meaning
                assert reply_of(protocol, request_, reply, frame) in said


def _any_request(chance: random.Random) -> Request:
    function = chance.choice((*READS, 15, 16))
    count = chance.randrange(1, min(20, MAX_COUNT[function]) + 1)
    top = 2 if function == 15 else 0x10000
    values = () if function in READS else tuple(chance.randrange(top) for _ in range(count))
    return Request(chance.randrange(1, 248), function, chance.randrange(0xFF00), count, values)


def _wrong_inside(chance: random.Random, request: Request) -> bytes:
    """A reply to the request with something in it changed, cut, doubled or of another kind."""
    pdu = bytearray(modbus.encode_reply(request, answer_to(request)))
    kind = chance.randrange(7)
    if kind == 0:
        pdu[chance.randrange(len(pdu))] ^= 1 << chance.randrange(8)
    elif kind == 1:
        pdu = pdu[: chance.randrange(1, len(pdu) + 1)]
    elif kind == 2:
        pdu += bytes(chance.randrange(256) for _ in range(chance.randrange(1, 20)))
    elif kind == 3:
        pdu[0] = chance.randrange(256)
    elif kind == 4 and len(pdu) > 1:
        pdu[1] = chance.randrange(256)
    elif kind == 5:
        pdu = bytearray(chance.randrange(256) for _ in range(chance.randrange(1, 250)))
    else:
        pdu = bytearray([request.function | 128, *(chance.randrange(256) for _ in range(3))])
        del pdu[chance.randrange(1, 4) :]
    return bytes(pdu)


@framings
def test_trailing_and_missing_bytes_are_broken(protocol: str) -> None:
    request_ = read_registers(1, 0, 2)
    frame, reader = asked(protocol, request_)
    reply = reply_of(protocol, request_, Answer((1, 2)), frame)
    assert reader.feed(reply + b"\xff") == Broken("trailing")
    _, reader = asked(protocol, request_)
    assert reader.end() is None
    assert reader.feed(reply[:5]) is None
    assert reader.end() == Broken("short")


@framings
def test_a_write_acknowledged_at_another_address_or_count_is_broken(protocol: str) -> None:
    request_ = write_registers(1, 105, [1, 2, 3])
    for elsewhere, cause in (
        (write_registers(1, 106, [1, 2, 3]), "address"),
        (write_registers(1, 105, [1, 2]), "count"),
    ):
        frame, reader = asked(protocol, request_)
        assert reader.feed(reply_of(protocol, elsewhere, Answer(), frame)) == Broken(cause)


def test_lower_case_digits_are_no_frame() -> None:
    request_ = read_registers(1, 0, 1)
    _, reader = asked(ASCII, request_)
    reply = reply_of(ASCII, request_, Answer((0xABCD,)))
    assert reader.feed(reply.lower()) == Broken("checksum")
    frame, _ = asked(ASCII, read_registers(10, 0xABCD, 1))
    assert request_in(ASCII, frame.lower()) is None


def test_a_colon_begins_anew_and_what_was_before_is_stray() -> None:
    request_ = read_registers(1, 0, 2)
    _, reader = asked(ASCII, request_)
    reply = reply_of(ASCII, request_, Answer((1, 2)))
    assert reader.feed(b"\xff\r\n" + reply[:9] + reply) == Answer((1, 2))
    assert reader.stray == 3 + 9


def test_no_text_without_an_end_grows_for_ever() -> None:
    _, reader = asked(ASCII, read_registers(1, 0, 2))
    for _ in range(200):
        assert reader.feed(b":" + b"00" * 40) is None
        assert reader.feed(b"00" * 400) is None
    assert reader.end() is None
    assert reader.stray == 200 * 881


@pytest.mark.parametrize("spoilt", ["000100010006010300000001", "00010000000001", "0001000000ff01"])
def test_what_is_no_header_of_tcp_cannot_be_cut(spoilt: str) -> None:
    request_ = read_registers(1, 0, 1)
    frame, reader = asked(TCP, request_)
    assert reader.feed(bytes.fromhex(spoilt)) == Broken("noise")
    slave = PROTOCOLS[TCP].slave(lambda _: Answer((7,)))
    assert slave.feed(frame) == reply_of(TCP, request_, Answer((7,)), frame)
    assert slave.feed(bytes.fromhex(spoilt) + frame) == b""
    assert slave.feed(frame) == b""


@pytest.mark.parametrize("function", [5, 6, 22, 23, 43])
@framings
def test_functions_that_are_not_served_are_refused_with_code_1(
    protocol: str, function: int
) -> None:
    frame = sealed(protocol, 1, bytes([function, 0, 0, 0, 1]))
    assert request_in(protocol, frame) == Refusal(1, function, modbus.ILLEGAL_FUNCTION)


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        ("030000007e", modbus.ILLEGAL_VALUE),  # 126 registers
        ("0300000000", modbus.ILLEGAL_VALUE),
        ("03ffff0002", modbus.ILLEGAL_ADDRESS),
        ("1000000002030001", modbus.ILLEGAL_VALUE),  # byte count 3 for two registers
    ],
)
@framings
def test_requests_outside_the_limits_are_refused(protocol: str, pdu: str, code: int) -> None:
    frame = sealed(protocol, 1, bytes.fromhex(pdu))
    assert request_in(protocol, frame) == Refusal(1, int(pdu[:2], 16), code)


@pytest.mark.parametrize(
    ("unit", "function", "address", "count", "values"),
    [
        (248, 3, 0, 2, ()),
        (1, 5, 0, 1, (1,)),
        (1, 3, 0, 0, ()),
        (1, 3, 0, 126, ()),
        (1, 3, 65535, 2, ()),
        (1, 16, 0, 2, (1,)),
        (1, 16, 0, 1, (65536,)),
        (1, 15, 0, 1, (2,)),
    ],
)
def test_a_request_out_of_range_cannot_be_made(
    unit: int, function: int, address: int, count: int, values: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        Request(unit, function, address, count, values)


def test_a_frame_that_paused_for_too_long_is_given_up_by_the_slave() -> None:
    request_ = read_registers(1, 0, 1)
    frame, _ = asked(ASCII, request_)
    slave = PROTOCOLS[ASCII].slave(lambda _: Answer((7,)))
    assert slave.feed(frame[:9]) == b""
    assert slave.silence() == b""
    assert slave.feed(frame[9:]) == b""
    assert slave.feed(frame) == reply_of(ASCII, request_, Answer((7,)))
