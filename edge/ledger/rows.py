"""What the ledger does with its rows, inside a transaction that the outbox owns.

A judged part is kept open until the PLC has taken its verdict; closing appends it. An appended row
is counted, gets the next sequence and its place in the hash chain, and stays until the hub
acknowledges it.
"""

import secrets
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec

from edge.errors import LedgerError
from edge.ledger import epochs as ledger_epochs
from edge.ledger.epochs import refused, stored_part
from edge.ledger.evictions import hour_of
from edge.mqtt.message import (
    GENESIS,
    MAX_BATCH_BYTES,
    AnyRow,
    Batch,
    CounterRow,
    Entry,
    PartRow,
    SealRow,
    chain,
    decode_row,
    encode,
)
from edge.terms import Code, Reason

MAX_ROW_BYTES = MAX_BATCH_BYTES - 4096  # so that a batch of one row always fits
_KEPT_MARKS = (50, 20, 10, 5, 2, 1, 0)  # per view, surest first, until the row fits
_ENTRY_BYTES = len(encode(Entry(hash=GENESIS, row=msgspec.Raw(b"0")))) - len("0") + len(",")
_BATCH_BYTES = 512  # the fields around the rows, at most


@dataclass(frozen=True, slots=True)
class Ends:
    """The stream and where it stands, as of the last commit."""

    stream: str
    follows: str | None
    begins: int
    first: int
    head: int


def ends(db: sqlite3.Connection) -> Ends:
    """Where the stream stands now."""
    return Ends(*db.execute("SELECT stream, follows, begins, first, head FROM ledger").fetchone())


def row_bytes(row: AnyRow) -> bytes:
    """The bytes a row is hashed and sent as; its weakest marks go if it is too long to travel.

    Raises:
        LedgerError: permanent; the hub would not take it: a value out of its range, a code
            without its reason.
    """
    if isinstance(row, PartRow):
        _check_codes(row)
    try:
        data = encode(row)
        for kept in _KEPT_MARKS:
            if len(data) <= MAX_ROW_BYTES or not isinstance(row, PartRow):
                break
            data = encode(_with_marks(row, kept))
        decode_row(data)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as wrong:
        raise refused(f"{type(row).__name__} of {row.station}: {wrong}") from wrong
    return data


def open_part(db: sqlite3.Connection, row: PartRow, data: bytes) -> None:
    """Keep a computed part until the PLC has taken it; it is not yet counted or sent."""
    key = (row.station, row.epoch, row.number)
    if _open_row(db, key) is not None:
        raise refused(f"{_name(key)}: is open already")
    if ledger_epochs.is_settled(db, row.station, row.epoch, row.number, row.number):
        raise refused(f"{_name(key)}: has its row already")
    db.execute("INSERT INTO open_part VALUES (?, ?, ?, ?)", (*key, data))
    _name_pictures(db, row, None)


def close_part(
    db: sqlite3.Connection,
    key: tuple[str, int, int],
    code: Code,
    reason: Reason | None,
    latency_ms: int | None,
    pictures: Sequence[tuple[str | None, str | None]] = (),
) -> None:
    """Settle an open part (station, epoch, number) and append it. An OK needs a computed OK.

    `pictures` are the sha256 of picture and thumbnail of each view, known only now; () = as it is.
    """
    data = _open_row(db, key)
    if data is None:
        raise refused(f"{_name(key)}: is not open")
    row = stored_part(data)
    db.execute("DELETE FROM open_part WHERE station = ? AND epoch = ? AND number = ?", key)
    views = row.views
    if pictures and len(pictures) == len(views):
        views = tuple(
            msgspec.structs.replace(view, picture=picture, thumbnail=thumbnail)
            for view, (picture, thumbnail) in zip(views, pictures, strict=True)
        )
    append(
        db,
        msgspec.structs.replace(row, code=code, reason=reason, latency_ms=latency_ms, views=views),
    )


def append(db: sqlite3.Connection, row: AnyRow, data: bytes | None = None) -> None:
    """Count a row, give it the next sequence and its place in the chain."""
    if data is None:
        data = row_bytes(row)
    ledger_epochs.count(db, row)
    seq, prev = db.execute("SELECT head, head_prev FROM ledger").fetchone()
    digest = chain(prev, seq, data)
    db.execute("INSERT INTO closed VALUES (?, ?, ?)", (seq, digest, data))
    db.execute("UPDATE ledger SET head = ?, head_prev = ?", (seq + 1, digest))
    if isinstance(row, PartRow):
        _name_pictures(db, row, seq)


def append_counter(db: sqlite3.Connection, row: CounterRow, unseen: Collection[range]) -> None:
    """Append a counter sample; its `open` is what is unsettled as of this very row."""
    waiting = ledger_epochs.unsettled(db, row, unseen)
    append(db, msgspec.structs.replace(row, open=waiting))


def batch(db: sqlite3.Connection, from_seq: int, max_rows: int, max_bytes: int) -> Batch | None:
    """Rows from `from_seq` on, as many as fit but at least one; None if there are none yet.

    Raises:
        LedgerError: permanent for rows that are deleted or not yet written; else a row on disk
            does not match its hash.
    """
    stream, first, prev, head = db.execute(
        "SELECT stream, first, first_prev, head FROM ledger"
    ).fetchone()
    if not first <= from_seq <= head:
        raise refused(f"row {from_seq} was asked for; the ledger holds {first} to {head - 1}")
    if from_seq > first:
        (prev,) = db.execute("SELECT hash FROM closed WHERE seq = ?", (from_seq - 1,)).fetchone()
    entries: list[Entry] = []
    size, expected = _BATCH_BYTES, prev
    for seq, digest, data in db.execute(
        "SELECT seq, hash, row FROM closed WHERE seq >= ? ORDER BY seq LIMIT ?",
        (from_seq, max_rows),
    ):
        size += len(data) + _ENTRY_BYTES
        if entries and size > max_bytes:
            break
        expected = chain(expected, seq, data)
        if digest != expected:
            raise LedgerError(f"row {seq} on disk does not match its hash: the disk is damaged")
        entries.append(Entry(hash=digest, row=msgspec.Raw(data)))
    return Batch(v=1, stream=stream, first=from_seq, prev=prev, rows=entries) if entries else None


def hash_of(db: sqlite3.Connection, seq: int) -> str | None:
    """Hash of a row that is here, or of the last one that was deleted; None for any other."""
    first, first_prev = db.execute("SELECT first, first_prev FROM ledger").fetchone()
    if seq == first - 1:
        return str(first_prev)
    found = db.execute("SELECT hash FROM closed WHERE seq = ?", (seq,)).fetchone()
    return None if found is None else str(found[0])


def acknowledge(db: sqlite3.Connection, next_seq: int) -> None:
    """Delete the rows below `next_seq`: the hub has them. An older acknowledgement does nothing."""
    first, head = db.execute("SELECT first, head FROM ledger").fetchone()
    if next_seq > head:
        raise refused(f"rows below {next_seq} were acknowledged; the last written is {head - 1}")
    if next_seq <= first:
        return
    (digest,) = db.execute("SELECT hash FROM closed WHERE seq = ?", (next_seq - 1,)).fetchone()
    db.execute("DELETE FROM closed WHERE seq < ?", (next_seq,))
    db.execute("UPDATE ledger SET first = ?, first_prev = ?", (next_seq, digest))


def last(db: sqlite3.Connection) -> tuple[str, int, str, str | None]:
    """Stream, sequence and hash of the last closed row, and the UTC day of the newest seal."""
    stream, head, digest, day = db.execute(
        "SELECT stream, head, head_prev, sealed FROM ledger"
    ).fetchone()
    return str(stream), int(head) - 1, str(digest), day


def seal(db: sqlite3.Connection, row: SealRow, data: bytes) -> None:
    """Append a seal and remember its day."""
    append(db, row, data)
    db.execute("UPDATE ledger SET sealed = ?", (row.day,))


def begin_stream(db: sqlite3.Connection, from_seq: int) -> str:
    """Go on as another stream, whose first row is `from_seq`; the hub has the rows before it.

    Rows keep their sequences, bytes and hashes: the chain runs on through the branch. Returns the
    new stream's id.
    """
    acknowledge(db, from_seq)
    new = secrets.token_hex(16)
    db.execute("UPDATE ledger SET follows = stream, stream = ?, begins = ?", (new, from_seq))
    return new


def _check_codes(row: PartRow) -> None:
    """A reason goes with undecided only; an OK needs a computed OK: never OK by default."""
    name = _name((row.station, row.epoch, row.number))
    for code, reason in ((row.code, row.reason), (row.computed, row.computed_reason)):
        if (code is Code.UNDECIDED) != (reason is not None):
            raise refused(f"{name}: {code.name} does not go with reason {reason}")
    if row.code is Code.OK and row.computed is not Code.OK:
        raise refused(f"{name}: OK, but computed {row.computed.name}")


def _open_row(db: sqlite3.Connection, key: tuple[str, int, int]) -> bytes | None:
    found = db.execute(
        "SELECT row FROM open_part WHERE station = ? AND epoch = ? AND number = ?", key
    ).fetchone()
    return None if found is None else bytes(found[0])


def _name_pictures(db: sqlite3.Connection, row: PartRow, seq: int | None) -> None:
    """Note which pictures a row names: only those are sent, and no open part's is evicted."""
    code = row.computed if seq is None else row.code
    named = [(view.picture, "ok" if code is Code.OK else "not_ok") for view in row.views]
    named += [(view.thumbnail, "thumbnail") for view in row.views]
    defect = row.defect or (row.reason.value if row.reason else "")
    part = (row.station, row.epoch, row.number, seq, defect, hour_of(row.boot, row.mono_ms))
    db.executemany(
        "INSERT INTO picture VALUES (?, ?, 'named', 0, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (sha256) DO UPDATE"
        " SET station = excluded.station, epoch = excluded.epoch, number = excluded.number,"
        " defect = excluded.defect, hour = excluded.hour,"
        " seq = coalesce(seq, excluded.seq),"  # one committed row is enough for the hub
        " kind = CASE kind WHEN 'ok' THEN excluded.kind ELSE kind END",
        [(sha256, kind, *part) for sha256, kind in named if sha256 is not None],
    )


def _with_marks(row: PartRow, kept: int) -> PartRow:
    """The row with at most `kept` marks per view, the surest ones."""
    views = tuple(
        msgspec.structs.replace(
            view, marks=tuple(sorted(view.marks, key=lambda mark: -mark.score)[:kept])
        )
        for view in row.views
    )
    return msgspec.structs.replace(row, views=views)


def _name(key: tuple[str, int, int]) -> str:
    station, epoch, number = key
    return f"{station} epoch {epoch}: part {number}"
