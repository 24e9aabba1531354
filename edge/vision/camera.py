"""Where frames come from, and the thread that keeps the last of them.

open_camera(settings) --> Camera: one connection; it raises when the connection is lost
Capture(settings)     --> a thread that reads, keeps the last 8 frames, and connects again

A recipe's [[view]] is carried out by that thread between two reads, and after a new connection:

    apply(1, view)   setup = None, lights, camera.apply(view), setup = 1
    frames           exposed since then carry setup 1, those before it another number
"""

import logging
import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from msgspec import structs

from edge.errors import CameraError
from edge.limits import View
from edge.terms import Frame, TriggerMode
from edge.vision.address import redacted
from edge.vision.connection import Camera, open_camera
from edge.vision.image import BadFrame as BadFrame  # the word of this module's callers
from edge.vision.lamp import SETTLE_S, Lamp, prove
from edge.vision.setup import AS_FOUND, CameraSettings, asked

log = logging.getLogger(__name__)

KEPT = 8
"""Frames that wait to be paired with a part; a picture is of no use when 8 newer ones exist."""

HUNG_S = 3.0
"""A read that is out for longer hangs: the part that waits for its picture gets none."""

LET_GO_S = 5.0  # for the first picture of a setup, which is let go

_UNNUMBERED = ("rtsp", "v4l2")  # OpenCV reads them and tells no numbers

_OLDER = -1  # setup of a frame exposed before the newest one was in place
_READ_S = 0.25  # how long one read may wait; also how fast `close` and `apply` are heard
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_JITTER = random.Random()  # cameras that lost the same switch come back one by one
_JOIN_S = 6.0  # a network read that hangs ends by its own timeout within this


@dataclass(frozen=True, slots=True)
class _Setup:
    """What a camera is to be set to."""

    number: int
    view: View | None


def _freely(view: View) -> View:
    """The view for a camera that runs freely: its lamp cannot be on before the exposure begins."""
    if view.strobe is None or view.strobe.delay_us >= 0:
        return view
    return structs.replace(view, strobe=structs.replace(view.strobe, delay_us=0.0))


class Capture:
    """Reads one camera in a thread of its own, for as long as the node runs.

    A lost camera is opened again after 0.2 s, then after twice as long each time up to 5 s, spread
    at random so that a row of cameras does not knock at once.
    """

    def __init__(
        self,
        settings: CameraSettings,
        trigger: TriggerMode = "free_run",
        lamp: Lamp | None = None,
    ) -> None:
        """Start the thread; the first connection is made there too, so nothing is raised here."""
        self.name = settings.name
        self.frames = 0  # received, bad ones among them
        self.bad = 0  # received, of no use: incomplete, unreadable
        self.dropped = 0  # counted by the source, and we did not get them
        self.reconnects = 0  # connections made after the first
        self._fault: str | None = f"{settings.name}: not connected yet"
        self._read_since_s: float | None = None  # when the read that is out began
        self._settings, self._trigger, self._lamp = settings, trigger, lamp
        self._lit: View | None = None  # the view whose lamps are proved
        self._wanted = _Setup(AS_FOUND, None)
        self._setup: _Setup | None = None  # what the camera is under now
        self._since_s = float("-inf")  # frames exposed from here on are under it
        self._kept: deque[Frame] = deque(maxlen=KEPT)
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._wake = threading.Event()  # ends the pause before the next connection
        self._camera: Camera | None = None
        self._connections = 0
        self._told = False  # the outage is in the log
        self._thread = threading.Thread(
            target=self._run, name=f"camera-{settings.name}", daemon=True
        )
        self._thread.start()

    @property
    def read_s(self) -> float:
        """How long the read under way has been out; 0 between two."""
        since_s = self._read_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    @property
    def fault(self) -> str | None:
        """Why there are no pictures now; None while the camera is online."""
        if self._fault is None and self.read_s > HUNG_S:
            return f"{self.name}: hangs: a read is out for over {HUNG_S:g} s without any error"
        return self._fault

    @property
    def online(self) -> bool:
        """Whether a connection stands, and its reads end."""
        return self.fault is None

    @property
    def setup(self) -> int | None:
        """Number of the setup that the camera is under; None: away, or being set up."""
        setup = self._setup
        return setup.number if setup is self._wanted else None

    def apply(self, number: int, view: View | None) -> None:
        """Have the camera set up; returns at once, `setup == number` says when it is done.

        A camera that cannot be set so is away, with the sentence in `fault`, and is tried again
        until another setup is wanted.

        Args:
            number: of the setup; equal views have equal numbers, AS_FOUND goes without a view.
            view: what the recipe asks of this camera; None: leave it as it is.
        """
        if self._wanted != _Setup(number, view):
            self._wanted = _Setup(number, view)
            self._wake.set()

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

    def sentence(self) -> str:
        """The counts of this run, for the log."""
        unknown = self._settings.kind in _UNNUMBERED
        dropped = "losses not counted" if unknown else f"{self.dropped} dropped"
        return (
            f"{self.name} {self.frames} frames, {self.bad} bad, {dropped}, "
            f"{self.reconnects} reconnects"
        )

    def close(self) -> None:
        """End the thread and let the camera go; safe to call twice."""
        self._closing.set()
        self._wake.set()
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
                except Exception as exc:  # of ours or a library: no reason to stay away for good
                    log.exception("camera %s: a fault of its software", self.name)
                    self._lost(CameraError(f"{self.name}: {type(exc).__name__} in its software"))
                pause_s = _FIRST_PAUSE_S if self.frames > before else pause_s
                self._wake.wait(pause_s * _JITTER.uniform(0.5, 1.0))
                self._wake.clear()
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        finally:  # also when this very code fails: a dead thread must not look like a live camera
            self._fault = f"{self.name}: closed"

    def _stay_connected(self) -> None:
        """Read until the camera is lost, its lamps are to be proved, or we are closed."""
        self._prove_lamps()
        camera = open_camera(self._settings, self._trigger)
        try:
            self._expected: int | None = None  # number of the next frame of this connection
            while not self._closing.is_set():
                if self.setup is None and not self._set_up(camera, self._wanted):
                    return
                if self._camera is None:
                    self._found(camera)
                self._mind_lamps()
                frame = self._read(camera)
                if frame is not None:
                    self._keep(frame)
        finally:
            self._camera = self._setup = None
            camera.close()

    def _read(self, camera: Camera) -> Frame | None:
        self._read_since_s = time.monotonic()
        try:
            return camera.read(_READ_S)
        finally:
            self._read_since_s = None

    def _is_proved(self, view: View | None) -> bool:
        """Whether parts may be judged under this view, as far as its lamps are concerned."""
        return view is None or not view.light or view == self._lit

    def _prove_lamps(self) -> None:
        """On a connection of its own, which runs freely: a part's trigger may never come."""
        view = self._wanted.view
        if view is None or self._is_proved(view):
            return
        if self._lamp is None:
            raise CameraError(f"{self.name}: [[view]] light: no light controller is wired to it")
        camera = open_camera(self._settings)
        try:
            camera.apply(_freely(view))
            prove(self.name, camera, self._lamp, view.light)
        finally:
            camera.close()
        self._lit = view

    def _mind_lamps(self) -> None:
        """A lamp that went out is proved again before the next part, from the beginning."""
        view = self._wanted.view
        fault = self._lamp.fault if self._lamp is not None and view and view.light else None
        if fault is not None:
            self._lit = None
            raise CameraError(f"{self.name}: {fault}")

    def _keep(self, frame: Frame) -> None:
        expected, self._expected = self._expected, max(self._expected or 0, frame.number + 1)
        setup = self._setup.number if self._setup else _OLDER
        under = setup if frame.exposed_s >= self._since_s else _OLDER
        kept = replace(frame, setup=under) if under != frame.setup else frame
        with self._changed:
            self.dropped += 0 if expected is None else max(0, frame.number - expected)
            self.frames += 1
            self.bad += isinstance(frame, BadFrame)
            self._kept.append(kept)
            self._changed.notify_all()

    def _set_up(self, camera: Camera, wanted: _Setup) -> bool:
        """Bring the camera under a setup; frames of another one are let go. False: prove first."""
        self._setup, since_s = None, float("-inf")
        if not self._is_proved(wanted.view):
            return False
        if wanted.view is not None:
            if self._lamp is not None and wanted.view.light:
                self._lamp.apply(wanted.view.light)
                self._closing.wait(SETTLE_S)  # a lamp that still changes is no setup
            camera.apply(wanted.view)
            since_s = self._let_one_go(camera, wanted.view)
        with self._changed:
            self._since_s = since_s
            same = [frame for frame in self._kept if frame.setup == wanted.number]
            self._kept = deque(same, maxlen=KEPT)
            self._setup = wanted
        return True

    def _let_one_go(self, camera: Camera, view: View) -> float:
        """From when on exposures are under the setup; its first picture shows the change itself.

        A camera that the sensor fires has none until a part comes; its setup counts from now on.
        """
        since_s = time.monotonic()
        if self._trigger == "hardware" or not (asked(view) or view.light):
            return since_s
        camera.request()
        while time.monotonic() < since_s + LET_GO_S and not self._closing.is_set():
            frame = self._read(camera)
            if frame is not None and frame.exposed_s >= since_s:
                self.frames, self._expected = self.frames + 1, frame.number + 1
                return math.nextafter(frame.exposed_s, math.inf)
        raise CameraError(f"{self.name}: no picture under its new setup within {LET_GO_S:g} s")

    def _found(self, camera: Camera) -> None:
        self._camera, self._fault = camera, None
        self._connections += 1
        self.reconnects = self._connections - 1
        self._told = False
        log.info("camera %s: pictures from %s", self.name, redacted(self._settings.source))

    def _lost(self, exc: CameraError) -> None:
        """Tell it once; the attempts that follow are silent."""
        self._fault = str(exc)
        if not self._told:
            log.info("camera %s: no pictures: %s; trying again", self.name, exc)
        self._told = True
