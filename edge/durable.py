"""Puts a file on disk whole or not at all: whatever stops us, the old one stands or the new one.

    .NAME.xxxxxxxx.part     written beside its place and synced, renamed over it, the folder synced

What stops the computer meanwhile may leave such a part behind; no reader takes it for the file.
"""

import contextlib
import os
import tempfile
from pathlib import Path

PARTS = "*.part"
"""Glob pattern of what may be left behind in a folder."""


def write(
    path: Path, content: bytes, mode: int = 0o600, owner: tuple[int, int] | None = None
) -> None:
    """Put the file there; on return it survives a power cut.

    Args:
        mode: its permissions, whatever the umask.
        owner: user and group by number; None: those of this process.

    Raises:
        OSError: it cannot be written; the one of before still stands.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if owner is not None:
                os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        Path(name).replace(path)
    finally:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            Path(name).unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """A rename is on disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
