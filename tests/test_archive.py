"""Retention of rows: a week leaves the database only into a sealed, read and chained archive."""

import gzip
import hashlib
import json
import shutil
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest

from edge.mqtt.message import AnyRow, Batch
from hub.duties import Duties
from hub.errors import ArchiveError, HoldError, StatementError
from hub.intake import Place
from hub.settings import Broker, Database, Retention, Settings, Web
from hub.store import archive, chain, holds, partitions, rows, sealed, session
from hub.store.archive import sweep
from tests.ledger_rows import counter_row, epoch_row, part_row
from tests.paper_ledger import PaperLedger

PLACE = Place("jinan", "line-1", "node-1")
NOW = datetime.now(timezone.utc)
LATER = NOW + timedelta(days=1200)


@pytest.fixture
def settings(database: str, tmp_path: Path) -> Settings:
    return Settings(
        database=Database(dsn=database),
        broker=Broker(host="127.0.0.1"),
        web=Web(pictures_dir=str(tmp_path / "pictures")),
        retention=Retention(archive_dir=str(tmp_path / "archive")),
    )


def ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def written(connection: session.Connection, *more: AnyRow | bytes, parts: int = 5) -> PaperLedger:
    """A balanced ledger of today in its weeks, verified as duties does it."""
    at = ms(NOW)
    ledger = PaperLedger()
    ledger.write([epoch_row(), *(part_row(n, at_ms=at) for n in range(1, parts + 1))])
    ledger.write([counter_row(parts, at_ms=at), *more])
    take(connection, ledger.batch(1, ledger.next))
    partitions.make_ahead(connection, NOW.date(), 7)
    return ledger


def written_long_ago(connection: session.Connection) -> None:
    """The same, of 1,200 days ago, in the default partitions: a hub that made no weeks then."""
    ago, at = NOW - timedelta(days=1200), ms(NOW - timedelta(days=1200))
    ledger = PaperLedger()
    take(connection, ledger.write([epoch_row(), part_row(1, at_ms=at), counter_row(1, at_ms=at)]))
    for table in ("part", "ledger_row"):
        connection.execute(f"UPDATE {table} SET received_at = %s".encode(), (ago,))


def take(connection: session.Connection, batch: Batch, verified: bool = True) -> None:
    rows.taken(connection, PLACE, batch)
    if verified:
        connection.execute("UPDATE cursor SET checked = next")


def stored(connection: session.Connection) -> list[int]:
    found = connection.execute(
        "SELECT seq FROM part UNION ALL SELECT seq FROM ledger_row UNION ALL "
        "SELECT seq FROM quarantine ORDER BY seq"
    )
    return [row["seq"] for row in found]


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


def test_a_week_that_is_over_is_sealed_chained_and_dropped(
    connection: session.Connection, settings: Settings
) -> None:
    ledger = written(connection, b"\xff no row at all")
    law = connection.execute("SELECT * FROM law").fetchall()
    old, new = sweep(connection, settings, LATER)  # epoch_row is of 1970
    assert stored(connection) == []
    assert connection.execute("SELECT * FROM law").fetchall() == law
    told = [line for file in (old, new) for line in lines(file)[1:]]
    assert [line["seq"] for line in told] == list(range(1, ledger.next))
    assert [line["hash"] for line in told] == [entry.hash for entry in ledger.entries]
    assert told[1]["raw"].encode() == bytes(ledger.entries[1].row)
    assert (told[-1]["relation"], told[-1]["parts"]) == ("quarantine", 0)
    entries = session.rows(connection, "hub_chain_entries")
    bodies = [json.loads(entry["body"]) for entry in entries if entry["kind"] == "archive"]
    for body, file in zip(bodies, (old, new), strict=True):
        assert body["file"] == file.name
        assert body["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (bodies[1]["rows"], bodies[1]["parts"]) == (7, 5)
    left = connection.execute("SELECT stored_weeks() AS week").fetchall()
    assert all(row["week"] > NOW - timedelta(days=7) for row in left)


def test_an_archive_goes_on_where_the_one_before_ended(
    connection: session.Connection, settings: Settings
) -> None:
    ledger = written(connection)
    sweep(connection, settings, LATER)
    ledger.write([part_row(6, at_ms=ms(NOW))])
    take(connection, ledger.batch(8, 9))
    [late] = sweep(connection, settings, LATER)
    assert [line["seq"] for line in lines(late)[1:]] == [8]
    runs = connection.execute("SELECT first, last, hash FROM archive_run ORDER BY first").fetchall()
    assert [(run["first"], run["last"]) for run in runs] == [(1, 1), (2, 7), (8, 8)]
    assert runs[-1]["hash"] == ledger.hash_before(9)


def test_rows_stay_while_anything_speaks_for_them(
    connection: session.Connection, settings: Settings, database: str
) -> None:
    written(connection)
    everything = stored(connection)
    connection.execute("UPDATE cursor SET checked = 2")  # rows from 2 on were not verified yet
    connection.execute("DELETE FROM ledger_row WHERE seq = 1")
    assert sweep(connection, settings, LATER) == []
    connection.execute("UPDATE cursor SET checked = next")
    assert sweep(connection, settings, NOW + timedelta(days=1125)) == []  # a row came too late
    nowhere = Settings(
        database=Database(dsn=database),
        broker=Broker(host="127.0.0.1"),
        web=Web(pictures_dir="pictures"),
    )
    assert sweep(connection, nowhere, LATER) == []
    period = (NOW - timedelta(days=3), NOW + timedelta(days=1))
    holds.place(connection, "KPI-2026-11", "frozen", period, NOW + timedelta(days=1300))
    assert sweep(connection, settings, LATER) == []
    assert stored(connection) == everything[1:]
    assert not Path(str(settings.retention.archive_dir)).exists()  # not even written
    with session.connect(database, "other") as other:
        assert session.rows(other, "archiving", lock=archive.LOCK) == [{"alone": False}]
    assert len(sweep(connection, settings, NOW + timedelta(days=1301))) == 1


def test_a_row_that_came_late_keeps_its_week_as_long_as_it_is_here(
    connection: session.Connection, settings: Settings
) -> None:
    written_long_ago(connection)
    connection.execute("UPDATE part SET received_at = %s", (NOW,))
    connection.execute("DELETE FROM ledger_row WHERE kind = 'epoch'")  # it stands in a week of 1970
    assert sweep(connection, settings, NOW) == []
    assert sweep(connection, settings, NOW + timedelta(days=1124)) == []
    assert len(sweep(connection, settings, NOW + timedelta(days=1126))) == 1


def test_a_hold_is_for_36_months_and_not_for_rows_that_are_gone(
    connection: session.Connection, settings: Settings
) -> None:
    written(connection)
    period = (NOW - timedelta(days=1), NOW + timedelta(days=1))
    with pytest.raises(StatementError, match="hold"):
        holds.place(connection, "KPI-1", "too short", period, NOW + timedelta(days=1000))
    sweep(connection, settings, LATER)
    with pytest.raises(HoldError, match=r"KPI-1: rows .* 000002-\d{8}\.jsonl\.gz"):
        holds.place(connection, "KPI-1", "too late", period, NOW + timedelta(days=1300))
    assert connection.execute("SELECT count(*) AS n FROM hold").fetchall() == [{"n": 0}]


def test_rows_that_come_while_the_file_is_written_keep_the_week(
    connection: session.Connection,
    settings: Settings,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = written(connection)
    connection.execute("DELETE FROM ledger_row WHERE seq = 1")
    read = sealed.read

    def slow(*arguments: Any) -> sealed.Content:
        with session.connect(database, "ingest") as ingest:
            take(ingest, ledger.write([part_row(6, at_ms=ms(NOW))]))
        return read(*arguments)

    monkeypatch.setattr(sealed, "read", slow)
    assert sweep(connection, settings, LATER) == []
    assert stored(connection) == [2, 3, 4, 5, 6, 7, 8]
    assert list(Path(str(settings.retention.archive_dir)).iterdir()) == []
    monkeypatch.setattr(sealed, "read", read)
    assert len(sweep(connection, settings, LATER)) == 1


def test_tables_in_use_are_waited_for(
    connection: session.Connection, settings: Settings, database: str
) -> None:
    written(connection)
    with session.connect(database, "page", autocommit=False) as page:
        page.execute("SELECT count(*) FROM part")
        archivist = archive.Archivist(settings)
        archivist.round(LATER)
        waiting = "SELECT count(*) AS n FROM pg_locks WHERE NOT granted"
        while connection.execute(waiting).fetchall()[0]["n"] == 0:
            assert archivist.trouble is None
        assert stored(connection) == [2, 3, 4, 5, 6, 7]  # the row of 1970 is nobody's page
    archivist.wait()
    assert (archivist.trouble, stored(connection)) == (None, [])


SPOILT = {
    "a byte": lambda text: text.replace(b'"number\\":3', b'"number\\":4'),
    "a hash": lambda text: text.replace(b'"hash":"', b'"hash":"00', 1),
    "another file": lambda text: text.replace(b'"quanjian"', b'"tea"'),
    "no JSON": lambda text: text[:-20],
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_file_that_was_changed_is_not_read(
    how: str, connection: session.Connection, settings: Settings, tmp_path: Path
) -> None:
    written(connection)
    _, file = sweep(connection, settings, LATER)

    def before(stream: str, seq: int) -> str | None:
        found = session.rows(connection, "hash_of_row", stream=stream, seq=seq)
        return found[0]["hash"] if found else None

    assert sealed.read(file, before).rows == 6
    spoilt = tmp_path / "spoilt.jsonl.gz"
    spoilt.write_bytes(gzip.compress(SPOILT[how](gzip.decompress(file.read_bytes()))))
    with pytest.raises(ArchiveError, match="spoilt"):
        sealed.read(spoilt, before)
    spoilt.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(ArchiveError, match="spoilt"):
        sealed.read(spoilt, before)


def test_a_folder_that_cannot_be_written_is_an_alarm_and_drops_nothing(
    connection: session.Connection, settings: Settings
) -> None:
    written_long_ago(connection)
    Path(str(settings.retention.archive_dir)).write_text("in the way")
    duties = Duties(connection, settings)
    duties.round(NOW)
    duties._archivist.wait()
    [alarm] = [a for a in duties.round(NOW) if a.code == "archive_failed"]
    assert "not the folder of archives" in alarm.detail
    for line in ("line-1", "another"):  # the hub's own trouble stands on every line's board
        standing = session.rows(connection, "alerts_active", plant="jinan", line=line)
        assert [row["code"] for row in standing if not row["node"]] == ["archive_failed"]
    assert stored(connection) == [1, 2, 3]


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "half of the newest archive"])
def test_nothing_is_sealed_into_a_folder_that_has_not_the_newest_archive(
    connection: session.Connection, settings: Settings, tmp_path: Path, there: str
) -> None:
    """The disk of archive_dir is not mounted: its place is an empty folder of another disk."""
    ledger = written(connection)
    [_, first] = sweep(connection, settings, LATER)
    take(connection, ledger.write([part_row(6, at_ms=ms(NOW))]))
    folder = first.parent.rename(tmp_path / "unmounted")
    if there != "nothing":
        first.parent.mkdir()
    if there == "half of the newest archive":
        first.write_bytes((folder / first.name).read_bytes()[:-100])
    with pytest.raises(ArchiveError, match=first.name):
        sweep(connection, settings, LATER)
    assert stored(connection) == [8]
    shutil.rmtree(first.parent, ignore_errors=True)
    folder.rename(first.parent)
    assert len(sweep(connection, settings, LATER)) == 1
    assert stored(connection) == []


def test_duties_archive_what_is_due(connection: session.Connection, settings: Settings) -> None:
    written_long_ago(connection)
    duties = Duties(connection, settings)
    duties.round(NOW)
    duties._archivist.wait()
    assert stored(connection) == []
    assert [alarm.code for alarm in duties.round(NOW)] == []


def test_the_hubs_chain_is_only_added_to_and_shows_what_was_changed(
    connection: session.Connection, settings: Settings
) -> None:
    for number in range(3):
        chain.append(connection, "archive", {"number": number})
    for statement in ("UPDATE hub_chain SET body = '{}'", "DELETE FROM hub_chain"):
        with pytest.raises(psycopg.errors.RaiseException, match="insert-only"):
            connection.execute(statement.encode())
    entries = session.rows(connection, "hub_chain_entries")
    assert chain.broken_at(entries) is None
    assert chain.broken_at(entries[1:]) == "entry 1 of the hub's chain is missing"
    assert chain.broken_at([entries[0], entries[2]]) == "entry 2 of the hub's chain is missing"
    changed = [*entries[:2], {**entries[2], "body": '{"number":7}'}]
    assert chain.broken_at(changed) == "entry 3 of the hub's chain is not what was written"
    connection.execute("ALTER TABLE hub_chain DISABLE TRIGGER hub_chain_insert_only")
    connection.execute("UPDATE hub_chain SET body = '{}' WHERE seq = 2")
    with pytest.raises(ArchiveError, match="entry 2 of the hub's chain"):
        sweep(connection, settings, LATER)


def test_entries_of_several_connections_are_one_chain(
    connection: session.Connection, database: str
) -> None:
    def append() -> None:
        with session.connect(database, "other") as other:
            for number in range(20):
                chain.append(other, "purge", {"number": number})

    threads = [threading.Thread(target=append) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = session.rows(connection, "hub_chain_entries")
    assert len(entries) == 60
    assert chain.broken_at(entries) is None


def test_old_alerts_and_refused_messages_are_forgotten_and_younger_ones_never(
    connection: session.Connection, settings: Settings
) -> None:
    for days, cleared in ((0, True), (0, False), (300, True), (500, True), (500, False)):
        connection.execute(
            "INSERT INTO alert (source, plant, line, node, station, code, active, count, raised_at,"
            " updated_at, cleared_at) VALUES ('hub', '', '', '', '', %s, %s, 1, now(), now(), %s)",
            (f"{days} {cleared}", not cleared, NOW - timedelta(days=days) if cleared else None),
        )
        at = NOW - timedelta(days=days)
        connection.execute(
            "INSERT INTO refused (received_at, topic, reason, head) VALUES (%s, 't', 'r', '')",
            (at,),
        )
        connection.execute(
            "INSERT INTO refused_hour VALUES (%s, 't', 'r', 1) ON CONFLICT DO NOTHING", (at,)
        )
    sweep(connection, settings, NOW)
    kept = connection.execute("SELECT code FROM alert ORDER BY code").fetchall()
    assert [row["code"] for row in kept] == ["0 False", "0 True", "300 True", "500 False"]
    assert len(connection.execute("SELECT 1 FROM refused").fetchall()) == 3
    assert len(connection.execute("SELECT 1 FROM refused_hour").fetchall()) == 2
