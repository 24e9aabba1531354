"""Which pictures go first, inside a transaction that the outbox owns.

    step  goes, oldest first                                     above this share of the cap
    1     pictures of OK parts                                   80 %
    2     those of other parts, but the newest of each defect    90 %
          and hour stays
    3     those of other parts                                   100 %
    4     thumbnails                                             100 %

On a disk that is short of room each step goes on until there is some. Oldest is the lowest sequence
of the row that names a picture, and hours are those of the monotonic clock: a node that boots in
1970, or whose clock jumps, evicts nothing else than another.
"""

import sqlite3
from dataclasses import dataclass

from edge.ledger.epochs import open_parts

EVICT_AT_ONCE = 50  # in one transaction
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Picture:
    """A stored picture and the part that names it."""

    sha256: str
    bytes: int
    station: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Step:
    """Pictures that go while more than `share` of the cap is taken."""

    share: float
    which: str  # SQL, of a row p of `picture`


_NEWER_ALIKE = (
    " AND EXISTS (SELECT 1 FROM picture q WHERE q.kind = p.kind AND q.defect = p.defect"
    " AND q.hour = p.hour AND q.seq > p.seq AND q.state <> 'named')"
)
STEPS = (
    Step(0.8, "p.kind = 'ok'"),
    Step(0.9, "p.kind = 'not_ok'" + _NEWER_ALIKE),
    Step(1.0, "p.kind = 'not_ok'"),
    Step(1.0, "p.kind = 'thumbnail'"),
)


def hour_of(boot: str, mono_ms: int) -> str:
    """The hour that a row falls into, whatever its wall clock says."""
    return f"{boot}:{mono_ms // HOUR_MS}"


def of_open_parts(db: sqlite3.Connection) -> set[str]:
    """What open parts name: none of it goes."""
    return {
        sha256
        for row in open_parts(db)
        for view in row.views
        for sha256 in (view.picture, view.thumbnail)
        if sha256 is not None
    }


def first_to_go(db: sqlite3.Connection, step: Step) -> list[Picture]:
    """The oldest pictures that this step gives up, those of open parts left out."""
    open_now = of_open_parts(db)
    found = db.execute(
        "SELECT sha256, bytes, station, epoch FROM picture p"
        f" WHERE {step.which} AND state <> 'named' AND station IS NOT NULL"
        " ORDER BY seq, sha256 LIMIT ?",
        (EVICT_AT_ONCE + len(open_now),),
    )
    closed = [Picture(*row) for row in found if row[0] not in open_now]
    return closed[:EVICT_AT_ONCE]
