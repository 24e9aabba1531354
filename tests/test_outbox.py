"""The ledger on disk: whatever happens, every part is there once, in order, and chained."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from edge.errors import LedgerError
from edge.mqtt.message import (
    GENESIS,
    MAX_BATCH_BYTES,
    AnyRow,
    CounterRow,
    Mark,
    PartRow,
    View,
    chain,
    decode_batch,
    decode_row,
    encode,
)
from edge.outbox import Outbox
from edge.terms import Code, Reason
from tests.ledger_rows import (
    BOOT,
    STATION,
    bypassed_row,
    counter_row,
    epoch_row,
    missed_row,
    part_row,
)

ENDINGS = (
    (Code.OK, None),
    (Code.NG, None),
    (Code.UNDECIDED, Reason.NOT_DELIVERED),
)
TOTAL = {Code.OK: "ok", Code.NG: "ng", Code.UNDECIDED: "undecided"}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "ledger.db", ballast_bytes=4096)
    outbox.append(epoch_row())
    yield outbox
    outbox.close()


def drain(outbox: Outbox, prev: str, max_rows: int = 500) -> tuple[list[AnyRow], str]:
    """Every row the ledger holds, its chain followed from `prev`; and the last hash."""
    rows: list[AnyRow] = []
    seq = outbox.first
    while (batch := outbox.batch(seq, max_rows)) is not None:
        assert (batch.first, batch.prev, batch.stream) == (seq, prev, outbox.stream)
        assert decode_batch(encode(batch)) == batch
        for entry in batch.rows:
            prev = chain(prev, seq, bytes(entry.row))
            assert entry.hash == prev
            rows.append(decode_row(entry.row))
            seq += 1
    assert seq == outbox.head
    return rows, prev


class LedgerMachine(RuleBasedStateMachine):
    """Any sequence of what a node, a hub and a power cut may do to a ledger."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "ledger.db"
        self.outbox = Outbox(self.path, ballast_bytes=4096)
        self.stream = self.outbox.stream
        self.epoch = 0
        self.base = self.counter = self.next = 0
        self.ends: dict[int, dict[int, str]] = {}  # epoch -> number -> how it was settled
        self.open: set[int] = set()
        self.written: list[tuple[int, AnyRow]] = []  # sequence, row
        self.acknowledged = 1
        self.kept_hash = GENESIS  # of the last acknowledged row

    def teardown(self) -> None:
        self.outbox.close()
        self.folder.cleanup()

    def wrote(self, row: AnyRow) -> None:
        self.written.append((len(self.written) + 1, row))

    def settled(self, first: int, last: int, how: str) -> None:
        self.ends[self.epoch].update(dict.fromkeys(range(first, last + 1), how))

    @initialize(base=st.integers(0, 5))
    def first_epoch(self, base: int) -> None:
        self.begin(base)

    @precondition(lambda self: not self.open)
    @rule(base=st.integers(0, 2**32))
    def begin(self, base: int) -> None:
        self.epoch += 1
        self.base = self.counter = self.next = base
        self.ends[self.epoch] = {}
        row = epoch_row(self.epoch, base)
        self.outbox.append(row)
        self.wrote(row)

    @rule(skip=st.integers(0, 2))
    def open_a_part(self, skip: int) -> None:
        self.next += 1 + skip
        row = part_row(self.next, epoch=self.epoch)
        self.outbox.open(row)
        self.open.add(self.next)
        with pytest.raises(LedgerError):
            self.outbox.open(row)

    @precondition(lambda self: self.open)
    @rule(pick=st.randoms(use_true_random=False), ending=st.sampled_from(ENDINGS))
    def close_a_part(self, pick: "object", ending: tuple[Code, Reason | None]) -> None:
        code, reason = ending
        number = pick.choice(sorted(self.open))  # type: ignore[attr-defined]
        self.outbox.close_part(STATION, self.epoch, number, code, reason, 80)
        self.open.remove(number)
        self.settled(number, number, TOTAL[code])
        row = msgspec.structs.replace(
            part_row(number, epoch=self.epoch), code=code, reason=reason, latency_ms=80
        )
        self.wrote(row)
        with pytest.raises(LedgerError):
            self.outbox.close_part(STATION, self.epoch, number, code, reason, 80)
        with pytest.raises(LedgerError):
            self.outbox.open(part_row(number, epoch=self.epoch))

    @rule(code=st.sampled_from(list(TOTAL)))
    def append_a_part(self, code: Code) -> None:
        self.next += 1
        row = part_row(self.next, code, self.epoch)
        self.outbox.append(row)
        self.settled(self.next, self.next, TOTAL[code])
        self.wrote(row)

    @rule(length=st.integers(1, 40), how=st.sampled_from(["missed", "bypassed"]))
    def pass_by(self, length: int, how: str) -> None:
        first, last = self.next + 1, self.next + length
        make = missed_row if how == "missed" else bypassed_row
        self.next = last
        self.outbox.append(make(first, last, self.epoch))
        self.settled(first, last, how)
        self.wrote(make(first, last, self.epoch))

    @precondition(lambda self: self.ends[self.epoch])
    @rule(pick=st.randoms(use_true_random=False), reach=st.integers(0, 3))
    def settle_again(self, pick: "object", reach: int) -> None:
        number = pick.choice(sorted(self.ends[self.epoch]))  # type: ignore[attr-defined]
        low = max(self.base + 1, number - reach)
        with pytest.raises(LedgerError):
            self.outbox.append(missed_row(low, number + reach, self.epoch))
        with pytest.raises(LedgerError):
            self.outbox.append(part_row(number, epoch=self.epoch))

    @rule()
    def sample_the_counter(self) -> None:
        holes = set(range(self.base + 1, self.next + 1)) - set(self.ends[self.epoch])
        row = counter_row(self.next, self.epoch)
        self.outbox.counter(row, unseen=holes)
        self.counter = self.next
        self.wrote(msgspec.structs.replace(row, open=len(holes)))
        totals = self.outbox.totals(STATION, self.epoch)
        assert totals.triggers == totals.settled + len(holes), "the law, at this very row"

    @rule(rows=st.integers(1, 30))
    def acknowledge(self, rows: int) -> None:
        batch = self.outbox.batch(self.outbox.first, rows)
        if batch is None:
            return
        self.outbox.acknowledge(batch.first + len(batch.rows))
        self.acknowledged = batch.first + len(batch.rows)
        self.kept_hash = batch.rows[-1].hash
        self.outbox.acknowledge(max(1, self.acknowledged - 2))  # an old one changes nothing
        with pytest.raises(LedgerError):
            self.outbox.acknowledge(self.outbox.head + 1)

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self.outbox = Outbox(self.path, ballast_bytes=4096)
        assert self.outbox.stream == self.stream
        last = self.outbox.resume(STATION)
        assert last is not None
        assert (last.epoch, last.base, last.counter) == (self.epoch, self.base, self.next)

    @invariant()
    def ledger_is_whole(self) -> None:
        if not self.epoch:
            return
        assert (self.outbox.first, self.outbox.head) == (self.acknowledged, len(self.written) + 1)
        rows, _ = drain(self.outbox, self.kept_hash, max_rows=7)
        assert rows == [row for seq, row in self.written if seq >= self.acknowledged]
        assert {row.number for row in self.outbox.open_parts()} == self.open

    @invariant()
    def totals_are_sums(self) -> None:
        for epoch, ends in self.ends.items():
            totals = self.outbox.totals(STATION, epoch)
            how = list(ends.values())
            for word in ("ok", "ng", "undecided", "missed", "bypassed"):
                assert getattr(totals, word) == how.count(word)
        if self.epoch:
            numbers = set(range(self.base + 1, self.next + 1))
            holes = numbers - set(self.ends[self.epoch]) - self.open
            gaps = self.outbox.gaps(STATION)
            assert {n for first, last in gaps for n in range(first, last + 1)} == holes


LedgerMachine.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
test_any_history_leaves_every_row_once_in_order_and_chained = LedgerMachine.TestCase


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
    assert commits[-1] == 22
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
    ledger.counter(counter_row(4), unseen=[1, 2, 3, 4, 5])  # 1 closed, 2 open, 5 not yet counted
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
    assert ledger.gaps(STATION) == [(5, 5)]
    assert ledger.resume("nobody") is None


def test_a_second_process_is_refused_with_a_sentence(ledger: Outbox, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="another process has this ledger open"):
        Outbox(tmp_path / "ledger.db")


def test_a_file_that_is_no_ledger_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(LedgerError, match="cannot be opened as a ledger"):
        Outbox(path)
    path.unlink()
    Outbox(path).close()  # the lock was let go


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


CHILD = """
import sys
from pathlib import Path
from edge.outbox import Outbox
from edge.terms import Code
from tests.ledger_rows import STATION, epoch_row, part_row
outbox = Outbox(Path(sys.argv[1]), ballast_bytes=4096)
if outbox.resume(STATION) is None:
    outbox.append(epoch_row())
number = outbox.resume(STATION).counter
while True:
    number += 1
    outbox.open(part_row(number))
    sys.stdout.write(f"open {number}\\n")
    sys.stdout.flush()
    outbox.close_part(STATION, 1, number, Code.OK, None, 5)
    sys.stdout.write(f"closed {number}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("after_lines", [1, 2, 37, 60])
def test_every_row_reported_committed_survives_kill_minus_9(
    tmp_path: Path, after_lines: int
) -> None:
    path = tmp_path / "ledger.db"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(after_lines)]
    os.kill(child.pid, signal.SIGKILL)
    lines += child.stdout.readlines()
    child.stdout.close()
    child.wait(10)
    said: dict[str, set[int]] = {"open": set(), "closed": set()}
    for line in lines:
        if line.endswith("\n"):
            word, number = line.split()
            said[word].add(int(number))
    outbox = Outbox(path)
    rows, _ = drain(outbox, GENESIS)
    closed = [row.number for row in rows if isinstance(row, PartRow)]
    open_now = {row.number for row in outbox.open_parts()}
    assert closed == list(range(1, len(closed) + 1))
    assert said["closed"] <= set(closed)
    assert said["open"] <= set(closed) | open_now
    assert outbox.totals(STATION, 1).ok == len(closed)
    outbox.close()
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


FULL_DISK = """
import sys
from pathlib import Path
from edge.errors import LedgerError
from edge.outbox import Outbox
from tests.ledger_rows import STATION, epoch_row, missed_row
folder = Path(sys.argv[1])
outbox = Outbox(folder / "ledger.db")
outbox.append(epoch_row())
number = 0
for rows in (50, 1):  # to the last page
    try:
        while True:
            numbers = range(number + 1, number + 2 * rows, 2)
            outbox.append(*(missed_row(n, n) for n in numbers))
            number += 2 * rows
    except LedgerError as wrong:
        assert "full" in str(wrong), wrong
assert outbox.waiting == number // 2 + 1
assert (folder / "ledger.db.ballast").exists(), "rows must not eat the ballast"
outbox.acknowledge(outbox.head)
assert outbox.waiting == 0
outbox.append(missed_row(number + 1, number + 1))
outbox.close()
outbox = Outbox(folder / "ledger.db")
assert outbox.totals(STATION, 1).missed == number // 2 + 1
outbox.close()
sys.stdout.write("survived")
"""


def test_on_a_full_disk_counts_stay_and_the_ballast_lets_acknowledged_rows_go(
    tmp_path: Path,
) -> None:
    """A disk of 6 MiB in a mount namespace of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=6m tmpfs "$1"; exec "$2" -c "$3" "$1"'
    ran = subprocess.run(
        (
            *("unshare", "--map-root-user", "--mount", "sh", "-euc", mount, "full"),
            *(str(disk), sys.executable, FULL_DISK),
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert (ran.stdout, ran.returncode) == ("survived", 0), ran.stderr
    assert "ballast released" in ran.stderr


def test_a_commit_is_on_disk_when_it_returns(ledger: Outbox) -> None:
    """synchronous = FULL (2) in WAL: fsync in every commit; NORMAL loses rows in a power cut."""

    def ask(db: sqlite3.Connection) -> tuple[int, str]:
        (synchronous,) = db.execute("PRAGMA synchronous").fetchone()
        (journal,) = db.execute("PRAGMA journal_mode").fetchone()
        return synchronous, journal

    assert ledger.transact(ask) == (2, "wal")


def test_the_probe_fails_when_the_ledger_cannot_commit(ledger: Outbox) -> None:
    ledger.probe()
    ledger.transact(lambda db: db.execute("PRAGMA query_only = 1").close())
    with pytest.raises(LedgerError):
        ledger.probe()
