"""Modbus RTU frames: both sides agree, and no noise is ever an answer or an exception."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU

from edge.plc import modbus
from edge.plc.modbus import Answer, Broken, Refusal, Refused, ReplyReader, Request

READS = (1, 2, 3, 4)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    function = draw(st.sampled_from((*READS, 15, 16)))
    count = draw(st.integers(1, min(40, modbus.MAX_COUNT[function])))
    top = 1 if function in (1, 2, 15) else 0xFFFF
    value = st.lists(st.integers(0, top), min_size=count, max_size=count)
    values = () if function in READS else tuple(draw(value))
    address = draw(st.integers(0, 0x10000 - count))
    return Request(draw(st.integers(1, 247)), function, address, count, values)


def read_values(request: Request, fill: int) -> tuple[int, ...]:
    """What a slave holds there; () for a write."""
    mask = 1 if request.function in (1, 2) else 0xFFFF
    return tuple((fill * 31 + i) & mask for i in range(request.count * (request.function in READS)))


def fed(reader: ReplyReader, stream: bytes, chunk: int) -> modbus.Reply | None:
    for first in range(0, len(stream), chunk):
        reply = reader.feed(stream[first : first + chunk])
        if reply is not None:
            return reply
    return None


def test_the_crc_is_that_of_the_specification_and_of_pymodbus() -> None:
    frame = bytes.fromhex("0207")  # the worked example of Serial Line 1.02, appendix B
    assert modbus.sealed(frame) == bytes.fromhex("02074112")
    body = bytes(range(200))
    assert struct.pack(">H", FramerRTU.compute_CRC(body)) == modbus.sealed(body)[-2:]


@given(requests())
def test_a_slave_reads_every_request_as_the_master_meant_it(request_: Request) -> None:
    assert modbus.decode_request(request_.encode()) == request_


@given(requests(), st.integers(0, 5000), st.integers(1, 9))
def test_every_chunking_of_a_good_reply_gives_the_same_answer(
    request_: Request, fill: int, chunk: int
) -> None:
    values = read_values(request_, fill)
    frame = modbus.encode_reply(request_, values)
    assert len(frame) == request_.reply_size
    assert fed(ReplyReader(request_), frame, chunk) == Answer(values)


@given(requests(), st.sampled_from((1, 2, 3, 4, 6)), st.integers(1, 9))
def test_a_refusal_carries_its_code(request_: Request, code: int, chunk: int) -> None:
    frame = Refusal(request_.unit, request_.function, code).encode()
    assert fed(ReplyReader(request_), frame, chunk) == Refused(code)


@given(requests(), requests(), st.integers(0, 99), st.integers(1, 9))
def test_frames_of_another_unit_are_counted_and_the_right_one_still_answers(
    request_: Request, other: Request, fill: int, chunk: int
) -> None:
    if other.unit == request_.unit:
        other = Request(
            other.unit % 247 + 1, other.function, other.address, other.count, other.values
        )
    stream = modbus.encode_reply(other, read_values(other, 1))
    stream += modbus.encode_reply(request_, read_values(request_, fill))
    reader = ReplyReader(request_)
    assert fed(reader, stream, chunk) == Answer(read_values(request_, fill))
    assert reader.foreign == 1


@given(requests(), st.data())
def test_a_flipped_bit_is_never_an_answer(request_: Request, data: st.DataObject) -> None:
    frame = bytearray(modbus.encode_reply(request_, read_values(request_, 7)))
    place = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[place // 8] ^= 1 << place % 8
    reader = ReplyReader(request_)
    assert not isinstance(reader.feed(bytes(frame)), Answer | Refused)


@given(requests(), requests(), st.integers(0, 9))
def test_the_reply_to_another_request_of_other_shape_is_never_an_answer(
    request_: Request, other: Request, fill: int
) -> None:
    late = Request(request_.unit, other.function, other.address, other.count, other.values)
    same_read = late.function == request_.function and late.reply_size == request_.reply_size
    if late.function in READS and same_read:
        return  # a read's reply names no address: the quarantine of the link is what parts them
    reply = ReplyReader(request_).feed(modbus.encode_reply(late, read_values(late, fill)))
    same_write = (late.function, late.address, late.count) == (
        request_.function,
        request_.address,
        request_.count,
    )
    assert isinstance(reply, Answer) == same_write


@given(requests())
def test_an_echo_of_the_request_is_never_an_answer(request_: Request) -> None:
    reader = ReplyReader(request_)
    reply = reader.feed(request_.encode())
    assert not isinstance(reply, Answer | Refused)
    assert reply is not None or reader.end() == Broken("short")


noise = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=40).map(modbus.sealed),
    st.builds(
        lambda unit, function, rest: modbus.sealed(bytes([unit, function]) + rest),
        st.integers(0, 3),
        st.sampled_from((1, 2, 3, 4, 15, 16, 0x83, 0x90, 0x85, 5)),
        st.binary(max_size=30),
    ),
)


@given(requests(), st.lists(noise, max_size=4), st.integers(1, 64))
def test_no_noise_raises_at_either_end(request_: Request, said: list[bytes], chunk: int) -> None:
    reader = ReplyReader(request_)
    reply = fed(reader, b"".join(said), chunk)
    assert reply is None or isinstance(reply, Answer | Refused | Broken)
    assert reader.end() in (None, Broken("short"))
    for frame in said:
        asked = modbus.decode_request(frame)
        assert asked is None or isinstance(asked, Request | Refusal)


def test_trailing_and_missing_bytes_are_broken() -> None:
    request_ = modbus.read_registers(1, 0, 2)
    frame = modbus.encode_reply(request_, [1, 2])
    assert ReplyReader(request_).feed(frame + b"\xff") == Broken("trailing")
    reader = ReplyReader(request_)
    assert reader.feed(frame[:5]) is None
    assert reader.end() == Broken("short")
    assert ReplyReader(request_).end() is None


def test_a_write_acknowledged_at_another_address_or_count_is_broken() -> None:
    request_ = modbus.write_registers(1, 105, [1, 2, 3])
    elsewhere = modbus.encode_reply(modbus.write_registers(1, 106, [1, 2, 3]))
    fewer = modbus.encode_reply(modbus.write_registers(1, 105, [1, 2]))
    assert ReplyReader(request_).feed(elsewhere) == Broken("address")
    assert ReplyReader(request_).feed(fewer) == Broken("count")


@pytest.mark.parametrize("function", [5, 6, 22, 23, 43])
def test_functions_that_are_not_served_are_refused_with_code_1(function: int) -> None:
    frame = modbus.sealed(bytes([1, function, 0, 0, 0, 1]))
    assert modbus.decode_request(frame) == Refusal(1, function, modbus.ILLEGAL_FUNCTION)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("01030000007e", modbus.ILLEGAL_VALUE),  # 126 registers
        ("010300000000", modbus.ILLEGAL_VALUE),
        ("0103ffff0002", modbus.ILLEGAL_ADDRESS),
        ("011000000002030001", modbus.ILLEGAL_VALUE),  # byte count 3 for two registers
    ],
)
def test_requests_outside_the_limits_are_refused(frame: str, code: int) -> None:
    sealed = modbus.sealed(bytes.fromhex(frame))
    assert modbus.decode_request(sealed) == Refusal(sealed[0], sealed[1], code)


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


def test_times_of_a_character_and_of_the_silence() -> None:
    assert modbus.character_s(9600, "E", 1) == pytest.approx(11 / 9600)
    assert modbus.character_s(9600, "N", 1) == pytest.approx(10 / 9600)
    assert modbus.silence_s(9600, "E", 1) == pytest.approx(3.5 * 11 / 9600)
    assert modbus.silence_s(115200, "E", 1) == 0.00175
