"""Aravis (LGPL; Debian: gir1.2-aravis-0.8): finds and opens GigE Vision and USB3 Vision cameras."""

from typing import Any, Literal

from edge.errors import CameraError
from edge.vision.features import Value
from edge.vision.found import FoundCamera
from edge.vision.introspection import load, said

_KINDS: dict[str, Literal["gige", "usb3"]] = {"GigEVision": "gige", "USB3Vision": "usb3"}


def load_aravis() -> Any:
    """The library.

    Raises:
        CameraError: names the Debian packages to install.
    """
    return load("Aravis", "0.8", "gir1.2-aravis-0.8")


def search() -> list[FoundCamera]:
    """Every GigE Vision and USB3 Vision camera that answers; takes about a second.

    Raises:
        CameraError: Aravis is not installed, or a network card cannot be searched.
    """
    aravis = load_aravis()
    with said("search for cameras"):
        aravis.update_device_list()
        return [
            FoundCamera(
                _KINDS[aravis.get_device_protocol(n)],
                aravis.get_device_serial_nbr(n) or aravis.get_device_id(n),
                f"{aravis.get_device_vendor(n)} {aravis.get_device_model(n)}",
                aravis.get_device_serial_nbr(n) or "",
                aravis.get_device_address(n) or "",
            )
            for n in range(aravis.get_n_devices())
            if aravis.get_device_protocol(n) in _KINDS
        ]


def connect(kind: str, source: str) -> Any:
    """Open one camera and take control of it.

    Args:
        kind: gige or usb3.
        source: serial number, user name, IP address, or Aravis' own name for it.

    Raises:
        CameraError: none answers to `source`, another program holds it, or it is another kind.
    """
    aravis = load_aravis()
    with said(source):
        camera = aravis.Camera.new(_id_of(aravis, source))
        found = "gige" if camera.is_gv_device() else "usb3" if camera.is_uv_device() else "another"
        if found == "gige" and not camera.get_device().is_controller():
            del camera  # in the traceback it would hold its connection open
            raise CameraError(f"{source}: another program controls this camera")
    if found != kind:
        raise CameraError(f"{source}: kind = {kind!r} in [[camera]], but it is {found!r}")
    return camera


def _id_of(aravis: Any, source: str) -> str:
    """Aravis' own name of the camera with this serial number; anything else as it is."""
    if "." in source:  # an address is asked directly, also in another network than ours
        return source
    aravis.update_device_list()
    serials = {aravis.get_device_serial_nbr(n): n for n in range(aravis.get_n_devices())}
    return str(aravis.get_device_id(serials[source])) if source in serials else source


class AravisFeatures:
    """The features of a connected camera, for edge.vision.features."""

    def __init__(self, source: str, camera: Any) -> None:
        self.source = source
        self._aravis = load_aravis()
        self._device = camera.get_device()
        self._nodes = self._device.get_genicam()

    def has(self, name: str) -> bool:
        """Whether the camera has this feature now."""
        with said(f"{self.source}: {name}"):
            return bool(self._device.is_feature_available(name))

    def get(self, name: str) -> Value:
        """Its value, in the type of the feature."""
        node, device = self._nodes.get_node(name), self._device
        with said(f"{self.source}: {name}"):
            if isinstance(node, self._aravis.GcEnumeration | self._aravis.GcString):
                return str(device.get_string_feature_value(name))
            if isinstance(node, self._aravis.GcBoolean):
                return bool(device.get_boolean_feature_value(name))
            if isinstance(node, self._aravis.GcFloat):
                return float(device.get_float_feature_value(name))
            return int(device.get_integer_feature_value(name))

    def set(self, name: str, value: Value) -> None:
        """Write it."""
        node, device = self._nodes.get_node(name), self._device
        with said(f"{self.source}: {name} = {value}"):
            if isinstance(value, str):
                device.set_string_feature_value(name, value)
            elif isinstance(value, bool):
                device.set_boolean_feature_value(name, value)
            elif isinstance(node, self._aravis.GcFloat):
                device.set_float_feature_value(name, float(value))
            else:
                device.set_integer_feature_value(name, round(value))

    def limits(self, name: str) -> tuple[float, float, float]:
        """Lowest and highest value, and the step of an integer."""
        with said(f"{self.source}: {name}"):
            if isinstance(self._nodes.get_node(name), self._aravis.GcFloat):
                low, high = self._device.get_float_feature_bounds(name)
                return low, high, 0.0
            low, high = self._device.get_integer_feature_bounds(name)
            return low, high, self._device.get_integer_feature_increment(name)

    def choices(self, name: str) -> tuple[str, ...]:
        """What a choice may be set to now."""
        with said(f"{self.source}: {name}"):
            return tuple(self._device.dup_available_enumeration_feature_values_as_strings(name))

    def run(self, name: str) -> None:
        """Carry out a command."""
        with said(f"{self.source}: {name}"):
            self._device.execute_command(name)
