"""The columns of the ledger's tables, and their binary COPY. Part of hub/store/rows.py."""

from collections.abc import Iterable
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from edge.mqtt.message import PartRow, Row
from hub.intake import Bad, Good, Place
from hub.moments import moment
from hub.store.session import Connection

Columns = tuple[tuple[str, str], ...]
"""Names with their types, as COPY wants them."""

PART: Columns = (
    ("stream", "text"), ("seq", "int8"), ("at", "timestamptz"), ("plant", "text"),
    ("line", "text"), ("node", "text"), ("station", "text"), ("epoch", "int8"),
    ("number", "int8"), ("code", "int2"), ("reason", "text"), ("computed", "int2"),
    ("computed_reason", "text"), ("defect", "text"), ("score", "int4"), ("mode", "text"),
    ("recipe", "text"), ("model", "text"), ("trust", "text"), ("product", "text"),
    ("batch", "text"), ("serial", "text"), ("inspect_ms", "int8"), ("latency_ms", "int8"),
    ("views", "jsonb"), ("hash", "text"), ("raw", "bytea"), ("node_at", "timestamptz"),
)  # fmt: skip
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

Values = tuple[Any, ...]


def of_part(place: Place, stream: str, good: Good, row: PartRow) -> Values:
    """The columns PART of one row."""
    at = moment(good.at_ms)
    return (
        stream, good.seq, at, place.plant, place.line, place.node, row.station,
        row.epoch, row.number, int(row.code), row.reason and row.reason.value, int(row.computed),
        row.computed_reason and row.computed_reason.value, row.defect, row.score, row.mode.value,
        row.recipe, row.model, row.trust, row.product, row.batch, row.serial, row.inspect_ms,
        row.latency_ms, Jsonb(row.views, dumps=msgspec.json.encode), good.hash, good.raw,
        None if good.at_ms == row.at_ms else moment(row.at_ms),
    )  # fmt: skip


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


def copy(connection: Connection, table: str, columns: Columns, rows: Iterable[Values]) -> None:
    """Binary COPY of rows that are made while the server already takes those before them."""
    names = ", ".join(name for name, _ in columns)
    statement = f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copying:
        copying.set_types([kind for _, kind in columns])
        for row in rows:
            copying.write_row(row)


def clean(text: str) -> str:
    """Text as PostgreSQL can store it."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode("utf-8")
