"""Weeks of rows leave the database: into a sealed file first, read again and checked, then dropped.

A week goes when it is over since [retention] rows_days, none of its rows came later than that, no
hold stands on it, and every chain in it was verified. Its rows are written to a file (see
sealed.py) and read again; then, in one transaction that lets nobody write in between: still the
same number of rows, still no hold, the file's sha256 into the hub's chain, rows dropped. A kill
anywhere leaves either the rows or rows and a file that the next try replaces. Nothing is written to
a folder in which the newest archive is not.
"""

import logging
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from hub import durable
from hub.errors import ArchiveError, StoreError
from hub.settings import Settings
from hub.store import chain, sealed, session
from hub.store.queries import query
from hub.store.session import Connection, converted

log = logging.getLogger(__name__)

LOCK = 0x716A_0003  # advisory lock "qj" 3: one archives at a time
_PAUSE_S = 3600.0  # between two looks for a week that is due
_FETCH = 2000  # rows at a time
_LOCK_TRIES = 20
_FROZEN = (
    # below the server's deadlock_timeout (1 s): we give way, never ingest
    "SET LOCAL lock_timeout = '500ms'",
    "LOCK TABLE ONLY part, ONLY ledger_row, ONLY quarantine, hold IN SHARE ROW EXCLUSIVE MODE",
)


class Archivist:
    """Looks for what is due once an hour, and archives in a thread and a connection of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._next_at = 0.0  # monotonic
        self._worker: threading.Thread | None = None
        self.trouble: str | None = None  # why the last try failed

    def round(self, now: datetime) -> None:
        """Start a look if it is time and none is under way; returns at once."""
        if time.monotonic() < self._next_at or (self._worker and self._worker.is_alive()):
            return
        self._next_at = time.monotonic() + _PAUSE_S
        # Cut off at any moment it leaves nothing half done, so the process need not wait for it.
        self._worker = threading.Thread(target=self._work, args=(now,), name="archive", daemon=True)
        self._worker.start()

    def wait(self) -> None:
        """Return when no look is under way."""
        if self._worker is not None:
            self._worker.join()

    def _work(self, now: datetime) -> None:
        try:
            with session.connect(self._settings.database.dsn, "archive") as connection:
                sweep(connection, self._settings, now)
            self.trouble = None
        except (ArchiveError, StoreError) as wrong:
            log.error("archive: %s; %s", wrong, wrong.hint)
            self.trouble = str(wrong)
        except Exception as wrong:  # top of the thread: nobody else would hear of it
            log.exception("archive: a look broke off")
            self.trouble = f"{type(wrong).__name__}: {wrong}"


def sweep(connection: Connection, settings: Settings, now: datetime) -> list[Path]:
    """Trim the logs and archive every week that is due; returns the files sealed now.

    Raises:
        ArchiveError: a file cannot be written or does not read back as it must, or the hub's chain
            is broken. Nothing was dropped.
        StoreError: the database is away.
    """
    if not session.rows(connection, "archiving", lock=LOCK)[0]["alone"]:
        return []
    wrong = chain.broken_at(session.rows(connection, "hub_chain_entries"))
    if wrong is not None:
        raise ArchiveError(wrong)
    retention = settings.retention
    before = now - timedelta(days=retention.logs_days)
    for name in ("alerts_trimmed", "refused_aged", "refused_hours_aged"):
        session.rows(connection, name, before=before)
    if retention.archive_dir is None:
        return []
    horizon = now - timedelta(days=retention.rows_days)
    files = []
    for week in session.rows(connection, "weeks_due", horizon=horizon, now=now):
        counted = _counted(connection, week)
        if counted["rows"] == 0:
            _drop(connection, week, None, now)
        elif counted["newest"] <= horizon and counted["unverified"] == 0:
            path = _seal(connection, Path(retention.archive_dir), week, now)
            files += [path] if path is not None else []
    session.rows(connection, "pictures_forgotten")
    return files


def _seal(connection: Connection, folder: Path, week: dict[str, Any], now: datetime) -> Path | None:
    number = _next_number(connection, folder)
    path = folder / f"{number:06}-{week['since']:%Y%m%d}.jsonl.gz"
    written = sealed.write(path, {"number": number, **week}, _stream(connection, week))
    content = sealed.read(path, lambda stream, seq: _hash_of(connection, stream, seq))
    if content.rows != written:
        raise ArchiveError(f"{path}: {written} rows were written, {content.rows} came back")
    entry = {"number": number, "file": path.name, **week, "rows": content.rows}
    entry |= {"parts": content.parts, "bytes": content.bytes, "sha256": content.sha256}
    if not _drop(connection, week, (entry, content), now):
        path.unlink()
        return None
    log.info("archive %s: %d rows sealed and dropped", path.name, content.rows)
    return path


def _next_number(connection: Connection, folder: Path) -> int:
    """The number of the next archive, once it is sure that this is the folder of the others.

    The disk that is mounted there may not be: then the file would be written all the same, under
    its mount point, and a new disk's folder is as empty as that.
    """
    newest = next(iter(session.rows(connection, "archive_newest")), None)
    try:
        if newest is None:
            durable.make(folder)
            return 1
        size = (folder / newest["file"]).stat().st_size
    except OSError as wrong:
        raise ArchiveError(f"{folder}: not the folder of archives: {wrong}") from wrong
    if size != newest["bytes"]:
        told = f"{size} bytes, sealed were {newest['bytes']}"
        raise ArchiveError(f"{folder / newest['file']}: {told}")
    return int(newest["number"]) + 1


def _drop(
    connection: Connection,
    week: dict[str, Any],
    archived: tuple[dict[str, Any], sealed.Content] | None,
    now: datetime,
) -> bool:
    """Drop a week that is in this archive, or one that holds no row (None).

    False, and nothing dropped, if the week is not what was archived any more: rows came, or a hold.
    """
    rows = 0 if archived is None else archived[1].rows
    for tries_left in reversed(range(_LOCK_TRIES)):
        try:
            with converted("archive"), connection.transaction():
                for statement in _FROZEN:
                    connection.execute(statement.encode())
                held = session.rows(connection, "holds_over", **week, now=now)
                if held or _counted(connection, week)["rows"] != rows:
                    log.info("week of %s: changed while it was archived", week["since"].date())
                    return False
                if archived is not None:
                    _record(connection, *archived)
                session.rows(connection, "rows_dropped", **week)
            return True
        except StoreError as wrong:
            busy = isinstance(wrong.__cause__, psycopg.errors.LockNotAvailable)
            if not busy or tries_left == 0:
                raise
            time.sleep(0.5)  # whoever holds the tables goes first
    return False


def _record(connection: Connection, entry: dict[str, Any], content: sealed.Content) -> None:
    session.rows(connection, "archive_sealed", **entry)
    session.each(
        connection,
        "archive_run_sealed",
        (
            {"archive": entry["number"], "stream": run.stream}
            | {"first": run.first, "last": run.last, "hash": run.hash}
            for run in content.runs
        ),
    )
    told = {key: v.isoformat() if isinstance(v, datetime) else v for key, v in entry.items()}
    chain.append(connection, "archive", told)


def _counted(connection: Connection, week: dict[str, Any]) -> dict[str, Any]:
    return session.rows(connection, "week_counted", **week)[0]


def _stream(connection: Connection, week: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of a week, a few at a time."""
    with (
        converted("archive"),
        connection.transaction(),
        connection.cursor("week_rows") as cursor,
    ):
        cursor.itersize = _FETCH
        cursor.execute(query("week_rows").sql.encode(), week)
        yield from cursor


def _hash_of(connection: Connection, stream: str, seq: int) -> str | None:
    found = session.rows(connection, "hash_of_row", stream=stream, seq=seq)
    return found[0]["hash"] if found else None
