"""Checks a whole database against itself: every chain from its first row, every law counted again.

What duties do a slice at a time, for a database that came back from a backup. Rows in a sealed
archive, in another stream (of a branch) or in a declared gap are passed over; the chain goes on
from the hash that the archive or the other stream ended with. Laws that count what is not here are
not counted again: those of a stream with archived rows, and epochs that a branch carries on.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edge.mqtt.message import GENESIS, UNREADABLE, decode_row
from edge.mqtt.message import chain as chained
from hub.figures import Figures
from hub.intake import Bad, Good, unfit
from hub.store import chain, session
from hub.store.queries import query
from hub.store.session import Connection, converted
from hub.tally import Law, Tally

Skipped = Mapping[int, tuple[int, str | None]]
"""First row that is not in the database: the last one with it, and its hash where it is known."""

_HASH = re.compile("[0-9a-f]{64}")
_FETCH = 5000  # rows at a time
COUNTED = (
    *("counted_by", "base", "ok", "ng", "undecided", "missed", "bypassed", "quarantined"),
    *("released", "counter", "open", "settled", "passed", "elsewhere"),
)
"""Columns of `law` that follow from the rows alone."""
OWN = ("ok", "ng", "undecided", "missed", "bypassed", "quarantined", "released")
"""Those of them that do in a branch, which carries on an epoch of another stream."""


@dataclass(slots=True)
class Verified:
    """What was found; `wrong` is empty if everything is as it was acknowledged."""

    streams: int
    rows: int
    laws: int  # counted again from the rows
    wrong: list[str]


def verify(connection: Connection, tell: Callable[[str], None]) -> Verified:
    """Check chains, laws and the hub's own chain; `tell` gets a sentence per stream.

    Raises:
        StoreError: the database is away.
    """
    found = Verified(0, 0, 0, [])
    broken = chain.broken_at(session.rows(connection, "hub_chain_entries"))
    found.wrong += [broken] if broken is not None else []
    streams = session.rows(connection, "streams")
    for number, stream in enumerate(streams, 1):
        name = stream["stream"]
        skipped = _skipped(connection, name)
        recount = Recount()
        with (
            converted("verify"),
            connection.transaction(),
            connection.cursor("stream_rows") as cursor,
        ):
            cursor.itersize = _FETCH
            cursor.execute(query("stream_rows").sql.encode(), {"stream": name})
            rows = recount.through(cursor)
            wrong = broken_at(rows, stream["next"], skipped, stream["hash"]) or recount.unreadable
        found.streams += 1
        found.rows += recount.rows
        if wrong is not None:
            found.wrong.append(f"ledger {name}: {wrong}")
        elif not session.rows(connection, "archived_runs", stream=name):
            laws = session.rows(connection, "laws_of_stream", stream=name)
            stored = [row for row in laws if row["origin"] == name]
            recount.forget((row["station"], row["epoch"]) for row in laws if row["origin"] != name)
            found.laws += len(stored)
            found.wrong += [f"ledger {name}: {told}" for told in recount.differs(stored)]
        tell(f"ledger {number} of {len(streams)} of {stream['node']}: {recount.rows} rows")
    return found


def broken_at(
    rows: Iterable[Mapping[str, Any]], after: int, skipped: Skipped, head: str | None
) -> str | None:
    """What is wrong with the rows 1 up to `after` of a stream, or None. Pure.

    Args:
        rows: seq, hash, raw of every stored row, in order.
        after: the first row that was not acknowledged yet.
        head: hash of row after - 1; None = not known.
    """
    expected, previous = 1, GENESIS

    def skip() -> None:
        nonlocal expected, previous
        while expected in skipped:
            last, digest = skipped[expected]
            expected, previous = last + 1, digest or ""

    for row in rows:
        skip()
        if row["seq"] != expected:
            twice = row["seq"] < expected
            return f"row {row['seq']} is stored twice" if twice else f"row {expected} is missing"
        if not _follows(row, previous):
            return f"row {expected} is not what was acknowledged"
        expected, previous = expected + 1, row["hash"]
    skip()
    if expected != after:
        return f"row {expected} is missing" if expected < after else f"rows from {after} on are new"
    if previous and head is not None and previous != head:
        return f"row {after - 1} is not the one that was acknowledged last"
    return None


def _follows(row: Mapping[str, Any], previous: str) -> bool:
    """Whether the hash of a row is one, and follows from the one before it if that is known."""
    hashes = [row["hash"], previous] if previous else [row["hash"]]
    if not all(map(_HASH.fullmatch, hashes)):
        return False
    return not previous or chained(previous, row["seq"], bytes(row["raw"])) == row["hash"]


class Recount:
    """Counts the laws of one stream again from its rows, as ingest counted them."""

    def __init__(self) -> None:
        self.rows = 0
        self.unreadable: str | None = None  # a row that ingest cannot have counted: no more is
        self._laws: dict[tuple[str, int], Law] = {}

    def through(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """The same rows, each counted once whoever takes them has looked at it and wants more."""
        tally = Tally(self._laws, Figures({}))
        for row in rows:
            yield row
            self.rows += 1
            if self.rows % _FETCH == 0:  # keeps the laws, forgets the minutes
                tally = Tally(self._laws, Figures({}))
            if self.unreadable is None:
                self._count(row, tally)

    def _count(self, row: Mapping[str, Any], tally: Tally) -> None:
        try:
            tally.add(_counted(row))
        except (*UNREADABLE, ValueError) as wrong:
            self.unreadable = f"row {row['seq']} cannot be read: {wrong}; no law is counted again"

    def forget(self, epochs: Iterable[tuple[str, int]]) -> None:
        """Leave out epochs that another stream began."""
        for epoch in epochs:
            self._laws.pop(epoch, None)

    def differs(self, stored: Iterable[Mapping[str, Any]]) -> list[str]:
        """A sentence for each epoch whose stored law is not what its rows add up to."""
        told = []
        left = dict(self._laws)
        for row in stored:
            law = left.pop((row["station"], row["epoch"]), Law(row["station"], row["epoch"]))
            told += [
                f"{law.station} epoch {law.epoch}: {name} is {row[name]}, "
                f"its rows say {getattr(law, name)}"
                for name in (COUNTED if row["origin"] == row["stream"] else OWN)
                if row[name] != getattr(law, name)
            ]
        return told + [f"{station} epoch {epoch}: has no law" for station, epoch in left]


def _counted(row: Mapping[str, Any]) -> Good | Bad:
    raw = bytes(row["raw"])
    if row["parts"] is None:
        told = decode_row(raw)
        reason = unfit(told, raw)
        if reason is not None:
            raise ValueError(reason)
        return Good(row["seq"], row["hash"], raw, told, told.at_ms)  # laws do not ask when
    where = (row["station"], row["epoch"], row["parts"])
    return Bad(row["seq"], row["hash"], raw, "", *where, elsewhere=row["elsewhere"])


def _skipped(connection: Connection, stream: str) -> dict[int, tuple[int, str | None]]:
    skipped: dict[int, tuple[int, str | None]] = {}
    for gap in session.rows(connection, "gaps_of_stream", stream=stream):
        held = {"stream": gap["held_by"], "seq": gap["last"]}
        found = session.rows(connection, "hash_of_row", **held) if gap["held_by"] else []
        skipped[gap["first"]] = (gap["last"], found[0]["hash"] if found else None)
    for run in session.rows(connection, "archived_runs", stream=stream):
        skipped[run["first"]] = (run["last"], run["hash"])
    return skipped
