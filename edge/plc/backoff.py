"""When to try again what failed. No clock: time is passed in."""

import random
from collections.abc import Callable

JITTER = 0.25

_RANDOM = random.Random()


class Backoff:
    """When to try again: 0.2 s after the first failure, doubling to 2 s, each +-25 %.

    The jitter keeps nodes that lost the same thing from coming back in step.
    """

    def __init__(
        self,
        first_s: float = 0.2,
        most_s: float = 2.0,
        chance: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._chance = chance
        self._wait_s = 0.0
        self.due_s = 0.0  # monotonic; not before this

    def failed(self, now_s: float) -> None:
        """One more failure."""
        self._wait_s = min(self._most_s, self._wait_s * 2 or self._first_s)
        self.due_s = now_s + self._wait_s * (1 - JITTER + 2 * JITTER * self._chance())

    def worked(self) -> None:
        """Try at once next time."""
        self._wait_s = 0.0
        self.due_s = 0.0
