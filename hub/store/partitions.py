"""Daily partitions of the part table, made ahead; rows that came earlier are moved into theirs."""

from datetime import date, timedelta

from hub.store import session
from hub.store.session import Connection, converted


def make_ahead(connection: Connection, today: date, days: int) -> list[str]:
    """Make the partitions of today and the `days` after it that do not exist yet.

    Parts of such a day that already lie in the default partition (a node whose clock is ahead, a
    hub that was off) move along, in the same transaction.

    Returns:
        The names of the partitions made now.

    Raises:
        StoreError: the database is away; what was made stays.
    """
    known = {row["day"] for row in session.rows(connection, "partition_days")}
    wanted = [today + timedelta(days=ahead) for ahead in range(days + 1)]
    return [_make(connection, day) for day in wanted if day not in known]


def _make(connection: Connection, day: date) -> str:
    name = f"part_{day:%Y%m%d}"
    since, until = f"'{day} 00:00+00'", f"'{day + timedelta(days=1)} 00:00+00'"
    statements = (
        # nobody may write into the default partition between the move and the attachment
        "LOCK TABLE part_default IN ACCESS EXCLUSIVE MODE",
        f"CREATE TABLE {name} (LIKE part INCLUDING DEFAULTS)",
        f"WITH moved AS (DELETE FROM part_default WHERE at >= {since} AND at < {until} RETURNING *)"
        f" INSERT INTO {name} SELECT * FROM moved",
        f"ALTER TABLE part ATTACH PARTITION {name} FOR VALUES FROM ({since}) TO ({until})",
    )
    with converted(name), connection.transaction():
        for statement in statements:
            connection.execute(statement.encode())
    return name
