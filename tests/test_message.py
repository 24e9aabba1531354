"""The contract with the hub: strict, canonical, chained."""

import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.mqtt.message import (
    GENESIS,
    MAX_BATCH_ROWS,
    Ack,
    AnyRow,
    Batch,
    CounterRow,
    Entry,
    Mark,
    PartRow,
    State,
    StationState,
    TagRow,
    View,
    chain,
    decode_batch,
    decode_row,
    encode,
    topic,
)
from edge.terms import Code, Mode, Reason
from tests.ledger_rows import counter_row, epoch_row, missed_row, part_row, stamp

texts = st.text(max_size=200).filter(lambda text: text.isprintable())
counts = st.integers(0, 2**53 - 1)
hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
marks = st.builds(
    Mark,
    label=texts,
    score=st.integers(0, 10_000),
    box=st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * 4),
)
views = st.builds(
    View,
    camera=st.just("c1"),
    code=st.sampled_from(Code),
    reason=st.none() | st.sampled_from(Reason),
    frame=st.none() | counts,
    marks=st.lists(marks, max_size=3).map(tuple),
    picture=st.none() | hashes,
    source=st.none() | texts,
)
parts = st.builds(
    PartRow,
    station=st.just("s1"),
    epoch=counts,
    at_ms=counts,
    mono_ms=counts,
    boot=st.just("0" * 32),
    clock=st.sampled_from(["synced", "holdover", "unsynced"]),
    number=counts,
    code=st.sampled_from(Code),
    reason=st.none() | st.sampled_from(Reason),
    computed=st.sampled_from(Code),
    defect=st.none() | texts,
    score=st.none() | st.integers(0, 10_000),
    mode=st.sampled_from(Mode),
    recipe=texts,
    trust=st.sampled_from(["signed", "pinned", "unsigned"]),
    views=st.lists(views, max_size=3).map(tuple),
)

scaled = st.integers(1 - 2**53, 2**53 - 1)
tag_rows = st.builds(
    TagRow,
    station=st.just("meter"),
    epoch=st.just(0),
    at_ms=counts,
    mono_ms=counts,
    boot=st.just("0" * 32),
    clock=st.sampled_from(["synced", "holdover", "unsynced"]),
    name=st.just("energy"),
    title=st.none() | st.just("电能"),
    value=st.none() | scaled,
    exponent=st.integers(-9, 9),
    unit=st.just("kWh"),
    counts=st.booleans(),
    word=st.none() | st.just("换刀"),
    fault=st.none() | texts,
)


@given(parts | tag_rows)
def test_a_row_comes_back_as_it_went_and_encodes_to_the_same_bytes(row: PartRow | TagRow) -> None:
    data = encode(row)
    assert decode_row(data) == row
    assert encode(decode_row(data)) == data


@given(st.binary(max_size=300))
def test_nonsense_is_refused_and_never_anything_else(data: bytes) -> None:
    for decode in (decode_row, decode_batch):
        with pytest.raises(msgspec.MsgspecError):
            decode(data)


def part(**changed: Any) -> bytes:
    fields = msgspec.to_builtins(part_row(1))
    return msgspec.json.encode(fields | changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "verdict"},
        {"number": -1},
        {"number": 1.5},
        {"number": "1"},
        {"number": True},
        {"number": 2**53},
        {"code": 4},
        {"score": 10_001},
        {"reason": "because"},
        {"station": "S1"},
        {"station": "a/b"},
        {"station": "#"},
        {"station": ""},
        {"station": "s1\n"},
        {"boot": "x"},
        {"recipe": "x" * 201},
        {"model": "0" * 63},
        {"model": "0" * 64 + "\n"},
        {"boot": "b" * 32 + "\n"},
        {"mode": None},
        {"extra": 1},
        {"views": [{"camera": "c1", "code": 1, "marks": [{}] * 101}]},
    ],
)
def test_a_row_with_one_wrong_field_is_refused(changed: dict[str, Any]) -> None:
    assert decode_row(part()) == part_row(1)
    with pytest.raises(msgspec.ValidationError):
        decode_row(part(**changed))


def test_no_hashed_row_can_hold_a_float() -> None:
    """A float would be printed differently by another language, and every hash would break."""

    def numbers(schema: object) -> list[object]:
        if isinstance(schema, dict):
            found = [schema] if schema.get("type") == "number" else []
            return found + [hit for value in schema.values() for hit in numbers(value)]
        if isinstance(schema, list):
            return [hit for value in schema for hit in numbers(value)]
        return []

    assert numbers(msgspec.json.schema(AnyRow)) == []


def entry(row: AnyRow, prev: str, seq: int) -> Entry:
    data = encode(row)
    return Entry(hash=chain(prev, seq, data), row=msgspec.Raw(data))


def test_a_batch_keeps_the_bytes_that_were_hashed() -> None:
    rows: list[AnyRow] = [epoch_row(), part_row(1), missed_row(2, 4), counter_row(4)]
    entries, prev = [], GENESIS
    for seq, row in enumerate(rows, 1):
        entries.append(entry(row, prev, seq))
        prev = entries[-1].hash
    batch = Batch(v=1, stream="a" * 32, first=1, prev=GENESIS, rows=entries)
    came = decode_batch(encode(batch))
    prev = came.prev
    for seq, arrived in enumerate(came.rows, came.first):
        prev = chain(prev, seq, bytes(arrived.row))
        assert arrived.hash == prev
    assert [decode_row(arrived.row) for arrived in came.rows] == rows


def test_one_bad_row_spoils_only_itself() -> None:
    bad = Entry(hash=GENESIS, row=msgspec.Raw(b'{"kind":"nonsense"}'))
    batch = Batch(
        v=1, stream="a" * 32, first=1, prev=GENESIS, rows=[bad, entry(epoch_row(), GENESIS, 2)]
    )
    came = decode_batch(encode(batch))
    with pytest.raises(msgspec.ValidationError):
        decode_row(came.rows[0].row)
    assert decode_row(came.rows[1].row) == epoch_row()


def test_an_empty_and_an_overlong_batch_are_refused() -> None:
    one = entry(epoch_row(), GENESIS, 1)
    for rows in ([], [one] * (MAX_BATCH_ROWS + 1)):
        batch = Batch(v=1, stream="a" * 32, first=1, prev=GENESIS, rows=rows)
        with pytest.raises(msgspec.ValidationError):
            decode_batch(encode(batch))


@given(hashes, st.integers(1, 2**53), st.binary(max_size=50))
def test_the_chain_is_sha256_of_previous_hash_sequence_and_bytes(
    prev: str, seq: int, row: bytes
) -> None:
    """Written out, so that anyone can recompute a ledger with any tool."""
    expected = hashlib.sha256(bytes.fromhex(prev) + seq.to_bytes(8, "big") + row).hexdigest()
    assert chain(prev, seq, row) == expected


def test_the_bytes_of_a_row_do_not_change_by_accident() -> None:
    """A stored ledger is checked for ever: this text may only change with the version."""
    row = CounterRow(**{**stamp(), "clock": "unsynced"}, counter=7, open=1)
    expected = (
        b'{"kind":"counter","station":"s1","epoch":1,"at_ms":1000,"mono_ms":1000,'
        b'"boot":"' + b"b" * 32 + b'","clock":"unsynced","counter":7,"open":1,"good":null,'
        b'"rejected":null,"reject_confirmed":null,"bypassed":null,"reject_faults":null}'
    )
    assert encode(row) == expected
    assert chain(GENESIS, 1, expected) == (
        "8b2b10f8f930c5d632f011887d55844a534bf7fefbb260ce58dabf784bc62d1b"
    )


def test_messages_to_and_from_the_hub_come_back_as_they_went() -> None:
    station = StationState(
        station="s1",
        state="running",
        mode=Mode.AUTO,
        epoch=1,
        triggers=9,
        recipe="plate",
        trust="pinned",
    )
    state = State(v=1, online=True, stream="a" * 32, waiting=3, at_ms=1, stations=(station,))
    assert msgspec.json.decode(encode(state), type=State) == state
    ack = Ack(v=1, stream="a" * 32, next=4, hash="0" * 64, refused="no")
    assert msgspec.json.decode(encode(ack), type=Ack) == ack
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"v":2,"stream":"' + b"a" * 32 + b'","next":4}', type=Ack)


def test_topics_name_plant_line_and_node() -> None:
    assert topic("p", "l", "n1", "parts") == "qj/1/p/l/n1/parts"
