"""The output of a GenICam camera that fires the lamp, by the names of its standard (SFNC 2.7).

                     trigger      exposure_us
    exposure      ______|________|-----------|______
    output        _________|------------------|_____
                           |<---- width_us -->|

A negative delay_us, as drawn: TriggerDelay holds the exposure back while the lamp is lit already.

line    LineSelector, LineMode Output, LineInverter, LineSource Timer..Active
pulse   TimerSelector, TimerTriggerSource, TimerDelay, TimerDuration
or      StrobeEnable, StrobeLineDuration, StrobeLineDelay, StrobeLinePreDelay: cameras whose line
        has a pulse of its own (Hikrobot)
"""

from edge.errors import CameraError
from edge.limits import Strobe
from edge.terms import TriggerMode
from edge.vision.features import Features, choose, find, put

KEY = "[[view]] strobe"
_ROUNDED_US = 2.0


def set_strobe(features: Features, strobe: Strobe, line: str | None, trigger: TriggerMode) -> None:
    """Let the output fire the lamp at every exposure.

    Args:
        line: the output that the lamp is wired to, e.g. "Line1".

    Raises:
        CameraError: no `strobe_line` is set, or the camera cannot make this pulse.
    """
    if line is None:
        raise CameraError(
            f"{features.source}: {KEY}: which output fires the lamp? set strobe_line in [[camera]]"
        )
    choose(features, "strobe_line", "LineSelector", line)
    if features.has("StrobeEnable"):
        _pulse_of_the_line(features, strobe)
        return
    if features.has("LineMode"):
        choose(features, KEY, "LineMode", "Output")
    _set_polarity(features, strobe)
    choose(features, KEY, "LineSource", f"{_start_timer(features, strobe, trigger)}Active")


def _set_polarity(features: Features, strobe: Strobe) -> None:
    if strobe.polarity == "low" or features.has("LineInverter"):
        features.set(find(features, KEY, "LineInverter"), strobe.polarity == "low")


def _start_timer(features: Features, strobe: Strobe, trigger: TriggerMode) -> str:
    """Set the camera's first timer to the pulse; returns its name."""
    timer = features.choices(find(features, KEY, "TimerSelector"))[0]
    features.set("TimerSelector", timer)
    held_us = max(0.0, -strobe.delay_us)
    if held_us and trigger == "free_run":
        raise CameraError(
            f"{features.source}: {KEY}: a camera that runs freely cannot light before it exposes; "
            "set delay_us = 0 or a trigger"
        )
    if held_us or features.has("TriggerDelay"):
        put(features, KEY, find(features, KEY, "TriggerDelay"), held_us, _ROUNDED_US)
    source = "FrameTrigger" if held_us else "ExposureStart"
    choose(features, KEY, "TimerTriggerSource", source)
    put(features, KEY, "TimerDelay", max(0.0, strobe.delay_us), _ROUNDED_US)
    put(features, KEY, "TimerDuration", strobe.width_us, _ROUNDED_US)
    return timer


def _pulse_of_the_line(features: Features, strobe: Strobe) -> None:
    choose(features, KEY, "LineMode", "Strobe")
    _set_polarity(features, strobe)
    before, after = max(0.0, -strobe.delay_us), max(0.0, strobe.delay_us)
    put(features, KEY, find(features, KEY, "StrobeLineDuration"), strobe.width_us, _ROUNDED_US)
    for name, value in (("StrobeLineDelay", after), ("StrobeLinePreDelay", before)):
        if value or features.has(name):
            put(features, KEY, find(features, KEY, name), value, _ROUNDED_US)
    features.set("StrobeEnable", True)
