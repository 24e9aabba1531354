"""One photo-eye of docs/plc/station.st in Python: its block `QJ_Eye`, in floating point."""

from dataclasses import dataclass

from edge.plc.images import EyeEdge

_GAP_MM = 2.0  # a shorter gap does not end a part
_QUIET_SCANS = 3  # edges of a bouncing sensor follow each other faster


@dataclass(slots=True)
class Beam:
    """One photo-eye, debounced by belt travel; what a belt running back repeats does not count."""

    debounce_mm: float
    highest_mm: float = float("-inf")
    rising_mm: float = float("-inf")
    falling_mm: float = float("-inf")
    scans: int = 0  # since the last edge, whatever that was
    stood: bool = False  # this edge is nearer to the one before than any belt that moves brings it

    def accept(self, edge: EyeEdge) -> bool:
        """Is it the beginning or the end of a part? An end may be corrected by a later one."""
        quiet, self.scans, self.stood = self.scans >= _QUIET_SCANS, 0, False
        here_mm = edge.encoder_mm
        if here_mm < self.highest_mm:
            return False
        near = here_mm < self.rising_mm + self.debounce_mm
        if near or (edge.rising and here_mm < self.falling_mm + _GAP_MM):
            self.stood = quiet  # a bounce follows at once
            return False
        self.highest_mm = here_mm
        if edge.rising:
            self.rising_mm = here_mm
        else:
            self.falling_mm = here_mm
        return True
