"""The columns of the ledger's tables, and their binary COPY. Part of hub/store/rows.py."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

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

_BLOCK = 32 * 1024  # bytes; each is a system call

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


def copy_parts(connection: Connection, rows: Iterable[bytes]) -> None:
    """Binary COPY of part rows that are packed while the server already takes those before them."""
    statement = f"COPY part ({', '.join(packed.COLUMNS)}) FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copying:
        block = bytearray(packed.BEGIN)
        for row in rows:
            block += row
            if len(block) >= _BLOCK:
                copying.write(block)
                block = bytearray()
        copying.write(block + packed.END)


def clean(text: str) -> str:
    """Text as PostgreSQL can store it."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode("utf-8")
