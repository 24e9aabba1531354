"""The simulated line by hand: a word a line on standard input, done at once.

    part            one part enters            sample    the button of the golden sample
    jog=1           the belt in jog            bypass=1  the key switch

The words are those of --at (edge.simulation.disturbances). The end of the input ends the line.
"""

import queue
import sys
import threading
from collections.abc import Iterable, Iterator

from edge.errors import SettingsError
from edge.simulation.disturbances import Happening, parse


class Console:
    """Reads lines in a thread of its own, so that nobody who types holds up a scan."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._typed: queue.SimpleQueue[Happening] = queue.SimpleQueue()
        self.ended = False
        self._thread = threading.Thread(
            target=self._read, args=(lines,), name="console", daemon=True
        )
        self._thread.start()

    def typed(self) -> Iterator[Happening]:
        """What was typed since this was last asked."""
        while not self._typed.empty():
            yield self._typed.get()

    def _read(self, lines: Iterable[str]) -> None:
        for line in lines:
            word = line.strip()
            if not word:
                continue
            try:
                (scheduled,) = parse((), (f"0:{word}",)).schedule
            except SettingsError as wrong:
                sys.stderr.write("\n".join([*wrong.problems, ""]))
                continue
            self._typed.put(scheduled.happening)
        self.ended = True
