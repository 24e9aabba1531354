"""The store as the pages see it: named queries on shared connections, and notifications."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from hub.errors import StoreError
from hub.store import session

RECONNECTED = '{"kind":"reconnected"}'
_RETRY_S = 2.0


class Store:
    """Named queries for many threads; a lost database is tried again at the next call."""

    def __init__(self, dsn: str, size: int = 4) -> None:
        self._dsn = dsn
        self._pool: ConnectionPool[psycopg.Connection[DictRow]] = ConnectionPool(
            dsn,
            min_size=1,
            max_size=size,
            open=False,
            timeout=5,
            kwargs={
                "application_name": "quanjian-pages",
                "options": "-c timezone=UTC -c statement_timeout=10s",
                "connect_timeout": 5,
                "row_factory": dict_row,
            },
            check=ConnectionPool.check_connection,
        )

    def open(self) -> None:
        """Start connecting; does not wait for the database."""
        self._pool.open(wait=False)

    def close(self) -> None:
        """Give every connection back; may be called twice."""
        self._pool.close(timeout=5)

    def rows(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """All rows of a named query, committed.

        Raises:
            StoreError: no connection within 5 s, or the statement was refused.
        """
        with self.transaction(name) as connection:
            return session.rows(connection, name, **parameters)

    @contextmanager
    def transaction(self, what: str) -> Iterator[session.Connection]:
        """Several queries on one connection, all of them committed or none. Raises as `rows`."""
        try:
            with session.converted(what), self._pool.connection() as connection:
                yield connection
        except PoolTimeout as wrong:
            raise StoreError(f"{what}: no connection to the database within 5 s") from wrong

    def first(self, name: str, **parameters: Any) -> dict[str, Any] | None:
        """The first row of a named query, or None. Raises as `rows`."""
        return next(iter(self.rows(name, **parameters)), None)

    def notifications(
        self, channel: str = "qj_line", timeout_s: float = 1.0
    ) -> Iterator[str | None]:
        """Payloads of NOTIFY on `channel` as they come; None whenever `timeout_s` passed without.

        Never ends and never raises: while the database is away it yields None, and RECONNECTED
        once it listens again, because payloads may have been lost between.
        """
        lost = False
        while True:
            try:
                with session.connect(self._dsn, "listen") as connection:
                    with session.converted("listen"):
                        connection.execute(f'LISTEN "{channel}"'.encode())
                    if lost:
                        yield RECONNECTED
                    yield from self._heard(connection, timeout_s)
            except StoreError:
                lost = True
            again_s = time.monotonic() + _RETRY_S
            while time.monotonic() < again_s:
                time.sleep(min(timeout_s, _RETRY_S))
                yield None

    def _heard(self, connection: session.Connection, timeout_s: float) -> Iterator[str | None]:
        while True:
            heard = []
            with session.converted("listen"):
                heard = list(connection.notifies(timeout=timeout_s, stop_after=1))
            yield from (note.payload for note in heard)
            if not heard:
                yield None
