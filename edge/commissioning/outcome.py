"""What came of trying one step or point."""

from dataclasses import dataclass, field
from typing import Any

from edge.commissioning.journal import Entry, Judged, Result


@dataclass(frozen=True, slots=True)
class Outcome:
    """`text` is a Chinese sentence, `figures` go into the record as JSON."""

    result: Result
    text: str
    figures: dict[str, Any] = field(default_factory=dict)
    judged: tuple[Judged, ...] = ()  # of step monitor
    entries: tuple[Entry, ...] = ()  # of step manual

    @property
    def passed(self) -> bool:
        """Done."""
        return self.result == "passed"


def judged(fault: str | None, text: str, **figures: Any) -> Outcome:
    """Passed with `text`, or failed with the fault's sentence."""
    if fault is None:
        return Outcome("passed", text, figures)
    return Outcome("failed", fault, figures)
