"""The ledger on disk: SQLite, WAL, synchronous=FULL. What a method has returned from is on disk.

One thread owns the connection. Callers queue what they want and wait for its commit; the thread
takes everything that waits into one transaction, so that rows arriving during an fsync share the
next one and a lone row commits at once. Each operation has its own savepoint: one that is refused
leaves the others alone. If the disk fails, every caller of that transaction gets a LedgerError,
nothing of it is kept, and the next operation tries again.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from edge.errors import LedgerError
from edge.ledger import epochs as ledger_epochs
from edge.ledger import rows as ledger_rows
from edge.ledger.disk import BALLAST_BYTES, Ballast, Lock
from edge.ledger.epochs import LastEpoch, Totals, refused
from edge.ledger.rows import Ends
from edge.ledger.schema import open_database
from edge.mqtt.message import (
    MAX_BATCH_BYTES,
    MAX_BATCH_ROWS,
    AnyRow,
    Batch,
    CounterRow,
    PartRow,
    SealRow,
)
from edge.terms import Code, Reason

log = logging.getLogger(__name__)

CLOSE_S = 10.0
ACKNOWLEDGE_ROWS = 200
CHECKPOINT_CHANGES = 500  # inserts, updates and deletes; each writes about one WAL page
IDLE_S = 60.0  # an idle ledger looks up this often; a wish wakes it at once
_UNFIT = (  # values SQLite cannot hold, not a failing disk
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    OverflowError,
    TypeError,
    ValueError,
)
Result = TypeVar("Result")


@dataclass(slots=True)
class _Operation:
    """One caller's wish and where its answer goes."""

    work: Callable[[sqlite3.Connection], Any]
    frees: bool  # deletes more than it writes: may use the ballast
    answer: "futures.Future[Any]" = field(default_factory=futures.Future)


class Outbox:
    """The ledger of one node. Every method may be called from any thread and raises LedgerError."""

    def __init__(self, path: Path, ballast_bytes: int = BALLAST_BYTES) -> None:
        """Open the ledger, making it if it is not there.

        Raises:
            LedgerError: another process has it open; it is damaged; the disk fails.
        """
        self.path = path
        self._lock = Lock(path)
        self._ballast = Ballast(path, ballast_bytes)
        self._wanted = threading.Condition()
        self._queue: list[_Operation] = []
        self._closing = False
        self._checkpointed = 0  # SQLite's count of changes at the last checkpoint
        self._listeners: list[Callable[[], None]] = []
        self._restored: str | None = None
        self._lock.take()
        opened: futures.Future[Ends] = futures.Future()
        self._thread = threading.Thread(
            target=self._serve, args=(opened,), name="ledger", daemon=True
        )
        self._thread.start()
        try:
            self._ends = opened.result()
        except LedgerError:
            self._lock.release()
            raise

    # -- rows -----------------------------------------------------------------------------------

    def open(self, row: PartRow) -> None:
        """Put a computed part on disk; only then may the PLC hear of it."""
        data = ledger_rows.row_bytes(row)
        self.transact(lambda db: ledger_rows.open_part(db, row, data))

    def close_part(
        self,
        station: str,
        epoch: int,
        number: int,
        code: Code,
        reason: Reason | None,
        latency_ms: int | None,
        pictures: Sequence[tuple[str | None, str | None]] = (),
    ) -> None:
        """Settle an open part: it is counted, numbered, chained, and will be sent.

        Args:
            pictures: sha256 of picture and thumbnail of each view; () = as the open row says.
        """
        key = (station, epoch, number)
        self.transact(
            lambda db: ledger_rows.close_part(db, key, code, reason, latency_ms, pictures)
        )

    def append(self, *rows: AnyRow) -> None:
        """Append rows that are closed at once, all of them or none."""
        encoded = [(row, ledger_rows.row_bytes(row)) for row in rows]

        def work(db: sqlite3.Connection) -> None:
            for row, data in encoded:
                ledger_rows.append(db, row, data)

        self.transact(work)

    def last(self) -> tuple[str, int, str, str | None]:
        """Stream, sequence and hash of the last closed row, and the day of the newest seal."""
        return self.transact(ledger_rows.last)

    def seal(self, row: SealRow) -> None:
        """Append the seal of a day."""
        data = ledger_rows.row_bytes(row)
        self.transact(lambda db: ledger_rows.seal(db, row, data))

    def counter(self, row: CounterRow, unseen: Collection[range] = ()) -> None:
        """Append a counter sample; its `open` is filled in the transaction.

        Args:
            row: the sample; what its `open` says is not used.
            unseen: numbers of triggers that the caller holds and that may have no row yet, as
                disjoint ranges.
        """
        ledger_rows.row_bytes(row)
        self.transact(lambda db: ledger_rows.append_counter(db, row, unseen))

    def probe(self) -> None:
        """Prove that the ledger can commit now, by a commit that changes nothing."""
        self.transact(lambda db: db.execute("UPDATE ledger SET head = head").close())

    # -- after a restart ------------------------------------------------------------------------

    def resume(self, station: str) -> LastEpoch | None:
        """Where the station's count stood, or None if it never counted."""
        return self.transact(lambda db: ledger_epochs.last_epoch(db, station))

    def open_parts(self) -> list[PartRow]:
        """Parts without a settled verdict; after a start, those that a crash left."""
        return self.transact(ledger_epochs.open_parts)

    def epochs(self, station: str) -> list[LastEpoch]:
        """Where the count of each of the station's epochs stood, oldest first."""
        return self.transact(lambda db: ledger_epochs.known_epochs(db, station))

    def gaps(self, station: str) -> list[tuple[int, int, int]]:
        """Numbers up to their epoch's counter without any row, as (epoch, first, last)."""
        return self.transact(lambda db: ledger_epochs.gaps(db, station))

    def totals(self, station: str, epoch: int) -> Totals:
        """Cumulative numbers of an epoch, deleted rows included."""
        return self.transact(lambda db: ledger_epochs.totals(db, station, epoch))

    # -- towards the hub ------------------------------------------------------------------------

    @property
    def stream(self) -> str:
        """Id of the stream that this ledger writes, 32 hex digits."""
        return self._ends.stream

    @property
    def follows(self) -> str | None:
        """The stream that this one branched off from: its disk was restored or copied."""
        return self._ends.follows

    @property
    def begins(self) -> int:
        """The first sequence of this stream: rows below it are those of the stream it follows."""
        return self._ends.begins

    @property
    def restored(self) -> str | None:
        """In words, that the disk turned out to be restored or copied while this program ran."""
        return self._restored

    @property
    def first(self) -> int:
        """Lowest sequence the hub has not acknowledged."""
        return self._ends.first

    @property
    def head(self) -> int:
        """Sequence the next closed row gets."""
        return self._ends.head

    @property
    def waiting(self) -> int:
        """Closed rows that the hub has not acknowledged."""
        return self._ends.head - self._ends.first

    def batch(
        self, from_seq: int, max_rows: int = MAX_BATCH_ROWS, max_bytes: int = MAX_BATCH_BYTES
    ) -> Batch | None:
        """Rows from `from_seq` on, at least one if there is one, within both limits."""
        return self.transact(lambda db: ledger_rows.batch(db, from_seq, max_rows, max_bytes))

    def hash_of(self, seq: int) -> str | None:
        """Hash of a row that is here, or of the last one that was deleted; None for any other."""
        return self.transact(lambda db: ledger_rows.hash_of(db, seq))

    def acknowledge(self, next_seq: int) -> None:
        """Every row below `next_seq` is in the hub's database: delete them here.

        In steps, so that on a full disk each fits into what the ballast gives back.
        """
        while True:
            upto = min(next_seq, self._ends.first + ACKNOWLEDGE_ROWS)
            self.transact(partial(ledger_rows.acknowledge, next_seq=upto), frees=True)
            if upto == next_seq:
                return

    def begin_stream(self, from_seq: int) -> str:
        """The disk was restored or copied: go on as another stream from row `from_seq`.

        Every row before it is at the hub and deleted here; from it on the hub has other rows of
        the old stream, or none. Returns the new stream's id.
        """
        self.acknowledge(from_seq)
        old, kept = self.stream, self.head - from_seq
        new = self.transact(partial(ledger_rows.begin_stream, from_seq=from_seq))
        self._restored = f"ledger {old[:8]} goes on as {new[:8]}, {kept} rows the hub had not seen"
        return new

    def on_rows(self, wake: Callable[[], None]) -> None:
        """Have `wake` called after every commit that appended or deleted; it must not block."""
        self._listeners.append(wake)

    # -- the transaction ------------------------------------------------------------------------

    def transact(self, work: Callable[[sqlite3.Connection], Result], frees: bool = False) -> Result:
        """Run `work` in the next transaction and wait for its commit.

        Args:
            work: called in the ledger's thread; LedgerError from it undoes this work only.
            frees: it deletes more than it writes, so on a full disk the ballast is given for it.
        """
        operation = _Operation(work, frees)
        with self._wanted:
            if self._closing:
                raise LedgerError(f"{self.path}: the ledger is closed")
            self._queue.append(operation)
            self._wanted.notify()
        while True:
            # No giving up while the thread lives: a row that may yet commit is not a failure.
            done, _ = futures.wait((operation.answer,), timeout=1.0)
            if done:
                answer: Result = operation.answer.result()
                return answer
            if not self._thread.is_alive():
                raise LedgerError(f"{self.path}: the ledger's thread has stopped")

    def close(self) -> None:
        """Commit what waits, close the file, let go of the lock. Safe to call twice."""
        with self._wanted:
            self._closing = True
            self._wanted.notify()
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            log.error("%s: the disk did not finish within %.0f s", self.path, CLOSE_S)
            return
        self._lock.release()

    def _serve(self, opened: "futures.Future[Ends]") -> None:
        try:
            db = open_database(self.path)
            ends = ledger_rows.ends(db)
        except LedgerError as wrong:
            opened.set_exception(wrong)
            return
        except Exception as wrong:  # whatever it holds: somebody waits for an answer
            log.exception("%s: opening broke off", self.path)
            opened.set_exception(LedgerError(f"{self.path}: damaged: {wrong}"))
            return
        opened.set_result(ends)
        self._ballast.buy()
        while taken := self._take():
            try:
                self._commit(db, taken)
                self._checkpoint(db)
            except Exception as wrong:
                log.exception("%s: a transaction broke off", self.path)
                _roll_back(db)
                _fail(taken, f"{self.path}: {wrong}")
        db.close()

    def _take(self) -> list[_Operation]:
        """Everything that waits; empty once closed and drained."""
        with self._wanted:
            while not self._queue and not self._closing:
                self._wanted.wait(IDLE_S)
            taken, self._queue = self._queue, []
            return taken

    def _commit(self, db: sqlite3.Connection, taken: list[_Operation]) -> None:
        try:
            self._transaction(db, taken)
        except sqlite3.Error as wrong:
            _roll_back(db)
            freeing = [op for op in taken if op.frees and _is_full(wrong)]
            _fail([op for op in taken if op not in freeing], f"{self.path}: {wrong}")
            if freeing:
                self._commit_freeing(db, freeing, wrong)

    def _checkpoint(self, db: sqlite3.Connection) -> None:
        """Empty the WAL often, and after the callers have their answer, not inside their commit.

        What is in the WAL may still have to grow the file: it must fit into the ballast.
        """
        if db.total_changes - self._checkpointed < CHECKPOINT_CHANGES:
            return
        self._checkpointed = db.total_changes
        try:
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as wrong:
            log.warning("%s: rows stay in the WAL: %s", self.path, wrong)

    def _commit_freeing(
        self, db: sqlite3.Connection, taken: list[_Operation], full: sqlite3.Error
    ) -> None:
        """The disk is full: deletions get the ballast, and the WAL's space is given back after."""
        if self._ballast.release():
            log.error("%s: the disk is full; ballast released to delete rows", self.path)
        try:
            self._transaction(db, taken)
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as wrong:
            _roll_back(db)
            _fail(taken, f"{self.path}: {full}, and with the ballast released: {wrong}")

    def _transaction(self, db: sqlite3.Connection, taken: list[_Operation]) -> None:
        answers: list[tuple[Any, LedgerError | None]] = []
        db.execute("BEGIN IMMEDIATE")
        for operation in taken:
            db.execute("SAVEPOINT operation")
            try:
                answers.append((operation.work(db), None))
            except LedgerError as wrong:
                db.execute("ROLLBACK TO operation")
                answers.append((None, wrong))
            except _UNFIT as wrong:
                db.execute("ROLLBACK TO operation")
                answers.append((None, refused(f"{type(wrong).__name__}: {wrong}")))
            db.execute("RELEASE operation")
        before, ends = self._ends, ledger_rows.ends(db)
        db.execute("COMMIT")
        self._ends = ends
        for operation, (value, error) in zip(taken, answers, strict=True):
            if error is None:
                operation.answer.set_result(value)
            else:
                operation.answer.set_exception(error)
        if ends != before:
            for wake in self._listeners:
                wake()
        if any(operation.frees for operation in taken):
            self._ballast.buy()


def _fail(operations: list[_Operation], text: str) -> None:
    for operation in operations:
        if not operation.answer.done():
            operation.answer.set_exception(LedgerError(text))


def _roll_back(db: sqlite3.Connection) -> None:
    """SQLite rolls back by itself on some errors; on others it waits to be told."""
    try:
        if db.in_transaction:
            db.execute("ROLLBACK")
    except sqlite3.Error:
        log.exception("the ledger's transaction cannot be rolled back")


def _is_full(wrong: sqlite3.Error) -> bool:
    return "full" in str(wrong)  # sqlite_errorcode exists from Python 3.11 on
