"""Folders whose entries survive a power cut."""

import os
from pathlib import Path


def sync(folder: Path) -> None:
    """Make what was created, renamed or deleted in this folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
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
