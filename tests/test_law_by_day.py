"""The law of each day: differences of the counter rows, wherever a zone cuts the days."""

from datetime import date, datetime, timezone
from typing import Any

from edge.mqtt.message import CounterRow
from edge.terms import Code
from hub import metrics
from hub.store import rows, session
from tests.ingest_peer import PLACE
from tests.ledger_rows import epoch_row, missed_row, part_row, stamp
from tests.paper_ledger import PaperLedger

DAY_MS = 86_400_000
NOON_MS = int(datetime(2026, 11, 20, 12, tzinfo=timezone.utc).timestamp() * 1000)


def days(
    connection: session.Connection, zone: str = "UTC", first: int = 1, last: int = 30
) -> list[dict[str, Any]]:
    return session.rows(
        connection,
        "law_by_day",
        timezone=zone,
        first=date(2026, 11, first),
        last=date(2026, 11, last),
        plant="jinan",
        line=None,
    )


def counted(at_ms: int, counter: int, waiting: int = 0) -> CounterRow:
    return CounterRow(**stamp(1, at_ms), counter=counter, open=waiting)


def written(connection: session.Connection) -> None:
    """Three days: 4 triggers with one under way, 3 more that settle it, none, 2 that nobody saw."""
    ledger = PaperLedger()
    ledger.write(
        [
            epoch_row(base=10),
            *(part_row(n, at_ms=NOON_MS) for n in (11, 12)),
            part_row(13, Code.NG, at_ms=NOON_MS),
            counted(NOON_MS + 1_000, 14, waiting=1),
            *(part_row(n, at_ms=NOON_MS + DAY_MS) for n in (14, 15, 16, 17)),
            counted(NOON_MS + DAY_MS, 16, waiting=0),
            counted(NOON_MS + DAY_MS + 9_000, 17),
            missed_row(18, 19),
            counted(NOON_MS + 3 * DAY_MS, 19),
        ]
    )
    half = ledger.next // 2
    rows.taken(connection, PLACE, ledger.batch(1, half))
    rows.taken(connection, PLACE, ledger.batch(half, ledger.next))


def test_each_day_has_what_its_counter_rows_added(direct: session.Connection) -> None:
    written(direct)
    found = days(direct)
    names = ("triggers", "ok", "ng", "missed", "open")
    assert {row["day"].day: tuple(row[name] for name in names) for row in found} == {
        20: (4, 2, 1, 0, 1),
        21: (3, 4, 0, 0, -1),
        23: (2, 0, 0, 2, 0),
    }
    assert [metrics.day_law(row).state for row in found] == ["balanced"] * 3
    assert [row["day"].day for row in days(direct, first=21, last=22)] == [21]
    assert days(direct, first=21, last=22)[0]["triggers"] == 3


def test_a_zone_cuts_its_own_days_and_they_add_up_to_the_same(direct: session.Connection) -> None:
    written(direct)
    east = days(direct, "Pacific/Kiritimati")  # 14 hours ahead: noon is 2 in the morning
    assert [row["day"].day for row in east] == [21, 22, 24]
    for name in ("triggers", "ok", "ng", "missed", "open"):
        assert sum(row[name] for row in east) == sum(row[name] for row in days(direct))


def test_a_day_whose_rows_do_not_fit_the_counter_stands_alone(direct: session.Connection) -> None:
    ledger = PaperLedger()
    ledger.write(
        [
            epoch_row(),
            part_row(1, at_ms=NOON_MS),
            counted(NOON_MS, 2),
            part_row(3, at_ms=NOON_MS + DAY_MS),
            counted(NOON_MS + DAY_MS, 3),
        ]
    )
    rows.taken(direct, PLACE, ledger.batch(1, ledger.next))
    laws = [metrics.day_law(row) for row in days(direct)]
    assert [(law.state, law.residue) for law in laws] == [("unbalanced", 1), ("balanced", 0)]
