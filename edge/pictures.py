"""Pictures of parts, as JPEG files named by their sha256; the oldest of a class make room.

    FOLDER/ab/abcdef....jpg     written as a temporary file, synced, then renamed

The rows about them are in the ledger's database: which part names a picture, whether it was sent.
Which go first says edge.ledger.evictions; none goes while its part is open, and each one that goes
is an eviction row. The file goes first and the row follows: on a full disk that is what makes room
for the row, and a crash in between only repeats the deletion.
"""

import contextlib
import hashlib
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from edge import clock
from edge.errors import LedgerError
from edge.ledger import epochs as ledger_epochs
from edge.ledger import rows as ledger_rows
from edge.ledger.evictions import STEPS, Picture, Step, first_to_go
from edge.mqtt.message import EvictionRow
from edge.outbox import Outbox

log = logging.getLogger(__name__)

Kind = Literal["ok", "not_ok", "thumbnail"]
Outcome = Literal["done", "refused", "lost"]

KEEP_FREE_MB = 64  # of the disk, for the ledger: rows are worth more than pictures
OWN_FREE_MB = 16  # of a filesystem that only pictures are on: room for the next ones
_MB = 1_000_000


class PictureStore:
    """The pictures of one node. Safe from any thread; `make_room` belongs in a housekeeping one."""

    def __init__(
        self, folder: Path, outbox: Outbox, max_mb: int, keep_free_mb: int | None = None
    ) -> None:
        """Take stock; what an earlier run left half done is removed.

        Args:
            folder: where the files are; made if it is not there.
            outbox: the ledger, whose database lists them.
            max_mb: pictures may take this much, in 10^6 bytes.
            keep_free_mb: this much of the disk stays free of them; None: for the ledger, if it is
                on that disk too, else for the next pictures only.
        """
        self._folder = folder
        self._outbox = outbox
        self._max_bytes = max_mb * _MB
        self._taking_stock = threading.Lock()
        self._fault: str | None = None  # why there was no room to be had, of `keep_room`
        try:
            folder.mkdir(parents=True, exist_ok=True)
            own = is_own_filesystem(folder, outbox.path)
            for half_written in folder.glob("*/*.part"):
                half_written.unlink(missing_ok=True)
            for sha256 in outbox.transact(_strays):
                self.path(sha256).unlink(missing_ok=True)
        except OSError as wrong:
            raise LedgerError(f"{folder}: pictures cannot be kept here: {wrong}") from wrong
        if keep_free_mb is None:
            keep_free_mb = OWN_FREE_MB if own else KEEP_FREE_MB
        self._keep_free_bytes = keep_free_mb * _MB
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
        known = self._outbox.transact(lambda db: _keep(db, sha256, kind, len(jpeg)))
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
            self._drop(self._outbox.transact(lambda db: _picture(db, sha256)), "space")
            return
        self._outbox.transact(
            lambda db: db.execute(
                "UPDATE picture SET state = ? WHERE sha256 = ?", (outcome, sha256)
            ).close()
        )

    # -- room -----------------------------------------------------------------------------------

    def make_room(self) -> int:
        """Delete pictures until every limit holds; returns how many went.

        Those that only make place for newer ones of their class go for their age; once the cap is
        passed or the disk is short, all go for want of space.

        Raises:
            LedgerError: a picture or its row cannot be deleted.
        """
        gone = 0
        for step in STEPS:
            while chosen := self._first_to_go(step):
                self._drop(chosen, "space" if self._excess(1.0) > 0 else "age")
                gone += len(chosen)
        return gone

    def _first_to_go(self, step: Step) -> list[Picture]:
        """As many of the step's oldest as are too many now; [] if none is, or none may go."""
        excess = self._excess(step.share)
        if excess <= 0:
            return []
        chosen: list[Picture] = []
        for picture in self._outbox.transact(lambda db: first_to_go(db, step, _of_open_parts(db))):
            if excess <= 0:
                break
            chosen.append(picture)
            excess -= picture.bytes
        return chosen

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

    def _excess(self, share: float) -> int:
        """Bytes by which the pictures are too many for this share of the cap, or for the disk."""
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError as wrong:
            raise LedgerError(f"{self._folder}: cannot be looked at: {wrong}") from wrong
        return max(self._bytes - int(share * self._max_bytes), self._keep_free_bytes - free)

    def _drop(self, pictures: Sequence[Picture], cause: Literal["age", "space"]) -> None:
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
                cause=cause,
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


def is_own_filesystem(folder: Path, ledger: Path) -> bool:
    """Are these pictures on another filesystem than the ledger?

    Raises:
        OSError: one of them cannot be looked at.
    """
    return folder.stat().st_dev != ledger.stat().st_dev


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


def _keep(db: sqlite3.Connection, sha256: str, kind: str, size: int) -> bool:
    """Enter a picture that is on disk; True if it was there before."""
    found = db.execute("SELECT state FROM picture WHERE sha256 = ?", (sha256,)).fetchone()
    db.execute(
        "INSERT INTO picture (sha256, kind, state, bytes) VALUES (?, ?, 'waiting', ?)"
        " ON CONFLICT (sha256) DO UPDATE SET bytes = excluded.bytes,"
        " state = CASE state WHEN 'named' THEN 'waiting' ELSE state END",
        (sha256, kind, size),
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


def _of_open_parts(db: sqlite3.Connection) -> set[str]:
    return {
        sha256
        for row in ledger_epochs.open_parts(db)
        for view in row.views
        for sha256 in (view.picture, view.thumbnail)
        if sha256 is not None
    }
