"""Registers as hexadecimal digits, four each, in protocols of text. No port, no clock."""

import struct
from typing import Literal

Order = Literal["<", ">"]
"""Which byte of a register comes first: "<" the low one, ">" the high one."""


def digits_of(words: tuple[int, ...], order: Order) -> bytes:
    """Registers 0..65535 as upper-case digits."""
    return struct.pack(f"{order}{len(words)}H", *words).hex().upper().encode()


def words_of(digits: bytes, order: Order) -> tuple[int, ...]:
    """The registers in digits whose number is a multiple of four.

    Raises:
        ValueError: something else than hexadecimal digits.
    """
    return struct.unpack(f"{order}{len(digits) // 4}H", bytes.fromhex(digits.decode("ascii")))
