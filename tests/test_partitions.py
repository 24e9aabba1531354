"""Weeks of rows on plain PostgreSQL: made before they come, rows that came earlier move along."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timezone
from typing import Any

import pytest

from hub.errors import StatementError, StoreError
from hub.intake import Place
from hub.store import rows, session
from hub.store.partitions import make_ahead
from tests.ledger_rows import part_row
from tests.loopback_peer import wait_for
from tests.paper_ledger import PaperLedger

PLACE = Place("jinan", "line-1", "node-1")

pytestmark = pytest.mark.usefixtures("plain")


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


@pytest.mark.parametrize("wrong", [date(1970, 1, 1), date(2099, 1, 1)])
def test_a_round_with_a_wrong_clock_costs_no_partition_of_today_and_no_thousand_of_others(
    connection: session.Connection, database: str, wrong: date
) -> None:
    make_ahead(connection, wrong, 7)
    made = make_ahead(connection, date(2026, 11, 23), 7)
    assert {"part_20261119", "part_20261126"} <= set(made)
    assert len(made) <= 3 * 54
    assert make_ahead(connection, date(2026, 11, 23), 7) == []


def test_a_row_that_comes_while_its_week_is_made_is_not_at_fault(
    connection: session.Connection, database: str
) -> None:
    """It was on its way into the default partition, which no longer takes it: a second try does."""
    noon = int(datetime(2026, 11, 23, 12, tzinfo=timezone.utc).timestamp() * 1000)
    batch = PaperLedger().write([part_row(1, at_ms=noon)])
    with session.connect(database, "mover") as mover, ThreadPoolExecutor(1) as beside:
        with mover.transaction():
            assert make_ahead(mover, date(2026, 11, 23), 0)
            taking = beside.submit(rows.taken, connection, PLACE, batch)
            waits = "SELECT 1 FROM pg_locks WHERE NOT granted"
            wait_for(lambda: bool(asked(database, waits)), "the row waits for the lock")
        with pytest.raises(StoreError, match="partition") as refused:
            taking.result(30)
    assert not isinstance(refused.value, StatementError)
    assert rows.taken(connection, PLACE, batch).stored == 1
    where = "SELECT tableoid::regclass::text AS place FROM part"
    assert asked(database, where) == [{"place": "part_20261119"}]


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
