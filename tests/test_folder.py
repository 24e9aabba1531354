"""A folder as a camera: one picture per request, in order, bad ones in their place."""

import os
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import CameraError
from edge.vision.folder import FolderCamera, pictures_in
from edge.vision.image import BadFrame

WAIT_S = 10.0


def fill(folder: Path, *names: str) -> None:
    for value, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((4, 6), value, np.uint8))


def test_pictures_come_one_per_request_in_the_order_of_their_names(tmp_path: Path) -> None:
    fill(tmp_path, "b.png", "c.bmp", "a.png")
    camera = FolderCamera("c1", tmp_path, loop=False)
    assert camera.read(0) is None
    for number, (name, value) in enumerate((("a.png", 2), ("b.png", 0), ("c.bmp", 1))):
        before_s = time.monotonic()
        camera.request()
        frame = camera.read(WAIT_S)
        assert frame is not None
        assert (frame.camera, frame.number, frame.path) == ("c1", number, str(tmp_path / name))
        assert np.all(frame.image == value)
        assert before_s <= frame.exposed_s <= time.monotonic()
        assert camera.read(0) is None


def test_a_picture_counts_as_exposed_when_it_was_asked_for(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", "b.png")
    camera = FolderCamera("c1", tmp_path, loop=False)
    camera.request()
    camera.request()
    asked_s = time.monotonic()
    frames = [camera.read(WAIT_S), camera.read(WAIT_S)]
    assert all(frame is not None and frame.exposed_s <= asked_s for frame in frames)


def test_after_the_last_picture_nothing_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fill(tmp_path, "a.png")
    camera = FolderCamera("c1", tmp_path, loop=False)
    for _ in range(3):
        camera.request()
        last = camera.read(WAIT_S)
    assert last is None
    assert [record.getMessage() for record in caplog.records] == [
        f"camera c1: all 1 pictures of {tmp_path} are through"
    ]


def test_a_loop_starts_again_and_keeps_counting(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", "b.png")
    camera = FolderCamera("c1", tmp_path, loop=True)
    seen = []
    for _ in range(5):
        camera.request()
        frame = camera.read(WAIT_S)
        assert frame is not None
        seen.append((frame.number, Path(str(frame.path)).name))
    assert seen == [(0, "a.png"), (1, "b.png"), (2, "a.png"), (3, "b.png"), (4, "a.png")]


def test_a_picture_that_cannot_be_read_takes_its_place(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", "c.png")
    (tmp_path / "b.jpg").write_bytes(b"")
    camera = FolderCamera("c1", tmp_path, loop=False)
    for _ in range(3):
        camera.request()
    frames = [camera.read(WAIT_S) for _ in range(3)]
    assert [isinstance(frame, BadFrame) for frame in frames] == [False, True, False]
    bad = frames[1]
    assert isinstance(bad, BadFrame)
    assert bad.number == 1
    assert "b.jpg: the file is empty" in bad.text


def test_a_name_that_is_not_utf8_can_be_told(tmp_path: Path) -> None:
    fill(tmp_path, "a.png")
    for name, content in ((b"b\xff.png", (tmp_path / "a.png").read_bytes()), (b"c\xff.png", b"")):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(content)
    camera = FolderCamera("c1", tmp_path, loop=False)
    for _ in range(3):
        camera.request()
    _, good, bad = (camera.read(WAIT_S) for _ in range(3))
    assert good is not None
    assert good.path == f"{tmp_path}/b?.png"
    assert isinstance(bad, BadFrame)
    assert bad.path == f"{tmp_path}/c?.png"
    assert bad.text.encode() == f"{tmp_path}/c?.png: the file is empty".encode()


def test_a_picture_deleted_meanwhile_is_a_bad_frame(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", "b.png")
    camera = FolderCamera("c1", tmp_path, loop=False)
    (tmp_path / "a.png").unlink()
    camera.request()
    assert isinstance(camera.read(WAIT_S), BadFrame)


def test_a_request_wakes_a_reader_that_sleeps(tmp_path: Path) -> None:
    fill(tmp_path, "a.png")
    camera = FolderCamera("c1", tmp_path, loop=False)
    later = threading.Timer(0.05, camera.request)
    began_s = time.monotonic()
    later.start()
    assert camera.read(WAIT_S) is not None
    assert time.monotonic() - began_s < WAIT_S / 2
    later.join()
    camera.close()


def test_only_what_means_to_be_a_picture_is_listed(tmp_path: Path) -> None:
    fill(tmp_path, "b.png", "a.JPG.png")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "Z.TIFF").write_bytes(b"")
    assert [path.name for path in pictures_in(tmp_path)] == ["Z.TIFF", "a.JPG.png", "b.png"]


def test_an_empty_or_missing_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="no picture"):
        FolderCamera("c1", tmp_path, loop=False)
    with pytest.raises(CameraError, match="cannot be listed"):
        FolderCamera("c1", tmp_path / "no", loop=False)
