"""Which frame shows which part. No IO; one `Pairing` per camera of a station.

hardware    the part's sensor also fires the camera: the frame's own trigger count must keep its
            distance to the PLC's number, and its exposure must lie in
            [sensor edge, sensor edge + tolerance]. Any disagreement makes parts
            undecided(pairing) until one part alone on its way shows the new distance.
software,   the part stands still or is slow: the first frame exposed in
free_run    [sensor edge, sensor edge + tolerance]; after that the next part may be there
"""

from typing import Literal

from edge.terms import Frame, Reason, Trigger

TriggerMode = Literal["hardware", "software", "free_run"]


class Pairing:
    """Pairs the frames of one camera with the PLC's triggers."""

    def __init__(self, mode: TriggerMode, tolerance_s: float) -> None:
        """`tolerance_s`: a frame exposed later after the sensor edge may show the next part."""
        self._mode = mode
        self._tolerance_s = tolerance_s
        self._distance: int | None = None  # camera's trigger count minus the PLC's number
        self._last_exposed_s = float("-inf")

    def is_candidate(self, trigger: Trigger, frame: Frame) -> bool:
        """Can this frame, by its exposure time alone, show this part?"""
        if frame.exposed_s <= self._last_exposed_s:
            return False  # already given to an earlier part
        # a moving part may be exposed as early as the edge can have been, a standing one not
        early_s = trigger.edge_error_s if self._mode == "hardware" else 0.0
        earliest_s = trigger.edge_s - early_s
        return earliest_s <= frame.exposed_s <= trigger.edge_s + self._tolerance_s

    def latest_s(self, trigger: Trigger, deadline_s: float) -> float:
        """After this moment no candidate can come any more (readout excluded)."""
        return min(deadline_s, trigger.edge_s + self._tolerance_s)

    def take(self, trigger: Trigger, frame: Frame, alone: bool) -> Reason | None:
        """Give `frame` to the part; None = it is this part's frame, else why it cannot be trusted.

        Args:
            alone: no other part is between its trigger and its verdict; only then may a lost
                distance be learnt again.
        """
        self._last_exposed_s = frame.exposed_s
        if self._mode != "hardware":
            return None
        if frame.trigger_count is None:
            return Reason.PAIRING
        distance = frame.trigger_count - trigger.part.number
        if self._distance is None and alone:
            self._distance = distance
        if distance == self._distance:
            return None
        self._distance = None
        return Reason.PAIRING

    def lose(self) -> None:
        """A frame or a number is known to be lost: learn the distance again."""
        self._distance = None
