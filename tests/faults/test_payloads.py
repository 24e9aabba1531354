"""Structured payloads: bytes that are nearly a batch, through decoder and intake, 100,000 of them.

Noise never passes the first check; what finds faults is a right batch with one thing wrong. Each is
decoded and examined as the ingest would: the only answers are a refusal by name, or rows each of
which is good or set aside with a reason.
"""

import random
import time
from typing import Any

import msgspec
import pytest

from edge.mqtt.message import GENESIS, Batch, chain, decode_batch, encode
from edge.terms import Code
from hub.intake import Bad, Good, examine
from tests.ledger_rows import bypassed_row, counter_row, epoch_row, missed_row, part_row
from tests.paper_ledger import PaperLedger

FEW, MANY = 3_000, 100_000
ROWS = [
    encode(row)
    for row in (
        epoch_row(),
        *(part_row(number, code) for number, code in enumerate((Code.OK, Code.NG, Code.UNDECIDED))),
        missed_row(4, 9),
        bypassed_row(10, 11),
        counter_row(11),
    )
]
STRANGE: list[Any] = [
    None, True, -1, 0, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**400, 1.5, -0.0, 1e308, "", "\0",
    "s1\n", "a" * 300, "\u2028", "😀", [], {}, [[]], {"kind": "part"}, "0" * 64, "g" * 32, "NaN",
]  # fmt: skip


def spoiled(chance: random.Random, value: Any) -> Any:
    """The value with one thing in it changed, left out, added or said twice."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        way = chance.random()
        if way < 0.6:
            return {**value, key: spoiled(chance, value[key])}
        if way < 0.75:
            return {name: its for name, its in value.items() if name != key}
        return {**value, chance.choice(["x", "kind", "seq", key.upper()]): chance.choice(STRANGE)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        way = chance.random()
        if way < 0.6:
            return [*value[:place], spoiled(chance, value[place]), *value[place + 1 :]]
        return value[:place] + value[place + 1 :] if way < 0.8 else [*value, value[place]]
    return chance.choice(STRANGE)


def payload(chance: random.Random) -> bytes:
    """A batch with something wrong: in a row under a right hash, in the frame, or in its bytes."""
    ledger = PaperLedger()
    chosen: list[bytes] = [chance.choice(ROWS) for _ in range(chance.randint(1, 5))]
    if chance.random() < 0.6:
        place = chance.randrange(len(chosen))
        chosen[place] = msgspec.json.encode(spoiled(chance, msgspec.json.decode(chosen[place])))
    data = encode(ledger.write(chosen))
    if chance.random() < 0.5:
        data = msgspec.json.encode(spoiled(chance, msgspec.json.decode(data)))
    if chance.random() < 0.3:
        place = chance.randrange(len(data))
        data = data[:place] + chance.randbytes(chance.randint(0, 3)) + data[place + 1 :]
    return data


def take(data: bytes, next_seq: int, head: str | None) -> str:
    """What became of it; anything but these words is a fault."""
    try:
        batch = decode_batch(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "not a batch"
    return intake(batch, next_seq, head)


def intake(batch: Batch, next_seq: int, head: str | None) -> str:
    taken = examine(batch, next_seq, head)
    prev = head or GENESIS
    for number, row in enumerate(taken.rows, next_seq):
        assert isinstance(row, Good | Bad)
        assert row.seq == number
        if head is not None or number > next_seq:
            assert chain(prev, row.seq, row.raw) == row.hash
        prev = row.hash
        if isinstance(row, Bad):
            assert row.reason
            assert 0 <= row.parts < 2**63
    return "refused" if taken.refused else "taken"


def through(count: int, seed: int) -> dict[str, int]:
    chance = random.Random(seed)
    told: dict[str, int] = {}
    for _ in range(count):
        data = payload(chance)
        known = chance.random() < 0.8
        word = take(data, 1 if known else chance.randint(1, 9), GENESIS if known else None)
        told[word] = told.get(word, 0) + 1
    return told


def test_a_few_thousand_payloads_do_not_end_the_intake() -> None:
    told = through(FEW, 7)
    assert min(told.get(word, 0) for word in ("not a batch", "refused", "taken")) > FEW / 50, told


@pytest.mark.faults
def test_no_payload_ends_the_intake() -> None:
    assert sum(through(MANY, time.time_ns()).values()) == MANY
