"""Whether a JPEG is whole, by its segments: ITU-T T.81, annexes B and G. No IO.

A decoder fills what is missing with grey and says nothing, and grey looks like a good part. So
every coefficient of every component must have come in some scan, down to its last bit, and the
file must be long enough for its blocks. What still may be missing, the end of the last scan, shows
as a flat corner: `with_filler` then tells a cut from a flat picture.
"""

import re
import struct
from collections.abc import Iterator

from edge.errors import ImageError

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_HUFFMAN = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
_OTHER_CODINGS = (0xC3, 0xC5, 0xC6, 0xC7, *range(0xC9, 0xCC), 0xCD, 0xCE, 0xCF)
_NOISE = b"\0" + bytes(n * 37 % 255 for n in range(1, 255))  # no marker in it
_SCAN = 0xDA
_END = b"\xff\xd9"


def size_of(content: bytes) -> tuple[int, int]:
    """Width and height of a whole JPEG; every segment is walked to the end marker.

    Raises:
        ImageError: cut off, not 8 bits, CMYK, or a coding that no camera uses.
    """
    size = None
    missing: dict[int, list[int]] = {}  # bits still to come, by component, of each coefficient
    for kind, at in _segments(content):
        if kind in _HUFFMAN:
            size, components = _frame(content, at + 2)
            missing = {component: [16] * 64 for component in components}
        elif kind in _OTHER_CODINGS:
            raise ImageError("a JPEG that is neither baseline nor progressive")
        elif kind == _SCAN:
            _scan(content, at + 2, missing)
    if size is None:
        raise ImageError("a JPEG without a picture")
    if any(bits for component in missing.values() for bits in component):
        raise ImageError("cut off: scans of the JPEG are missing")
    blocks = -(-size[0] // 8) * -(-size[1] // 8)
    if len(content) * 8 < blocks:  # one bit at least for each
        raise ImageError(f"cut off: {len(content)} bytes cannot hold {size[0]} x {size[1]} pixels")
    return size


def _segments(content: bytes) -> Iterator[tuple[int, int]]:
    """Every marker with the place behind it, up to the end marker."""
    at, kind = 2, 0
    while kind != _END[1]:
        marker = _MARKER.search(content, at)
        if marker is None:
            raise ImageError("cut off: the end of the JPEG is missing")
        kind, at = content[marker.start() + 1], marker.end()
        yield kind, at
        if kind != _END[1]:
            at += int(struct.unpack_from(">H", content, at)[0])


def _frame(content: bytes, at: int) -> tuple[tuple[int, int], list[int]]:
    """Size, and the numbers of the components."""
    depth, height, width, channels = struct.unpack_from(">BHHB", content, at)
    if depth != 8:
        raise ImageError(f"{depth} bits per channel; expected 8")
    if channels not in (1, 3):
        raise ImageError(f"{channels} colour channels (CMYK?); expected gray or colour")
    return (width, height), [content[at + 6 + 3 * n] for n in range(channels)]


def _scan(content: bytes, at: int, missing: dict[int, list[int]]) -> None:
    """Note what a scan brings: coefficients from..to of its components, down to bit `low`."""
    count = content[at]
    first, last, bits = struct.unpack_from("3B", content, at + 1 + 2 * count)
    for n in range(count):
        held = missing.get(content[at + 1 + 2 * n], [])
        held[first : last + 1] = [bits & 15] * len(held[first : last + 1])


def with_filler(content: bytes) -> bytes:
    """The same file with noise before its end: another picture, if the decoder still wants data."""
    *_, (_, behind) = _segments(content)
    end = behind - len(_END)
    restarts = _RESTART.findall(content, 0, end)
    after = 0xD0 + (restarts[-1][1] - 0xD0 + 1) % 8 if restarts else 0xD0
    return content[:end] + _NOISE + bytes([0xFF, after]) + _NOISE + _END
