"""Weekly partitions of the tables of rows, made ahead; rows that came earlier move into theirs.

A week starts on 1970-01-01 or a seventh day after it (Thursdays, UTC), as TimescaleDB cuts its
chunks. A table that TimescaleDB keeps needs none of this and is passed over.
"""

from datetime import date, datetime, timedelta

import psycopg

from hub.errors import StoreError
from hub.store import session
from hub.store.session import Connection, converted

WEEK = timedelta(days=7)
TIMES = {"part": "at", "ledger_row": "at", "quarantine": "received_at"}
"""The tables of rows, and the time that places a row in its week."""

_ORIGIN = date(1970, 1, 1)
_MADE_UP = 52 * WEEK  # of a hub that was off


def week_of(day: date) -> date:
    """The first day of the week that `day` is in."""
    return day - timedelta(days=(day - _ORIGIN).days % WEEK.days)


def make_ahead(connection: Connection, today: date, days: int) -> list[str]:
    """Make the partitions from the newest there is up to the week of `today` + `days`.

    Weeks of more than a year ago are left to the default partition: a first round with a clock at
    1970 would else ask for thousands. What a clock ahead made is no reason to make none today.

    Rows of such a week that already lie in the default partition (a node whose clock is ahead, a
    hub that was off) move along, in the same transaction. A table that is in use, by a backup for
    one, is left for the next round.

    Returns:
        The names of the partitions made now.

    Raises:
        StoreError: the database is away; what was made stays.
    """
    made = []
    last = today + timedelta(days=days)
    for row in session.rows(connection, "partitioned", last=last):
        newest: datetime | None = row["newest"]
        since = week_of(today)
        if newest is not None:
            since = max(newest.date(), since - _MADE_UP)
        while since <= last:
            until = week_of(since) + WEEK
            try:
                made.append(_make(connection, row["relation"], since, until))
            except StoreError as wrong:
                if isinstance(wrong.__cause__, psycopg.errors.LockNotAvailable):
                    return made
                raise
            since = until
    return made


def _make(connection: Connection, table: str, first: date, after: date) -> str:
    name = f"{table}_{first:%Y%m%d}"
    column, since, until = TIMES[table], f"'{first} 00:00+00'", f"'{after} 00:00+00'"
    inside = f"{column} >= {since} AND {column} < {until}"
    statements = (
        "SET LOCAL lock_timeout = '500ms'",
        # nobody may write into the default partition between the move and the attachment
        f"LOCK TABLE {table}_default IN ACCESS EXCLUSIVE MODE",
        f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS)",
        f"WITH moved AS (DELETE FROM {table}_default WHERE {inside} RETURNING *)"
        f" INSERT INTO {name} SELECT * FROM moved",
        f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({since}) TO ({until})",
    )
    with converted(name), connection.transaction():
        for statement in statements:
            connection.execute(statement.encode())
    return name
