"""The controls of a V4L2 camera (exposure, gain, power-line filter), by ioctl; no library needed.

    VIDIOC_QUERYCTRL  | id 4 | type 4 | name 32 | min 4 | max 4 | step 4 | default 4 | flags 4 | 8 |
    VIDIOC_G/S_CTRL   | id 4 | value 4 |

In the byte order of the machine. Names are those that `v4l2-ctl --list-ctrls` prints. Source:
linux/videodev2.h and v4l2-controls.h; on a bench with a camera:

    quanjian-edge check --config edge.toml && v4l2-ctl -d /dev/video0 --list-ctrls
"""

import errno
import fcntl
import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.errors import CameraError

QUERYCTRL, G_CTRL, S_CTRL = 0xC0445624, 0xC008561B, 0xC008561C
EXPOSURE_AUTO, EXPOSURE_ABSOLUTE, EXPOSURE_AUTO_PRIORITY = 0x9A0901, 0x9A0902, 0x9A0903
EXPOSURE_MANUAL = 1
EXPOSURE_UNIT_US = 100.0

_QUERY, _VALUE = struct.Struct("=II32siiiiIII"), struct.Struct("=Ii")
_NEXT = 0x80000000  # in a query: the control after this one
_CLASS = 6  # type of a heading, which is no control
_DISABLED, _GRABBED, _READ_ONLY, _INACTIVE = 0x1, 0x2, 0x4, 0x10
_MOST = 1000  # controls; a driver that never ends its list is broken

Ioctl = Callable[[int, bytearray], None]
"""Carries out one request on the device, changing the bytes in place; raises OSError."""


@dataclass(frozen=True, slots=True)
class Control:
    """What a driver says of one control."""

    id: int
    name: str  # e.g. "exposure_time_absolute"
    minimum: int
    maximum: int
    step: int
    default: int
    flags: int
    kind: int

    @classmethod
    def decode(cls, answer: bytes) -> "Control":
        """From the 68 bytes of VIDIOC_QUERYCTRL."""
        number, kind, name, low, high, step, default, flags, *_ = _QUERY.unpack(answer)
        text = name.partition(b"\0")[0].decode("utf-8", "replace").lower()
        plain = re.sub(r"[^a-z0-9]+", "_", text).strip("_")
        return cls(number, plain, low, high, step, default, flags, kind)


class Controls:
    """The controls of one opened device."""

    def __init__(self, source: str, ioctl: Ioctl) -> None:
        """Ask the driver for all of them.

        Raises:
            CameraError: the driver refuses.
        """
        self._source, self._ioctl = source, ioctl
        self.by_name = {control.name: control for control in self._list()}
        self._by_id = {control.id: control for control in self.by_name.values()}

    def set(self, name: str, value: int) -> None:
        """Set one control and make sure that the driver took it.

        Raises:
            CameraError: no such control, out of range, not settable now, or not taken.
        """
        control = self.by_name.get(name)
        if control is None:
            known = ", ".join(sorted(self.by_name)) or "none"
            raise CameraError(f"{self._source}: no control {name!r}; there are: {known}")
        self._set(control, value)

    def set_exposure(self, exposure_us: float) -> None:
        """A fixed shutter time; automatic exposure and its slower frame rates go off.

        Raises:
            CameraError: the camera has no such control, or does not take it.
        """
        absolute = self._by_id.get(EXPOSURE_ABSOLUTE)
        if absolute is None:
            raise CameraError(f"{self._source}: [[view]] exposure_us: it has no exposure control")
        for number, value in ((EXPOSURE_AUTO, EXPOSURE_MANUAL), (EXPOSURE_AUTO_PRIORITY, 0)):
            if number in self._by_id:
                self._set(self._by_id[number], value)
        # what was inactive under automatic exposure is not any more
        self._set(self._query(EXPOSURE_ABSOLUTE) or absolute, round(exposure_us / EXPOSURE_UNIT_US))

    def _set(self, control: Control, value: int) -> None:
        where = f"{self._source}: control {control.name}"
        if not control.minimum <= value <= control.maximum:
            raise CameraError(f"{where}: {value} is outside {control.minimum} to {control.maximum}")
        if control.flags & (_DISABLED | _GRABBED | _READ_ONLY | _INACTIVE):
            raise CameraError(f"{where}: cannot be set now (flags {control.flags:#x})")
        request = bytearray(_VALUE.pack(control.id, value))
        self._call(S_CTRL, request, where)
        self._call(G_CTRL, request, where)
        taken = _VALUE.unpack(request)[1]
        if abs(taken - value) >= max(1, control.step):
            raise CameraError(f"{where}: set to {value}, but the camera says {taken}")

    def _list(self) -> list[Control]:
        found: list[Control] = []
        number = 0
        while len(found) < _MOST and (control := self._query(number | _NEXT)) is not None:
            if control.id <= number:
                break  # the list must go up, or it would never end
            number = control.id
            found.append(control)
        return [one for one in found if one.kind != _CLASS and not one.flags & _DISABLED]

    def _query(self, number: int) -> Control | None:
        """What the driver says of a control; None: it has none (any more)."""
        answer = bytearray(_QUERY.pack(number, 0, b"", 0, 0, 0, 0, 0, 0, 0))
        try:
            self._ioctl(QUERYCTRL, answer)
        except OSError as exc:
            if exc.errno in (errno.EINVAL, errno.ENOTTY):
                return None
            raise CameraError(f"{self._source}: its controls cannot be listed: {exc}") from exc
        return Control.decode(bytes(answer))

    def _call(self, request: int, answer: bytearray, where: str) -> None:
        try:
            self._ioctl(request, answer)
        except OSError as exc:
            raise CameraError(f"{where}: {exc}") from exc


class Device:
    """A second opening of a device, for its controls; the pictures come by the first."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            CameraError: it cannot be opened.
        """
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        except OSError as exc:
            raise CameraError(f"{path}: cannot be opened: {exc}") from exc

    def ioctl(self, request: int, answer: bytearray) -> None:
        """One request.

        Raises:
            OSError: refused; `Controls` makes a sentence of it.
        """
        fcntl.ioctl(self._fd, request, answer, True)

    def close(self) -> None:
        """Let it go; safe to call twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
