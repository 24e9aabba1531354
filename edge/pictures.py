"""Pictures of parts, as JPEG files named by their sha256; the oldest of a class make room.

    FOLDER/ab/abcdef....jpg     written whole or not at all, see edge.durable

The rows about them are in the ledger's database, see edge.ledger.pictures. Which go first says
edge.ledger.evictions; none goes while its part is open, and each one that goes is an eviction row.
The file goes first and the row follows: on a full disk that is what makes room for the row, and a
crash in between only repeats the deletion.
"""

import hashlib
import itertools
import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from edge import clock, durable
from edge.errors import LedgerError
from edge.ledger import pictures as ledger_pictures
from edge.ledger.evictions import STEPS, Picture, Step, first_to_go
from edge.ledger.pictures import Kind
from edge.mqtt.message import EvictionRow
from edge.outbox import Outbox

log = logging.getLogger(__name__)

Outcome = Literal["done", "refused", "lost"]

KEEP_FREE_MB = 64  # of the disk, for the ledger: rows are worth more than pictures
OWN_FREE_MB = 16  # of a filesystem that only pictures are on: room for the next ones
BATCHES = 4
"""So many transactions of deletions at most in one `keep_room`, which the watchdog waits for."""

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
            for half_written in folder.glob(f"*/{durable.PARTS}"):
                half_written.unlink(missing_ok=True)
            strays = outbox.transact(ledger_pictures.strays)
            for sha256 in strays:
                self.path(sha256).unlink(missing_ok=True)
        except OSError as wrong:
            raise LedgerError(f"{folder}: pictures cannot be kept here: {wrong}") from wrong
        outbox.transact(lambda db: ledger_pictures.forget(db, strays), frees=True)
        if keep_free_mb is None:
            keep_free_mb = OWN_FREE_MB if own else KEEP_FREE_MB
        self._keep_free_bytes = keep_free_mb * _MB
        self._bytes = outbox.transact(ledger_pictures.total_bytes)

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
        known = self._outbox.transact(lambda db: ledger_pictures.keep(db, sha256, kind, len(jpeg)))
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
        return self._outbox.transact(lambda db: ledger_pictures.to_send(db, kinds, limit))

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
            self._drop(self._outbox.transact(lambda db: ledger_pictures.named(db, sha256)), "space")
            return
        self._outbox.transact(lambda db: ledger_pictures.settle(db, sha256, outcome))

    # -- room -----------------------------------------------------------------------------------

    def make_room(self, batches: int | None = None) -> int:
        """Delete pictures until every limit holds, or so many batches went; returns how many went.

        Those that only make place for newer ones of their class go for their age; once the cap is
        passed or the disk is short, all go for want of space.

        Raises:
            LedgerError: a picture or its row cannot be deleted.
        """
        return sum(
            self._drop(chosen, "space" if self._excess(1.0) > 0 else "age")
            for chosen in itertools.islice(self._too_many(), batches)
        )

    def _too_many(self) -> Iterator[list[Picture]]:
        """Batches to drop, each before the next is asked for, until every limit holds."""
        for step in STEPS:
            while chosen := self._first_to_go(step):
                yield chosen

    def _first_to_go(self, step: Step) -> list[Picture]:
        """As many of the step's oldest as are too many now; [] if none is, or none may go."""
        excess = self._excess(step.share)
        if excess <= 0:
            return []
        chosen: list[Picture] = []
        for picture in self._outbox.transact(lambda db: first_to_go(db, step)):
            if excess <= 0:
                break
            chosen.append(picture)
            excess -= picture.bytes
        return chosen

    def keep_room(self) -> None:
        """`make_room` for a thread with other duties: a little at a time, for it is called again.

        What goes wrong is said once, until it goes right: a full disk is tried every second, and
        the log may lie on it.
        """
        fault = None
        try:
            self.make_room(BATCHES)
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

    def _drop(self, pictures: Sequence[Picture], cause: Literal["age", "space"]) -> int:
        """Delete them; returns how many nobody else had dropped meanwhile."""
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
        gone = self._outbox.transact(lambda db: ledger_pictures.evict(db, rows), frees=True)
        with self._taking_stock:
            self._bytes -= sum(row.bytes for row in gone)
        return len(gone)

    def _write(self, path: Path, jpeg: bytes) -> None:
        try:
            if path.exists():
                return
            path.parent.mkdir(exist_ok=True)
            durable.write(path, jpeg)
        except OSError as wrong:
            raise LedgerError(f"{path}: picture cannot be written: {wrong}") from wrong


def is_own_filesystem(folder: Path, ledger: Path) -> bool:
    """Are these pictures on another filesystem than the ledger?

    Raises:
        OSError: one of them cannot be looked at.
    """
    return folder.stat().st_dev != ledger.stat().st_dev
