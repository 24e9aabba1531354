"""Where frames come from, and the thread that keeps the last of them.

open_camera(settings) --> Camera: one connection; it raises when the connection is lost
Capture(settings)     --> a thread that reads, keeps the last 8 frames, and connects again
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from edge.errors import CameraError
from edge.terms import Frame
from edge.vision.folder import FolderCamera
from edge.vision.image import BadFrame as BadFrame  # the word of this module's callers
from edge.vision.shared_memory import SharedMemoryCamera
from edge.vision.stream import StreamCamera

_log = logging.getLogger(__name__)

KEPT = 8
"""Frames that wait to be paired with a part; a picture is of no use when 8 newer ones exist."""

_READ_S = 0.25  # how long one read may wait; also how fast `close` is heard
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_JOIN_S = 6.0  # a network read that hangs ends by its own timeout within this


class CameraSettings(Protocol):
    """What a source needs to know: a [[camera]] of edge.toml."""

    @property
    def name(self) -> str:
        """Of the camera, in rows and log lines."""

    @property
    def kind(self) -> str:
        """shared_memory, folder, video, rtsp or v4l2."""

    @property
    def source(self) -> str:
        """File, folder, address or device."""

    @property
    def loop(self) -> bool:
        """Folder and video: start again at the end."""

    @property
    def delay_ms(self) -> int | None:
        """RTSP and V4L2: from exposure to arrival, at the most."""


class Camera(Protocol):
    """One connection to one source of frames, read by one thread."""

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, or a BadFrame in its place; None when none came in time.

        Raises:
            CameraError: the source is lost; close it and open it again.
        """

    def request(self) -> None:
        """Ask a source on demand for one picture; from any thread; else without effect."""

    def close(self) -> None:
        """Let the device go; safe to call twice."""


def open_camera(settings: CameraSettings) -> Camera:
    """Connect to a source.

    Raises:
        CameraError: it cannot be reached, in a sentence that names it.
    """
    if settings.kind == "shared_memory":
        return SharedMemoryCamera(settings.name, Path(settings.source))
    if settings.kind == "folder":
        return FolderCamera(settings.name, Path(settings.source), loop=settings.loop)
    delay_s = (settings.delay_ms or 0) / 1000
    return StreamCamera(
        settings.name, settings.kind, settings.source, loop=settings.loop, delay_s=delay_s
    )


class Capture:
    """Reads one camera in a thread of its own, for as long as the node runs.

    A lost camera is opened again after 0.2 s, then after twice as long each time up to 5 s, spread
    at random so that a row of cameras does not knock at once.
    """

    def __init__(self, settings: CameraSettings) -> None:
        """Start the thread; the first connection is made there too, so nothing is raised here."""
        self.name = settings.name
        self.frames = 0
        """Frames received, bad ones among them."""
        self.dropped = 0
        """Frames that the source counted and we did not get."""
        self.reconnects = 0
        """Connections made after the first."""
        self.fault: str | None = f"{settings.name}: not connected yet"
        """Why there are no pictures now; None while the camera is online."""
        self._settings = settings
        self._kept: deque[Frame] = deque(maxlen=KEPT)
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._camera: Camera | None = None
        self._connections = 0
        self._told = False  # the outage is in the log
        self._thread = threading.Thread(
            target=self._run, name=f"camera-{settings.name}", daemon=True
        )
        self._thread.start()

    @property
    def online(self) -> bool:
        """Whether a connection stands."""
        return self.fault is None

    def latest(self) -> Frame | None:
        """The newest frame that can be used, if any came yet."""
        with self._changed:
            usable = (f for f in reversed(self._kept) if not isinstance(f, BadFrame))
            return next(usable, None)

    def kept(self) -> tuple[Frame, ...]:
        """The last frames, bad ones among them, the oldest first."""
        with self._changed:
            return tuple(self._kept)

    def before(self, frame: Frame) -> Frame | None:
        """The frame that came just before this one, if it is still kept."""
        with self._changed:
            kept = list(self._kept)
        place = next((n for n, one in enumerate(kept) if one is frame), 0)
        return kept[place - 1] if place else None

    def wait_for(self, predicate: Callable[[Frame], bool], deadline_s: float) -> Frame | None:
        """The oldest kept frame that `predicate` accepts, waiting for new ones.

        Args:
            predicate: cheap, no side effects. It is also asked about a BadFrame, which is returned
                in the place of the frame it should have been.
            deadline_s: time.monotonic() at which the wait ends with None.
        """
        with self._changed:
            while True:
                found = next((frame for frame in self._kept if predicate(frame)), None)
                left_s = deadline_s - time.monotonic()
                if found is not None or left_s <= 0 or self._closing.is_set():
                    return found
                self._changed.wait(left_s)

    def request(self) -> bool:
        """Ask for one picture; False while the camera is away, and then none will come of it."""
        camera = self._camera
        if camera is None:
            return False
        camera.request()
        return True

    def close(self) -> None:
        """End the thread and let the camera go; safe to call twice."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        try:
            while not self._closing.is_set():
                before = self.frames
                try:
                    self._stay_connected()
                except CameraError as exc:
                    self._lost(exc)
                pause_s = _FIRST_PAUSE_S if self.frames > before else pause_s
                self._closing.wait(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        finally:  # also when this very code fails: a dead thread must not look like a live camera
            self.fault = f"{self.name}: closed"

    def _stay_connected(self) -> None:
        """Read until the camera is lost or we are closed."""
        camera = open_camera(self._settings)
        try:
            self._found(camera)
            expected = None
            while not self._closing.is_set():
                frame = camera.read(_READ_S)
                if frame is None:
                    continue
                with self._changed:
                    self.dropped += 0 if expected is None else max(0, frame.number - expected)
                    self.frames += 1
                    self._kept.append(frame)
                    self._changed.notify_all()
                expected = frame.number + 1
        finally:
            self._camera = None
            camera.close()

    def _found(self, camera: Camera) -> None:
        self._camera, self.fault = camera, None
        self._connections += 1
        self.reconnects = self._connections - 1
        self._told = False
        _log.info("camera %s: pictures from %s", self.name, self._settings.source)

    def _lost(self, exc: CameraError) -> None:
        """Tell it once; the attempts that follow are silent."""
        self.fault = str(exc)
        if not self._told:
            _log.info("camera %s: no pictures: %s; trying again", self.name, exc)
        self._told = True
