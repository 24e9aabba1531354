"""The contacts and outputs of one station's I/O, whatever carries them."""

import math
from dataclasses import dataclass
from typing import Protocol

from edge import settings

LOOK_S = 0.005  # longest wait for an edge: orders, and what a bus says, are looked at as often


@dataclass(frozen=True, slots=True)
class Level:
    """One input is, or became, closed or open."""

    role: str
    closed: bool  # after its polarity
    at_s: float | None  # monotonic; None = now, since nobody knows when


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look at the inputs said."""

    levels: tuple[Level, ...]
    unsure_s: float  # a change may have come so much earlier than it is dated


class Lines(Protocol):
    """An I/O with its lines named by role.

    Raises (every method but `close` and `abandon`):
        PlcError: it is not there, is held by another program, or does not do as told.
    """

    drops_itself: bool
    """Its outputs fall by themselves when this node is silent."""

    lead_s: float
    """From an order to the output itself, at the most."""

    @property
    def is_open(self) -> bool:
        """Is it there and ours?"""
        ...

    def open(self) -> None:
        """Take it; every output is off after that."""
        ...

    def read(self, within_s: float) -> Sight:
        """What the inputs say, at first as they are; back within the time, however long it is."""
        ...

    def write(self, on: frozenset[str], within_s: float = math.inf) -> bool:
        """Exactly these outputs are on; returns when they were read back so.

        Args:
            within_s: back by then, where `ok` is among them: OFF must be ordered.

        Returns:
            False: a frame was damaged, nobody knows. Order at once what shall be on by then.
        """
        ...

    def left_alone(self, role: str) -> bool:
        """After `abandon`: is this output still on?"""
        ...

    def abandon(self) -> None:
        """Let go of it without a word, as a process that dies does."""
        ...

    def close(self) -> None:
        """Every output off as far as it can be reached; give it back. Safe to call twice."""
        ...


def wired(io: settings.Io, role: str) -> tuple[int, bool] | None:
    """Number of the role's line and whether it is active low; None = not wired."""
    line: str | None = getattr(io, role)
    return None if line is None else (int(line.lstrip("!")), line.startswith("!"))
