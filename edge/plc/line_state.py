"""Whether a line runs or stands, and why, from its PLC's block and tags. No port, no clock.

    a tag is the line_state   its PackML number, 0 to 17; undefined while it cannot be read
    else                      LineRunning of the block: execute or stopped
    no PLC                    undefined

The cause is the stop_cause tag as read after the line stopped: before that it may be an old one. A
line that executes has none, and neither has one whose PLC says 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.settings import Tag

EXECUTE = 6
STATES = 18
"""PackML numbers are 0 to 17; names in edge.mqtt.message.LineWord."""


@dataclass(frozen=True, slots=True)
class LineSeen:
    """The line of this station runs or stands otherwise than before."""

    source: str
    state: int  # PackML
    cause: int | None
    word: str | None  # of the cause, from edge.toml


Latest = Callable[[str, Tag, float], tuple[int, float] | None]
"""The newest value of a tag of this source and when it was made; None where it cannot be read now,
monotonic."""


class LineWatch:
    """The line of one station."""

    def __init__(self, station: str, wanted: Sequence[Tag]) -> None:
        """`wanted`: every tag of edge.toml; this station's that have a role are looked at."""
        own = {tag.role: tag for tag in wanted if tag.station == station}
        self._station = station
        self._state_tag, self._cause_tag = own.get("line_state"), own.get("stop_cause")
        self._state: int | None = None
        self._since_s = 0.0  # of that state, monotonic
        self._told = LineSeen(station, 0, None, None)  # nobody has to hear that of a start

    def see(self, running: bool | None, latest: Latest, now_s: float) -> LineSeen | None:
        """What changed, if anything did.

        Args:
            running: as the PLC's block says; None = no PLC.
        """
        state = self._state_of(running, latest, now_s)
        if state != self._state:
            self._state, self._since_s = state, now_s
        cause = None if running is None or state == EXECUTE else self._cause(latest, now_s)
        word = self._cause_tag.words.get(str(cause)) if self._cause_tag and cause else None
        seen = LineSeen(self._station, state, cause, word)
        if seen == self._told:
            return None
        self._told = seen
        return seen

    def _state_of(self, running: bool | None, latest: Latest, now_s: float) -> int:
        if running is None:
            return 0
        if self._state_tag is None:
            return EXECUTE if running else 2
        read = latest(self._station, self._state_tag, now_s)
        return read[0] if read is not None and 0 <= read[0] < STATES else 0

    def _cause(self, latest: Latest, now_s: float) -> int | None:
        if self._cause_tag is None:
            return None
        read = latest(self._station, self._cause_tag, now_s)
        if read is None or read[1] < self._since_s:
            return None
        return read[0] or None
