"""Which numbers of an epoch are settled, and how many as what.

Every number is settled at most once: as a closed part, or inside one missed or bypassed range. What
is settled is kept as ranges that outlive the rows, so that a second time is refused also long after
the hub has acknowledged the first. All functions run inside a transaction that the outbox owns.
"""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass, replace

import msgspec

from edge.errors import LedgerError
from edge.mqtt.message import (
    AnyRow,
    BypassedRow,
    CounterRow,
    EpochRow,
    MissedRow,
    PartRow,
    decode_row,
)
from edge.terms import Code

_TOTAL = {Code.OK: "ok", Code.NG: "ng", Code.UNDECIDED: "undecided"}
_OF_EPOCH = "station = ? AND epoch = ?"


@dataclass(frozen=True, slots=True)
class Totals:
    """Cumulative numbers of one epoch; `triggers` is as of the last counter row."""

    triggers: int
    ok: int
    ng: int
    undecided: int
    missed: int
    bypassed: int
    open: int  # open part rows now

    @property
    def settled(self) -> int:
        """Numbers that have their row."""
        return self.ok + self.ng + self.undecided + self.missed + self.bypassed


@dataclass(frozen=True, slots=True)
class LastEpoch:
    """Where a station's count stood: `counter` is the highest number any row speaks of."""

    epoch: int
    base: int
    counter: int
    plc_start: int
    at_ms: int  # UTC of that row; 0 = its clock was not set, nobody knows how old it is
    mono_ms: int  # its monotonic clock, comparable only in the same boot
    boot: str
    told: bool = False  # its last counter row has all of that, and nothing open


def refused(text: str) -> LedgerError:
    """The error for a row that is wrong in itself."""
    return LedgerError(text, permanent=True)


def stored_part(data: bytes) -> PartRow:
    """A part row as read from disk.

    Raises:
        LedgerError: the bytes are not a part row any more.
    """
    try:
        row = decode_row(data)
    except msgspec.MsgspecError as wrong:
        raise LedgerError(f"an open part on disk cannot be read: {wrong}") from wrong
    if not isinstance(row, PartRow):
        raise LedgerError(f"an open part on disk is a {type(row).__name__}")
    return row


def count(db: sqlite3.Connection, row: AnyRow) -> None:
    """Enter a row into its epoch's totals, or refuse it."""
    match row:
        case EpochRow():
            _begin(db, row)
        case CounterRow():
            _sample(db, row)
        case PartRow():
            if row.code not in _TOTAL:
                raise refused(f"part {row.number} of {row.station}: closed without a verdict")
            _settle(db, row, row.number, row.number, _TOTAL[row.code])
        case MissedRow():
            _settle(db, row, row.first, row.last, "missed")
        case BypassedRow():
            _settle(db, row, row.first, row.last, "bypassed")
        case _:
            return  # states, alerts, line data and evictions count nothing


def totals(db: sqlite3.Connection, station: str, epoch: int) -> Totals:
    """Cumulative numbers of an epoch; all zero if it is unknown."""
    found = db.execute(
        f"SELECT counter - base, ok, ng, undecided, missed, bypassed FROM epoch WHERE {_OF_EPOCH}",
        (station, epoch),
    ).fetchone()
    (waiting,) = db.execute(
        f"SELECT count(*) FROM open_part WHERE {_OF_EPOCH}", (station, epoch)
    ).fetchone()
    triggers, ok, ng, undecided, missed, bypassed = found or (0, 0, 0, 0, 0, 0)
    return Totals(triggers, ok, ng, undecided, missed, bypassed, waiting)


def open_parts(db: sqlite3.Connection) -> list[PartRow]:
    """Every part without a settled verdict, by station, epoch and number."""
    found = db.execute("SELECT row FROM open_part ORDER BY station, epoch, number")
    return [stored_part(data) for (data,) in found]


def unsettled(db: sqlite3.Connection, row: CounterRow, unseen: Collection[range]) -> int:
    """How many numbers up to `row.counter` are open: open rows, and `unseen` ones without a row.

    `unseen` are disjoint ranges; they may name parts that got their row meanwhile. Each number
    counts once.
    """
    of_epoch = (row.station, row.epoch)
    found = db.execute(
        f"SELECT number FROM open_part WHERE {_OF_EPOCH} AND number <= ?", (*of_epoch, row.counter)
    )
    waiting = [number for (number,) in found]
    count = len(waiting)
    for numbers in unseen:
        first, last = numbers.start, min(numbers.stop - 1, row.counter)
        if first <= last:
            count += last - first + 1 - _settled(db, row, first, last)
            count -= sum(number in numbers for number in waiting)
    return count


def _settled(db: sqlite3.Connection, row: CounterRow, first: int, last: int) -> int:
    """How many of first..last have their row."""
    (found,) = db.execute(
        "SELECT coalesce(sum(min(last, ?) - max(first, ?) + 1), 0) FROM settled"
        f" WHERE {_OF_EPOCH} AND first <= ? AND last >= ?",
        (last, first, row.station, row.epoch, last, first),
    ).fetchone()
    return int(found)


def is_settled(db: sqlite3.Connection, station: str, epoch: int, first: int, last: int) -> bool:
    """Has any of first..last its row? Ranges are disjoint: only the last begun can reach it."""
    found = db.execute(
        f"SELECT last FROM settled WHERE {_OF_EPOCH} AND first <= ? ORDER BY first DESC LIMIT 1",
        (station, epoch, last),
    ).fetchone()
    return found is not None and found[0] >= first


def known_epochs(db: sqlite3.Connection, station: str) -> list[LastEpoch]:
    """Where the count of each of the station's epochs stood, oldest first."""
    found = db.execute(
        "SELECT epoch, base, known, plc_start, at_ms, mono_ms, boot, counter = known AND open = 0"
        " FROM epoch WHERE station = ? ORDER BY epoch",
        (station,),
    )
    known = {}
    for epoch, base, counter, plc_start, at_ms, mono_ms, boot, told in found.fetchall():
        last = LastEpoch(epoch, base, counter, plc_start, at_ms, mono_ms, boot, bool(told))
        known[epoch] = last
    for row in open_parts(db):
        of_row = known.get(row.epoch) if row.station == station else None
        if of_row is not None and row.number > of_row.counter:
            known[row.epoch] = replace(
                of_row,
                counter=row.number,
                at_ms=_known_ms(row),
                mono_ms=row.mono_ms,
                boot=row.boot,
                told=False,
            )
    return list(known.values())


def last_epoch(db: sqlite3.Connection, station: str) -> LastEpoch | None:
    """Where the station's count stood, or None if it never counted."""
    known = known_epochs(db, station)
    return known[-1] if known else None


def gaps(db: sqlite3.Connection, station: str) -> list[tuple[int, int, int]]:
    """Numbers up to the known counter of their epoch without any row: (epoch, first, last)."""
    return [
        (known.epoch, first, last)
        for known in known_epochs(db, station)
        for first, last in _gaps_of(db, station, known)
    ]


def _gaps_of(db: sqlite3.Connection, station: str, known: LastEpoch) -> list[tuple[int, int]]:
    taken = db.execute(
        f"SELECT first, last FROM settled WHERE {_OF_EPOCH}"
        f" UNION ALL SELECT number, number FROM open_part WHERE {_OF_EPOCH} ORDER BY 1",
        (station, known.epoch) * 2,
    ).fetchall()
    found, after = [], known.base
    for low, high in [*taken, (known.counter + 1, known.counter + 1)]:
        if low > after + 1:
            found.append((after + 1, low - 1))
        after = high
    return found


def _begin(db: sqlite3.Connection, row: EpochRow) -> None:
    last = last_epoch(db, row.station)
    if last is not None and row.epoch <= last.epoch:
        raise refused(f"{row.station}: epoch {row.epoch} cannot follow epoch {last.epoch}")
    db.execute(
        "INSERT INTO epoch (station, epoch, base, plc_start, counter, known, at_ms, mono_ms, boot)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.station,
            row.epoch,
            row.base,
            row.plc_start,
            row.base,
            row.base,
            _known_ms(row),
            row.mono_ms,
            row.boot,
        ),
    )


def _sample(db: sqlite3.Connection, row: CounterRow) -> None:
    changed = db.execute(
        f"UPDATE epoch SET counter = ?, open = ? WHERE {_OF_EPOCH} AND counter <= ?",
        (row.counter, row.open, row.station, row.epoch, row.counter),
    )
    if changed.rowcount == 0:
        raise refused(
            f"{row.station}: counter {row.counter} steps back, or epoch {row.epoch} was not opened"
        )
    _know(db, row, row.counter)


def _settle(
    db: sqlite3.Connection,
    row: PartRow | MissedRow | BypassedRow,
    first: int,
    last: int,
    total: str,
) -> None:
    which = f"{row.station} epoch {row.epoch}: parts {first} to {last}"
    of_epoch = (row.station, row.epoch)
    found = db.execute(f"SELECT base FROM epoch WHERE {_OF_EPOCH}", of_epoch).fetchone()
    if found is None or not found[0] < first <= last:
        base = f"begins after {found[0]}" if found else "was not opened"
        raise refused(f"{which} are not in it; it {base}")
    if is_settled(db, *of_epoch, first, last):
        raise refused(f"{which}: at least one has its row already")
    waiting = db.execute(
        f"SELECT number FROM open_part WHERE {_OF_EPOCH} AND number BETWEEN ? AND ?",
        (*of_epoch, first, last),
    ).fetchone()
    if waiting is not None:
        raise refused(f"{which}: part {waiting[0]} is open and must be closed")
    _mark_settled(db, row.station, row.epoch, first, last)
    db.execute(
        f"UPDATE epoch SET {total} = {total} + ? WHERE {_OF_EPOCH}", (last - first + 1, *of_epoch)
    )
    _know(db, row, last)


def _known_ms(row: AnyRow) -> int:
    return 0 if row.clock == "unsynced" else row.at_ms


def _know(db: sqlite3.Connection, row: AnyRow, number: int) -> None:
    """Remember the highest number seen, and when."""
    db.execute(
        "UPDATE epoch SET known = ?, at_ms = ?, mono_ms = ?, boot = ?"
        f" WHERE {_OF_EPOCH} AND known <= ?",
        (number, _known_ms(row), row.mono_ms, row.boot, row.station, row.epoch, number),
    )


def _mark_settled(db: sqlite3.Connection, station: str, epoch: int, first: int, last: int) -> None:
    """Enter first..last, joined with the ranges that touch it, so that the table stays small."""
    touching = db.execute(
        f"SELECT first, last FROM settled WHERE {_OF_EPOCH} AND first <= ?"
        " ORDER BY first DESC LIMIT 2",
        (station, epoch, last + 1),
    ).fetchall()
    for low, high in touching:
        if high == first - 1 or low == last + 1:
            db.execute(
                f"DELETE FROM settled WHERE {_OF_EPOCH} AND first = ?", (station, epoch, low)
            )
            first, last = min(first, low), max(last, high)
    db.execute("INSERT INTO settled VALUES (?, ?, ?, ?)", (station, epoch, first, last))
