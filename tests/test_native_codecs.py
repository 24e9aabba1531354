"""Protocols of PLCs that speak no Modbus: both ends agree, and no noise is ever an answer."""

import dataclasses

from hypothesis import assume, given
from hypothesis import strategies as st

from edge.plc.transaction import (
    WRITE_REGISTERS,
    Answer,
    Broken,
    Refusal,
    Refused,
    Request,
)
from tests.tongues import WITH_UNITS, Tongue, fed, good, held, requests, spoken, tongues


@given(spoken, st.integers(1, 9))
def test_a_slave_reads_every_request_as_the_master_meant_it(
    said: tuple[Tongue, Request], chunk: int
) -> None:
    tongue, request = said
    heard: list[Request | Refusal] = []
    slave = tongue.slave(lambda asked: heard.append(asked))
    frame = tongue.master.encode(request)
    assert len(frame) == tongue.master.request_size(request)
    for first in range(0, len(frame), chunk):
        assert slave.feed(frame[first : first + chunk]) == b""
    assert heard == [request]


@given(spoken, st.integers(0, 300), st.integers(1, 9))
def test_every_chunking_of_a_good_reply_gives_the_same_answer(
    said: tuple[Tongue, Request], fill: int, chunk: int
) -> None:
    tongue, request = said
    frame = good(tongue, request, fill)
    assert len(frame) == tongue.master.reply_size(request)
    reader = tongue.master.reader(request)
    assert fed(reader, frame, chunk) == Answer(held(request, fill))
    assert (reader.foreign, reader.stray) == (0, 0)


@given(spoken, st.integers(1, 9))
def test_a_refused_request_is_refused_and_no_answer(
    said: tuple[Tongue, Request], chunk: int
) -> None:
    tongue, request = said
    frame = tongue.slave(lambda asked: Refused(2)).feed(tongue.master.encode(request))
    assert isinstance(fed(tongue.master.reader(request), frame, chunk), Refused)


@given(spoken, st.data())
def test_a_flipped_bit_is_never_an_answer(
    said: tuple[Tongue, Request], data: st.DataObject
) -> None:
    tongue, request = said
    frame = bytearray(good(tongue, request))
    place = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[place // 8] ^= 1 << place % 8
    assert not isinstance(tongue.master.reader(request).feed(bytes(frame)), Answer | Refused)


@given(tongues, st.data())
def test_the_reply_to_another_request_of_other_shape_is_never_an_answer(
    tongue: Tongue, data: st.DataObject
) -> None:
    request, other = data.draw(requests(tongue)), data.draw(requests(tongue))
    late = dataclasses.replace(other, unit=request.unit)
    alike = late.function == request.function
    if alike and (late.count == request.count or late.function == WRITE_REGISTERS):
        return  # no reply names its registers: the quarantine of the link is what parts them
    reply = tongue.master.reader(request).feed(good(tongue, late))
    assert isinstance(reply, Broken)


@given(spoken, st.integers(1, 9))
def test_an_echo_of_the_request_is_never_an_answer(
    said: tuple[Tongue, Request], chunk: int
) -> None:
    tongue, request = said
    reply = fed(tongue.master.reader(request), tongue.master.encode(request), chunk)
    assert reply == Broken("echo")


@given(st.sampled_from(WITH_UNITS), st.data())
def test_frames_of_another_unit_are_counted_and_the_right_one_still_answers(
    tongue: Tongue, data: st.DataObject
) -> None:
    request, other = data.draw(requests(tongue)), data.draw(requests(tongue))
    assume(other.unit != request.unit)
    reader = tongue.master.reader(request)
    stream = good(tongue, other) + good(tongue, request)
    assert fed(reader, stream, data.draw(st.integers(1, 9))) == Answer(held(request))
    assert reader.foreign == 1


@given(st.sampled_from(WITH_UNITS), st.data(), st.binary(max_size=40))
def test_what_stands_between_frames_is_skipped_and_counted(
    tongue: Tongue, data: st.DataObject, noise: bytes
) -> None:
    assume(not {b"\r"[0], b"@"[0], b"%"[0]} & set(noise))
    request = data.draw(requests(tongue))
    reader = tongue.master.reader(request)
    assert reader.feed(noise + good(tongue, request)) == Answer(held(request))
    assert reader.stray == len(noise)


@given(spoken)
def test_trailing_and_missing_characters_are_broken(said: tuple[Tongue, Request]) -> None:
    tongue, request = said
    frame = good(tongue, request)
    assert tongue.master.reader(request).feed(frame + b"0") == Broken("trailing")
    reader = tongue.master.reader(request)
    assert reader.end() is None
    if len(frame) > 1:
        assert reader.feed(frame[:-1]) is None
        assert reader.end() == Broken("short")


TOKENS = (b"@01", b"@01RD", b"%01$RD", b"%01!", b"%01#RDD", b"E00", b"E10", b"00", b"4000", b"F")


def frames(tongue: Tongue) -> st.SearchStrategy[bytes]:
    """Noise, and frames whose envelope is right while their text is anything."""
    texts = st.lists(st.sampled_from(TOKENS), max_size=8).map(b"".join)
    return st.one_of(st.binary(max_size=40), texts.map(tongue.seal))


@given(tongues, st.data(), st.integers(1, 64))
def test_no_noise_raises_at_either_end(tongue: Tongue, data: st.DataObject, chunk: int) -> None:
    said = b"".join(data.draw(st.lists(frames(tongue), max_size=3)))
    request = data.draw(requests(tongue))
    reader = tongue.master.reader(request)
    reply = fed(reader, said, chunk)
    assert reply is None or isinstance(reply, Answer | Refused | Broken)
    assert reader.end() in (None, Broken("short"))
    slave = tongue.slave(lambda asked: Refused(2))
    for first in range(0, len(said), chunk):
        assert isinstance(slave.feed(said[first : first + chunk]), bytes)
    assert slave.silence() == b""


@given(tongues, st.data())
def test_a_slave_hears_a_request_after_noise(tongue: Tongue, data: st.DataObject) -> None:
    noise = data.draw(st.binary(max_size=60))
    assume(not {2, 3, 0x25, 0x40} & set(noise))
    request = data.draw(requests(tongue))
    heard: list[Request | Refusal] = []
    slave = tongue.slave(lambda asked: heard.append(asked))
    slave.feed(noise)
    slave.feed(tongue.master.encode(request))
    assert heard == [request]


@given(st.sampled_from(WITH_UNITS), st.data())
def test_a_frame_that_was_cut_off_does_not_spoil_the_next(
    tongue: Tongue, data: st.DataObject
) -> None:
    request = data.draw(requests(tongue))
    frame = good(tongue, request)
    cut = data.draw(st.integers(1, len(frame) - 1))
    reader = tongue.master.reader(request)
    assert reader.feed(frame[:cut] + frame) == Answer(held(request))
    assert reader.stray == cut
