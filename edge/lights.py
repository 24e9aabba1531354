"""Light controllers as the lamps of cameras: where edge.plc and edge.vision meet for light."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from edge.errors import CameraError, PlcError
from edge.limits import Light
from edge.plc.light import LightController
from edge.settings import Settings


class CameraLamp:
    """The controller that one camera sees by."""

    def __init__(self, controller: LightController, ratio: float) -> None:
        """`ratio`: the picture is at least so many times as bright with the lamps on as without."""
        self.ratio = ratio
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


class Lights:
    """Every light controller of a node. The lamps stay as they are when the node stops."""

    def __init__(self, settings: Settings) -> None:
        """No port is opened before the first use."""
        self._controllers = [LightController(light) for light in settings.light]
        self.lamps = {
            camera: CameraLamp(controller, light.lamp_ratio)
            for light, controller in zip(settings.light, self._controllers, strict=True)
            for camera in light.cameras
        }

    def close(self) -> None:
        """Give the ports back; safe to call twice."""
        for controller in self._controllers:
            controller.close()
