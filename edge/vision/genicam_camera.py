"""One GenICam camera (GigE Vision, USB3 Vision, GenTL), whatever library carries it.

The frame's number is the camera's own counter. One trigger makes one frame, so with the sensor
wired to the camera it counts the triggers too, also those whose picture was lost on the way.
A picture with a piece missing is a BadFrame: counted, never judged.
"""

import threading
import time
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge.errors import CameraError, ImageError
from edge.limits import View
from edge.terms import Frame, TriggerMode
from edge.vision.camera_clock import CameraClock, latch
from edge.vision.features import (
    Features,
    apply_view,
    choose,
    exposure_s,
    is_automatic,
    set_trigger,
)
from edge.vision.frame_count import FrameCount
from edge.vision.image import bad_frame
from edge.vision.pixels import check_format, to_image
from edge.vision.setup import CameraSettings, asked
from edge.vision.strobe import set_strobe

BUFFERS = 8
"""Pictures that may come before the first is taken."""

_LATCH_S = 5.0  # the camera's clock is read again after this: at 50 ppm it is off by 0.3 ms


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture as it came."""

    counter: int  # the camera's own
    stamp_ns: int  # by the camera's clock; 0 = none
    arrived_s: float  # of its first packet, time.monotonic()
    width: int
    height: int
    content: bytes | npt.NDArray[np.uint8] = field(repr=False)
    fault: str | None = None  # why it is not whole


class Transport(Protocol):
    """A connected camera, as one library carries it. Every failure is a CameraError."""

    features: Features

    def start(self) -> None:
        """Let the camera send."""

    def stop(self) -> None:
        """Let it send no more; pictures that came are let go."""

    def fetch(self, timeout_s: float) -> Shot | None:
        """The next picture; `content` is the caller's own. CameraError: the camera is lost."""

    def close(self) -> None:
        """Stop, and let the camera go for other programs; safe to call twice, never raises."""


class GenicamCamera:
    """Connected and sending; every change of its setup stops it, so that no frame has two."""

    def __init__(
        self, settings: CameraSettings, trigger: TriggerMode, transport: Transport
    ) -> None:
        """Say what triggers, and let the camera send.

        Raises:
            CameraError: it cannot do what the settings say.
        """
        self.name, self.source = settings.name, settings.source
        self._settings, self._trigger, self._transport = settings, trigger, transport
        self._control = threading.Lock()  # one command at a time: requests come from another thread
        self._count, self._clock = FrameCount(), CameraClock()
        self._fault: str | None = None
        self._closed = False
        try:
            if settings.pixel_format is not None:
                choose(self.features, "pixel_format", "PixelFormat", settings.pixel_format)
            set_trigger(self.features, trigger, settings.trigger_line)
            self._start()
        except CameraError:
            transport.close()
            raise

    @property
    def features(self) -> Features:
        """The camera's own settings."""
        return self._transport.features

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, a BadFrame if it is not whole; None when none came in time.

        Raises:
            CameraError: the camera is lost.
        """
        if self._fault is not None:
            raise CameraError(self._fault)
        if time.monotonic() > self._latch_due_s:
            with self._control:
                self._latch()
        shot = self._transport.fetch(timeout_s)
        return self._frame(shot) if shot is not None else None

    def request(self) -> None:
        """Fire the software trigger; a camera with another trigger needs no request."""
        if self._trigger != "software":
            return
        with self._control:
            if self._closed:  # between a look at the camera and this, it was lost
                return
            try:
                self.features.run("TriggerSoftware")
            except CameraError as exc:
                self._fault = str(exc)

    def apply(self, view: View) -> None:
        """Stop, set what the view names, and go on.

        Raises:
            CameraError: the camera cannot be set so; names the key. It is not sending any more.
        """
        if not asked(view):
            return
        with self._control:
            self._transport.stop()
            apply_view(self.features, view)
            if view.strobe is not None:
                line = self._settings.strobe_line
                set_strobe(self.features, view.strobe, line, self._trigger)
            self._start()

    def close(self) -> None:
        """Let the camera go; safe to call twice."""
        with self._control:
            self._closed = True
            self._transport.close()

    def _start(self) -> None:
        self._pixel_format = str(self.features.get("PixelFormat"))
        check_format(self.source, self._pixel_format)
        self._exposure_s = exposure_s(self.features)
        self._automatic = is_automatic(self.features)
        self._latch()
        self._count.restart()
        self._transport.start()

    def _latch(self) -> None:
        latch(self.features, self._clock)
        self._latch_due_s = time.monotonic() + _LATCH_S

    def _frame(self, shot: Shot) -> Frame:
        if self._automatic:
            with self._control:
                self._exposure_s = exposure_s(self.features)
        number = self._count.next(shot.counter)
        exposed_s = self._clock.exposed_s(shot.stamp_ns, shot.arrived_s, self._exposure_s)
        fault = shot.fault
        if fault is None:
            try:
                image = to_image(shot.content, shot.width, shot.height, self._pixel_format)
                counted = number if self._trigger == "hardware" else None
                return Frame(self.name, number, exposed_s, image, counted)
            except ImageError as exc:
                fault = str(exc)
        text = f"{self.source}: picture {number} is not whole: {fault}"
        return bad_frame(self.name, number, exposed_s, None, text)
