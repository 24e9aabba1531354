"""What a node says to the hub next: a birth, then batches, one under way. No IO; time is passed in.

    phase      leaves when                                         to
    offline    the connection stands                               asking
    asking     the hub answers which row it wants next             idle; silence: asks again
    idle       there are rows                                      under way
    under_way  the hub has rows beyond the first of the batch      idle; silence: asking
    comparing  the place is found where this ledger and the hub    asking, with a new stream
               part: its disk was restored or copied

A PUBACK changes nothing here: only the hub's own acknowledgement does. Old acknowledgements arrive
late and twice; one that brings no news is ignored while a batch is under way, else every duplicate
would send another batch, and every batch another duplicate.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

ANSWER_S = 5.0  # silence after which the hub is asked again
PAUSE_S = (1.0, 60.0)  # after a refusal: first and longest pause, doubling, with jitter

Phase = Literal["offline", "asking", "idle", "under_way", "comparing"]


@dataclass(frozen=True, slots=True)
class SendBirth:
    """Ask the hub which row it wants next, and whether it has row `mark` as we do (0 = no row)."""

    mark: int


@dataclass(frozen=True, slots=True)
class SendBatch:
    """Send rows from this sequence on."""

    from_seq: int


class Delivery:
    """One stream on its way to one hub."""

    def __init__(
        self, answer_s: float = ANSWER_S, chance: Callable[[], float] | None = None
    ) -> None:
        """`chance` returns 0..1 and spreads the pauses of a fleet."""
        self.phase: Phase = "offline"
        self.fault: str | None = None  # what keeps rows from moving, for people
        self._answer_s = answer_s
        self._chance = chance or random.Random().random
        self._position = 1  # first row of the batch under way, or of the next one
        self._due_s = 0.0
        self._refusals = 0
        self._behind = False  # the hub's last answer named rows that are deleted here
        self._parting: tuple[int, int] | None = None
        """A row that the hub has as we do, and a later one that it has not: they part between."""
        self._first_guess = True

    @property
    def branch(self) -> int | None:
        """Where this ledger and the hub part, once it is known: a new stream has to begin there."""
        if self._parting is None:
            return None
        same, other = self._parting
        return other if other == same + 1 else None

    @property
    def hint(self) -> str:
        """What a person can do about the fault, where it is not the network's; "" = it is."""
        return (
            "It goes on by itself; no second node may run from this disk." if self._parting else ""
        )

    def begun(self, now_s: float) -> None:
        """The ledger has begun a new stream at `branch`."""
        self._parting, self._first_guess, self.fault = None, True, None
        self._behind, self._refusals = False, 0
        if self.phase != "offline":
            self.phase, self._due_s = "asking", now_s

    def online(self, now_s: float) -> None:
        """The connection stands and the hub's answers can be heard."""
        self.phase, self._due_s = "comparing" if self._parting else "asking", now_s

    def offline(self) -> None:
        """The connection is gone."""
        self.phase = "offline"

    def pause(self, text: str, now_s: float) -> None:
        """Rows cannot move for a reason that asking the hub again may end: refused, disk fault."""
        first_s, longest_s = PAUSE_S
        pause_s = min(longest_s, first_s * 2 ** min(self._refusals, 10))
        self._refusals += 1
        self.fault = text
        self.phase = "comparing" if self._parting else "asking"
        self._due_s = now_s + pause_s * (0.5 + self._chance())

    def due(self, now_s: float, head: int) -> SendBirth | SendBatch | None:
        """What to send now; it counts as sent. `head` is the sequence the next row will get."""
        if self.phase == "idle" and head > self._position:
            self.phase, self._due_s = "under_way", now_s + self._answer_s
            return SendBatch(self._position)
        if self.phase in ("offline", "idle") or now_s < self._due_s:
            return None
        if self.phase == "under_way":
            self.phase = "asking"
        self._due_s = now_s + self._answer_s
        return SendBirth(self._question(head))

    def _question(self, head: int) -> int:
        """The row the hub is to compare: at first the last that both may have, then halving."""
        if self._parting is None or self.branch is not None:
            return head - 1
        same, other = self._parting
        return other - 1 if self._first_guess else (same + other) // 2

    def wait_s(self, now_s: float, longest_s: float) -> float:
        """How long nothing is due without news, at most `longest_s`."""
        if self.phase in ("offline", "idle"):
            return longest_s
        return max(0.0, min(longest_s, self._due_s - now_s))

    def heard(
        self,
        next_seq: int,
        refused: str | None,
        first: int,
        head: int,
        now_s: float,
        same: bool,
        compared: tuple[int, bool] | None = None,
    ) -> int | None:
        """The hub says that it has every row below `next_seq`; the ledger holds first..head-1.

        Args:
            same: the hub's row next_seq-1 is the one of this ledger, by its hash.
            compared: a row that a birth asked about, and whether the hub has it as we do.

        Returns:
            The sequence below which rows may be deleted, or None if this is no news, or if the
            ledger is another one than the hub's (see `branch`).
        """
        if self.phase == "offline":
            return None
        if self._parting is None and next_seq > first and (next_seq > head or not same):
            self._part(next_seq, first, head)
        if self._parting is not None:
            self._compare(compared, now_s)
            return None
        if self.phase in ("idle", "under_way") and next_seq <= self._position and not refused:
            return None
        if next_seq > first:
            self._refusals, self.fault = 0, None
        if refused:
            self.pause(f"the hub refused row {next_seq}: {refused}", now_s)
        elif not self._is_behind(next_seq, first, now_s):
            self.phase = "idle"
            self._position = max(next_seq, first)
        return next_seq if next_seq > first else None

    def _part(self, next_seq: int, first: int, head: int) -> None:
        """The hub has rows of this stream that this disk never wrote: restored, or copied.

        What was acknowledged once, up to row first-1, is common. The hub has no row `head`, or
        another one, and where its last row stands here too, that one is known to differ.
        """
        other = head if next_seq > head else next_seq - 1
        self._parting, self._first_guess = (first - 1, other), True
        self.fault = (
            f"the hub has rows up to {next_seq - 1} of this stream, and not as this ledger has "
            "them: its disk was restored or copied; a new stream begins where they part"
        )

    def _compare(self, compared: tuple[int, bool] | None, now_s: float) -> None:
        """Narrow the place down. Each answer is true for ever, so late ones do no harm."""
        if self._parting is None:
            return
        asked, (same, other) = self.phase == "comparing", self._parting
        if compared is not None and same < compared[0] < other:
            seq, is_same = compared
            self._parting = (seq, other) if is_same else (same, seq)
            self._first_guess = False
        if not asked or self._parting != (same, other):
            self.phase, self._due_s = "comparing", now_s

    def _is_behind(self, next_seq: int, first: int, now_s: float) -> bool:
        """Does the hub want rows that are gone? One such answer may be old: ask once more."""
        if next_seq >= first:
            self._behind = False
            return False
        if self._behind:
            self.fault = (
                f"the hub lost rows {next_seq} to {first - 1}, which it had acknowledged; "
                "sending goes on behind them"
            )
            return False
        self._behind = True
        self.phase, self._due_s = "asking", now_s + PAUSE_S[0]
        return True
