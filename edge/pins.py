"""The rule for files that decide about parts: as pinned by sha256, or run only --unsigned."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.errors import ImageError, ModelError
from edge.vision.image import decode_image, read_picture


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
    content = _content(path)
    return content, _held(path, content, expected, unsigned)


def digest(path: Path) -> str:
    """The pin of a file as it is now.

    Raises:
        ModelError: it cannot be read.
    """
    return hashlib.sha256(_content(path)).hexdigest()


def picture(path: Path, expected: str | None, unsigned: bool) -> tuple[npt.NDArray[np.uint8], bool]:
    """The picture in the bytes that were held against the pin, and the same answer.

    Raises:
        ImageError: it cannot be read, or is no picture.
        ModelError: it has another hash, or has no pin and needs one.
    """
    content = read_picture(path)
    pinned = _held(path, content, expected, unsigned)
    try:
        return decode_image(content), pinned
    except ImageError as wrong:
        raise ImageError(f"{path}: {wrong}") from wrong


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as wrong:
        raise ModelError(f"{path}: cannot be read: {wrong}") from wrong


def _held(path: Path, content: bytes, expected: str | None, unsigned: bool) -> bool:
    actual = hashlib.sha256(content).hexdigest()
    if expected is None and not unsigned:
        raise ModelError(f"{path}: not pinned; its sha256 is {actual}")
    if expected is not None and expected != actual:
        raise ModelError(f"{path}: sha256 is {actual}, expected {expected}")
    return expected is not None
