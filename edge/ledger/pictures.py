"""The `picture` table: which files are here, whose row names them, what the hub has of them.

    named     a row names it, its file is not there yet
    waiting   its file is there; it may go to the hub once its row did
    done      the hub has it
    refused   the hub does not want it

All functions run inside a transaction that the outbox owns. Which pictures go first says
edge.ledger.evictions; rows enter the pictures that they name, see edge.ledger.rows.
"""

import sqlite3
from collections.abc import Sequence
from typing import Literal

from edge.ledger import rows as ledger_rows
from edge.ledger.evictions import Picture, of_open_parts
from edge.mqtt.message import EvictionRow

Kind = Literal["ok", "not_ok", "thumbnail"]


def total_bytes(db: sqlite3.Connection) -> int:
    """What all of them take on disk."""
    (total,) = db.execute("SELECT coalesce(sum(bytes), 0) FROM picture").fetchone()
    return int(total)


def keep(db: sqlite3.Connection, sha256: str, kind: Kind, size: int) -> bool:
    """Enter a picture that is on disk; True if it was there before."""
    found = db.execute("SELECT state FROM picture WHERE sha256 = ?", (sha256,)).fetchone()
    db.execute(
        "INSERT INTO picture (sha256, kind, state, bytes) VALUES (?, ?, 'waiting', ?)"
        " ON CONFLICT (sha256) DO UPDATE SET bytes = excluded.bytes,"
        " state = CASE state WHEN 'named' THEN 'waiting' ELSE state END",
        (sha256, kind, size),
    )
    return found is not None and found[0] != "named"


def to_send(db: sqlite3.Connection, kinds: Sequence[Kind], limit: int) -> list[str]:
    """Pictures whose row the hub has, in the order of `kinds`, the oldest of each first."""
    found: list[str] = []
    for kind in kinds:
        found += [
            sha256
            for (sha256,) in db.execute(
                "SELECT sha256 FROM picture WHERE state = 'waiting' AND kind = ?"
                " AND seq < (SELECT first FROM ledger) ORDER BY seq LIMIT ?",
                (kind, limit - len(found)),
            )
        ]
    return found


def settle(db: sqlite3.Connection, sha256: str, state: Literal["done", "refused"]) -> None:
    """Note the hub's answer to a picture."""
    db.execute("UPDATE picture SET state = ? WHERE sha256 = ?", (state, sha256))


def named(db: sqlite3.Connection, sha256: str) -> list[Picture]:
    """This picture, if it is here and a row names it; else []."""
    found = db.execute(
        "SELECT sha256, bytes, station, epoch FROM picture"
        " WHERE sha256 = ? AND station IS NOT NULL",
        (sha256,),
    )
    return [Picture(*row) for row in found]


def evict(db: sqlite3.Connection, rows: Sequence[EvictionRow]) -> list[EvictionRow]:
    """Forget these pictures and append their rows; returns those that were not gone already.

    Whoever makes room and whoever misses a file may drop the same picture: it is told once.
    """
    gone = []
    for row in rows:
        if _forget(db, row.picture):
            ledger_rows.append(db, row)
            gone.append(row)
    return gone


def strays(db: sqlite3.Connection) -> list[str]:
    """Pictures that a closed row names and that never came, and those that no row names."""
    open_now = of_open_parts(db)
    found = db.execute("SELECT sha256 FROM picture WHERE state = 'named' OR station IS NULL")
    return [sha256 for (sha256,) in found if sha256 not in open_now]


def forget(db: sqlite3.Connection, pictures: Sequence[str]) -> None:
    """Take pictures out of the table that no row has to tell of."""
    for sha256 in pictures:
        _forget(db, sha256)


def _forget(db: sqlite3.Connection, sha256: str) -> bool:
    """Was it there?"""
    return db.execute("DELETE FROM picture WHERE sha256 = ?", (sha256,)).rowcount == 1
