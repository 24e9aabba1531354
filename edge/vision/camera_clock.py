"""When a frame was exposed, on the node's clock, from what a GenICam camera tells.

    exposure     |------------|
    sending                    ...[packets]
    known        ^ stamp?     ^ stamp?   ^ arrival

A camera sends when its exposure is over, so the exposure began no later than arrival - exposure; a
camera or network that holds a picture back makes that too late. Its time stamp does not suffer so,
but marks the start or the end of the exposure, as its maker likes. The earlier of both is believed:
too early costs a verdict, too late may show the part before.
"""

import time

from edge.vision.features import Features

_FAR_S = 10.0  # a stamp that far from its arrival is of another clock
_GOOD_LATCH_S = 0.002  # a slower answer says less about the moment in between
_LATCHES = (
    ("TimestampLatch", "TimestampLatchValue", None),
    ("GevTimestampControlLatch", "GevTimestampValue", "GevTimestampTickFrequency"),
)


class CameraClock:
    """The camera's clock against time.monotonic()."""

    def __init__(self) -> None:
        self._offset_s: float | None = None  # to be added to the camera's seconds

    def latched(self, camera_ns: int, before_s: float, after_s: float) -> None:
        """The camera's clock showed `camera_ns` between these two moments."""
        if self._offset_s is None or after_s - before_s <= _GOOD_LATCH_S:
            self._offset_s = (before_s + after_s) / 2 - camera_ns / 1e9

    def exposed_s(self, stamp_ns: int, arrived_s: float, exposure_s: float) -> float:
        """Start of the exposure, time.monotonic().

        Args:
            stamp_ns: of the frame, by the camera's clock; 0 = none.
            arrived_s: of its first packet, time.monotonic().
            exposure_s: how long the camera exposes.
        """
        latest_s = arrived_s - exposure_s
        if self._offset_s is None or stamp_ns == 0:
            return latest_s
        stamp_s = stamp_ns / 1e9 + self._offset_s
        return min(latest_s, stamp_s) if abs(stamp_s - arrived_s) < _FAR_S else latest_s


def latch(features: Features, clock: CameraClock) -> None:
    """Read the camera's clock, where it has one that can be read.

    Raises:
        CameraError: the camera does not answer.
    """
    for command, value, frequency in _LATCHES:
        if not (features.has(command) and features.has(value)):
            continue
        ticks_per_s = float(features.get(frequency)) if frequency else 1e9
        if ticks_per_s <= 0:
            continue
        before_s = time.monotonic()
        features.run(command)
        after_s = time.monotonic()
        clock.latched(round(float(features.get(value)) / ticks_per_s * 1e9), before_s, after_s)
        return
