"""Weeks of rows on plain PostgreSQL: made before they come, rows that came earlier move along."""

from collections.abc import Iterator
from datetime import date, datetime, timezone
from typing import Any

import pytest

from hub import registry
from hub.intake import Place
from hub.store import rows, session
from hub.store.partitions import make_ahead
from tests.ledger_rows import part_row
from tests.paper_ledger import PaperLedger

PLACE = Place("jinan", "line-1", "node-1")

pytestmark = pytest.mark.usefixtures("plain")


@pytest.fixture
def connection(database: str) -> Iterator[session.Connection]:
    registry.add(database, "jinan", "line-1", "node-1")
    with session.connect(database, "test") as opened:
        yield opened


def asked(dsn: str, statement: str) -> list[dict[str, Any]]:
    with session.connect(dsn, "ask") as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_partitions_are_made_ahead_once(connection: session.Connection, database: str) -> None:
    today = date(2026, 11, 23)  # a Monday; weeks start on Thursdays, as 1970-01-01 was one
    assert make_ahead(connection, today, 2) == [
        "ledger_row_20261119", "part_20261119", "quarantine_20261119",
    ]  # fmt: skip
    assert make_ahead(connection, today, 2) == []
    assert make_ahead(connection, today, 3) == [
        "ledger_row_20261126", "part_20261126", "quarantine_20261126",
    ]  # fmt: skip


def test_weeks_of_a_hub_that_was_off_are_made_too(
    connection: session.Connection, database: str
) -> None:
    make_ahead(connection, date(2026, 11, 23), 0)
    made = make_ahead(connection, date(2026, 12, 14), 0)
    assert [name for name in made if name.startswith("part")] == [
        "part_20261126", "part_20261203", "part_20261210",
    ]  # fmt: skip


def test_a_backup_that_reads_the_tables_holds_up_no_round(
    connection: session.Connection, database: str
) -> None:
    today = date(2026, 11, 23)
    with session.connect(database, "backup", autocommit=False) as backup:
        backup.execute("SELECT count(*) FROM part")
        assert make_ahead(connection, today, 0) == ["ledger_row_20261119"]
    assert make_ahead(connection, today, 0) == ["part_20261119", "quarantine_20261119"]


def test_a_day_that_has_its_own_partition_keeps_it(
    connection: session.Connection, database: str
) -> None:
    asked(
        database,
        "CREATE TABLE part_20261120 PARTITION OF part "
        "FOR VALUES FROM ('2026-11-20 00:00+00') TO ('2026-11-21 00:00+00')",
    )
    made = make_ahead(connection, date(2026, 11, 20), 3)
    assert made == ["ledger_row_20261119", "part_20261121", "quarantine_20261119"]


def test_a_part_goes_into_its_day_and_early_ones_move_along(
    connection: session.Connection, database: str
) -> None:
    noon = int(datetime(2026, 11, 23, 12, tzinfo=timezone.utc).timestamp() * 1000)
    ledger = PaperLedger()
    ledger.write([part_row(1, at_ms=noon), part_row(2, at_ms=noon)])
    where = "SELECT tableoid::regclass::text AS place FROM part ORDER BY seq"
    rows.taken(connection, PLACE, ledger.batch(1, 2))
    assert asked(database, where) == [{"place": "part_default"}]
    make_ahead(connection, date(2026, 11, 23), 0)
    rows.taken(connection, PLACE, ledger.batch(2, 3))
    assert asked(database, where) == [{"place": "part_20261119"}] * 2
