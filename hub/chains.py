"""Verifies again what was acknowledged: the hash chain of every stream, as it lies in the store.

The database hashes the rows itself, slice by slice, and hands over where a slice does not hold, so
that checking is faster than any drain; the streams take turns, the longest waiting first. It has a
connection and a thread of its own beside the other duties: what they do may take long, and a row
must not stay unverified for more than a minute.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from edge.mqtt.message import GENESIS
from hub.errors import StoreError
from hub.store import session
from hub.store.session import Connection

log = logging.getLogger(__name__)

LATE_S = 60.0
"""A row that is unverified for longer is an alarm."""
_BUDGET_S = 1.0
_RETRY_S = 5.0

Where = tuple[str, str, str]
"""Plant, line and node of a stream."""


class Chains:
    """What is known of the chains; written by the thread that checks, read by the duties."""

    def __init__(self, rows: int) -> None:
        self._rows = rows  # of one stream at a time
        self.broken: dict[
            str, tuple[Where, str]
        ] = {}  # stream: where, what; until the process ends
        self.rows_checked = 0

    def check(self, connection: Connection, budget_s: float = _BUDGET_S) -> bool:
        """Verify slices of every stream in turn until all is, or the budget is spent.

        Returns:
            True if nothing is left to verify.

        Raises:
            StoreError: the database is away.
        """
        give_up_at = time.monotonic() + budget_s
        while True:
            waiting = [
                stream
                for stream in session.rows(connection, "unchecked")
                if stream["stream"] not in self.broken
            ]
            if not waiting:
                return True
            for stream in waiting:
                self._slice(connection, stream)
                if time.monotonic() >= give_up_at:
                    return False

    def _slice(self, connection: Connection, stream: dict[str, Any]) -> None:
        name, first = stream["stream"], stream["checked"]
        gaps = [(g["first"], g["last"]) for g in session.rows(connection, "gaps", stream=name)]
        inside = [high for low, high in gaps if low <= first <= high]
        if inside:
            self._move(connection, name, max(inside) + 1, None, None)
            return
        after = min(first + self._rows, stream["next"])
        before = GENESIS if first == 1 else stream["checked_hash"]
        rows = {
            **{"stream": name, "first": first, "after": after, "before": before},
            **{"low": stream["unchecked_low"], "high": stream["unchecked_high"]},
        }
        [found] = session.rows(connection, "chain_checked", **rows)
        wrong = broken_at(found, first, after, gaps)
        if wrong is not None:
            # planned before a partition was there, and read after its rows had moved into it?
            [found] = session.rows(connection, "chain_checked", **rows)
            wrong = broken_at(found, first, after, gaps)
        if wrong is not None:
            where = (stream["plant"], stream["line"], stream["node"])
            self.broken[name] = (where, f"ledger {name}: {wrong}")
            log.error("%s/%s/%s: %s", *where, self.broken[name][1])
            return
        self.rows_checked += found["rows"]
        known = found["last_hash"] if found["highest"] == after - 1 else None
        self._move(connection, name, after, known, found["received_at"])

    def _move(
        self, connection: Connection, stream: str, checked: int, known: str | None, at: Any
    ) -> None:
        session.rows(
            connection, "checked_moved", stream=stream, checked=checked, hash=known, received_at=at
        )

    def run(self, dsn: str, stop: threading.Event, pause_s: float) -> None:
        """Check until `stop`; the database away, or a fault of ours = tried again."""
        while not stop.is_set():
            try:
                with session.connect(dsn, "chains") as connection:
                    while not stop.is_set():
                        if self.check(connection):
                            stop.wait(pause_s)
            except StoreError as wrong:
                log.warning("chains: %s; tried again in %.0f s", wrong, _RETRY_S)
                stop.wait(_RETRY_S)
            except Exception:  # top of the loop: rows must not stay unverified for good
                log.exception("chains: a look broke off; tried again in %.0f s", _RETRY_S)
                stop.wait(_RETRY_S)


def broken_at(
    found: Mapping[str, Any], first: int, after: int, gaps: Sequence[tuple[int, int]]
) -> str | None:
    """What is wrong with rows [first, after) of a stream, or None. Pure.

    Args:
        found: what the query `chain_checked` says of them.
        gaps: ranges (first, last) declared lost.
    """
    if found["twice"] is not None:
        return "a row is stored twice"
    missing = [tuple(jump) for jump in found["jumps"] or ()]
    missing.append((max(first, (found["highest"] or 0) + 1), after - 1))
    absent = (_undeclared(low, high, gaps) for low, high in missing)
    lost = min((seq for seq in absent if seq is not None), default=None)
    wrong = found["wrong"]
    if wrong is not None and (lost is None or wrong < lost):
        return f"row {wrong} is not what was acknowledged"
    return None if lost is None else f"row {lost} is missing"


def _undeclared(low: int, high: int, gaps: Sequence[tuple[int, int]]) -> int | None:
    """The first of the numbers low..high that no gap holds."""
    seq = low
    for begin, end in sorted(gaps):
        if begin <= seq <= end:
            seq = end + 1
    return seq if seq <= high else None
