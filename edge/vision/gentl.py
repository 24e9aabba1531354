"""Cameras of any maker by its GenTL producer (a .cti file), with harvesters (extra `genicam`).

A producer can be opened once in a process: cameras of one producer share it, and it is closed with
the last of them.
"""

import contextlib
import importlib
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import CameraError
from edge.vision.features import Value
from edge.vision.found import FoundCamera
from edge.vision.genicam_camera import BUFFERS, Shot

_quiet = logging.getLogger("edge.vision.gentl.harvesters")
_quiet.setLevel(logging.CRITICAL)  # what it has to say becomes a CameraError

_lock = threading.Lock()
_opened: dict[str, tuple[Any, int]] = {}
"""By the producer's file: its Harvester, and how many cameras use it."""


class GentlTransport:
    """One connected camera, for edge.vision.genicam_camera."""

    features: Any

    def __init__(self, producer: Path, device: str | None) -> None:
        """Open the producer and one of its cameras.

        Args:
            producer: the maker's .cti file.
            device: serial number, user name or the producer's name of it; None: its only one.

        Raises:
            CameraError: harvesters or the producer is missing, or there is no such camera.
        """
        self.source = f"{producer.name} {device}" if device else producer.name
        self._producer = str(producer)
        self._acquirer: Any = None
        harvester = _open(self._producer)
        try:
            with _said(self.source):
                self._acquirer = harvester.create(_place(harvester, self.source, device))
                self._acquirer.num_buffers = BUFFERS
                self.features = GentlFeatures(self.source, self._acquirer.remote_device.node_map)
        except CameraError:
            self.close()
            raise

    def start(self) -> None:
        """Let the camera send."""
        with _said(self.source):
            self._acquirer.start()

    def stop(self) -> None:
        """Let it send no more."""
        with _said(self.source):
            self._acquirer.stop()

    def fetch(self, timeout_s: float) -> Shot | None:
        """The next picture; None when none came in time.

        Raises:
            CameraError: the camera is lost, or is not sending.
        """
        timeout = _module("genicam.gentl").TimeoutException
        with _said(self.source):
            if self._acquirer is None or not self._acquirer.is_acquiring():
                raise CameraError(f"{self.source}: not sending since it was set up")
            try:
                with self._acquirer.fetch(timeout=timeout_s) as buffer:
                    return _shot(buffer)
            except timeout:
                return None

    def close(self) -> None:
        """Let the camera go, and its producer with the last camera; safe to call twice."""
        acquirer, self._acquirer = self._acquirer, None
        producer, self._producer = self._producer, ""
        if acquirer is not None:
            with contextlib.suppress(CameraError), _said(self.source):
                acquirer.destroy()
        if producer:
            _let_go(producer)


class GentlFeatures:
    """The features of a connected camera, for edge.vision.features."""

    def __init__(self, source: str, nodes: Any) -> None:
        self.source = source
        self._nodes = nodes

    def has(self, name: str) -> bool:
        """Whether the camera has this feature now."""
        modes = _module("genicam.genapi").EAccessMode
        with _said(f"{self.source}: {name}"):
            return bool(
                self._nodes.has_node(name)
                and self._nodes.get_node(name).get_access_mode() not in (modes.NI, modes.NA)
            )

    def get(self, name: str) -> Value:
        """Its value, in the type of the feature."""
        with _said(f"{self.source}: {name}"):
            value: Value = self._nodes.get_node(name).value
            return value

    def set(self, name: str, value: Value) -> None:
        """Write it."""
        with _said(f"{self.source}: {name} = {value}"):
            node = self._nodes.get_node(name)
            whole = isinstance(value, float) and isinstance(node.value, int)
            node.value = round(value) if whole else value  # type: ignore[arg-type]

    def limits(self, name: str) -> tuple[float, float, float]:
        """Lowest and highest value, and the step of an integer."""
        with _said(f"{self.source}: {name}"):
            node = self._nodes.get_node(name)
            return node.min, node.max, node.inc if isinstance(node.value, int) else 0.0

    def choices(self, name: str) -> tuple[str, ...]:
        """What a choice may be set to."""
        with _said(f"{self.source}: {name}"):
            return tuple(self._nodes.get_node(name).symbolics)

    def run(self, name: str) -> None:
        """Carry out a command."""
        with _said(f"{self.source}: {name}"):
            self._nodes.get_node(name).execute()


def search(producer: Path) -> list[FoundCamera]:
    """The cameras that a producer sees.

    Raises:
        CameraError: harvesters is missing, or the file is no producer.
    """
    harvester = _open(str(producer))
    try:
        with _said(producer.name):
            return [
                FoundCamera(
                    "gentl",
                    str(producer),
                    f"{found['vendor']} {found['model']}",
                    found["serial_number"] or "",
                    found["id_"],
                    found["serial_number"] or found["id_"],
                )
                for found in _devices(harvester)
            ]
    finally:
        _let_go(str(producer))


def _open(producer: str) -> Any:
    with _lock:
        harvester, users = _opened.get(producer, (None, 0))
        if harvester is None:
            if not Path(producer).is_file():
                raise CameraError(f"{producer}: there is no such GenTL producer")
            with _said(producer):
                harvester = _module("harvesters.core").Harvester(logger=_quiet)
                harvester.add_file(producer, check_existence=True, check_validity=True)
                harvester.update()
        _opened[producer] = (harvester, users + 1)
        return harvester


def _let_go(producer: str) -> None:
    with _lock:
        harvester, users = _opened.pop(producer)
        if users > 1:
            _opened[producer] = (harvester, users - 1)
            return
        with contextlib.suppress(CameraError), _said(producer):
            harvester.reset()


def _place(harvester: Any, source: str, device: str | None) -> int:
    """Place of the camera in the producer's list."""
    names = [
        (one["serial_number"], one["user_defined_name"], one["id_"]) for one in _devices(harvester)
    ]
    places = [n for n, own in enumerate(names) if device is None or device in own]
    if len(places) != 1:
        expected = "one camera" if device is None else f"device {device!r}"
        serials = [serial for serial, *_ in names]
        raise CameraError(f"{source}: expected {expected}, the producer has {serials}")
    return places[0]


def _devices(harvester: Any) -> list[dict[str, Any]]:
    """What the producer says of each camera; None where it says nothing."""
    return [one.property_dict for one in harvester.device_info_list]


def _shot(buffer: Any) -> Shot:
    module, parts = buffer.module, buffer.payload.components
    whole = bool(module.is_complete()) and len(parts) > 0
    picture = parts[0] if whole else None
    return Shot(
        counter=module.frame_id,
        stamp_ns=_stamp_ns(module),
        arrived_s=time.monotonic(),  # harvesters tell no earlier moment
        width=picture.width if picture else 0,
        height=picture.height if picture else 0,
        content=np.array(picture.data, np.uint8) if picture else b"",
        fault=None if whole else "incomplete",
    )


def _stamp_ns(module: Any) -> int:
    try:
        return int(module.timestamp_ns)
    except _module("genicam.gentl").GenericException:
        return 0  # this producer has none


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise CameraError(f"{name} is not here: pip install 'quanjian[genicam]'") from exc


@contextlib.contextmanager
def _said(source: str) -> Iterator[None]:
    """What harvesters, the producer and the camera complain about, as ours.

    Raises:
        CameraError: in their words, after `source`.
    """
    complaints = (
        _module("genicam.gentl").GenericException,
        _module("genicam.genapi").GenericException,
    )
    try:
        yield
    except (*complaints, OSError, ValueError, RuntimeError) as exc:
        raise CameraError(f"{source}: {str(exc) or type(exc).__name__}") from exc
