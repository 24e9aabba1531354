"""Whether the clocks of the hub are believed: rows are placed by them, what is old goes by them.

The database keeps the newest round of duties whose clock was believed (`seen`). Of a clock that

    is a day behind that      no row is taken; nothing is made ahead, archived, purged or signed;
                              believed once it has run for a day: what was seen was wrong
    is a day behind a         the same, for ever: this database, or this program, is older than
    migration or WRITTEN      no time can be
    is JUMP ahead of it       nothing is archived or purged; believed once it has run for a day:
                              the hub was off

A round whose clock is a day off the database's does nothing of all that and keeps nothing: one of
the two is wrong, and nobody knows which.

Cursors tell the time too, but one second of 2037 would make them refuse every row until then.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal

from hub.errors import StoreError
from hub.store import session
from hub.store.session import Connection

WRITTEN = datetime(2026, 1, 1, tzinfo=timezone.utc)  # this program is younger than that
DAY = timedelta(days=1)
JUMP = timedelta(days=30)

State = Literal["believed", "behind", "ahead"]


@dataclass(frozen=True, slots=True)
class Kept:
    """What the database keeps of the time; see migrations/0012_clock.sql."""

    seen: datetime
    jumped: datetime | None


@dataclass(frozen=True, slots=True)
class Clock:
    """How the clock of a round stands, and a sentence about it where it is not believed."""

    state: State
    told: str = ""


def plausible(now: datetime, known: datetime) -> None:
    """Refuse the time of the database if it is a day before what it `known` long ago.

    Raises:
        StoreError: it is; nothing may be placed by it, and the same succeeds once it is right.
    """
    known = max(known, WRITTEN)
    if now < known - DAY:
        raise StoreError(f"the clock of the database says {_shown(now)}, after {_shown(known)}")


def looked(connection: Connection, now: datetime) -> Clock:
    """Judge the clock of a round of duties beside the database's, and keep what was seen.

    Raises:
        StoreError: the database is away.
    """
    [row] = session.rows(connection, "clock_kept")
    floor = max(row["migrated"], WRITTEN)
    if abs(now - row["now"]) > DAY:
        told = f"the clock of the hub says {_shown(now)}, the database's {_shown(row['now'])}"
        return Clock("behind", told)
    kept, state = judged(Kept(row["seen"], row["jumped"]), floor, now)
    session.rows(connection, "clock_seen", seen=kept.seen, jumped=kept.jumped)
    if state == "believed":
        return Clock(state)
    known = _shown(max(kept.seen, floor))
    return Clock(state, f"the clock of the hub says {_shown(now)}, after {known}")


def judged(kept: Kept, floor: datetime, now: datetime) -> tuple[Kept, State]:
    """What to keep after a round at `now`, and whether its clock is believed. Pure.

    Args:
        floor: no true time is a day before it.
    """
    if now < floor - DAY:
        return kept, "behind"
    if kept.seen - DAY <= now <= kept.seen + JUMP:
        return Kept(max(now, kept.seen), None), "believed"
    since = kept.jumped
    if since is None or not since <= now <= since + JUMP:
        since = now
    if now >= since + DAY:
        return Kept(now, None), "believed"
    return Kept(kept.seen, since), "behind" if now < kept.seen else "ahead"


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
