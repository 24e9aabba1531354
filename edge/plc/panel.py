"""Ready, stop request, stack light and buzzer of a station's I/O. No port, no clock."""

from edge.plc.blocks import StatusFlags

BEAT_S = 0.25  # half a period of Ready where the I/O does not drop it by itself
BUZZ_S = 3.0  # long enough to be heard, short enough that nobody unplugs it

CAUSES = StatusFlags.FAULT | StatusFlags.STOP_REQUEST | StatusFlags.JOB_FAILED
"""What the buzzer sounds for, each time that one of them comes."""


class Panel:
    """Which outputs, by role, follow from the station's status."""

    def __init__(self, drops_itself: bool) -> None:
        """`drops_itself`: the outputs fall when the node is silent, so that Ready may stand."""
        self._drops_itself = drops_itself
        self._before = StatusFlags(0)
        self._buzz_until_s = float("-inf")

    def on(self, flags: StatusFlags, alive: bool, now_s: float) -> set[str]:
        """`alive`: the station's lease runs. Without it nothing but the alarm stands."""
        if flags & CAUSES & ~self._before:
            self._buzz_until_s = now_s + BUZZ_S
        self._before = flags
        beat = self._drops_itself or int(now_s / BEAT_S) % 2 == 0
        shown = {
            "ready": alive and beat and bool(flags & StatusFlags.TRIGGER_READY),
            "stop": bool(flags & StatusFlags.STOP_REQUEST),
            "warning": bool(flags & StatusFlags.WARNING) or not alive,
            "buzzer": now_s < self._buzz_until_s,
        }
        return {role for role, on in shown.items() if on}
