"""The columns of the ledger's tables, and their binary COPY. Part of hub/store/rows.py.

The server reads a binary COPY as it comes, but puts its rows into the table by the thousand, or at
its end: half of its work begins when a batch has been sent. So parts go in short COPYs, of which
each is stored while the rows of the next are read and packed.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import msgspec
from psycopg import Error
from psycopg.abc import PQGen
from psycopg.copy import LibpqWriter
from psycopg.errors import error_from_result
from psycopg.generators import fetch_many
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn
from psycopg.types.json import Jsonb
from psycopg.waiting import Wait

from edge.mqtt.message import Row
from hub.intake import Bad, Good, Place
from hub.moments import moment
from hub.store import packed
from hub.store.session import Connection

Columns = tuple[tuple[str, str], ...]
"""Names with their types, as COPY wants them."""

OTHER: Columns = (
    ("stream", "text"), ("seq", "int8"), ("at", "timestamptz"), ("plant", "text"),
    ("line", "text"), ("node", "text"), ("kind", "text"), ("station", "text"),
    ("epoch", "int8"), ("body", "jsonb"), ("hash", "text"), ("raw", "bytea"),
    ("node_at", "timestamptz"),
)  # fmt: skip
QUARANTINE: Columns = (
    ("stream", "text"), ("seq", "int8"), ("node", "text"), ("station", "text"),
    ("epoch", "int8"), ("parts", "int8"), ("reason", "text"), ("hash", "text"), ("raw", "bytea"),
    ("elsewhere", "int8"), ("first_number", "int8"), ("last_number", "int8"),
)  # fmt: skip

_TOGETHER = 100
"""Part rows of one COPY; those of parts without defects then fit into a socket's buffer.
bench.ingest: 100 to 150 are as fast, 500 are as slow as one COPY for the whole batch."""

Values = tuple[Any, ...]


def of_other(place: Place, stream: str, good: Good, row: Row) -> Values:
    """The columns OTHER of one row."""
    kind = str(type(row).__struct_config__.tag)
    return (
        stream, good.seq, moment(good.at_ms), place.plant, place.line, place.node, kind,
        row.station, row.epoch, Jsonb(row, dumps=msgspec.json.encode), good.hash, good.raw,
        None if good.at_ms == row.at_ms else moment(row.at_ms),
    )  # fmt: skip


def of_bad(place: Place, stream: str, bad: Bad) -> Values:
    """The columns QUARANTINE of one row."""
    where = (stream, bad.seq, place.node, bad.station, bad.epoch, bad.parts)
    first, last = bad.numbers or (None, None)
    return (*where, clean(bad.reason)[:500], bad.hash, bad.raw, bad.elsewhere, first, last)


def copy(connection: Connection, table: str, columns: Columns, rows: Sequence[Values]) -> None:
    """Binary COPY of rows, if there are any."""
    if not rows:
        return
    names = ", ".join(name for name, _ in columns)
    statement = f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copying:
        copying.set_types([kind for _, kind in columns])
        for row in rows:
            copying.write_row(row)


def copy_parts(connection: Connection, rows: Iterator[bytes]) -> None:
    """Binary COPYs of part rows, each while the rows of the next are packed.

    Args:
        rows: as PartPacker gives them; what makes them must not use the connection.
    """
    statement = f"COPY part ({', '.join(packed.COLUMNS)}) FROM STDIN (FORMAT BINARY)".encode()
    under_way: _Ended | None = None
    try:
        while some := list(islice(rows, _TOGETHER)):
            if under_way is not None:
                under_way.wait()
            with connection.cursor() as cursor:
                under_way = _Ended(cursor)
                with cursor.copy(statement, writer=under_way) as copying:
                    copying.write(b"".join((packed.BEGIN, *some, packed.END)))
    except BaseException:
        if under_way is not None:
            with suppress(Error):  # what ended it is more than that these rows were refused too
                under_way.wait()
        raise
    if under_way is not None:
        under_way.wait()


class _Ended(LibpqWriter):
    """A COPY that was sent to its end; the server stores its rows until `wait` returns."""

    _waiting = False

    def finish(self, exc: BaseException | None = None) -> None:
        """As the base does, but for the server's answer."""
        if exc is not None:
            super().finish(exc)
            return
        self.connection.wait(_end(self.connection.pgconn))
        self._waiting = True

    def wait(self) -> None:
        """Until the rows are stored; once, then it does nothing.

        Raises:
            psycopg.Error: they are not.
        """
        if not self._waiting:
            return
        self._waiting = False
        for result in self.connection.wait(fetch_many(self.connection.pgconn)):
            if result.status != ExecStatus.COMMAND_OK:
                raise error_from_result(result)


def _end(server: PGconn) -> PQGen[None]:
    """Send the end of a COPY, whole."""
    while server.put_copy_end() == 0:
        yield Wait.W
    while server.flush() == 1:
        yield Wait.W


def clean(text: str) -> str:
    """Text as PostgreSQL can store it."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode("utf-8")
