"""The yardstick: a binary COPY of ready values into tables like the store's own, nothing else.

The tables have the columns, the indexes and the partitions of `part` and `ledger_row`, whatever
these are; a column of the store that this file has no value for is an error.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import json
from psycopg.types.json import Jsonb

from edge.mqtt.message import AnyRow, Batch, Entry, PartRow, decode_row
from hub.intake import Place
from hub.moments import moment
from hub.store import session

TABLES = ("part", "ledger_row")
MADE_BY_THE_SERVER = {"received_at"}

Ready = dict[str, list[tuple[Any, ...]]]
"""Table -> values of its columns in order."""


def _json(value: object) -> Jsonb:
    """A value whose text is ready."""
    text = json.encode(value)
    return Jsonb(None, dumps=lambda _: text)


_OF_ROW: Mapping[str, Callable[[Any], Any]] = {
    "at": lambda row: moment(row.at_ms),
    "kind": lambda row: str(type(row).__struct_config__.tag),
    "code": lambda row: int(row.code),
    "computed": lambda row: int(row.computed),
    "reason": lambda row: row.reason and row.reason.value,
    "computed_reason": lambda row: row.computed_reason and row.computed_reason.value,
    "mode": lambda row: row.mode.value,
    "views": lambda row: _json(row.views),
    "body": lambda row: _json(row),
    "node_at": lambda _row: None,
}


class Alone:
    """The tables of COPY alone."""

    def __init__(self, connection: session.Connection) -> None:
        self._connection = connection
        self._columns = {table: self._made(table) for table in TABLES}

    def ready(self, place: Place, batch: Batch) -> Ready:
        """The values of a batch as they are copied."""
        found: Ready = {table: [] for table in TABLES}
        for seq, entry in enumerate(batch.rows, batch.first):
            row = decode_row(entry.row)
            table = "part" if isinstance(row, PartRow) else "ledger_row"
            beside = {"stream": batch.stream, "seq": seq, **_places(place), **_bytes(entry)}
            values = [_value(name, beside, row) for name, _ in self._columns[table]]
            found[table].append(tuple(values))
        return found

    def copy(self, ready: Ready) -> None:
        """One transaction."""
        with session.converted("bench"), self._connection.transaction():
            for table, values in ready.items():
                if values:
                    self._copy(table, values)

    def _copy(self, table: str, values: list[tuple[Any, ...]]) -> None:
        names = ", ".join(name for name, _ in self._columns[table])
        statement = f"COPY alone_{table} ({names}) FROM STDIN (FORMAT BINARY)".encode()
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([kind for _, kind in self._columns[table]])
            for row in values:
                copy.write_row(row)

    def _made(self, table: str) -> list[tuple[str, str]]:
        """Make the table; its columns in order with their types."""
        like = f"CREATE TABLE alone_{table} (LIKE {table} INCLUDING DEFAULTS INCLUDING INDEXES)"
        by = self._ask(
            "SELECT pg_get_partkeydef(oid) AS by FROM pg_class"
            f" WHERE oid = '{table}'::regclass AND relkind = 'p'"
        )
        self._ask(f"{like} PARTITION BY {by[0]['by']}" if by else like)
        for part in (
            self._ask(
                "SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound"
                " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                f" WHERE i.inhparent = '{table}'::regclass"
            )
            if by
            else ()
        ):
            self._ask(
                f"CREATE TABLE alone_{part['name']} PARTITION OF alone_{table} {part['bound']}"
            )
        if self._chunked(table):
            self._ask(f"SELECT create_hypertable('alone_{table}', 'at')")
        columns = self._ask(
            "SELECT column_name AS name, data_type AS kind FROM information_schema.columns"
            f" WHERE table_name = '{table}' AND table_schema = current_schema()"
            " ORDER BY ordinal_position"
        )
        return [
            (column["name"], column["kind"])
            for column in columns
            if column["name"] not in MADE_BY_THE_SERVER
        ]

    def _chunked(self, table: str) -> bool:
        """True if the store's own table is a hypertable."""
        if not self._ask("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'"):
            return False
        return bool(
            self._ask(
                "SELECT 1 FROM timescaledb_information.hypertables"
                f" WHERE hypertable_name = '{table}'"
            )
        )

    def _ask(self, statement: str) -> list[dict[str, Any]]:
        with session.converted("bench"):
            cursor = self._connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


def _places(place: Place) -> dict[str, str]:
    return {"plant": place.plant, "line": place.line, "node": place.node}


def _bytes(entry: Entry) -> dict[str, Any]:
    return {"hash": entry.hash, "raw": bytes(entry.row)}


def _value(name: str, beside: Mapping[str, Any], row: AnyRow) -> Any:
    if name in beside:
        return beside[name]
    return _OF_ROW[name](row) if name in _OF_ROW else getattr(row, name)
