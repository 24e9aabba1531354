"""Video files: played at their own speed, to their end or in a loop."""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import CameraError
from edge.limits import View
from edge.terms import Frame
from edge.vision.video import VideoCamera

FPS = 50.0
FRAMES = 12
WAIT_S = 5.0


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "line.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (64, 48))
    assert writer.isOpened()
    for number in range(FRAMES):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    return path


def read_all(camera: VideoCamera, wanted: int) -> list[Frame]:
    frames: list[Frame] = []
    until_s = time.monotonic() + WAIT_S
    while len(frames) < wanted and time.monotonic() < until_s:
        frame = camera.read(0.1)
        frames += [frame] if frame is not None else []
    return frames


def test_a_video_is_played_at_its_own_speed_and_ends(video: Path) -> None:
    camera = VideoCamera("c1", video, loop=False)
    began_s = time.monotonic()
    frames = read_all(camera, FRAMES)
    assert time.monotonic() - began_s >= (FRAMES - 1) / FPS
    assert [frame.number for frame in frames] == list(range(FRAMES))
    assert [round(float(frame.image.mean()) / 20) for frame in frames] == list(range(FRAMES))
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    times = [frame.exposed_s for frame in frames]
    assert times == sorted(times)
    assert began_s <= times[0] <= times[-1] <= time.monotonic()
    began_s = time.monotonic()
    assert camera.read(0.05) is None
    assert camera.read(0.05) is None
    assert 0.05 <= time.monotonic() - began_s < WAIT_S / 2
    camera.close()
    camera.close()


def test_a_video_in_a_loop_starts_again_and_keeps_counting(video: Path) -> None:
    camera = VideoCamera("c1", video, loop=True)
    frames = read_all(camera, FRAMES + 3)
    camera.close()
    assert [frame.number for frame in frames] == list(range(FRAMES + 3))
    assert frames[FRAMES].image.mean() == frames[0].image.mean()


def test_a_frame_that_is_not_due_is_waited_for_no_longer_than_asked(video: Path) -> None:
    camera = VideoCamera("c1", video, loop=False)
    assert camera.read(0.5) is not None
    assert camera.read(0.0) is None
    assert camera.read(0.5) is not None
    camera.close()


@pytest.mark.parametrize("content", [b"", b"not a video", b"\0" * 5000])
def test_a_file_that_is_no_video_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    with pytest.raises(CameraError, match=r"x\.mp4: cannot be opened as video"):
        VideoCamera("c1", path, loop=False)


def test_a_view_that_a_file_cannot_give_is_refused(video: Path) -> None:
    camera = VideoCamera("c1", video, loop=False)
    with pytest.raises(CameraError, match="exposure_us: a video camera cannot be set so"):
        camera.apply(View(camera="c1", exposure_us=100))
    camera.close()
