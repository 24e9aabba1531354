"""What a node says to the hub next: a birth, then batches, one under way. No IO; time is passed in.

    phase      leaves when                                         to
    offline    the connection stands                               asking
    asking     the hub answers which row it wants next             idle; silence: asks again
    idle       there are rows                                      under way
    under_way  the hub has rows beyond the first of the batch      idle; silence: asking
    stopped    the hub, asked now and then, names a row we know    idle; never, once it was found
                                                                   to have another row than we

A PUBACK changes nothing here: only the hub's own acknowledgement does. Old acknowledgements arrive
late and twice; one that brings no news is ignored while a batch is under way, else every duplicate
would send another batch, and every batch another duplicate.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

ANSWER_S = 5.0  # silence after which the hub is asked again
STOPPED_S = 60.0  # a hub that knows rows this ledger never wrote is asked again this often
PAUSE_S = (1.0, 60.0)  # after a refusal: first and longest pause, doubling, with jitter

Phase = Literal["offline", "asking", "idle", "under_way", "stopped"]


@dataclass(frozen=True, slots=True)
class SendBirth:
    """Ask the hub which row it wants next."""


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
        self.hint = ""  # what a person can do about it, where asking again does not help
        self._forked = False  # the hub has another row than this ledger at the same place
        self._answer_s = answer_s
        self._chance = chance or random.Random().random
        self._position = 1  # first row of the batch under way, or of the next one
        self._due_s = 0.0
        self._refusals = 0
        self._behind = False  # the hub's last answer named rows that are deleted here

    def online(self, now_s: float) -> None:
        """The connection stands and the hub's answers can be heard."""
        self.phase, self._due_s = "stopped" if self._forked else "asking", now_s

    def offline(self) -> None:
        """The connection is gone."""
        self.phase = "offline"

    def pause(self, text: str, now_s: float) -> None:
        """Rows cannot move for a reason that asking the hub again may end: refused, disk fault."""
        first_s, longest_s = PAUSE_S
        pause_s = min(longest_s, first_s * 2 ** min(self._refusals, 10))
        self._refusals += 1
        self.fault = text
        self.phase = "asking"
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
        self._due_s = now_s + (STOPPED_S if self.phase == "stopped" else self._answer_s)
        return SendBirth()

    def wait_s(self, now_s: float, longest_s: float) -> float:
        """How long nothing is due without news, at most `longest_s`."""
        if self.phase in ("offline", "idle"):
            return longest_s
        return max(0.0, min(longest_s, self._due_s - now_s))

    def heard(
        self, next_seq: int, refused: str | None, first: int, head: int, now_s: float, same: bool
    ) -> int | None:
        """The hub says that it has every row below `next_seq`; the ledger holds first..head-1.

        Args:
            same: the hub's row next_seq-1 is the one of this ledger, by its hash.

        Returns:
            The sequence below which rows may be deleted, or None if this is no news.
        """
        if self.phase == "offline" or self._forked:
            return None
        if next_seq > head:
            self._stop(next_seq, head, now_s)
            return None
        if next_seq > first and not same:
            self._fork(next_seq - 1, now_s)
            return None
        if self.phase in ("idle", "under_way") and next_seq <= self._position and not refused:
            return None
        if next_seq > first or self.phase == "stopped":
            self._refusals, self.fault = 0, None
        if refused:
            self.pause(f"the hub refused row {next_seq}: {refused}", now_s)
        elif not self._is_behind(next_seq, first, now_s):
            self.phase = "idle"
            self._position = max(next_seq, first)
        return next_seq if next_seq > first else None

    def _stop(self, next_seq: int, head: int, now_s: float) -> None:
        """Rows of this stream exist that this disk does not know: it was restored or copied."""
        self.fault = (
            f"the hub has rows up to {next_seq - 1} of this stream, this ledger wrote only "
            f"{head - 1}: its disk was restored or copied; nothing is sent"
        )
        if self.phase != "stopped":
            self.phase, self._due_s = "stopped", now_s + STOPPED_S

    def _fork(self, seq: int, now_s: float) -> None:
        """Both wrote on after a common past: the hub never gets these rows, so none may go here."""
        self._forked = True
        self.fault = (
            f"the hub has another row {seq} than this ledger: its disk was restored or copied; "
            "nothing is sent or deleted"
        )
        self.hint = (
            "Stop the node, keep ledger.db and its -wal file aside for a person to compare, and "
            "start with a new one."
        )
        self.phase, self._due_s = "stopped", now_s + STOPPED_S

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
