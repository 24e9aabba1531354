"""One connection to the database, for a worker thread; psycopg's errors become StoreError."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row

from hub.errors import StatementError, StoreError
from hub.store.queries import query

Connection = psycopg.Connection[DictRow]

_PASSING = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,  # a standby, or an administrator: no row is at fault
)


@contextmanager
def converted(what: str) -> Iterator[None]:
    """Turn any psycopg error inside into a sentence that starts with `what`.

    Raises:
        StoreError: the database is away, restarting, full, read-only: the same may succeed later.
        StatementError: it would be refused again.
    """
    try:
        yield
    except _PASSING as wrong:
        raise StoreError(f"{what}: {_first_line(wrong)}") from wrong
    except psycopg.Error as wrong:
        if _partition_came(wrong):
            raise StoreError(f"{what}: {_first_line(wrong)}") from wrong
        raise StatementError(f"{what}: {_first_line(wrong)}") from wrong


def _partition_came(wrong: psycopg.Error) -> bool:
    """The row was on its way into the default partition while its week was cut out of that."""
    partitions = isinstance(wrong, psycopg.errors.CheckViolation)
    return partitions and wrong.diag.constraint_name is None


def _first_line(wrong: psycopg.Error) -> str:
    return (str(wrong).strip().splitlines() or [type(wrong).__name__])[0]


def connect(dsn: str, name: str, autocommit: bool = True) -> Connection:
    """Open one connection; `name` shows in pg_stat_activity. Sessions speak UTC.

    Raises:
        StoreError: the database does not answer within 5 s or refuses us.
    """
    with converted("database"):
        return psycopg.connect(
            dsn,
            autocommit=autocommit,
            connect_timeout=5,
            application_name=f"quanjian-{name}",
            options="-c timezone=UTC",
            row_factory=dict_row,
        )


def rows(connection: Connection, name: str, **parameters: Any) -> list[dict[str, Any]]:
    """All rows of a named query; none for a statement that returns none.

    Raises:
        StoreError: the database is away or refused the statement.
    """
    with converted(name):
        cursor = connection.execute(query(name).sql.encode(), parameters)
        return cursor.fetchall() if cursor.description else []


def each(connection: Connection, name: str, many: Iterable[Mapping[str, Any]]) -> None:
    """One named statement for many rows, in one round trip; what it returns is not looked at.

    Raises:
        StoreError: as `rows`.
    """
    with converted(name), connection.cursor() as cursor:
        cursor.executemany(query(name).sql.encode(), list(many))
