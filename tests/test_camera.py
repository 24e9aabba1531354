"""A camera that is lost comes back by itself; nobody waits for ever."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import CameraError
from edge.limits import Light, View
from edge.terms import Frame
from edge.vision import camera
from edge.vision.camera import KEPT, BadFrame, Capture
from edge.vision.connection import open_camera
from edge.vision.setup import AS_FOUND
from edge.vision.shared_memory import SharedMemoryCamera, SharedMemoryWriter
from tests.camera_source import Source

WAIT_S = 20.0
IMAGE = np.zeros((8, 8), np.uint8)


@contextmanager
def capturing(source: Source) -> Iterator[Capture]:
    capture = Capture(source)
    try:
        yield capture
    finally:
        capture.close()


def until(condition: Callable[[], bool]) -> bool:
    """Wait for a condition; False when it does not come."""
    pause, end_s = threading.Event(), time.monotonic() + WAIT_S
    while not condition() and time.monotonic() < end_s:
        pause.wait(0.005)
    return condition()


def numbered(number: int) -> Callable[[Frame], bool]:
    return lambda frame: frame.number == number


def under(setup: int) -> Callable[[Frame], bool]:
    return lambda frame: frame.setup == setup


def exposed_at(time_s: float) -> Callable[[Frame], bool]:
    return lambda frame: frame.exposed_s == time_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ring"


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("shared_memory", "no/such/ring"),
        ("folder", "no/such/folder"),
        ("video", "no/such/video.mp4"),
        ("v4l2", "/dev/video97"),
        ("v4l2", "97"),
    ],
)
def test_a_source_that_is_not_there_is_one_sentence_that_names_it(kind: str, source: str) -> None:
    with pytest.raises(CameraError, match=source):
        open_camera(Source(kind, source))


def test_a_waiting_part_gets_the_frame_it_waits_for(path: Path) -> None:
    writer = SharedMemoryWriter(path, 8, 8, 1)
    with capturing(Source("shared_memory", str(path))) as capture:
        assert until(lambda: capture.online)
        for count in range(3):
            writer.write(IMAGE, float(count), count)
        later = threading.Timer(0.05, writer.write, (IMAGE, 3.0, 3))
        later.start()
        deadline_s = time.monotonic() + WAIT_S
        old = capture.wait_for(lambda frame: frame.trigger_count == 1, deadline_s)
        new = capture.wait_for(lambda frame: frame.trigger_count == 3, deadline_s)
        later.join()
        assert old is not None
        assert new is not None
        assert (old.number, new.number) == (1, 3)
        assert capture.latest() is new
        assert (capture.frames, capture.dropped, capture.reconnects) == (4, 0, 0)
    writer.close()


def test_the_oldest_frame_that_fits_is_given(path: Path) -> None:
    writer = SharedMemoryWriter(path, 8, 8, 1)
    with capturing(Source("shared_memory", str(path))) as capture:
        assert until(lambda: capture.online)
        for count in range(5):
            writer.write(IMAGE, float(count))
        assert until(lambda: capture.frames == 5)
        frame = capture.wait_for(lambda frame: frame.exposed_s >= 2.0, 0.0)
        assert frame is not None
        assert frame.number == 2
    writer.close()


def test_the_wait_for_a_frame_ends_at_its_deadline(path: Path) -> None:
    with capturing(Source("shared_memory", str(path))) as capture:
        began_s = time.monotonic()
        assert capture.wait_for(lambda frame: True, began_s + 0.05) is None
        assert 0.05 <= time.monotonic() - began_s < WAIT_S / 2
        assert capture.latest() is None


def test_only_the_last_frames_are_kept(path: Path) -> None:
    writer = SharedMemoryWriter(path, 8, 8, 1)
    with capturing(Source("shared_memory", str(path))) as capture:
        assert until(lambda: capture.online)
        for count in range(KEPT + 3):
            writer.write(IMAGE, float(count))
            assert capture.wait_for(numbered(count), time.monotonic() + WAIT_S)
        oldest = capture.wait_for(lambda frame: True, 0.0)
        assert oldest is not None
        assert oldest.number == 3
    writer.close()


def test_a_lost_camera_comes_back_and_each_is_told_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with capturing(Source("shared_memory", str(path))) as capture:
        assert until(lambda: "no program writes" in str(capture.fault))
        assert not capture.online
        for reconnects in range(2):
            writer = SharedMemoryWriter(path, 8, 8, 1)
            assert until(lambda: capture.online)
            writer.write(IMAGE, 100.0 + reconnects)
            deadline_s = time.monotonic() + WAIT_S
            assert capture.wait_for(exposed_at(100.0 + reconnects), deadline_s)
            assert capture.reconnects == reconnects
            writer.close()
            assert until(lambda: not capture.online)
            assert until(lambda: "no program writes" in str(capture.fault))
    told = [record.getMessage() for record in caplog.records]
    assert ["no pictures" in line for line in told] == [True, False, True, False, True]
    assert all("c1" in line for line in told)


def test_frames_that_the_source_counted_and_we_missed_are_dropped_frames(path: Path) -> None:
    writer = SharedMemoryWriter(path, 512, 512, 3, slots=2)
    image = np.zeros((512, 512, 3), np.uint8)
    with capturing(Source("shared_memory", str(path))) as capture:
        assert until(lambda: capture.online)
        writer.write(image, 0.0)
        assert capture.wait_for(numbered(0), time.monotonic() + WAIT_S)
        last = [writer.write(image, 0.0) for _ in range(300)][-1]
        assert capture.wait_for(numbered(last), time.monotonic() + WAIT_S)
        assert capture.dropped > 0
        assert capture.frames + capture.dropped == last + 1
    writer.close()


def test_a_picture_that_cannot_be_read_reaches_the_part_that_asked(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), IMAGE)
    (tmp_path / "b.png").write_bytes(b"not a picture")
    with capturing(Source("folder", str(tmp_path))) as capture:
        assert until(lambda: capture.online)
        frames = []
        for number in range(2):
            assert capture.request()
            deadline_s = time.monotonic() + WAIT_S
            frames.append(capture.wait_for(numbered(number), deadline_s))
        good, bad = frames
        assert isinstance(bad, BadFrame)
        assert "b.png" in bad.text
        assert bad.path == str(tmp_path / "b.png")
        assert capture.latest() is good
        assert capture.online


def test_a_request_to_a_camera_that_is_away_is_refused(path: Path) -> None:
    with capturing(Source("folder", str(path))) as capture:
        assert until(lambda: "cannot be listed" in str(capture.fault))
        assert capture.request() is False


def test_frames_say_which_setup_they_were_taken_under(path: Path) -> None:
    writer = SharedMemoryWriter(path, 8, 8, 1)
    with capturing(Source("shared_memory", str(path))) as capture:
        assert until(lambda: capture.setup == AS_FOUND)
        writer.write(IMAGE, time.monotonic())
        assert capture.wait_for(under(AS_FOUND), time.monotonic() + WAIT_S)
        capture.apply(2, View(camera="c1"))
        assert until(lambda: capture.setup == 2)
        assert capture.latest() is None, "a frame of the old setup is let go"
        writer.write(IMAGE, 1.0)  # exposed before: it was under way meanwhile
        writer.write(IMAGE, time.monotonic())
        new = capture.wait_for(under(2), time.monotonic() + WAIT_S)
        old = capture.wait_for(numbered(1), 0.0)
        assert new is not None
        assert old is not None
        assert new.number == 2
        assert old.setup not in (AS_FOUND, 2)
    writer.close()


def test_a_camera_that_comes_back_is_set_up_again(path: Path) -> None:
    with capturing(Source("shared_memory", str(path))) as capture:
        capture.apply(2, View(camera="c1"))
        for _ in range(2):
            writer = SharedMemoryWriter(path, 8, 8, 1)
            assert until(lambda: capture.setup == 2)
            writer.close()
            assert until(lambda: capture.setup is None)


@pytest.mark.parametrize(
    ("view", "key"),
    [
        (View(camera="c1", exposure_us=100), "exposure_us"),
        (View(camera="c1", gain_db=1), "gain_db"),
        (View(camera="c1", region=(0, 0, 4, 4)), "region"),
        (View(camera="c1", light=(Light(channel=1, brightness=9),)), "light"),
    ],
)
def test_a_camera_that_cannot_be_set_so_is_away_until_another_setup_is_wanted(
    path: Path, view: View, key: str
) -> None:
    writer = SharedMemoryWriter(path, 8, 8, 1)
    with capturing(Source("shared_memory", str(path))) as capture:
        capture.apply(2, view)
        assert until(lambda: f"[[view]] {key}" in str(capture.fault))
        assert (capture.online, capture.setup) == (False, None)
        capture.apply(AS_FOUND, None)
        assert until(lambda: capture.online and capture.setup == AS_FOUND)
    writer.close()


def test_a_fault_of_a_cameras_software_is_an_outage_and_not_its_end(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, failed = SharedMemoryWriter(path, 8, 8, 1), threading.Event()

    def read(camera: SharedMemoryCamera, timeout_s: float) -> Frame | None:
        if failed.is_set():
            return whole(camera, timeout_s)
        raise ZeroDivisionError

    whole = SharedMemoryCamera.read
    monkeypatch.setattr(SharedMemoryCamera, "read", read)
    with capturing(Source("shared_memory", str(path))) as capture:
        assert until(lambda: "ZeroDivisionError in its software" in str(capture.fault))
        failed.set()
        assert until(lambda: capture.reconnects > 0 and capture.online)
        writer.write(IMAGE, 100.0)
        assert capture.wait_for(exposed_at(100.0), time.monotonic() + WAIT_S)
    writer.close()
    assert any(record.exc_info for record in caplog.records)


def test_a_read_that_hangs_without_an_error_is_told_with_its_camera(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SharedMemoryWriter(path, 8, 8, 1)
    hang, over = threading.Event(), threading.Event()

    def read(camera: SharedMemoryCamera, timeout_s: float) -> Frame | None:
        if hang.is_set():
            over.wait(WAIT_S)
        return whole(camera, timeout_s)

    whole = SharedMemoryCamera.read
    monkeypatch.setattr(SharedMemoryCamera, "read", read)  # no driver here can be made to hang
    monkeypatch.setattr(camera, "HUNG_S", 0.4)
    with capturing(Source("shared_memory", str(path))) as capture:
        assert until(lambda: capture.online)
        hang.set()
        assert until(lambda: capture.read_s > camera.HUNG_S)
        assert not capture.online
        assert capture.fault == "c1: hangs: a read is out for over 0.4 s without any error"
        over.set()
        assert until(lambda: capture.online)
        assert capture.read_s < WAIT_S
        assert capture.reconnects == 0
    writer.close()


def test_closing_ends_the_thread_and_every_wait(path: Path) -> None:
    writer = SharedMemoryWriter(path, 8, 8, 1)
    capture = Capture(Source("shared_memory", str(path)))
    assert until(lambda: capture.online)
    closer = threading.Timer(0.05, capture.close)
    closer.start()
    began_s = time.monotonic()
    assert capture.wait_for(lambda frame: True, began_s + WAIT_S) is None
    assert time.monotonic() - began_s < WAIT_S / 2
    closer.join()
    capture.close()
    assert not capture.online
    assert capture.request() is False
    assert "camera-c1" not in [thread.name for thread in threading.enumerate()]
    writer.close()
