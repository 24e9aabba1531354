"""What a line does to frames, by the names of the reference page `plc`, section 5: never a wrong
value, never a write that is believed and was not done, and the next transaction is right.

Replies that come late, and ports that go: tests/test_late_replies.py, tests/test_ports.py."""

import struct
from contextlib import closing

import pytest

from edge.errors import PlcError, PlcTimeoutError
from edge.plc import modbus
from edge.plc.links import Link
from edge.plc.transaction import Answer, Refused, read_registers, write_registers
from tests.plc_faults import READ, TIMEOUT_S, VALUES, WRITE, fails_then_is_right
from tests.serial_peers import Script, Step, scripted
from tests.wires import (
    ASCII,
    FRAMINGS,
    RTU,
    SERIAL,
    TCP,
    reply_of,
    reply_to,
    sealed,
)

framings = pytest.mark.parametrize("protocol", FRAMINGS)
serial_framings = pytest.mark.parametrize("protocol", SERIAL)


def bits_flipped(protocol: str, frame: bytes, place: int) -> bytes:
    """A frame that was damaged on the line; in ASCII another digit, so that it stays text."""
    changed = bytearray(frame)
    changed[place] ^= 0x10 if protocol != ASCII else 0x01
    return bytes(changed)


def spoilt(protocol: str, change: object) -> Script:
    """The first reply is changed, and every later one right."""
    assert callable(change)

    def script(n: int, asked: bytes) -> list[Step]:
        reply = reply_to(protocol, asked)
        return [(0, change(reply) if n == 0 else reply)]

    return script


@serial_framings
def test_crc_error(protocol: str) -> None:
    place = -1 if protocol == RTU else -3
    script = spoilt(protocol, lambda reply: bits_flipped(protocol, reply, place))
    # the reply itself was damaged: no quarantine, and nothing that might still come
    assert fails_then_is_right(protocol, script, "damaged answer") == 3


@serial_framings
def test_data_flip(protocol: str) -> None:
    script = spoilt(protocol, lambda reply: bits_flipped(protocol, reply, 9))
    fails_then_is_right(protocol, script, "damaged answer")


@framings
def test_truncated(protocol: str) -> None:
    fails_then_is_right(protocol, spoilt(protocol, lambda reply: reply[:5]), "short")


@framings
def test_gap_20ms(protocol: str) -> None:
    def script(n: int, asked: bytes) -> list[Step]:
        reply = reply_to(protocol, asked)
        return [(0, reply[:4]), (0.02, reply[4:])]

    with (
        scripted(protocol, script) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
    ):
        assert link.transact(READ).values == VALUES


@pytest.mark.parametrize("protocol", [RTU, TCP])
def test_noise_before(protocol: str) -> None:
    script = spoilt(protocol, lambda reply: b"\xff\x00" + reply)
    fails_then_is_right(protocol, script, "noise")


def test_noise_before_a_colon_is_skipped() -> None:
    with (
        scripted(ASCII, spoilt(ASCII, lambda reply: b"\xff:0\r" + reply)) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
    ):
        assert link.transact(READ).values == VALUES
        assert link.stray == 4


@framings
def test_noise_after(protocol: str) -> None:
    script = spoilt(protocol, lambda reply: reply + b"\xff\xff")
    fails_then_is_right(protocol, script, "trailing")


@pytest.mark.parametrize("code", [1, 2, 3, 6])
@framings
def test_exception(protocol: str, code: int) -> None:
    def script(n: int, asked: bytes) -> list[Step]:
        return [(0, reply_to(protocol, asked, Refused(code) if n == 0 else None))]

    fails_then_is_right(protocol, script, f"refuses with code {code}")


@framings
def test_silence(protocol: str) -> None:
    with (
        scripted(protocol, lambda n, asked: []) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
    ):
        for request in (READ, WRITE, READ):
            with pytest.raises(PlcTimeoutError, match=r"no answer within 0\.300 s"):
                link.transact(request)
        assert len(peer.requests) == 3  # each was sent once, and none again


@framings
def test_silence_then_ok(protocol: str) -> None:
    def script(n: int, asked: bytes) -> list[Step]:
        return [] if n == 0 else [(0, reply_to(protocol, asked))]

    fails_then_is_right(protocol, script, "no answer")


@serial_framings
def test_echo_alive(protocol: str) -> None:
    def script(n: int, asked: bytes) -> list[Step]:
        return [(0, asked), (0.005, reply_to(protocol, asked))]

    with (
        scripted(protocol, script) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
    ):
        for request in (READ, WRITE):
            with pytest.raises(PlcError, match="the adapter echoes") as said:
                link.transact(request)
            assert "echo = true" in said.value.hint
        link.close()
        with closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S, echo=True))) as told:
            assert told.transact(READ).values == VALUES
            assert told.transact(WRITE).values == ()


@serial_framings
def test_echo_dead_plc(protocol: str) -> None:
    with (
        scripted(protocol, lambda n, asked: [(0, asked)]) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
    ):
        for request in (READ, WRITE):
            with pytest.raises(PlcError, match="the adapter echoes"):
                link.transact(request)
        link.close()
        with closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S, echo=True))) as told:
            for request in (READ, WRITE):
                with pytest.raises(PlcTimeoutError, match="no answer"):
                    told.transact(request)


@serial_framings
def test_an_adapter_that_should_echo_and_does_not_is_an_error(protocol: str) -> None:
    with (
        scripted(protocol, lambda n, asked: [(0, reply_to(protocol, asked))]) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S, echo=True))) as link,
        pytest.raises(PlcError, match="echo"),
    ):
        link.transact(READ)


@framings
def test_wrong_unit(protocol: str) -> None:
    def script(n: int, asked: bytes) -> list[Step]:
        return [(0, reply_to(protocol, asked, unit=7))]

    with (
        scripted(protocol, script) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
    ):
        with pytest.raises(PlcTimeoutError, match="no answer"):
            link.transact(READ)
        assert link.foreign == 1


@framings
def test_wrong_unit_then_right(protocol: str) -> None:
    def script(n: int, asked: bytes) -> list[Step]:
        return [(0, reply_to(protocol, asked, unit=7)), (0.02, reply_to(protocol, asked))]

    with (
        scripted(protocol, script) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
    ):
        assert link.transact(READ).values == VALUES
        assert link.foreign == 1


@framings
def test_wrong_address_ack(protocol: str) -> None:
    def script(n: int, asked: bytes) -> list[Step]:
        elsewhere = write_registers(1, 100, [0] * 5)
        return [(0, reply_of(protocol, elsewhere, Answer(), asked))]

    with (
        scripted(protocol, script) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
        pytest.raises(PlcError, match="address"),
    ):
        link.transact(WRITE)


@framings
def test_wrong_value_ack(protocol: str) -> None:
    """FC16 is acknowledged by its count, the one value in its reply."""

    def script(n: int, asked: bytes) -> list[Step]:
        pdu = struct.pack(">BHH", 16, 105, 4)
        return [(0, sealed(protocol, 1, pdu, asked))]

    with (
        scripted(protocol, script) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
        pytest.raises(PlcError, match="count"),
    ):
        link.transact(WRITE)


@framings
def test_short_count(protocol: str) -> None:
    def script(n: int, asked: bytes) -> list[Step]:
        few = reply_of(protocol, read_registers(1, 0, 2), Answer((1, 2)), asked)
        return [(0, few if n == 0 else reply_to(protocol, asked))]

    fails_then_is_right(protocol, script, "count")


@serial_framings
def test_foreign_master_frame(protocol: str) -> None:
    others = sealed(protocol, 7, modbus.encode_request(read_registers(7, 0, 4)))

    def script(n: int, asked: bytes) -> list[Step]:
        return [(0, others), (0.01, reply_to(protocol, asked))]

    with (
        scripted(protocol, script) as peer,
        closing(Link(peer.bus(reply_timeout_s=TIMEOUT_S))) as link,
    ):
        assert link.transact(READ).values == VALUES
        assert link.foreign == 1


@serial_framings
def test_foreign_master_frame_to_the_same_plc(protocol: str) -> None:
    others = sealed(protocol, 1, modbus.encode_request(read_registers(1, 500, 12)))
    script = spoilt(protocol, lambda reply: others)
    fails_then_is_right(protocol, script, "foreign")
