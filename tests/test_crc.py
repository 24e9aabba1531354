"""The check sum of Modbus RTU."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.plc.crc import LONGEST, crc16


def shifted(frame: bytes) -> int:
    """As the specification describes it, bit by bit."""
    crc = 0xFFFF
    for byte in frame:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


@given(st.binary(max_size=300))
@example(bytes(LONGEST))
@example(bytes(LONGEST + 1))
@example(bytes(LONGEST + 2))
def test_it_is_the_specifications_bit_by_bit(frame: bytes) -> None:
    assert crc16(frame) == shifted(frame)


@pytest.mark.parametrize(
    ("frame", "crc"), [(b"", 0xFFFF), (b"\x02\x07", 0x1241), (b"123456789", 0x4B37)]
)
def test_known_sums(frame: bytes, crc: int) -> None:
    """0x1241: the specification's own example (section 6.2.2); 0x4B37: CRC-16/MODBUS."""
    assert crc16(frame) == crc


@given(st.binary(min_size=1, max_size=260), st.integers(0, 0xFFFF))
def test_over_a_frame_with_its_sum_it_is_0_and_over_no_other_two_last_bytes(
    frame: bytes, other: int
) -> None:
    crc = crc16(frame)
    assert crc16(frame + crc.to_bytes(2, "little")) == 0
    assert (crc16(frame + other.to_bytes(2, "little")) == 0) == (other == crc)
