"""When a frame of a stream was exposed, if only its arrival and the sender's clock are known. Pure.

Right after a connection, and after every stall, old frames arrive all at once: what the decoder was
given while it probed, what a relay or a socket had kept. By their arrival they look new. By the
sender's clock they are not: arrival and clock must advance alike.

    offset = arrival - clock     constant in real time, falls while a backlog drains,
                                 higher by its lag for a frame that comes late
    floor  = lowest offset       of a frame that nothing held up
    exposed = clock + floor - longest delay     at the latest, whenever it arrived

Assumed: a backlog drains at least 4 % faster than real time; two clocks drift apart by less than
0.05 %; a frame that nothing holds up takes no longer than the longest delay, which the site has
measured. What a camera or relay holds back for ever is part of that delay.
"""

SETTLE_S = 0.5
"""The floor must have stood for so long before a frame is believed."""

FALL_S = 0.02  # a floor that falls by more is that of a backlog
DRIFT = 0.0005  # the floor may rise so many seconds a second, for a sender's clock that runs slow
MAX_LAG_S = 0.5
"""A frame that comes so much later than it could is not worth having."""


class RealTime:
    """The clock of one connection."""

    def __init__(self, longest_delay_s: float) -> None:
        """`longest_delay_s`: from exposure to arrival, at the most, in a stream that keeps up."""
        self._longest_delay_s = longest_delay_s
        self._floor_s = float("inf")
        self._stood_s = float("inf")  # the floor that has stood ...
        self._since_s = 0.0  # ... since then
        self._before_s = 0.0  # arrival of the frame before

    def exposed_s(self, arrived_s: float, clock_s: float) -> float | None:
        """The frame was not exposed before this moment, within 2 ms; None: too old, or not known.

        Args:
            arrived_s: time.monotonic(), not before that of the last frame.
            clock_s: of the sender, from any zero.
        """
        offset_s = arrived_s - clock_s
        self._floor_s = min(offset_s, self._floor_s + DRIFT * (arrived_s - self._before_s))
        self._before_s = arrived_s
        if self._floor_s < self._stood_s - FALL_S:
            self._stood_s, self._since_s = self._floor_s, arrived_s
        if arrived_s - self._since_s < SETTLE_S or offset_s - self._floor_s > MAX_LAG_S:
            return None
        return clock_s + self._floor_s - self._longest_delay_s
