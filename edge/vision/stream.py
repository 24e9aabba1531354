"""Video file, RTSP camera and V4L2 (USB) camera through OpenCV.

None of these says when it exposed: `exposed_s` is the arrival less the longest delay that the site
has measured, so that a frame taken before the part came is never counted as taken after it. Such a
source suits stopped or slow parts.
A video file is played at its own speed, as a camera would deliver it.
"""

import threading
import time
from pathlib import Path

import cv2
import numpy as np

from edge.errors import CameraError
from edge.limits import View
from edge.terms import Frame
from edge.vision.setup import refuse

OPEN_TIMEOUT_MS = 5000
READ_TIMEOUT_MS = 3000
"""A pulled cable closes no connection; only these end the wait."""

_FALLBACK_FPS = 25.0  # of a video file that does not say


class StreamCamera:
    """One opened stream. `read` takes every frame, so that none waits in a buffer and grows old."""

    def __init__(
        self, name: str, kind: str, source: str, *, loop: bool, delay_s: float = 0.0
    ) -> None:
        """Open the stream; takes up to 5 s where nobody answers.

        Args:
            kind: video, rtsp or v4l2.
            source: a file; an address "rtsp://..."; a device "/dev/video0" or its number "0".
            loop: video: start again at the end.
            delay_s: from exposure to arrival, at the most.

        Raises:
            CameraError: it cannot be opened.
        """
        self.name, self.kind, self.source, self.loop = name, kind, source, loop
        self._delay_s = delay_s
        if kind == "video" and not Path(source).is_file():
            raise CameraError(f"{source}: no such video file")
        self._stream = _opened(kind, source)
        self._number = 0
        self._ended = False
        self._closed = threading.Event()
        fps = float(self._stream.get(cv2.CAP_PROP_FPS))
        self._interval_s = 1 / (fps if 0.1 <= fps <= 1000 else _FALLBACK_FPS)
        self._due_s = time.monotonic()

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame; None when a video file has ended or its next frame is not due yet.

        Raises:
            CameraError: the stream broke or gave nothing for 3 s.
        """
        if self.kind == "video" and not self._is_due(timeout_s):
            return None
        try:
            came, image = self._stream.read()
        except cv2.error as exc:
            raise CameraError(f"{self.source}: reading failed: {exc}") from exc
        if not came or image is None:
            self._broken()
            return None
        number = self._number
        self._number += 1
        return Frame(
            self.name, number, time.monotonic() - self._delay_s, np.asarray(image, np.uint8)
        )

    def request(self) -> None:
        """Nothing to do: the stream runs freely."""

    def apply(self, view: View) -> None:
        """Refuse whatever this kind cannot be set to.

        Raises:
            CameraError: names the key.
        """
        refuse(view, self.source, self.kind)

    def close(self) -> None:
        """Let the device go; safe to call twice."""
        self._closed.set()
        self._stream.release()

    def _is_due(self, timeout_s: float) -> bool:
        """Wait for the moment of the next frame of a video file, at most `timeout_s`."""
        left_s = self._due_s - time.monotonic()
        if self._ended or left_s > timeout_s:
            self._closed.wait(timeout_s)
            return False
        if left_s > 0:
            self._closed.wait(left_s)
        self._due_s = max(self._due_s + self._interval_s, time.monotonic() - 1.0)
        return True

    def _broken(self) -> None:
        """No frame came: the end of a video file, or a lost camera.

        Raises:
            CameraError: a lost camera, or a video without a single frame.
        """
        if self.kind != "video" or self._number == 0:
            raise CameraError(f"{self.source}: no picture came within {READ_TIMEOUT_MS / 1000:g} s")
        if not self.loop:
            self._ended = True
            return
        self._stream.release()
        self._stream = _opened(self.kind, self.source)


def _opened(kind: str, source: str) -> cv2.VideoCapture:
    """Open with time limits.

    Raises:
        CameraError: it cannot be opened.
    """
    try:
        stream = _v4l2(source) if kind == "v4l2" else _ffmpeg(source)
    except cv2.error as exc:
        raise CameraError(f"{source}: cannot be opened: {exc}") from exc
    if not stream.isOpened():
        stream.release()
        raise CameraError(f"{source}: cannot be opened as {kind}")
    return stream


def _v4l2(source: str) -> cv2.VideoCapture:
    path = Path(f"/dev/video{source}" if source.isdecimal() else source)
    if not path.exists():
        raise CameraError(f"{source}: there is no {path}")
    return cv2.VideoCapture(str(path), cv2.CAP_V4L2)


def _ffmpeg(source: str) -> cv2.VideoCapture:
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS]
    limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
    return cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)
