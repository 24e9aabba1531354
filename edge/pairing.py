"""Which frame shows which part. No IO; one `Pairing` per camera of a station.

        sensor edge            offset: the way to this camera          tolerance
    ----[error]|----------------------------------------[ window of this part ]---------> time

hardware    the part's sensor also fires the camera: the exposure lies in the part's window, alone,
            and in no other part's; and the frame's own trigger count keeps its distance to the
            PLC's number. A part that disagrees is undecided(pairing); its distance is believed
            again once the next part shows the same (decision 0009).
software,   the part stands still or is slow: the first frame exposed in the window, which ends
free_run    where the next part may be there; the frame of a stream says the earliest time that it
            can have, so the window ends as much sooner as it may have been exposed later
"""

from collections import deque
from collections.abc import Iterable

from edge.terms import Frame, Reason, Trigger, TriggerMode

REMEMBERED = 16
"""Triggers kept: more than parts can be between a sensor and a camera."""


class Pairing:
    """Pairs the frames of one camera with the PLC's triggers, in the order of the triggers."""

    def __init__(
        self,
        mode: TriggerMode,
        tolerance_s: float,
        offset_s: float = 0.0,
        takt_s: float = float("inf"),
        delay_s: float = 0.0,
    ) -> None:
        """What is known of the line.

        Args:
            tolerance_s: a frame exposed so much later than edge and offset may show the next part.
            offset_s: from the sensor edge to the part's arrival at this camera.
            takt_s: hardware: no part follows another faster.
            delay_s: software, free_run: a frame may have been exposed so much later than it says.
        """
        self._mode = mode
        self._tolerance_s = tolerance_s
        self._offset_s = offset_s
        self._takt_s = takt_s
        self.delay_s = delay_s
        self._distance: int | None = None  # of the last frame given: trigger count minus number
        self._last_exposed_s = float("-inf")
        self._triggers: deque[Trigger] = deque(maxlen=REMEMBERED)

    def expect(self, trigger: Trigger) -> None:
        """The PLC has told of this part; also of one that nobody will look at."""
        self._triggers.append(trigger)

    def window(self, trigger: Trigger) -> tuple[float, float]:
        """The first and the last moment at which a frame of this part can be exposed."""
        at_s = trigger.edge_s + self._offset_s
        earliest_s = at_s - trigger.edge_error_s  # if the edge came as early as it can have
        if self._mode == "hardware":
            # a moving part may be exposed then
            return earliest_s, min(at_s + self._tolerance_s, earliest_s + self._takt_s)
        # a standing one not before it surely stands, nor once the next one may have come
        later = (t for t in self._triggers if t.edge_s > trigger.edge_s)
        next_s = (t.edge_s - t.edge_error_s + self._offset_s for t in later)
        latest_s = min(earliest_s + self._tolerance_s, min(next_s, default=float("inf")))
        return at_s, latest_s - self.delay_s

    def is_candidate(self, trigger: Trigger, frame: Frame) -> bool:
        """Can this frame, by its exposure time alone, show this part?"""
        earliest_s, latest_s = self.window(trigger)
        not_given = frame.exposed_s > self._last_exposed_s
        return not_given and earliest_s <= frame.exposed_s <= latest_s

    def take(
        self, trigger: Trigger, frame: Frame, kept: Iterable[Frame], alone: bool
    ) -> Reason | None:
        """Give `frame` to the part; None = it is this part's frame, else why it cannot be trusted.

        Args:
            kept: what the camera gave lately, `frame` among it.
            alone: no other part is between its trigger and its verdict; a first distance is
                believed only then.
        """
        self._last_exposed_s = frame.exposed_s
        if self._mode != "hardware":
            return None
        if frame.trigger_count is None or self.is_doubtful(trigger, frame, kept):
            return Reason.PAIRING
        distance = frame.trigger_count - trigger.part.number
        before, self._distance = self._distance, distance
        if distance == before or (before is None and alone):
            return None
        return Reason.PAIRING

    def is_doubtful(self, trigger: Trigger, frame: Frame, kept: Iterable[Frame]) -> bool:
        """Does what is known by now speak against a frame that was given to this part?

        A trigger or a frame that came only after the frame was taken may do so.
        """
        if not _holds(self.window(trigger), frame):
            return True
        if self._mode != "hardware":
            return False
        rivals = (t for t in self._triggers if t is not trigger)
        return any(_holds(self.window(rival), frame) for rival in rivals) or any(
            other is not frame and _holds(self.window(trigger), other) for other in kept
        )

    def lose(self) -> None:
        """The PLC counts anew: the distance is unknown."""
        self._distance = None


def _holds(window: tuple[float, float], frame: Frame) -> bool:
    earliest_s, latest_s = window
    return earliest_s <= frame.exposed_s <= latest_s
