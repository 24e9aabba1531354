"""The journal on disk: `commissioning.json` in data_dir, whole at any moment.

A power cut leaves the journal of before or of after. One process at a time holds it.
"""

import fcntl
import os
from pathlib import Path

import msgspec

from edge import durable
from edge.commissioning.journal import Journal, decode, encode
from edge.errors import LedgerError, SettingsError

FILE = "commissioning.json"


def read(data_dir: Path) -> Journal | None:
    """The journal; None where nothing was ever commissioned.

    Raises:
        LedgerError: it cannot be read.
        SettingsError: it is not such a file, or a damaged one.
    """
    path = data_dir / FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as wrong:
        raise LedgerError(f"{path}: cannot be read: {wrong}") from wrong
    try:
        return decode(content)
    except msgspec.MsgspecError as wrong:
        damaged = SettingsError(str(path), [f"not a commissioning journal: {wrong}"])
        damaged.hint = "Move the file away to begin anew, or put back a copy of it."
        raise damaged from wrong


class Store:
    """The journal, held by this process from `open` to `close`."""

    def __init__(self, data_dir: Path) -> None:
        """Take it.

        Raises:
            LedgerError: another process has it, or the disk fails.
            SettingsError: the file is damaged.
        """
        self.path = data_dir / FILE
        self._lock = _lock(data_dir)
        try:
            self.journal = read(data_dir) or Journal()
        except (LedgerError, SettingsError):
            self.close()
            raise

    def keep(self, journal: Journal) -> None:
        """Put this one on disk; on return it is there.

        Raises:
            LedgerError: it cannot be written; the one of before still stands.
        """
        try:
            durable.write(self.path, encode(journal))
        except OSError as wrong:
            raise LedgerError(f"{self.path}: cannot be written: {wrong}") from wrong
        self.journal = journal

    def close(self) -> None:
        """Let go; safe to call twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _lock(data_dir: Path) -> int | None:
    path = data_dir / f"{FILE}.lock"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        owner = data_dir.stat().st_uid
        if owner != os.geteuid():  # what we write there, the node could not write any more
            raise PermissionError(f"{data_dir} belongs to user {owner}: run this as that user")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as wrong:
        raise LedgerError(f"{path}: cannot be opened: {wrong}") from wrong
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as wrong:
        os.close(descriptor)
        taken = LedgerError(f"{path}: another commissioning has it")
        taken.hint = "End the other `quanjian-edge commission` first."
        raise taken from wrong
    return descriptor
