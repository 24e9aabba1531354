"""Frames of PLCs that speak no Modbus, as their public descriptions print them, and each field."""

import pytest

from edge.plc import fx, hostlink, mewtocol
from edge.plc.fx import Fx, FxSlave
from edge.plc.hostlink import HostLink, HostLinkSlave
from edge.plc.mewtocol import Mewtocol, MewtocolSlave
from edge.plc.transaction import (
    READ_COILS,
    READ_DISCRETE_INPUTS,
    READ_INPUT_REGISTERS,
    WRITE_COILS,
    Answer,
    Broken,
    Refused,
    Request,
    read_registers,
    write_registers,
)
from tests.tongues import TONGUES, WITH_UNITS, Tongue, good, held


@pytest.mark.parametrize(
    ("tongue", "request_", "frame"),
    [
        # blog.csdn.net/weixin_40314351/article/details/134304064: two bytes from 4000h
        (TONGUES[0], read_registers(1, 0, 1), b"\x02E00400002\x03CE"),
        # as published everywhere for Host Link: DM 0, IR 0, one word
        (TONGUES[1], read_registers(0, 0, 1), b"@00RD0000000157*\r"),
        (TONGUES[1], read_registers(0, 10_000, 1), b"@00RR0000000141*\r"),
        # FP2 Computer Communication Unit, p. 1-5: DT0 and DT1
        (TONGUES[2], read_registers(1, 0, 2), b"%01#RDD000000000154\r"),
    ],
)
def test_requests_are_those_of_the_public_descriptions(
    tongue: Tongue, request_: Request, frame: bytes
) -> None:
    assert tongue.master.encode(request_) == frame


def test_the_reply_of_the_panasonic_manual_is_5_and_10() -> None:
    reader = Mewtocol().reader(read_registers(1, 0, 2))
    assert reader.feed(b"%01$RD05000A0062\r") == Answer((5, 10))


def test_the_sum_is_that_of_the_published_read_of_d123() -> None:
    assert fx.sealed(b"010F604") == b"\x02010F604\x0374"


def test_the_low_byte_of_a_register_comes_first_at_an_fx() -> None:
    reader = Fx().reader(read_registers(1, 123, 1))
    assert reader.feed(fx.sealed(b"3412")) == Answer((0x1234,))
    assert b"3412" in Fx().encode(write_registers(1, 123, [0x1234]))


@pytest.mark.parametrize(
    ("tongue", "frame", "code", "meaning"),
    [
        (TONGUES[0], b"\x15", 0x15, "NAK"),
        (TONGUES[1], hostlink.sealed(b"@01WD01"), 1, "RUN mode"),
        (TONGUES[1], hostlink.sealed(b"@01IC"), 0xFF, "unknown command"),
        (TONGUES[2], mewtocol.sealed(b"%01!53"), 0x53, "busy"),
    ],
)
def test_a_refusal_carries_its_code_which_has_a_meaning(
    tongue: Tongue, frame: bytes, code: int, meaning: str
) -> None:
    meanings = {"mitsubishi_fx": fx, "host_link": hostlink, "mewtocol": mewtocol}
    reader = tongue.master.reader(write_registers(1, 100, [1, 2, 3, 4, 5]))
    assert reader.feed(frame) == Refused(code)
    assert meaning in meanings[tongue.name].MEANINGS[code]


READ = read_registers(1, 100, 2)
WRITE = write_registers(1, 100, [7])


@pytest.mark.parametrize(
    ("tongue", "request_", "frame", "cause"),
    [
        (TONGUES[0], READ, b"\x06", "function"),  # an ACK where data should be
        (TONGUES[0], WRITE, good(TONGUES[0], READ), "function"),
        (TONGUES[0], READ, b"\x0212\x03", "count"),
        (TONGUES[0], READ, b"\x02" + b"0" * 9, "count"),
        (TONGUES[0], READ, b"\x0212g", "noise"),
        (TONGUES[0], READ, b"x", "noise"),
        (TONGUES[0], WRITE, b"\x06\x06", "trailing"),
        (TONGUES[1], READ, hostlink.sealed(b"@01RR0000010002"), "function"),
        (TONGUES[1], READ, hostlink.sealed(b"@01RD000001"), "count"),
        (TONGUES[1], READ, hostlink.sealed(b"@01RD150001"), "count"),
        (TONGUES[1], READ, hostlink.sealed(b"@01RD"), "count"),
        (TONGUES[1], READ, hostlink.sealed(b"@01IC00"), "count"),
        (TONGUES[1], READ, b"@01RD0000010002\r", "noise"),
        (TONGUES[1], READ, b"@01RD000001000200*\r", "checksum"),
        (TONGUES[2], READ, mewtocol.sealed(b"%01$WD"), "function"),
        (TONGUES[2], READ, mewtocol.sealed(b"%01$RD0100"), "count"),
        (TONGUES[2], READ, mewtocol.sealed(b"%01$RD0100020G"), "noise"),
        (TONGUES[2], READ, mewtocol.sealed(b"%01!6"), "count"),
        (TONGUES[2], READ, b"%01$RD01000200**\r", "noise"),  # its check left out: not believed
        (TONGUES[2], READ, b"%01$RD0100020000\r", "checksum"),
        (TONGUES[2], READ, mewtocol.sealed(b"%01#RDD0000000001"), "foreign"),
    ],
)
def test_every_field_of_a_reply_is_checked(
    tongue: Tongue, request_: Request, frame: bytes, cause: str
) -> None:
    assert tongue.master.reader(request_).feed(frame) == Broken(cause)


def test_bits_are_read_by_the_bytes_or_words_that_hold_them() -> None:
    asked = Request(1, READ_COILS, 0x403, 10)  # X3 to X14 of an FX
    assert Fx().encode(asked) == fx.sealed(b"0008002")
    bits = (1, 0, 1, 1, 0, 0, 0, 0, 0, 1)
    packed = sum(bit << (3 + place) for place, bit in enumerate(bits))
    reply = fx.sealed(packed.to_bytes(2, "little").hex().upper().encode())
    assert Fx().reader(asked).feed(reply) == Answer(bits)
    assert len(reply) == Fx().reply_size(asked)

    asked = Request(1, READ_COILS, 16 * 5 + 14, 4)  # CIO 5.14 to CIO 6.01
    assert HostLink().encode(asked) == hostlink.sealed(b"@01RR00050002")
    reply = hostlink.sealed(b"@01RR0040000002")
    assert HostLink().reader(asked).feed(reply) == Answer((1, 0, 0, 1))
    assert len(reply) == HostLink().reply_size(asked)

    asked = Request(1, READ_COILS, 2048 + 16 * 3 + 15, 2)  # R3F and R40
    assert Mewtocol().encode(asked) == mewtocol.sealed(b"%01#RCCR00030004")
    reply = mewtocol.sealed(b"%01$RC00800100")
    assert Mewtocol().reader(asked).feed(reply) == Answer((1, 1))
    assert len(reply) == Mewtocol().reply_size(asked)
    asked = Request(1, READ_DISCRETE_INPUTS, 17, 1)  # X11
    assert Mewtocol().encode(asked) == mewtocol.sealed(b"%01#RCCX00010001")


@pytest.mark.parametrize(
    ("tongue", "request_", "why"),
    [
        (TONGUES[0], read_registers(2, 0, 1), "unit 2; the FX programming port is one PLC"),
        (TONGUES[0], read_registers(1, 7999, 2), "has D0 to D7999"),
        (TONGUES[0], read_registers(1, 0, 33), "66 bytes"),
        (TONGUES[0], Request(1, WRITE_COILS, 0, 1, (1,)), "function 15"),
        (TONGUES[0], Request(1, READ_INPUT_REGISTERS, 0, 1), "function 4"),
        (TONGUES[0], Request(1, READ_COILS, 0xFFF, 2), "coils 0 to 4095"),
        (TONGUES[1], read_registers(32, 0, 1), "unit 32; Host Link has 0 to 31"),
        (TONGUES[1], read_registers(1, 9999, 2), "neither D nor CIO"),
        (TONGUES[1], read_registers(1, 16_143, 2), "neither D nor CIO"),
        (TONGUES[1], read_registers(1, 0, 31), "31 words are more than one frame"),
        (TONGUES[1], write_registers(1, 0, [0] * 30), "30 words are more than one frame"),
        (TONGUES[1], Request(1, READ_DISCRETE_INPUTS, 0, 1), "function 2; Host Link has"),
        (TONGUES[2], read_registers(0, 0, 1), "unit 0; MEWTOCOL has 1 to 99"),
        (TONGUES[2], read_registers(1, 0, 28), "28 are more than the 27 words"),
        (TONGUES[2], write_registers(1, 0, [0] * 25), "one frame writes 24"),
        (TONGUES[2], Request(1, READ_COILS, 2047, 2), "coils Y below 2048"),
        (TONGUES[2], Request(1, READ_INPUT_REGISTERS, 0, 1), "function 4"),
    ],
)
def test_a_request_that_the_protocol_does_not_have_cannot_be_made(
    tongue: Tongue, request_: Request, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        tongue.master.encode(request_)


def test_slaves_say_what_the_manuals_say_to_what_they_do_not_serve() -> None:
    assert HostLinkSlave(lambda asked: None).feed(hostlink.sealed(b"@01QQ")) == hostlink.sealed(
        b"@01IC"
    )
    assert HostLinkSlave(lambda asked: None).feed(hostlink.sealed(b"@01RD00")) == hostlink.sealed(
        b"@01RD14"
    )
    assert MewtocolSlave(lambda asked: None).feed(mewtocol.sealed(b"%01#RT")) == mewtocol.sealed(
        b"%01!42"
    )
    assert MewtocolSlave(lambda asked: None).feed(mewtocol.sealed(b"%01#RDD0")) == mewtocol.sealed(
        b"%01!41"
    )
    assert FxSlave(lambda asked: None).feed(fx.sealed(b"E0040")) == b"\x15"


@pytest.mark.parametrize("tongue", WITH_UNITS)
def test_a_frame_without_end_is_dropped_and_counted(tongue: Tongue) -> None:
    reader = tongue.master.reader(READ)
    endless = good(tongue, READ)[:3] + b"0" * 200
    assert reader.feed(endless) is None
    assert reader.end() is None
    assert reader.stray == len(endless)
    assert reader.feed(good(tongue, READ)[:3] + b"0" * 200 + b"\r") is None
    assert reader.feed(good(tongue, READ)) == Answer(held(READ))
