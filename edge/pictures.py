"""Pictures of parts, as JPEG files named by their sha256; the oldest go when there is no room.

    FOLDER/ab/abcdef....jpg     written as a temporary file, synced, then renamed

The rows about them are in the ledger's database: which part names a picture, whether it was sent.
Pictures of OK parts go before those of others, none goes while its part is open, and each one that
goes is an eviction row. The file goes first and the row follows: on a full disk that is what makes
room for the row, and a crash in between only repeats the deletion.
"""

import contextlib
import hashlib
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge import clock
from edge.errors import LedgerError
from edge.ledger import epochs as ledger_epochs
from edge.ledger import rows as ledger_rows
from edge.mqtt.message import EvictionRow
from edge.outbox import Outbox

log = logging.getLogger(__name__)

Kind = Literal["ok", "not_ok", "thumbnail"]
Outcome = Literal["done", "refused", "lost"]

KEEP_FREE_MB = 64  # of the disk, for the ledger: rows are worth more than pictures
EVICT_AT_ONCE = 50  # in one transaction
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Picture:
    """A stored picture and the part that names it."""

    sha256: str
    bytes: int
    station: str
    epoch: int


class PictureStore:
    """The pictures of one node. Safe from any thread; `make_room` belongs in a housekeeping one."""

    def __init__(
        self, folder: Path, outbox: Outbox, max_mb: int, keep_free_mb: int = KEEP_FREE_MB
    ) -> None:
        """Take stock; what an earlier run left half done is removed.

        Args:
            folder: where the files are; made if it is not there.
            outbox: the ledger, whose database lists them.
            max_mb: pictures may take this much, in 10^6 bytes.
            keep_free_mb: this much of the disk stays free of them.
        """
        self._folder = folder
        self._outbox = outbox
        self._max_bytes = max_mb * _MB
        self._keep_free_bytes = keep_free_mb * _MB
        self._taking_stock = threading.Lock()
        self._fault: str | None = None  # why there was no room to be had, of `keep_room`
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for half_written in folder.glob("*/*.part"):
                half_written.unlink(missing_ok=True)
            for sha256 in outbox.transact(_strays):
                self.path(sha256).unlink(missing_ok=True)
        except OSError as wrong:
            raise LedgerError(f"{folder}: pictures cannot be kept here: {wrong}") from wrong
        self._bytes = outbox.transact(_total_bytes)

    @property
    def size_bytes(self) -> int:
        """What the pictures take on disk."""
        return self._bytes

    def path(self, sha256: str) -> Path:
        """Where the picture is, if it is there."""
        return self._folder / sha256[:2] / f"{sha256}.jpg"

    def put(self, jpeg: bytes, kind: Kind) -> str:
        """Store one picture; returns its sha256. The same picture again costs nothing.

        Raises:
            LedgerError: it cannot be written.
        """
        sha256 = hashlib.sha256(jpeg).hexdigest()
        self._write(self.path(sha256), jpeg)
        made = clock.utc_ms()
        known = self._outbox.transact(lambda db: _keep(db, sha256, kind, len(jpeg), made))
        if not known:
            with self._taking_stock:
                self._bytes += len(jpeg)
        return sha256

    def read(self, sha256: str) -> bytes:
        """The picture's bytes.

        Raises:
            LedgerError: it is not there, or is not what it was.
        """
        try:
            jpeg = self.path(sha256).read_bytes()
        except OSError as wrong:
            raise LedgerError(f"picture {sha256} cannot be read: {wrong}") from wrong
        if hashlib.sha256(jpeg).hexdigest() != sha256:
            raise LedgerError(f"picture {sha256} is damaged on disk")
        return jpeg

    # -- towards the hub ------------------------------------------------------------------------

    def to_send(self, kinds: Sequence[Kind], limit: int) -> list[str]:
        """Pictures whose row the hub has, in the order of `kinds`, the oldest of each first."""
        return self._outbox.transact(lambda db: _to_send(db, kinds, limit))

    def on_sendable(self, wake: Callable[[], None]) -> None:
        """Have `wake` called after every commit by which the hub's rows became more."""
        seen = [self._outbox.first]

        def look() -> None:  # called in the ledger's thread alone
            first = self._outbox.first
            if first != seen[0]:
                seen[0] = first
                wake()

        self._outbox.on_rows(look)

    def settle(self, sha256: str, outcome: Outcome) -> None:
        """What became of a picture: it is at the hub, the hub does not want it, or it is lost."""
        if outcome == "lost":
            self._drop(self._outbox.transact(lambda db: _picture(db, sha256)))
            return
        self._outbox.transact(
            lambda db: db.execute(
                "UPDATE picture SET state = ? WHERE sha256 = ?", (outcome, sha256)
            ).close()
        )

    # -- room -----------------------------------------------------------------------------------

    def make_room(self) -> int:
        """Delete pictures until both limits hold; returns how many went.

        Raises:
            LedgerError: a picture or its row cannot be deleted.
        """
        gone = 0
        while (excess := self._excess()) > 0:
            chosen: list[Picture] = []
            for picture in self._outbox.transact(_first_to_go):
                if excess <= 0:
                    break
                chosen.append(picture)
                excess -= picture.bytes
            if not chosen:
                return gone  # the rest belongs to open parts, or the disk is full of other things
            self._drop(chosen)
            gone += len(chosen)
        return gone

    def keep_room(self) -> None:
        """`make_room` for a housekeeping thread: what goes wrong is said once, until it goes right.

        A full disk is tried every second, and the log may lie on it.
        """
        fault = None
        try:
            self.make_room()
        except LedgerError as wrong:
            fault = f"{wrong} {wrong.hint}"
        if fault is not None and self._fault is None:
            log.warning("pictures: %s", fault)
        elif fault is None and self._fault is not None:
            log.info("pictures: there is room again")
        self._fault = fault

    def _excess(self) -> int:
        """Bytes by which the pictures are too many."""
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError as wrong:
            raise LedgerError(f"{self._folder}: cannot be looked at: {wrong}") from wrong
        return max(self._bytes - self._max_bytes, self._keep_free_bytes - free)

    def _drop(self, pictures: Sequence[Picture]) -> None:
        now = clock.stamp()
        rows = [
            EvictionRow(
                station=picture.station,
                epoch=picture.epoch,
                at_ms=now.at_ms,
                mono_ms=now.mono_ms,
                boot=now.boot,
                clock=now.clock,
                picture=picture.sha256,
                bytes=picture.bytes,
                cause="space",
            )
            for picture in pictures
        ]
        try:
            for row in rows:
                self.path(row.picture).unlink(missing_ok=True)
        except OSError as wrong:
            raise LedgerError(f"{self._folder}: cannot be cleared: {wrong}") from wrong

        def work(db: sqlite3.Connection) -> None:
            for row in rows:
                db.execute("DELETE FROM picture WHERE sha256 = ?", (row.picture,))
                ledger_rows.append(db, row)

        self._outbox.transact(work, frees=True)
        with self._taking_stock:
            self._bytes -= sum(row.bytes for row in rows)

    def _write(self, path: Path, jpeg: bytes) -> None:
        part = path.with_name(f"{path.name}.{threading.get_ident()}.part")
        try:
            if path.exists():
                return
            path.parent.mkdir(exist_ok=True)
            with part.open("wb") as file:
                file.write(jpeg)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _sync_folder(path.parent)
        except OSError as wrong:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                part.unlink(missing_ok=True)
            raise LedgerError(f"{path}: picture cannot be written: {wrong}") from wrong


def _sync_folder(folder: Path) -> None:
    """A rename is on disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _strays(db: sqlite3.Connection) -> list[str]:
    """Forget pictures that a closed row names and that never came, and those no row names."""
    open_now = _of_open_parts(db)
    found = db.execute("SELECT sha256 FROM picture WHERE state = 'named' OR station IS NULL")
    strays = [sha256 for (sha256,) in found if sha256 not in open_now]
    db.executemany("DELETE FROM picture WHERE sha256 = ?", [(sha256,) for sha256 in strays])
    return strays


def _total_bytes(db: sqlite3.Connection) -> int:
    (total,) = db.execute("SELECT coalesce(sum(bytes), 0) FROM picture").fetchone()
    return int(total)


def _keep(db: sqlite3.Connection, sha256: str, kind: str, size: int, made_ms: int) -> bool:
    """Enter a picture that is on disk; True if it was there before."""
    found = db.execute("SELECT state FROM picture WHERE sha256 = ?", (sha256,)).fetchone()
    db.execute(
        "INSERT INTO picture (sha256, kind, state, bytes, made_ms) VALUES (?, ?, 'waiting', ?, ?)"
        " ON CONFLICT (sha256) DO UPDATE SET bytes = excluded.bytes, made_ms = excluded.made_ms,"
        " state = CASE state WHEN 'named' THEN 'waiting' ELSE state END",
        (sha256, kind, size, made_ms),
    )
    return found is not None and found[0] != "named"


def _to_send(db: sqlite3.Connection, kinds: Sequence[Kind], limit: int) -> list[str]:
    found: list[str] = []
    for kind in kinds:
        found += [
            sha256
            for (sha256,) in db.execute(
                "SELECT sha256 FROM picture WHERE state = 'waiting' AND kind = ?"
                " AND seq < (SELECT first FROM ledger) ORDER BY seq LIMIT ?",
                (kind, limit - len(found)),
            )
        ]
    return found


def _picture(db: sqlite3.Connection, sha256: str) -> list[Picture]:
    found = db.execute(
        "SELECT sha256, bytes, station, epoch FROM picture"
        " WHERE sha256 = ? AND station IS NOT NULL",
        (sha256,),
    )
    return [Picture(*row) for row in found]


def _first_to_go(db: sqlite3.Connection) -> list[Picture]:
    """The oldest pictures of OK parts; when there are none, the oldest of all."""
    open_now = _of_open_parts(db)
    for kinds in (("ok",), ("not_ok", "thumbnail")):
        found: list[tuple[int, Picture]] = []
        for kind in kinds:
            rows = db.execute(
                "SELECT made_ms, sha256, bytes, station, epoch FROM picture WHERE kind = ?"
                " AND state <> 'named' AND station IS NOT NULL ORDER BY made_ms LIMIT ?",
                (kind, EVICT_AT_ONCE + len(open_now)),
            )
            found += [(made_ms, Picture(*rest)) for made_ms, *rest in rows]
        found.sort(key=lambda aged: aged[0])
        oldest = [picture for _, picture in found if picture.sha256 not in open_now]
        if oldest:
            return oldest[:EVICT_AT_ONCE]
    return []


def _of_open_parts(db: sqlite3.Connection) -> set[str]:
    return {
        sha256
        for row in ledger_epochs.open_parts(db)
        for view in row.views
        for sha256 in (view.picture, view.thumbnail)
        if sha256 is not None
    }
