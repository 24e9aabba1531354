"""What an inspector sees of its line: a PLC on a bus, or a count of the station's own."""

import queue
from typing import Protocol

from edge.plc.blocks import LineCounters, Result, StatusFlags
from edge.plc.turns import Seen


class Line(Protocol):
    """Where parts come from and where their verdicts go. Safe from any thread."""

    observations: "queue.Queue[Seen]"

    @property
    def counters(self) -> LineCounters | None:
        """What became of the parts at the gate; None where nobody counts them."""

    @property
    def running(self) -> bool:
        """Is the thread there that sees the parts?"""

    def submit(self, epoch: int, result: Result, now_s: float) -> None:
        """A part's verdict; Taken or Expired will say what became of it."""

    def status(self, flags: StatusFlags, active_recipe: int = 0, error_code: int = 0) -> None:
        """How the station stands."""

    def acquired(self, number: int) -> None:
        """All pictures of this part are taken: it may move."""

    def alive(self, until_s: float) -> None:
        """The station is sound until then (monotonic)."""
