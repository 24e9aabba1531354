"""The lamps that a camera sees by, and the proof that they light its picture.

A burnt-out lamp, a pulled plug or a lamp on another channel looks like a dark product. So before a
recipe with lights is used, one picture is taken with its lamps on and one with them off.
"""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from edge.errors import CameraError
from edge.limits import Light
from edge.terms import Frame
from edge.vision.image import BadFrame

SETTLE_S = 0.1
"""From the controller's answer to a steady light."""

PICTURE_S = 3.0
"""A picture must come within this; a stream needs some time after it was opened."""

LEAST_STEP = 4.0
"""Grey values that lamps must make; less is noise, whatever the ratio of two dark pictures."""


class Lamp(Protocol):
    """The light controller of one camera."""

    @property
    def ratio(self) -> float:
        """The picture must be so many times as bright with the lamps on as without."""

    @property
    def fault(self) -> str | None:
        """Why they may not shine as they were set last; None: they do, as far as is known."""

    def alone(self) -> AbstractContextManager[object]:
        """Keeps the other cameras of this controller from switching anything meanwhile."""

    def apply(self, lights: Sequence[Light]) -> None:
        """Set these channels; on return they shine so.

        Raises:
            CameraError: the controller does not answer or has no such channel.
        """


class Source(Protocol):
    """What a proof needs of a camera."""

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame."""

    def request(self) -> None:
        """Ask for one."""


def fault(lit: float, unlit: float, ratio: float) -> str | None:
    """Why two mean grey values, 0..255, do not prove that the lamps work; None: they do."""
    if lit >= ratio * unlit and lit - unlit >= LEAST_STEP:
        return None
    return (
        f"the lamps do not light the picture: mean grey value {lit:.1f} with them on, "
        f"{unlit:.1f} with them off, expected at least {ratio:g} times as much"
    )


def prove(name: str, camera: Source, lamp: Lamp, lights: Sequence[Light]) -> None:
    """Look with the lamps on and with them off; leaves them on. No proof where all are dark.

    Raises:
        CameraError: the lamps make too little difference, no picture came, or the controller fails.
    """
    if not any(light.brightness for light in lights):
        return
    with lamp.alone():
        lit, unlit = _looked(name, camera, lamp, lights)
    told = fault(lit, unlit, lamp.ratio)
    if told is not None:
        raise CameraError(f"{name}: {told}")


def _looked(name: str, camera: Source, lamp: Lamp, lights: Sequence[Light]) -> tuple[float, float]:
    """Mean grey values with the lamps on and off."""
    dark = [msgspec.structs.replace(light, brightness=0) for light in lights]
    try:
        lamp.apply(lights)
        lit = _picture(name, camera)
        lamp.apply(dark)
        unlit = _picture(name, camera)
    finally:
        lamp.apply(lights)
    return float(lit.mean()), float(unlit.mean())


def _picture(name: str, camera: Source) -> npt.NDArray[np.uint8]:
    """The first picture exposed under the light as it is now."""
    steady_s = time.monotonic() + SETTLE_S
    while time.monotonic() < steady_s + PICTURE_S:
        camera.request()
        frame = camera.read(0.25)
        if frame is None or isinstance(frame, BadFrame) or frame.exposed_s < steady_s:
            continue
        return frame.image
    raise CameraError(f"{name}: no picture to prove the lamps within {PICTURE_S:g} s")
