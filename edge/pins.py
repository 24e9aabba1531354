"""The rule for files that decide about parts: as pinned by sha256, or run only --unsigned."""

import hashlib
from pathlib import Path

from edge.errors import ModelError


def verified(path: Path, expected: str | None, unsigned: bool) -> bool:
    """True if `path` is pinned and as pinned; False if it is not pinned and may run unsigned.

    Raises:
        ModelError: it cannot be read, has another hash, or has no pin and needs one.
    """
    return read(path, expected, unsigned)[1]


def read(path: Path, expected: str | None, unsigned: bool) -> tuple[bytes, bool]:
    """The bytes that were held against the pin, and the same answer: what is hashed is what runs.

    Raises:
        ModelError: as `verified`.
    """
    try:
        content = path.read_bytes()
    except OSError as wrong:
        raise ModelError(f"{path}: cannot be read: {wrong}") from wrong
    actual = hashlib.sha256(content).hexdigest()
    if expected is None and not unsigned:
        raise ModelError(f"{path}: not pinned; its sha256 is {actual}")
    if expected is not None and expected != actual:
        raise ModelError(f"{path}: sha256 is {actual}, expected {expected}")
    return content, expected is not None
