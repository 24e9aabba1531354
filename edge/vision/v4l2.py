"""V4L2 camera (USB, frame grabber) through OpenCV, its controls through `v4l2_controls`.

The kernel stamps each buffer on the clock of time.monotonic(): a picture that waited in the driver
is known to be old. The stamp is that of the transfer, so `delay_s` goes off it as well.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import CameraError
from edge.limits import View
from edge.terms import Frame
from edge.vision.setup import refuse
from edge.vision.stream import Stream
from edge.vision.v4l2_controls import Controls, Device

SETTLE_FRAMES = 4
"""Pictures that may still be under the old controls: those in the driver's buffers."""

_OLDEST_S = 5.0  # a kernel stamp that lies farther back is on another clock


@dataclass(frozen=True, slots=True)
class Wiring:
    """How the device is to deliver; None and {}: as it is."""

    size: tuple[int, int] | None = None  # width, height in px
    fps: float | None = None
    pixel_format: str | None = None  # four characters, such as "MJPG" or "YUYV"
    controls: Mapping[str, int] = field(default_factory=dict)  # by name, as v4l2-ctl shows them


class V4l2Camera:
    """One opened device."""

    def __init__(
        self, name: str, source: str, wiring: Wiring | None = None, *, delay_s: float = 0.0
    ) -> None:
        """Open the device and set its controls.

        Args:
            source: "/dev/video0", or its number "0".
            delay_s: from exposure to the kernel's stamp, at the most.

        Raises:
            CameraError: it cannot be opened, or not be set so.
        """
        self.name, self.source, self._delay_s = name, source, delay_s
        wiring = wiring or Wiring()
        path = Path(f"/dev/video{source}" if source.isdecimal() else source)
        if not path.exists():
            raise CameraError(f"{source}: there is no {path}")
        self._stream = Stream(source, "v4l2", str(path), cv2.CAP_V4L2, _asked(wiring))
        self._device = Device(path)
        self._number = 0
        try:
            self._check(wiring)
            self._controls = Controls(source, self._device.ioctl)
            for key, value in wiring.controls.items():
                self._controls.set(key, value)
        except CameraError:
            self.close()
            raise

    def read(self, timeout_s: float) -> Frame | None:
        """The next picture; waits for it up to 10 s, whatever `timeout_s`.

        Raises:
            CameraError: the device is gone or gave nothing.
        """
        image = self._picture()
        arrived_s = time.monotonic()
        stamp_s = self._stream.get(cv2.CAP_PROP_POS_MSEC) / 1000
        exposed_s = exposure(arrived_s, stamp_s) - self._delay_s
        number = self._number
        self._number += 1
        return Frame(self.name, number, exposed_s, image)

    def request(self) -> None:
        """Nothing to do: the camera runs freely."""

    def apply(self, view: View) -> None:
        """Set the exposure; drops the pictures that may not be under it yet.

        Raises:
            CameraError: the camera cannot be set so. Its gain is in steps of its own, which stand
                in edge.toml, not in dB.
        """
        refuse(view, self.source, "v4l2", able=("exposure_us",))
        if view.exposure_us is not None:
            self._controls.set_exposure(view.exposure_us)
            for _ in range(SETTLE_FRAMES):
                self._picture()

    def close(self) -> None:
        """Let the device go; safe to call twice."""
        self._stream.close()
        self._device.close()

    def _picture(self) -> npt.NDArray[np.uint8]:
        image = self._stream.read()
        if image is None:
            raise CameraError(f"{self.source}: the device is gone or gives no pictures")
        return image

    def _check(self, wiring: Wiring) -> None:
        """A camera that cannot deliver what was asked for delivers something else, silently.

        Raises:
            CameraError: it does.
        """
        if wiring.size is not None:
            keys = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
            given = tuple(int(self._stream.get(key)) for key in keys)
            if given != wiring.size:
                raise CameraError(
                    f"{self.source}: gives {given[0]} x {given[1]} px, "
                    f"expected {wiring.size[0]} x {wiring.size[1]}"
                )
        if wiring.pixel_format is not None:
            given_code = int(self._stream.get(cv2.CAP_PROP_FOURCC))
            if given_code != _fourcc(wiring.pixel_format):
                text = given_code.to_bytes(4, "little", signed=True).decode("ascii", "replace")
                raise CameraError(
                    f"{self.source}: gives pixel format {text}, expected {wiring.pixel_format}"
                )


def exposure(arrived_s: float, stamp_s: float) -> float:
    """The kernel's stamp where it can be one, else the arrival."""
    return stamp_s if 0 <= arrived_s - stamp_s <= _OLDEST_S else arrived_s


def _asked(wiring: Wiring) -> list[int]:
    asked: list[int] = []
    if wiring.pixel_format is not None:
        asked += [cv2.CAP_PROP_FOURCC, _fourcc(wiring.pixel_format)]
    if wiring.size is not None:
        asked += [cv2.CAP_PROP_FRAME_WIDTH, wiring.size[0]]
        asked += [cv2.CAP_PROP_FRAME_HEIGHT, wiring.size[1]]
    if wiring.fps is not None:
        asked += [cv2.CAP_PROP_FPS, round(wiring.fps)]
    return asked


def _fourcc(text: str) -> int:
    if len(text) != 4 or not text.isascii():
        raise CameraError(f"pixel_format {text!r}: expected four characters, such as MJPG")
    return int.from_bytes(text.encode("ascii"), "little")
