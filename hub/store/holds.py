"""Holds: what stands on rows, such as a frozen report, keeps them in the database.

At least 36 months from the end of the period; the database refuses less.
"""

from datetime import datetime

from hub.errors import HoldError
from hub.store import session
from hub.store.session import Connection, converted


def place(
    connection: Connection,
    what: str,
    reason: str,
    period: tuple[datetime, datetime],
    keep_until: datetime,
) -> None:
    """Hold the rows of a period [since, until) until `keep_until`.

    Args:
        what: what stands on them, e.g. the number of a report.
        reason: why, for a person.

    Raises:
        HoldError: rows of the period have left the database already.
        StatementError: `keep_until` is less than 36 months after the period.
    """
    since, until = period
    with converted("hold"), connection.transaction():
        session.rows(
            connection,
            "hold_placed",
            what=what,
            reason=reason,
            since=since,
            until=until,
            keep_until=keep_until,
        )
        # after the insert: it waited for whoever drops rows right now
        gone = session.rows(connection, "archived_over", since=since, until=until)
        if gone:
            files = ", ".join(row["file"] for row in gone)
            raise HoldError(f"{what}: rows of that period are archived already: {files}")
