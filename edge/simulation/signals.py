"""What SIGTERM and Ctrl-C mean for a simulated line: the first runs it out, the second ends it."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType


@dataclass(frozen=True, slots=True)
class StopSignals:
    """What SIGTERM and Ctrl-C ask for: the first stops the feed, the second ends at once."""

    feed: threading.Event = field(default_factory=threading.Event)
    now: threading.Event = field(default_factory=threading.Event)

    def told(self, _number: int, _frame: FrameType | None) -> None:
        """A signal came."""
        if self.feed.is_set():
            self.now.set()
        self.feed.set()


@contextlib.contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Both signals, until the block ends."""
    stop = StopSignals()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, stop.told) for number in numbers}
    try:
        yield stop
    finally:
        for number, action in before.items():
            signal.signal(number, action)
