"""Pictures from files that anybody may have written: checked first, decoded after.

The size, the depth and the end of the file are read from its own header and segments, before
OpenCV sees a byte: a header that promises 30000 x 30000 pixels costs nothing, and half a JPEG is
refused, where a decoder would fill the rest with grey that looks like a good part.

EXIF rotation is ignored: the camera's pixels are the truth, for training and for judging alike.
"""

import stat
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import ImageError
from edge.terms import Frame
from edge.vision import jpeg

MAX_PIXELS = 100_000_000
"""Largest picture that is decoded, width x height."""

MAX_BYTES = 512 * 1024 * 1024
"""Largest file that is read."""

_EMPTY: npt.NDArray[np.uint8] = np.zeros((0, 0), np.uint8)
_EMPTY.flags.writeable = False
_JPEG = b"\xff\xd8"


@dataclass(frozen=True, slots=True)
class BadFrame(Frame):
    """A frame that came and cannot be used, in the place of its Frame: undecided(bad_image).

    Its image is (0, 0), which the detector refuses; `text` is the sentence that says why.
    """

    text: str = ""


def bad_frame(camera: str, number: int, exposed_s: float, path: str | None, text: str) -> BadFrame:
    """The record of a picture that could not be read."""
    return BadFrame(camera, number, exposed_s, _EMPTY, None, path, text=text)


def decode_image(source: Path | str | bytes, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Read a PNG, JPEG or BMP, whatever its name ends in.

    Args:
        source: a file, or the bytes of one.
        max_pixels: width x height allowed.

    Returns:
        (H, W) uint8 for gray pictures, (H, W, 3) uint8 BGR for colour; transparency is dropped.

    Raises:
        ImageError: unreadable, cut off, animated, not 8 bits per channel, CMYK, or too large.
    """
    name = "picture" if isinstance(source, bytes) else str(source)
    content = source if isinstance(source, bytes) else read_picture(Path(source))
    try:
        width, height = _size(content)
    except ImageError as exc:
        raise ImageError(f"{name}: {exc}") from exc
    except (struct.error, IndexError) as exc:
        raise ImageError(f"{name}: cut off inside its header") from exc
    if min(width, height) < 1 or width * height > max_pixels:
        raise ImageError(
            f"{name}: {width} x {height} pixels; expected at least 1 and at most {max_pixels}"
        )
    image = _decoded(content)
    if image is None or image.shape[:2] != (height, width) or image.dtype != np.uint8:
        raise ImageError(f"{name}: cannot be decoded")
    if content.startswith(_JPEG) and _flat(image[-4:, -4:]):
        again = _decoded(jpeg.with_filler(content))
        if again is None or not np.array_equal(image, again):
            raise ImageError(f"{name}: cut off: the data of the JPEG ends before its picture")
    return image


def _decoded(content: bytes) -> npt.NDArray[np.uint8] | None:
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except (cv2.error, MemoryError):
        return None
    return None if image is None else np.asarray(image)


def _flat(corner: npt.NDArray[np.uint8]) -> bool:
    """What a decoder makes of data that is not there, and rarely a camera; colour may bleed in."""
    return bool(np.ptp(corner, axis=(0, 1)).max() <= 2)


def read_picture(path: Path) -> bytes:
    """The bytes of a file that may be a picture, not yet decoded.

    Raises:
        ImageError: no file, one too large, or one that cannot be read.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for ever
            raise ImageError(f"{path}: not a file")
        if found.st_size > MAX_BYTES:
            raise ImageError(f"{path}: {found.st_size} bytes; expected at most {MAX_BYTES}")
        return path.read_bytes()
    except (OSError, ValueError, MemoryError) as exc:
        raise ImageError(f"{path}: cannot be read: {exc}") from exc


def _size(content: bytes) -> tuple[int, int]:
    """Width and height by the file's own header; ImageError says why not, without the name."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(content)
    if content.startswith(_JPEG):
        return jpeg.size_of(content)
    if content.startswith(b"BM"):
        return _bmp(content)
    if not content:
        raise ImageError("the file is empty")
    raise ImageError("not a PNG, JPEG or BMP picture")


def _png(content: bytes) -> tuple[int, int]:
    """Every chunk is walked, its checksum tried: https://www.w3.org/TR/png-3/, section 5."""
    width, height, depth = struct.unpack_from(">IIB", content, 16)
    if depth == 16:
        raise ImageError("16 bits per channel; expected 8")
    at, kind = 8, b""
    while kind != b"IEND":
        (length,) = struct.unpack_from(">I", content, at)
        kind = content[at + 4 : at + 8]
        whole = content[at + 4 : at + 8 + length]
        checksum = content[at + 8 + length : at + 12 + length]
        if len(checksum) < 4:
            raise ImageError("cut off: the end of the PNG is missing")
        if zlib.crc32(whole).to_bytes(4, "big") != checksum:
            raise ImageError("damaged: a checksum inside the PNG is wrong")
        if kind == b"acTL":
            raise ImageError("animated; expected a single picture")
        at += 12 + length
    return width, height


def _bmp(content: bytes) -> tuple[int, int]:
    start, _, width, height, _, bits, packed = struct.unpack_from("<IIiiHHI", content, 10)
    if packed not in (0, 3):
        raise ImageError("a compressed BMP; expected an uncompressed one")
    if len(content) < start + abs(height) * ((abs(width) * bits + 31) // 32 * 4):
        raise ImageError("cut off: the BMP is shorter than its header says")
    return abs(width), abs(height)
