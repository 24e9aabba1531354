"""Pictures from anywhere: what cannot be judged is refused in a sentence, before it costs much."""

import contextlib
import os
import re
import struct
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ImageError
from edge.vision.image import BadFrame, bad_frame, decode_image

RNG = np.random.default_rng(4)
GRAY = RNG.integers(0, 256, (40, 60), np.uint8)
COLOUR = RNG.integers(0, 256, (40, 60, 3), np.uint8)


def encoded(suffix: str, image: npt.NDArray[np.uint8 | np.uint16] = COLOUR, *options: int) -> bytes:
    done, content = cv2.imencode(suffix, image, list(options))
    assert done
    return content.tobytes()


def chunk(kind: bytes, content: bytes) -> bytes:
    whole = kind + content
    return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))


def png(width: int, height: int, depth: int = 8, between: bytes = b"") -> bytes:
    """A PNG of one zero byte per row that claims any size."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(64)))
    return b"\x89PNG\r\n\x1a\n" + head + between + body + chunk(b"IEND", b"")


FILES = {
    "png": encoded(".png"),
    "gray png": encoded(".png", GRAY),
    "jpeg": encoded(".jpg"),
    "gray jpeg": encoded(".jpg", GRAY),
    "progressive jpeg": encoded(".jpg", COLOUR, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "jpeg with restarts": encoded(".jpg", COLOUR, cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    "bmp": encoded(".bmp"),
    "gray bmp": encoded(".bmp", GRAY),
}


@pytest.mark.parametrize("name", ["png", "bmp", "gray png", "gray bmp"])
def test_a_lossless_picture_comes_back_pixel_by_pixel(name: str) -> None:
    expected = GRAY if "gray" in name else COLOUR
    image = decode_image(FILES[name])
    assert image.shape == expected.shape
    assert np.array_equal(image, expected)


@pytest.mark.parametrize("name", ["jpeg", "gray jpeg", "progressive jpeg", "jpeg with restarts"])
def test_a_jpeg_is_gray_or_colour_as_it_was(name: str) -> None:
    image = decode_image(FILES[name])
    assert image.shape == (GRAY.shape if "gray" in name else COLOUR.shape)
    assert image.dtype == np.uint8


def test_the_ending_of_the_name_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "really a.png.jpg"
    path.write_bytes(FILES["png"])
    assert np.array_equal(decode_image(path), COLOUR)
    assert np.array_equal(decode_image(str(path)), COLOUR)


@pytest.mark.parametrize("name", FILES)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_off_anywhere_is_refused(name: str, share: float) -> None:
    content = FILES[name]
    with pytest.raises(ImageError):
        decode_image(content[: int(share * len(content))])


@pytest.mark.parametrize("name", FILES)
@given(st.data())
def test_a_damaged_file_is_a_picture_of_the_right_size_or_an_image_error(
    name: str, data: st.DataObject
) -> None:
    content = bytearray(FILES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    image = np.zeros((1, 1), np.uint8)
    with contextlib.suppress(ImageError):
        image = decode_image(bytes(content), max_pixels=1_000_000)
    assert image.dtype == np.uint8
    assert 0 < image.shape[0] * image.shape[1] <= 1_000_000


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"BM"]))
def test_noise_is_refused(noise: bytes, start: bytes) -> None:
    with pytest.raises(ImageError):
        decode_image(start + noise)


def test_a_header_that_promises_900_million_pixels_costs_nothing() -> None:
    began_s = time.process_time()
    with pytest.raises(ImageError, match="30000 x 30000"):
        decode_image(png(30_000, 30_000))
    assert time.process_time() - began_s < 0.1


def test_a_picture_of_one_pixel_is_a_picture() -> None:
    assert decode_image(encoded(".png", GRAY[:1, :1])).shape == (1, 1)


def test_the_limit_on_pixels_is_exact() -> None:
    assert decode_image(FILES["png"], max_pixels=2400).shape == (40, 60, 3)
    with pytest.raises(ImageError, match="at most 2399"):
        decode_image(FILES["png"], max_pixels=2399)


JPEGS = [name for name in FILES if "jpeg" in name]


def ended(content: bytes, share: float) -> bytes:
    """The picture's data cut off after a share of it, with a proper end marker all the same."""
    starts = [at.start() for at in re.finditer(b"\xff\xda", content)]
    # the last scan of a progressive picture only sharpens it: what is cut there is hardly seen
    end = starts[-1] if len(starts) > 1 else len(content)
    return content[: starts[0] + 14 + int(share * (end - starts[0] - 14))] + b"\xff\xd9"


@pytest.mark.parametrize("name", JPEGS)
@given(share=st.floats(0, 0.9))
def test_a_jpeg_with_an_end_and_not_all_of_its_picture_is_refused(name: str, share: float) -> None:
    cut = ended(FILES[name], share)
    for content in (cut, cut + FILES[name]):  # a whole picture behind it is another one
        with pytest.raises(ImageError, match=r"cut off|cannot be decoded"):
            decode_image(content)


def test_a_jpeg_cut_off_between_two_restarts_is_refused() -> None:
    content = FILES["jpeg with restarts"]
    places = [at.start() for at in re.finditer(b"\xff[\xd0-\xd7]", content)]
    assert len(places) > 8
    for place in places[:-1]:  # without its last block alone, the corner is not flat yet
        with pytest.raises(ImageError, match="data of the JPEG ends"):
            decode_image(content[:place] + b"\xff\xd9")


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
@pytest.mark.parametrize("restarts", [0, 1])
@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3), (3, 5, 3), (1, 1), (17, 16, 3)])
def test_a_flat_picture_is_whole(
    options: tuple[int, ...], restarts: int, shape: tuple[int, ...]
) -> None:
    for value in (0, 114, 255):
        image = np.full(shape, value, np.uint8)
        content = encoded(".jpg", image, *options, cv2.IMWRITE_JPEG_RST_INTERVAL, restarts)
        assert np.abs(decode_image(content).astype(int) - value).max() <= 1


def test_a_jpeg_may_hold_bytes_between_and_behind_its_segments() -> None:
    content = FILES["jpeg"]
    filled = content[:2] + b"\xff\xff" + content[2:] + b"\0\xff\xd9\0"
    assert np.array_equal(decode_image(filled), decode_image(content))


def header_of(content: bytes, height: int, width: int, kind: int = 0xC0) -> bytes:
    """The JPEG with another size and coding in its header."""
    at = content.index(b"\xff\xc0")
    changed = content[at + 2 : at + 5] + struct.pack(">HH", height, width)
    return content[:at] + bytes([0xFF, kind]) + changed + content[at + 9 :]


def with_channels(content: bytes, channels: int, depth: int) -> bytes:
    at = content.index(b"\xff\xc0") + 4
    return (
        content[:at]
        + bytes([depth])
        + content[at + 1 : at + 5]
        + bytes([channels])
        + content[at + 6 :]
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"GIF89a" + bytes(50), "not a PNG, JPEG or BMP"),
        (encoded(".png", GRAY.astype(np.uint16) * 256), "16 bits per channel; expected 8"),
        (with_channels(FILES["jpeg"], 4, 8), "CMYK"),
        (with_channels(FILES["jpeg"], 3, 12), "12 bits"),
        (png(8, 8, between=chunk(b"acTL", bytes(8))), "animated"),
        (png(0, 8), "0 x 8 pixels"),
        (FILES["png"][:-20] + b"\0" + FILES["png"][-19:], "checksum"),
        (FILES["png"][:-12], "cut off"),
        (FILES["jpeg"][:-2], "cut off"),
        (FILES["jpeg"][: len(FILES["jpeg"]) // 2], "cut off"),
        (FILES["bmp"][:-1], "cut off"),
        (FILES["bmp"][:30] + b"\1" + FILES["bmp"][31:], "compressed"),
        (FILES["jpeg"][:2] + FILES["jpeg"][-2:], "without a picture"),
        (png(8, 8)[:20], "header"),
        (header_of(FILES["jpeg"], 30_000, 3_000), "cannot hold 3000 x 30000 pixels"),
        (header_of(FILES["jpeg"], 400, 60), "data of the JPEG ends before its picture"),
        (header_of(FILES["jpeg"], 40, 60, 0xC9), "neither baseline nor progressive"),
        (header_of(FILES["jpeg"], 40, 60, 0xC3), "neither baseline nor progressive"),
        (header_of(FILES["jpeg"], 0, 60), "60 x 0 pixels"),
        (with_channels(FILES["jpeg"], 2, 8), "2 colour channels"),
        (FILES["bmp"][:18] + struct.pack("<ii", -(2**31), -(2**31)) + FILES["bmp"][26:], "cut off"),
        (png(2**31 - 1, 1), "2147483647 x 1 pixels"),
        (png(8, 9), "cannot be decoded"),
    ],
)
def test_the_reason_is_told(content: bytes, told: str) -> None:
    with pytest.raises(ImageError, match=told):
        decode_image(content)


def test_exif_rotation_is_ignored() -> None:
    turned = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, 6, 0, 0)
    segment = b"Exif\0\0" + turned
    content = FILES["jpeg"]
    rotated = content[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    rotated += content[2:]
    obeyed = cv2.imdecode(np.frombuffer(rotated, np.uint8), cv2.IMREAD_COLOR)
    assert obeyed is not None
    assert obeyed.shape == (60, 40, 3)
    assert np.array_equal(decode_image(rotated), decode_image(content))


def test_transparency_is_dropped() -> None:
    alpha = np.full((40, 60, 1), 7, np.uint8)
    image = decode_image(encoded(".png", np.concatenate([COLOUR, alpha], axis=2)))
    assert np.array_equal(image, COLOUR)


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path, told in (
        (tmp_path, "not a file"),
        (tmp_path / "pipe.png", "not a file"),
        (tmp_path / "no.png", "cannot be read"),
        (Path("a\0b.png"), "cannot be read"),
    ):
        with pytest.raises(ImageError, match=told):
            decode_image(path)


def test_a_bad_frame_has_no_pixels_and_says_why() -> None:
    frame = bad_frame("c1", 4, 1.5, "x.png", "x.png: the file is empty")
    assert isinstance(frame, BadFrame)
    assert frame.image.size == 0
    assert (frame.camera, frame.number, frame.exposed_s) == ("c1", 4, 1.5)
    assert (frame.path, frame.text) == ("x.png", "x.png: the file is empty")
