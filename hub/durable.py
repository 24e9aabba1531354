"""What is to survive a power cut."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Return once a file's bytes are on disk, or a folder's names: those of files made or renamed.

    Raises:
        OSError: the disk is failing, or nothing is there.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make(folder: Path) -> None:
    """Make a folder and the folders above it that are missing, durably. Raises OSError."""
    if folder.is_dir():
        return
    make(folder.parent)
    folder.mkdir(exist_ok=True)
    sync(folder.parent)
