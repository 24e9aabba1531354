"""What of a batch is taken: order, chain, and rows nobody can use; for any way a node may send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.mqtt.message import GENESIS, AnyRow, Batch, MissedRow
from edge.terms import Code
from hub.intake import Bad, Good, examine
from tests.ledger_rows import epoch_row, missed_row, part_row, stamp
from tests.paper_ledger import PaperLedger


def ledger_of(count: int) -> PaperLedger:
    ledger = PaperLedger()
    ledger.write([epoch_row(), *(part_row(number) for number in range(1, count))])
    return ledger


def bad_row(raw: bytes | AnyRow) -> Bad:
    batch = PaperLedger().write([raw])
    [taken] = examine(batch, 1, GENESIS).rows
    assert isinstance(taken, Bad)
    return taken


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), max_size=30))
def test_any_order_of_any_batches_takes_every_row_once_and_in_order(
    sent: list[tuple[int, int]],
) -> None:
    ledger = ledger_of(20)
    following, head, taken = 1, GENESIS, []
    for first, length in sent:
        batch = ledger.batch(first, min(first + length, 21))
        intake = examine(batch, following, head)
        assert (intake.refused is not None) == (first > following)
        taken += [row.seq for row in intake.rows]
        following, head = intake.next, intake.hash or head
    if following <= 20:
        rest = examine(ledger.batch(following, 21), following, head)
        taken += [row.seq for row in rest.rows]
    assert taken == list(range(1, 21))


@given(st.integers(0, 9), st.integers(0, 300), st.integers(1, 255))
def test_a_flipped_bit_stops_the_batch_before_it_and_what_came_before_is_taken(
    at: int, byte: int, flip: int
) -> None:
    batch = ledger_of(10).batch(1, 11)
    raw = bytearray(batch.rows[at].row)
    raw[byte % len(raw)] ^= flip
    rows = [*batch.rows]
    rows[at] = type(rows[at])(hash=rows[at].hash, row=type(rows[at].row)(bytes(raw)))
    spoilt = Batch(v=1, stream=batch.stream, first=1, prev=batch.prev, rows=rows)
    intake = examine(spoilt, 1, GENESIS)
    assert (len(intake.rows), intake.next) == (at, at + 1)
    assert intake.refused == f"row {at + 1}: its hash does not follow from the row before it"


def test_a_gap_is_refused_with_the_row_that_is_expected() -> None:
    intake = examine(ledger_of(10).batch(5, 11), 3, "f" * 64)
    assert (intake.rows, intake.next) == ([], 3)
    assert intake.refused == "expected row 3, got rows from 5"


def test_rows_of_another_history_are_refused_even_where_they_only_repeat() -> None:
    ours, theirs = ledger_of(10), PaperLedger()
    theirs.write([part_row(number) for number in range(1, 11)])
    head = ours.hash_before(6)
    for batch in (theirs.batch(1, 11), theirs.batch(6, 11), theirs.batch(1, 6)):
        intake = examine(batch, 6, head)
        assert intake.rows == []
        assert (intake.refused or "").startswith("row 5 is another one here")


def test_after_a_declared_gap_the_batch_itself_tells_the_hash_before_it() -> None:
    ledger = ledger_of(10)
    intake = examine(ledger.batch(5, 11), 7, None)
    assert [row.seq for row in intake.rows] == [7, 8, 9, 10]
    assert intake.hash == ledger.entries[-1].hash


def test_a_row_nobody_can_read_is_kept_apart_and_the_chain_goes_on() -> None:
    batch = PaperLedger().write([part_row(1), b'{"kind":"part","colour":"red"}', part_row(3)])
    first, second, third = examine(batch, 1, GENESIS).rows
    assert isinstance(first, Good)
    assert isinstance(second, Bad)
    assert isinstance(third, Good)


def test_what_can_be_read_of_a_bad_row_says_where_it_counts() -> None:
    part = bad_row(b'{"kind":"part","station":"s1","epoch":4,"colour":"red"}')
    assert (part.station, part.epoch, part.parts) == ("s1", 4, 1)
    missed = bad_row(b'{"kind":"missed","station":"s1","epoch":4,"first":11,"last":20,"x":1}')
    assert missed.parts == 10
    lost = bad_row(b'{"kind":"part","station":"S 1\\u0000","epoch":-4}')
    assert (lost.station, lost.epoch) == (None, None)
    assert bad_row(b'"only a text"').parts == 0


def test_rows_that_decode_but_cannot_be_stored_are_kept_apart() -> None:
    far = bad_row(part_row(1, at_ms=2**53 - 1))
    assert "at_ms" in far.reason
    shown = 253_402_300_799_999 - 3_600_000  # a time zone east of UTC cannot tell it any more
    assert "2100" in bad_row(part_row(1, at_ms=shown)).reason
    unsettled = bad_row(part_row(1, Code.UNDEFINED))
    assert unsettled.reason.startswith("code: got 0")
    backwards = bad_row(missed_row(9, 3))
    assert backwards.reason.startswith("first, last: got 9, 3")
    endless = MissedRow(**stamp(), first=0, last=2**52, cause=missed_row(1, 1).cause)
    assert bad_row(endless).parts == 0


@pytest.mark.parametrize("depth", [100, 1_100, 100_000])
def test_a_row_nested_to_any_depth_is_kept_apart(depth: int) -> None:
    raw = b'{"kind":"part","station":"s1","epoch":1,"x":' + b"[" * depth + b"]" * depth + b"}"
    intake = examine(PaperLedger().write([raw]), 1, GENESIS)
    assert intake.epochs() <= {("s1", 1)}  # as far as it can be read
    [taken] = intake.rows
    assert isinstance(taken, Bad)
    assert taken.raw == raw


@given(st.binary(min_size=1, max_size=60))
def test_no_bytes_of_a_row_ever_raise(noise: bytes) -> None:
    raw = b'{"kind":"part","defect":"' + noise.replace(b'"', b"").replace(b"\\", b"") + b'"}'
    [taken] = examine(PaperLedger().write([raw]), 1, GENESIS).rows
    assert isinstance(taken, Bad)
    assert taken.reason
