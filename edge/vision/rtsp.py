"""RTSP camera (H.264, H.265) through OpenCV's FFmpeg.

    FFmpeg -> decode thread -> exposure time (edge.vision.realtime) -> the newest frame -> read

The thread takes every frame, so that none waits in a buffer and grows old. A pulled cable closes no
connection: a camera that has given no frame in real time for 3 s is lost. See decision 0008.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2

from edge.errors import CameraError
from edge.limits import View
from edge.terms import Frame
from edge.vision.address import redacted, with_login
from edge.vision.realtime import RealTime
from edge.vision.setup import StreamTransport, refuse
from edge.vision.stream import Stream

OPEN_TIMEOUT_MS = 5000
READ_TIMEOUT_MS = 3000
LOST_S = 3.0
"""So long without a frame in real time: lost."""

OPTIONS = "OPENCV_FFMPEG_CAPTUREOPTIONS"
_JOIN_S = READ_TIMEOUT_MS / 1000 + 1  # a read that hangs ends by its own limit within this


class RtspCamera:
    """One connection. `exposed_s` is never later than the true exposure if `delay_s` is true."""

    def __init__(
        self,
        name: str,
        source: str,
        *,
        transport: StreamTransport = "tcp",
        password_file: Path | None = None,
        delay_s: float = 0.0,
        lost_after_s: float = LOST_S,
    ) -> None:
        """Connect; takes up to 5 s where nobody answers.

        Args:
            source: "rtsp://host:554/path", without a login.
            password_file: user:password in its first line, mode 0600.
            delay_s: from exposure to arrival, at the most.
            lost_after_s: without a frame in real time for so long, the camera is lost.

        Raises:
            CameraError: it cannot be opened.
        """
        self.name, self.source = name, source
        self._stream = _opened(source, with_login(source, password_file), transport)
        self._clock = RealTime(delay_s)
        self._lost_after_s = lost_after_s
        self._newest: Frame | None = None
        self._fault: str | None = None
        self._came_s = self._seen_s = time.monotonic()  # any frame; a frame in real time
        self._closed = threading.Event()
        self._fresh = threading.Condition()
        self._thread = threading.Thread(target=self._decode, name=f"decode-{name}", daemon=True)
        self._thread.start()

    def read(self, timeout_s: float) -> Frame | None:
        """The newest frame that was not read yet; None when none came in time.

        Raises:
            CameraError: the stream broke, or gave nothing in real time for 3 s.
        """
        with self._fresh:
            self._fresh.wait_for(lambda: self._newest or self._fault, timeout_s)
            frame, self._newest = self._newest, None
            if frame is None:
                self._watch(time.monotonic())
            return frame

    def request(self) -> None:
        """Nothing to do: the stream runs freely."""

    def apply(self, view: View) -> None:
        """Refuse what this kind cannot be set to, which is everything.

        Raises:
            CameraError: names the key.
        """
        refuse(view, self._stream.source, "rtsp")

    def close(self) -> None:
        """Let the camera go; safe to call twice."""
        self._closed.set()
        self._thread.join(_JOIN_S)

    def _watch(self, now_s: float) -> None:
        """No frame came: is the camera lost?

        Raises:
            CameraError: it is.
        """
        if self._fault is None and now_s - self._seen_s > self._lost_after_s:
            behind = self._came_s > self._seen_s
            self._fault = (
                f"the stream does not keep up with real time for {self._lost_after_s:g} s"
                if behind
                else f"no picture for {self._lost_after_s:g} s"
            )
        if self._fault is not None:
            raise CameraError(f"{self._stream.source}: {self._fault}")

    def _decode(self) -> None:
        fault = "the stream ended, or no picture came within 3 s"
        number = 0
        try:
            while not self._closed.is_set():
                image = self._stream.read()
                if image is None:
                    return
                self._came_s = time.monotonic()
                clock_s = self._stream.get(cv2.CAP_PROP_POS_MSEC) / 1000
                exposed_s = self._clock.exposed_s(self._came_s, clock_s)
                if exposed_s is not None:
                    self._put(Frame(self.name, number, exposed_s, image))
                number += 1
        except CameraError as exc:
            fault = str(exc)
        finally:
            self._stream.close()
            with self._fresh:
                self._fault = fault
                self._fresh.notify_all()

    def _put(self, frame: Frame) -> None:
        with self._fresh:
            self._newest, self._seen_s = frame, self._came_s
            self._fresh.notify_all()


def _opened(source: str, address: str, transport: StreamTransport) -> Stream:
    if not source.startswith(("rtsp://", "rtsps://")):  # FFmpeg would open a file as well
        raise CameraError(f"{redacted(source)}: expected an address such as rtsp://host:554/path")
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS]
    limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
    limits += [cv2.CAP_PROP_N_THREADS, 1]  # each further thread holds a frame back
    with _OPENING.options(f"rtsp_transport;{transport}|fpsprobesize;0"):
        return Stream(source, "rtsp", address, cv2.CAP_FFMPEG, limits)


class Opening:
    """The one environment variable by which OpenCV hands options to FFmpeg.

    It is read at the beginning of every open. Opens with equal options go side by side; one with
    others waits. The variable is never removed: only overwriting leaves the environment in place
    for threads that read it meanwhile.
    """

    def __init__(self) -> None:
        self._under_way = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def options(self, options: str) -> Iterator[None]:
        """Open inside."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._under_way or os.environ.get(OPTIONS) == options
            )
            os.environ[OPTIONS] = options
            self._under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()


_OPENING = Opening()
