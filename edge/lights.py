"""Light controllers as the lamps of cameras: where edge.plc and edge.vision meet for light.

Between two parts a thread looks whether the controllers still are as they were set. One that is not
is a fault of each camera that sees by it, which proves its lamps again before it is back.
"""

import functools
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager

from edge.errors import CameraError, PlcError
from edge.limits import Light
from edge.plc.light import LightController
from edge.settings import Settings

log = logging.getLogger(__name__)

WATCH_S = 2.0
"""Pause between two looks at the controllers."""

_JOIN_S = 3.0  # a look waits for answers, and for a camera that proves its lamps


class CameraLamp:
    """The controller that one camera sees by."""

    def __init__(self, controller: LightController, ratio: float) -> None:
        """`ratio`: the picture is at least so many times as bright with the lamps on as without."""
        self.ratio = ratio
        self.fault: str | None = None
        """Why the lamps may not shine as they were set last; None: they do, as far as is known."""
        self._controller = controller

    def alone(self) -> AbstractContextManager[object]:
        """Keeps the other cameras of this controller from switching anything meanwhile."""
        return self._controller.alone

    def apply(self, lights: Sequence[Light]) -> None:
        """Set these channels.

        Raises:
            CameraError: the controller does not answer, refuses, or has no such channel.
        """
        try:
            self._controller.set({light.channel: light.brightness for light in lights})
        except PlcError as wrong:
            raise CameraError(str(wrong)) from wrong
        self.fault = None


class Lights:
    """Every light controller of a node. The lamps stay as they are when the node stops."""

    def __init__(self, settings: Settings) -> None:
        """No port is opened before the first use."""
        self._settings = settings.light
        self._controllers = [LightController(light) for light in settings.light]
        self.lamps = {
            camera: CameraLamp(controller, light.lamp_ratio)
            for light, controller in zip(settings.light, self._controllers, strict=True)
            for camera in light.cameras
        }
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, idle: Callable[[Collection[str]], bool]) -> None:
        """Look at the controllers from now on, in a thread; once.

        Args:
            idle: is no part of any of these cameras between its trigger and the PLC's echo? Nothing
                is said to a controller meanwhile.
        """
        if self._controllers:
            self._thread = threading.Thread(
                target=self._run, args=(idle,), name="lights", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Give the ports back; safe to call twice."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(_JOIN_S)
        for controller in self._controllers:
            controller.close()

    def _run(self, idle: Callable[[Collection[str]], bool]) -> None:
        while not self._closing.wait(WATCH_S):
            for light, controller in zip(self._settings, self._controllers, strict=True):
                self._look(controller, light.cameras, idle)

    def _look(
        self,
        controller: LightController,
        cameras: Collection[str],
        idle: Callable[[Collection[str]], bool],
    ) -> None:
        """One look; whatever is wrong is a fault of each camera that sees by this controller."""
        try:
            controller.hold(functools.partial(self._may_ask, idle, cameras))
            return
        except PlcError as wrong:
            told = str(wrong)
        except Exception as wrong:  # a fault of ours must not end the watch for good
            log.exception("light %s: stumbled, looks again in %.0f s", controller.name, WATCH_S)
            told = f"light {controller.name}: {type(wrong).__name__}: {wrong}"
        for camera in cameras:
            self.lamps[camera].fault = told

    def _may_ask(self, idle: Callable[[Collection[str]], bool], cameras: Collection[str]) -> bool:
        return not self._closing.is_set() and idle(cameras)
