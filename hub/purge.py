"""Pictures leave the hub: by class and age, and the oldest first when the folder is too large.

Thumbnails are the last to go for room, pictures of good parts the first. A picture is purged in
three steps: its row, the log and the batch's entry in the hub's chain are one transaction; then the
file is deleted; then the log says so. A kill between leaves a file too many, which the next round
deletes. A file that another node's row still needs stays.
"""

import hashlib
import logging
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from hub.errors import PictureError
from hub.picture_folder import PictureFolder
from hub.settings import Settings
from hub.store import chain, session
from hub.store.session import Connection

log = logging.getLogger(__name__)

CLASSES = ("ok", "not_ok", "thumbnail")  # in the order in which they make room
_MOST = 500  # pictures of one batch
_CUT_OFF = timedelta(hours=1)  # an upload of so long ago does not end any more
_PAUSE_S = 60.0  # between two looks when nothing was due
_GB = 10**9
_ANY = 2**62  # bytes: as many as there are
_EVER = datetime(9999, 1, 1, tzinfo=timezone.utc)


class Purge:
    """The rounds of one process that leads the duties; the first also sweeps the folder."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = PictureFolder(Path(settings.web.pictures_dir))
        self._next_at = 0.0  # monotonic
        self._swept = False

    def round(self, connection: Connection, now: datetime) -> int:
        """Purge at most one batch of each class for age and one for room; the number of pictures.

        Raises:
            StoreError: the database is away.
        """
        if time.monotonic() < self._next_at:
            return 0
        self._next_at = time.monotonic() + _PAUSE_S
        if not self._folder.mounted:
            if session.rows(connection, "pictures_known")[0]["known"]:
                log.warning("purge: no picture is in %s", self._settings.web.pictures_dir)
            return 0
        purged = self._age(connection, now)
        if purged < _MOST:  # else more are due by age, which may be all the room it takes
            purged += self._room(connection)
        try:
            self._delete(connection)
            if not self._swept:
                self._folder.sweep((now - _CUT_OFF).timestamp())
                self._swept = True
        except PictureError as wrong:
            log.error("purge: %s; %s", wrong, wrong.hint)
            return purged
        if purged:
            self._next_at = 0.0
        return purged

    def _age(self, connection: Connection, now: datetime) -> int:
        kept = self._settings.pictures
        purged = 0
        for kind in CLASSES:
            before = now - timedelta(days=getattr(kept, f"{kind}_days"))
            purged += _batch(connection, kind, "age", before, _ANY)
        return purged

    def _room(self, connection: Connection) -> int:
        sizes = {row["class"]: row["bytes"] for row in session.rows(connection, "pictures_size")}
        over = sum(sizes.values()) - self._settings.pictures.max_gb * _GB
        for kind in CLASSES:
            if over > 0 and sizes.get(kind):
                return _batch(connection, kind, "space", _EVER, over)
        return 0

    def _delete(self, connection: Connection) -> None:
        """Delete the files of purged pictures, also those that an earlier round left."""
        waiting = session.rows(connection, "purge_waiting", most=2 * _MOST)
        hashes = [row["sha256"] for row in waiting]
        for sha256 in hashes:
            with session.converted("purge"), connection.transaction():
                # an upload of the same bytes by another node needs the file, or will see it gone
                session.rows(connection, "picture_locked", sha256=sha256)
                if not session.rows(connection, "picture_needed", sha256=sha256)[0]["needed"]:
                    self._folder.remove(sha256)
        if hashes:
            session.rows(connection, "purge_done", hashes=hashes)


def _batch(connection: Connection, kind: str, cause: str, before: datetime, free: int) -> int:
    """Purge the oldest of one class, in one transaction with their log and their entry."""
    with session.converted("purge"), connection.transaction():
        rows = session.rows(
            connection,
            "pictures_purged",
            **{"class": kind, "before": before, "most": _MOST, "free": free},
        )
        if not rows:
            return 0
        rows.sort(key=lambda row: (row["sha256"], row["node"]))
        entry = chain.append(connection, "purge", _entry(kind, cause, rows))
        logged = ({**row, "cause": cause, "entry": entry} for row in rows)
        session.each(connection, "purge_logged", logged)
    log.info("purge: %d pictures of class %s went for %s", len(rows), kind, cause)
    return len(rows)


def _entry(kind: str, cause: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the chain says of a batch: `list` is the sha256 of its lines "sha256 node" in order."""
    lines = "".join(f"{row['sha256']} {row['node']}\n" for row in rows)
    return {
        "class": kind,
        "cause": cause,
        "pictures": len(rows),
        "bytes": sum(row["bytes"] for row in rows),
        "list": hashlib.sha256(lines.encode()).hexdigest(),
    }
