"""One connection to the database, for a worker thread; psycopg's errors become StoreError."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row

from hub.errors import StatementError, StoreError
from hub.store.queries import query

Connection = psycopg.Connection[DictRow]


@contextmanager
def converted(what: str) -> Iterator[None]:
    """Turn any psycopg error inside into a sentence that starts with `what`.

    Raises:
        StatementError: what was given is at fault, a value or a constraint: it would be refused
            again.
        StoreError: anything else, that is the database: away, full, read-only, damaged, a right or
            a table missing. The same may succeed once that is mended.
    """
    try:
        yield
    except psycopg.Error as wrong:
        kind = StatementError if _at_fault(wrong) else StoreError
        raise kind(f"{what}: {_first_line(wrong)}") from wrong


def _at_fault(wrong: psycopg.Error) -> bool:
    """Is it what was given? Only a value or a constraint can say so, as a row is condemned by it.

    A check without a name is a partition's: the row was on its way into the default one while its
    week was cut out of that.
    """
    if isinstance(wrong, psycopg.errors.CheckViolation):
        return wrong.diag.constraint_name is not None
    return isinstance(wrong, psycopg.DataError | psycopg.IntegrityError)


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


@contextmanager
def snapshot(dsn: str, name: str) -> Iterator[Connection]:
    """A connection that sees the database as it is at one moment, and changes nothing.

    Raises:
        StoreError: the database is away, or went away, until the end of the block.
    """
    with converted(name), connect(dsn, name, autocommit=False) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield connection


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
