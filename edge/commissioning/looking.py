"""One camera as the node has it: under the recipe's setup, with its lamps proved, a picture a time.

A camera whose sensor would trigger it is asked by software here: no part need come.
"""

import time
from types import TracebackType

import numpy as np
import numpy.typing as npt

from edge import cameras
from edge.errors import CameraError
from edge.lights import Lights
from edge.settings import Camera, Settings
from edge.terms import Frame
from edge.vision.address import redacted
from edge.vision.camera import BadFrame, Capture
from edge.vision.setup import AS_FOUND

_LOOK_S = 0.2  # how often it is asked how the camera stands
_NUMBER = 1  # of the only setup asked for here


class Looking:
    """The camera's pictures, from enter to exit."""

    def __init__(self, wiring: Settings, camera: Camera) -> None:
        """Nothing is opened before `__enter__`."""
        self.camera = camera
        self.view = cameras.view_of(camera, wiring)
        self._wiring = wiring
        self._setup = AS_FOUND if self.view is None else _NUMBER

    def __enter__(self) -> "Looking":
        self._lights = Lights(self._wiring)
        trigger = cameras.trigger_of(self.camera, self._wiring)
        self._capture = Capture(self.camera, trigger, self._lights.lamps.get(self.camera.name))
        if self.view is not None:
            self._capture.apply(self._setup, self.view)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _wrong: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        self._capture.close()
        self._lights.close()

    @property
    def exposure_us(self) -> float | None:
        """Shutter time that the recipe or edge.toml says; None: whatever the camera is set to."""
        asked = self.view.exposure_us if self.view is not None else None
        return asked or self.camera.exposure_us

    def picture(self, within_s: float) -> npt.NDArray[np.uint8]:
        """One that is exposed from now on, (H, W) or (H, W, 3) uint8.

        Raises:
            CameraError: none came in time, or one that cannot be used.
        """
        began_s = time.monotonic()
        deadline_s = began_s + within_s
        asked = False

        def fresh(frame: Frame) -> bool:
            return frame.setup == self._setup and frame.exposed_s >= began_s

        while (now_s := time.monotonic()) < deadline_s:
            if not asked and self._capture.setup == self._setup:
                asked = self._capture.request()
            found = self._capture.wait_for(fresh, min(deadline_s, now_s + _LOOK_S))
            if isinstance(found, BadFrame):
                raise CameraError(f"{self.camera.name}: {found.text}")
            if found is not None:
                return found.image
        why = self._capture.fault or "connected, but none came"
        source = redacted(self.camera.source)
        raise CameraError(f"{source}: no picture within {within_s:g} s: {why}")
