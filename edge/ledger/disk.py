"""What the ledger keeps beside its file: a lock against a second process, and ballast.

On a full disk SQLite cannot even delete, because the deletion goes through the WAL. Ballast is
space bought while there was some; it is given back for deletions only, never for new rows.
"""

import fcntl
import logging
import os
import shutil
from pathlib import Path

from edge.errors import LedgerError

log = logging.getLogger(__name__)

BALLAST_BYTES = 1024 * 1024
_AFFORD = 4  # ballast is bought again when this many times its size is free


class Lock:
    """Holds PATH.lock for as long as this process lives; the kernel lets go when it dies."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}.lock")
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raises LedgerError if another process holds the ledger."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as wrong:
            raise LedgerError(f"{self._path}: cannot be opened: {wrong}") from wrong
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as wrong:
            os.close(descriptor)
            taken = LedgerError(f"{self._path}: another process has this ledger open")
            taken.hint = "Stop the other node on this computer, or give this one its own data_dir."
            raise taken from wrong
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go; safe to call twice."""
        if self._descriptor is not None:
            # closing is not enough: a child that another thread starts just now has a copy
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = None


class Ballast:
    """A file that holds no information, only space."""

    def __init__(self, path: Path, size_bytes: int = BALLAST_BYTES) -> None:
        self._path = path.with_name(f"{path.name}.ballast")
        self._size_bytes = size_bytes
        self._held = False

    def buy(self) -> None:
        """Take the space, if there is plenty; without it deletions may fail on a full disk."""
        if self._held:
            return
        try:
            if self._path.exists() and self._path.stat().st_size == self._size_bytes:
                self._held = True
            elif shutil.disk_usage(self._path.parent).free > _AFFORD * self._size_bytes:
                with self._path.open("wb") as file:
                    file.write(os.urandom(self._size_bytes))  # zeros may cost no space
                    file.flush()
                    os.fsync(file.fileno())
                self._held = True
        except OSError as wrong:
            log.warning("%s: no ballast: %s", self._path, wrong)

    def release(self) -> bool:
        """Give the space back; False if there was none."""
        if not self._held:
            return False
        try:
            self._path.unlink(missing_ok=True)
        except OSError as wrong:
            log.error("%s: ballast cannot be released: %s", self._path, wrong)
            return False
        self._held = False
        return True
