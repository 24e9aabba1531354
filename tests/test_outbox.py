"""The ledger on disk: whatever happens, every part is there once, in order, and chained."""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edge.errors import LedgerError
from edge.mqtt.message import (
    GENESIS,
    MAX_BATCH_BYTES,
    AnyRow,
    CounterRow,
    Mark,
    PartRow,
    View,
    decode_row,
    encode,
)
from edge.outbox import Outbox
from edge.terms import Code
from tests.descriptors import copies_of
from tests.ledger_rows import (
    BOOT,
    STATION,
    counter_row,
    drain,
    epoch_row,
    missed_row,
    part_row,
)
from tests.loopback_peer import wait_for


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "ledger.db", ballast_bytes=4096)
    outbox.append(epoch_row())
    yield outbox
    outbox.close()


def test_two_parts_of_one_transaction_do_not_share_a_fate(ledger: Outbox) -> None:
    """A refused operation in a group leaves the others alone."""
    gate = threading.Event()
    errors: dict[int, LedgerError] = {}

    def append(number: int) -> None:
        try:
            ledger.append(part_row(number))
        except LedgerError as wrong:
            errors[number] = wrong

    blocker = threading.Thread(target=ledger.transact, args=(lambda _: gate.wait(10),))
    blocker.start()
    numbers = [1, 2, 2, 3]  # 2 twice: the second is refused
    callers = [threading.Thread(target=append, args=(number,)) for number in numbers]
    for caller in callers:
        caller.start()
    gate.set()
    for caller in [blocker, *callers]:
        caller.join(10)
    assert list(errors) == [2]
    assert errors[2].permanent
    assert ledger.totals(STATION, 1).ok == 3


def test_rows_that_wait_share_one_transaction(ledger: Outbox, tmp_path: Path) -> None:
    commits: list[int] = []
    ledger.on_rows(lambda: commits.append(ledger.head))
    gate, started = threading.Event(), threading.Event()

    def block(_: sqlite3.Connection) -> None:
        started.set()
        gate.wait(10)

    blocker = threading.Thread(target=ledger.transact, args=(block,))
    blocker.start()
    assert started.wait(10)
    arrived = threading.Barrier(21)

    def append(number: int) -> None:
        arrived.wait(10)
        ledger.append(part_row(number))

    callers = [threading.Thread(target=append, args=(n,)) for n in range(1, 21)]
    for caller in callers:
        caller.start()
    arrived.wait(10)
    gate.set()
    for caller in [blocker, *callers]:
        caller.join(10)
    wait_for(lambda: commits[-1:] == [22], "the last rows are told of")
    assert len(commits) < 20  # the ones in time share; a straggler may have its own


def test_append_is_all_or_nothing(ledger: Outbox) -> None:
    with pytest.raises(LedgerError):
        ledger.append(part_row(1), part_row(2), part_row(1))
    assert ledger.head == 2
    ledger.append(part_row(1), part_row(2))
    assert ledger.head == 4


def test_a_row_the_hub_would_refuse_never_enters(ledger: Outbox) -> None:
    bad: list[AnyRow] = [
        msgspec.structs.replace(part_row(1), recipe="x" * 201),
        msgspec.structs.replace(part_row(1), number=-1),
        msgspec.structs.replace(part_row(1), number=2**60),
        msgspec.structs.replace(part_row(1), recipe="\udcff"),
        msgspec.structs.replace(part_row(1), code=Code.UNDECIDED),
        msgspec.structs.replace(part_row(1), code=Code.UNDEFINED),
        msgspec.structs.replace(part_row(1), station="S 1"),
        part_row(1, epoch=9),
        missed_row(3, 2),
        missed_row(0, 2),
    ]
    for row in bad:
        with pytest.raises(LedgerError) as caught:
            ledger.append(row)
        assert caught.value.permanent
    ledger.append(part_row(1))
    assert ledger.waiting == 2


def test_no_part_becomes_ok_that_was_not_computed_ok(ledger: Outbox) -> None:
    ledger.open(part_row(1, Code.NG))
    with pytest.raises(LedgerError):
        ledger.close_part(STATION, 1, 1, Code.OK, None, 5)
    ledger.close_part(STATION, 1, 1, Code.NG, None, 5)
    assert ledger.totals(STATION, 1).ok == 0


def test_what_is_settled_takes_no_room_while_nothing_is_missing(ledger: Outbox) -> None:
    """One range per hole, not per part: an epoch may have millions of parts."""

    def ranges() -> list[tuple[int, int]]:
        return ledger.transact(lambda db: db.execute("SELECT first, last FROM settled").fetchall())

    for number in (1, 2, 5, 7, 6):
        ledger.append(part_row(number))
    assert ranges() == [(1, 2), (5, 7)]
    ledger.append(missed_row(3, 4))
    assert ranges() == [(1, 7)]


def test_an_error_of_sqlite_leaves_no_transaction_behind(ledger: Outbox) -> None:
    with pytest.raises(LedgerError, match="no such table"):
        ledger.transact(lambda db: db.execute("SELECT * FROM nowhere").close())
    ledger.append(part_row(1))
    assert ledger.totals(STATION, 1).ok == 1


def test_a_part_crowded_with_marks_still_fits_a_batch_and_keeps_the_surest(ledger: Outbox) -> None:
    marks = tuple(
        Mark(label="\x07" * 200, score=score, box=(-(2**31), 0, 2**31 - 1, 0))
        for score in range(100)
    )
    view = View(camera="c1", code=Code.NG, marks=marks, source="\x07" * 200)
    ledger.append(part_row(1, Code.NG, views=(view,) * 16))
    batch = ledger.batch(2)
    assert batch is not None
    assert len(encode(batch)) <= MAX_BATCH_BYTES
    row = decode_row(batch.rows[0].row)
    assert isinstance(row, PartRow)
    assert [mark.score for mark in row.views[0].marks][:2] == [99, 98]


def test_batches_stay_within_their_limits(ledger: Outbox) -> None:
    ledger.append(*(part_row(n) for n in range(1, 60)))
    for max_bytes in (1, 2_000, 9_999):
        batch = ledger.batch(1, max_rows=500, max_bytes=max_bytes)
        assert batch is not None
        assert len(encode(batch)) <= max_bytes or len(batch.rows) == 1
    few = ledger.batch(1, max_rows=3)
    assert few is not None
    assert len(few.rows) == 3
    assert ledger.batch(ledger.head) is None


def test_open_counts_each_number_once_whatever_the_caller_still_holds(ledger: Outbox) -> None:
    ledger.append(part_row(1))
    ledger.open(part_row(2))
    ledger.counter(counter_row(4), unseen=[range(1, 6)])  # 1 closed, 2 open, 5 not yet counted
    rows, _ = drain(ledger, GENESIS)
    sample = rows[-1]
    assert isinstance(sample, CounterRow)
    assert sample.open == 3


def test_a_counter_that_steps_back_is_refused(ledger: Outbox) -> None:
    ledger.counter(counter_row(5))
    ledger.counter(counter_row(5))
    with pytest.raises(LedgerError):
        ledger.counter(counter_row(4))


def test_resume_names_the_latest_number_of_any_row_and_its_time(ledger: Outbox) -> None:
    ledger.counter(counter_row(3, at_ms=3_000))
    ledger.append(missed_row(1, 4))
    ledger.open(part_row(6, at_ms=6_000))
    last = ledger.resume(STATION)
    assert last is not None
    assert (last.counter, last.at_ms, last.boot, last.plc_start) == (6, 6_000, BOOT, 7)
    assert ledger.gaps(STATION) == [(1, 5, 5)]
    assert ledger.resume("nobody") is None


def test_the_hash_of_a_row_is_known_while_it_is_here_and_of_the_last_that_went(
    ledger: Outbox,
) -> None:
    ledger.append(part_row(1), part_row(2))
    batch = ledger.batch(1)
    assert batch is not None
    hashes = [entry.hash for entry in batch.rows]
    assert [ledger.hash_of(seq) for seq in range(5)] == [GENESIS, *hashes, None]
    ledger.acknowledge(3)
    assert [ledger.hash_of(seq) for seq in range(5)] == [None, None, *hashes[1:], None]


def test_a_second_process_is_refused_with_a_sentence(ledger: Outbox, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="another process has this ledger open"):
        Outbox(tmp_path / "ledger.db")


def test_a_child_that_another_thread_was_starting_keeps_no_lock(
    ledger: Outbox, tmp_path: Path
) -> None:
    [copy] = copies_of(tmp_path / "ledger.db.lock")
    ledger.close()
    Outbox(tmp_path / "ledger.db").close()
    os.close(copy)


def test_a_file_that_is_no_ledger_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(LedgerError, match="cannot be opened as a ledger"):
        Outbox(path)
    path.unlink()
    Outbox(path).close()  # the lock was let go


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM ledger",
        "DROP TABLE ledger",
        "DROP TABLE closed",
        "PRAGMA user_version = 1",
        "UPDATE ledger SET head = 'none'",
    ],
)
def test_a_damaged_ledger_is_refused_with_a_sentence_and_left_to_others(
    tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "ledger.db"
    Outbox(path, ballast_bytes=4096).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(damage)
        db.commit()
    for _ in range(2):  # the lock has been given back
        with pytest.raises(LedgerError, match=r"db: (damaged|cannot be opened as a ledger)"):
            Outbox(path, ballast_bytes=4096)


def test_a_ledger_of_a_newer_program_says_what_to_install(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Outbox(path, ballast_bytes=4096).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match="version 99") as caught:
        Outbox(path, ballast_bytes=4096)
    assert caught.value.hint == "A newer program wrote it: install that one again."


def test_a_closed_ledger_says_so_and_closes_twice(ledger: Outbox) -> None:
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        ledger.append(part_row(1))


def test_a_row_damaged_on_disk_is_not_sent(ledger: Outbox) -> None:
    ledger.append(part_row(1))
    ledger.transact(
        lambda db: db.execute(
            "UPDATE closed SET row = CAST(replace(row, 'plate', 'plane') AS BLOB)"
        ).close()
    )
    with pytest.raises(LedgerError, match="does not match its hash"):
        ledger.batch(1)


def test_every_caller_of_a_full_ledger_hears_it_and_the_next_try_works(ledger: Outbox) -> None:
    """SQLite's own page limit gives the same error as a full disk."""

    def limit(pages: int) -> None:
        ledger.transact(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())

    limit(1)  # SQLite takes the present size as the least
    appended, refusal = 0, None
    while refusal is None:
        try:
            ledger.append(missed_row(2 * appended + 1, 2 * appended + 1))
            appended += 1
        except LedgerError as wrong:
            refusal = wrong
    assert "full" in str(refusal)
    assert not refusal.permanent
    assert ledger.totals(STATION, 1).missed == appended == ledger.head - 2
    limit(2**30)
    ledger.append(missed_row(2 * appended + 1, 2 * appended + 1))
    assert ledger.totals(STATION, 1).missed == appended + 1
