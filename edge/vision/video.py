"""A video file as a camera, played at its own speed, for trying a model on pictures that exist."""

import threading
import time
from pathlib import Path

import cv2

from edge.errors import CameraError
from edge.limits import View
from edge.terms import Frame
from edge.vision.setup import refuse
from edge.vision.stream import Stream

_FALLBACK_FPS = 25.0  # of a file that does not say


class VideoCamera:
    """One opened file."""

    def __init__(self, name: str, path: Path, *, loop: bool) -> None:
        """Open the file; `loop`: start again at the end.

        Raises:
            CameraError: it cannot be opened.
        """
        self.name, self.path, self.loop = name, path, loop
        if not path.is_file():
            raise CameraError(f"{path}: no such video file")
        self._stream = _opened(path)
        self._number = 0
        self._ended = False
        self._closed = threading.Event()
        fps = self._stream.get(cv2.CAP_PROP_FPS)
        self._interval_s = 1 / (fps if 0.1 <= fps <= 1000 else _FALLBACK_FPS)
        self._due_s = time.monotonic()

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, exposed now; None when the file has ended or it is not due yet.

        Raises:
            CameraError: not a single picture is in the file, or it cannot be opened again.
        """
        if not self._is_due(timeout_s):
            return None
        image = self._stream.read()
        if image is None:
            self._at_end()
            return None
        number = self._number
        self._number += 1
        return Frame(self.name, number, time.monotonic(), image)

    def request(self) -> None:
        """Nothing to do: the file runs freely."""

    def apply(self, view: View) -> None:
        """Refuse what this kind cannot be set to, which is everything.

        Raises:
            CameraError: names the key.
        """
        refuse(view, str(self.path), "video")

    def close(self) -> None:
        """Let the file go; safe to call twice."""
        self._closed.set()
        self._stream.close()

    def _is_due(self, timeout_s: float) -> bool:
        """Wait for the moment of the next frame, at most `timeout_s`."""
        left_s = self._due_s - time.monotonic()
        if self._ended or left_s > timeout_s:
            self._closed.wait(timeout_s)
            return False
        if left_s > 0:
            self._closed.wait(left_s)
        self._due_s = max(self._due_s + self._interval_s, time.monotonic() - 1.0)
        return True

    def _at_end(self) -> None:
        if self._number == 0:
            raise CameraError(f"{self.path}: no picture in this video file")
        if not self.loop:
            self._ended = True
            return
        self._stream.close()
        self._stream = _opened(self.path)


def _opened(path: Path) -> Stream:
    return Stream(str(path), "video", str(path), cv2.CAP_FFMPEG, [])
