"""What a [[view]] of a recipe asks of its camera, and the answer of a source that cannot do it."""

from collections.abc import Collection
from typing import Literal

from edge.errors import CameraError
from edge.limits import View

TriggerMode = Literal["hardware", "software", "free_run"]
"""What starts an exposure: the sensor's wire, our request, or the camera itself."""

KEYS = ("exposure_us", "gain_db", "region", "strobe")
"""Keys of a [[view]] that the camera itself carries out; lights have a controller of their own."""


def asked(view: View) -> list[str]:
    """The keys that this view sets."""
    return [key for key in KEYS if getattr(view, key) is not None]


def refuse(view: View, source: str, kind: str, able: Collection[str] = ()) -> None:
    """Refuse a view with a key that is not among those this kind of source is `able` to set.

    Raises:
        CameraError: names the first such key.
    """
    key = next((key for key in asked(view) if key not in able), None)
    if key is not None:
        raise CameraError(f"{source}: [[view]] {key}: a {kind} camera cannot be set so")
