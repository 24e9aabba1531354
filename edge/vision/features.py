"""How a GenICam camera is set by the names of its standard (SFNC 2.7), whatever library carries it.

exposure_us   ExposureMode Timed, ExposureAuto Off, ExposureTime (before SFNC 2: ExposureTimeAbs)
gain_db       GainAuto Off, Gain (GainAbs)
region        OffsetX, OffsetY, Width, Height
trigger       TriggerSelector, TriggerMode, TriggerSource
strobe        see edge.vision.strobe
"""

from typing import Protocol

from edge.errors import CameraError
from edge.limits import View
from edge.terms import TriggerMode

Value = bool | int | float | str

EXPOSURE = ("ExposureTime", "ExposureTimeAbs")
GAIN = ("Gain", "GainAbs")
ROWS = "LineStart"
"""The trigger of each row of a line-scan camera."""


class Features(Protocol):
    """The features of one connected camera."""

    source: str
    """The camera, for messages."""

    def has(self, name: str) -> bool:
        """Whether the camera has this feature now."""

    def get(self, name: str) -> Value:
        """Its value; CameraError: it cannot be read."""

    def set(self, name: str, value: Value) -> None:
        """Write it; CameraError: the camera refuses, the feature is named."""

    def limits(self, name: str) -> tuple[float, float, float]:
        """Lowest and highest value of a number, and its step; 0 = any."""

    def choices(self, name: str) -> tuple[str, ...]:
        """What a choice may be set to."""

    def run(self, name: str) -> None:
        """Carry out a command."""


def find(features: Features, key: str, *names: str) -> str:
    """The first of these features that the camera has.

    Raises:
        CameraError: it has none of them.
    """
    name = next((name for name in names if features.has(name)), None)
    if name is None:
        needed = " or ".join(names)
        raise CameraError(f"{features.source}: {key}: this camera has no feature {needed}")
    return name


def choose(features: Features, key: str, name: str, value: str) -> None:
    """Set a choice.

    Raises:
        CameraError: the camera has no such feature or choice; says what it has.
    """
    choices = features.choices(find(features, key, name))
    if value not in choices:
        raise CameraError(
            f"{features.source}: {key}: {name} cannot be {value}; this camera has {list(choices)}"
        )
    if features.get(name) != value:  # what stands so may be fixed so
        features.set(name, value)


def put(features: Features, key: str, name: str, value: float, off: float = 0.0) -> None:
    """Set a number and see that the camera took it.

    Args:
        off: the camera may round by so much.

    Raises:
        CameraError: out of the camera's range, between its steps, or not taken.
    """
    low, high, step = features.limits(name)
    told = f"{features.source}: {key}: {name} {value:.10g}"
    if not low <= value <= high:
        raise CameraError(f"{told}: expected {low:.10g} to {high:.10g}")
    if off == 0 and step and (value - low) % step:
        raise CameraError(f"{told}: expected {low:g} plus a multiple of {step:.10g}")
    features.set(name, value)
    took = float(features.get(name))
    if abs(took - value) > off:
        raise CameraError(f"{told}: the camera takes {took:.10g} instead; set that")


def apply_view(features: Features, view: View) -> None:
    """Set exposure, gain and region; the camera must not be sending meanwhile.

    Raises:
        CameraError: names the key of the view.
    """
    if view.exposure_us is not None:
        if features.has("ExposureMode"):  # a trigger that lasts may set the exposure otherwise
            choose(features, "[[view]] exposure_us", "ExposureMode", "Timed")
        _off(features, "ExposureAuto")
        name = find(features, "[[view]] exposure_us", *EXPOSURE)
        put(features, "[[view]] exposure_us", name, view.exposure_us, 1 + 0.02 * view.exposure_us)
    if view.gain_db is not None:
        _off(features, "GainAuto")
        name = find(features, "[[view]] gain_db", *GAIN)
        put(features, "[[view]] gain_db", name, view.gain_db, 0.2)
    if view.region is not None:
        _set_region(features, view.region)


def exposure_s(features: Features) -> float:
    """How long the camera exposes now; 0 where it does not say."""
    name = next((name for name in EXPOSURE if features.has(name)), None)
    return float(features.get(name)) / 1e6 if name else 0.0


def is_automatic(features: Features) -> bool:
    """Does the camera choose its exposure itself, frame by frame?"""
    return features.has("ExposureAuto") and features.get("ExposureAuto") != "Off"


def set_trigger(features: Features, mode: TriggerMode, line: str | None) -> None:
    """Say what starts a frame.

    What starts a row of a line-scan camera (LineStart) stays as the camera was set up: the encoder.

    Args:
        line: hardware: the input that the sensor is wired to, e.g. "Line0".

    Raises:
        CameraError: the camera cannot be triggered so.
    """
    if features.has("AcquisitionMode"):
        choose(features, "trigger", "AcquisitionMode", "Continuous")
    if mode == "free_run" and not features.has("TriggerMode"):
        return
    find(features, f"trigger {mode}", "TriggerMode")
    selectors = features.choices("TriggerSelector") if features.has("TriggerSelector") else ()
    for selector in selectors:  # one left on, such as AcquisitionStart, would stop every picture
        if selector != ROWS:
            features.set("TriggerSelector", selector)
            features.set("TriggerMode", "Off")
    if mode == "free_run":
        if not selectors:
            features.set("TriggerMode", "Off")
        return
    if selectors:
        choose(features, "trigger", "TriggerSelector", "FrameStart")
    source = "Software" if mode == "software" else str(line)
    choose(features, "trigger" if mode == "software" else "trigger_line", "TriggerSource", source)
    features.set("TriggerMode", "On")


def _off(features: Features, name: str) -> None:
    if features.has(name):
        features.set(name, "Off")


def _set_region(features: Features, region: tuple[int, int, int, int]) -> None:
    """Offsets go to their lowest first: until then they limit the size."""
    key = "[[view]] region"
    for axis, offset, size in (("X", region[0], region[2]), ("Y", region[1], region[3])):
        at = find(features, key, f"Offset{axis}")
        length = find(features, key, "Width" if axis == "X" else "Height")
        features.set(at, int(features.limits(at)[0]))
        put(features, key, length, size)
        put(features, key, at, offset)
