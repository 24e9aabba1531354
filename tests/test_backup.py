"""Backup and restore: what comes back is checked row by row, and nothing is overwritten."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from edge.mqtt.message import Birth, View
from edge.terms import Code
from hub import metrics, registry
from hub.backup import MANIFEST, backup, restore
from hub.errors import BackupError, StoreError
from hub.intake import Place
from hub.settings import Broker, Database, Retention, Settings, Web
from hub.store import dump, partitions, rows, session
from hub.store.archive import sweep
from hub.store.queries import query
from hub.store.verify import broken_at, verify
from tests.ledger_rows import bypassed_row, counter_row, epoch_row, missed_row, part_row
from tests.paper_ledger import PaperLedger

PLACE = Place("jinan", "line-1", "node-1")
NOW = datetime.now(timezone.utc)
AT = int(NOW.timestamp() * 1000)
JPEG = b"\xff\xd8\xff\xe0 a plate"
SHA256 = hashlib.sha256(JPEG).hexdigest()
TABLES = ("part", "ledger_row", "quarantine", "law", "cursor", "gap", "archive_run", "hub_chain")


def quiet(_: str) -> None:
    """Nobody listens."""


def ledger_of() -> PaperLedger:
    """Ten parts of every kind, a row that nobody can read, and a count that balances."""
    view = View(camera="top", code=Code.NG, width=64, height=48, picture=SHA256)
    ledger = PaperLedger()
    ledger.write([epoch_row(), *(part_row(n, at_ms=AT) for n in range(1, 5))])
    ledger.write([part_row(5, Code.NG, views=(view,), at_ms=AT), part_row(6, Code.UNDECIDED)])
    ledger.write([missed_row(7, 8), bypassed_row(9, 9)])
    ledger.write([b'{"kind":"part","station":"s1","epoch":1}', counter_row(10, at_ms=AT)])
    return ledger


@pytest.fixture
def connection(database: str) -> Iterator[session.Connection]:
    """A hub with one node and its weeks made."""
    registry.add(database, "jinan", "line-1", "node-1")
    with session.connect(database, "test") as opened:
        partitions.make_ahead(opened, NOW.date(), 7)
        yield opened


@pytest.fixture
def ledger(connection: session.Connection, tmp_path: Path) -> PaperLedger:
    made = ledger_of()
    rows.taken(connection, PLACE, made.batch(1, made.next))
    connection.execute("UPDATE picture SET received_at = now(), bytes = %s", (len(JPEG),))
    place = tmp_path / "pictures" / SHA256[:2]
    place.mkdir(parents=True)
    (place / f"{SHA256}.jpg").write_bytes(JPEG)
    return made


def settings_of(dsn: str, folder: Path) -> Settings:
    return Settings(
        database=Database(dsn=dsn),
        broker=Broker(host="127.0.0.1"),
        web=Web(pictures_dir=str(folder / "pictures")),
        retention=Retention(archive_dir=str(folder / "archive")),
    )


def everything(dsn: str) -> dict[str, list[dict[str, Any]]]:
    with session.connect(dsn, "look") as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3".encode()).fetchall()
            for table in TABLES
        }


def command(name: str, dsn: str, folder: Path, target: Path) -> subprocess.CompletedProcess[str]:
    config = folder / f"{name}.toml"
    config.write_text(
        f'[database]\ndsn = "{dsn}"\n[broker]\nhost = "127.0.0.1"\n'
        '[web]\npictures_dir = "pictures"\n[retention]\narchive_dir = "archive"\n'
    )
    words = [sys.executable, "-m", "hub", name, "--config", str(config), str(target)]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


def test_a_hub_comes_back_and_every_row_and_law_is_what_it_was(
    connection: session.Connection,
    ledger: PaperLedger,
    database: str,
    empty_database: str,
    tmp_path: Path,
) -> None:
    other = PaperLedger("b" * 32)
    other.write([epoch_row(station="s2"), part_row(1, station="s2"), part_row(2, station="s2")])
    rows.taken(connection, PLACE, other.batch(1, 2))
    rows.born(connection, PLACE, Birth(v=1, stream=other.stream, next=3, head=4, software="t"))
    rows.taken(connection, PLACE, other.batch(3, 4))
    connection.execute("UPDATE cursor SET checked = next")
    sweep(connection, settings_of(database, tmp_path), NOW + timedelta(days=1200))
    late = ledger.write([part_row(11, at_ms=AT), counter_row(11, at_ms=AT)])
    rows.taken(connection, PLACE, late)
    made = command("backup", database, tmp_path, tmp_path / "backup")
    assert made.returncode == 0, made.stderr
    assert "part" in made.stderr
    for key in ("[web] pictures_dir", "[retention] archive_dir", "[authority] dir"):
        assert key in made.stderr
    back = command("restore", empty_database, tmp_path, tmp_path / "backup")
    assert back.returncode == 0, back.stderr
    told = json.loads(back.stdout)
    assert told["wrong"] == []
    assert told["rows"] == {"parts": 1, "others": 1, "quarantined": 0}
    assert everything(empty_database) == everything(database)


def test_a_node_that_went_on_declares_what_the_backup_lost_and_goes_on(
    connection: session.Connection,
    ledger: PaperLedger,
    database: str,
    empty_database: str,
    tmp_path: Path,
) -> None:
    backup(database, tmp_path / "backup", quiet)
    ledger.write([part_row(11, at_ms=AT), counter_row(11, at_ms=AT), part_row(12, at_ms=AT)])
    ledger.write([counter_row(12, at_ms=AT)])
    rows.taken(connection, PLACE, ledger.batch(12, 14))  # acknowledged, so the node forgot them
    folders = (tmp_path / "pictures", tmp_path / "archive")
    manifest, wrong = restore(empty_database, tmp_path / "backup", *folders, quiet)
    assert (manifest.rows, wrong) == ({"parts": 6, "others": 4, "quarantined": 1}, [])
    with session.connect(empty_database, "ingest") as ingest:
        [law] = session.rows(ingest, "laws_of_stream", stream=ledger.stream)
        assert metrics.first_law(law).state == "balanced"
        birth = Birth(v=1, stream=ledger.stream, next=14, head=16, software="t")
        assert rows.born(ingest, PLACE, birth).lost == 2
        rows.taken(ingest, PLACE, ledger.batch(14, 16))
        [law] = session.rows(ingest, "laws_of_stream", stream=ledger.stream)
        assert metrics.first_law(law).residue == 1  # part 11 is lost, and said to be
        assert verify(ingest, quiet).wrong == []


def test_a_branch_is_followed_from_the_stream_that_it_left(
    connection: session.Connection, ledger: PaperLedger
) -> None:
    ledger.write([part_row(11, at_ms=AT), counter_row(11, at_ms=AT)])
    rows.taken(connection, PLACE, ledger.batch(12, 14))
    branch = PaperLedger("b" * 32)  # its disk was restored after row 11
    branch.entries = ledger.entries[:11]
    branch.write([missed_row(11, 12), counter_row(12, at_ms=AT)])
    branch.write([epoch_row(2), part_row(1, epoch=2, at_ms=AT), counter_row(1, 2, at_ms=AT)])
    birth = Birth(v=1, stream=branch.stream, next=12, head=17, software="t")
    rows.born(connection, PLACE, replace(birth, follows=ledger.stream, begins=12))
    rows.taken(connection, PLACE, branch.batch(12, 17))
    assert connection.execute("SELECT sum(elsewhere) AS n FROM law").fetchall()[0]["n"] > 0
    found = verify(connection, quiet)
    assert (found.wrong, found.streams, found.laws) == ([], 2, 2)
    connection.execute("UPDATE ledger_row SET hash = repeat('0', 64) WHERE seq = 11")
    first = f"ledger {ledger.stream}: row 11 is not what was acknowledged"
    second = f"ledger {branch.stream}: row 12 is not what was acknowledged"
    assert verify(connection, quiet).wrong == [first, second]


def test_rows_that_come_meanwhile_are_not_half_in_it(
    connection: session.Connection,
    ledger: PaperLedger,
    database: str,
    empty_database: str,
    tmp_path: Path,
) -> None:
    def busy(_: str) -> None:
        batch = ledger.write([part_row(ledger.next, at_ms=AT), missed_row(1, 1)])
        rows.taken(connection, PLACE, batch)

    manifest = backup(database, tmp_path / "backup", busy)
    assert [stream.next for stream in manifest.streams] == [12]
    _, wrong = restore(empty_database, tmp_path / "backup", tmp_path / "pictures", None, quiet)
    assert wrong == []


def test_only_a_whole_backup_goes_into_an_empty_database(
    connection: session.Connection,
    ledger: PaperLedger,
    database: str,
    empty_database: str,
    tmp_path: Path,
) -> None:
    folder, pictures = tmp_path / "backup", tmp_path / "pictures"
    backup(database, folder, quiet)
    with pytest.raises(BackupError, match="is not empty; a backup takes a new folder"):
        backup(database, folder, quiet)
    with pytest.raises(BackupError, match="the database is not empty"):
        restore(database, folder, pictures, None, quiet)

    def refused(match: str) -> None:
        with pytest.raises(BackupError, match=match):
            restore(empty_database, folder, pictures, None, quiet)
        with session.connect(empty_database, "look") as look:
            assert session.rows(look, "relations") == [{"relations": 0}]

    table = max((folder / "database").iterdir(), key=lambda file: file.stat().st_size)
    whole = table.read_bytes()
    table.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused(f"{table.name}: is not the file that was backed up")
    table.unlink()
    refused(f"{table.name}: in the folder or in the manifest alone")
    table.write_bytes(whole)
    manifest = folder / MANIFEST
    told = manifest.read_text()
    manifest.write_text(told.replace('"0001_ledger.sql"', '"0999_later.sql"'))
    refused("whose schema has 0999_later.sql")
    manifest.write_text(told[:-9])
    refused("manifest.json: ")
    manifest.unlink()
    refused("no whole backup")
    manifest.write_text(told)
    next(pictures.rglob("*.jpg")).unlink()
    _, wrong = restore(empty_database, folder, pictures, None, quiet)
    assert wrong == [f"1 of 1 pictures are not in {pictures}"]


def test_an_archive_that_is_gone_or_another_file_is_told(
    connection: session.Connection,
    ledger: PaperLedger,
    database: str,
    empty_database: str,
    tmp_path: Path,
) -> None:
    connection.execute("UPDATE cursor SET checked = next")
    later = NOW + timedelta(days=1200)
    old, *_, new = sweep(connection, settings_of(database, tmp_path), later)
    backup(database, tmp_path / "backup", quiet)
    old.unlink()
    new.write_bytes(new.read_bytes()[:-1] + b"x")
    pictures = tmp_path / "pictures"
    _, wrong = restore(empty_database, tmp_path / "backup", pictures, old.parent, quiet)
    assert wrong == [
        f"archive {old}: No such file or directory",
        f"archive {new}: is not the file that was sealed",
    ]


def test_archives_that_nobody_can_look_for_are_told(
    connection: session.Connection,
    ledger: PaperLedger,
    database: str,
    empty_database: str,
    tmp_path: Path,
) -> None:
    connection.execute("UPDATE cursor SET checked = next")
    files = sweep(connection, settings_of(database, tmp_path), NOW + timedelta(days=1200))
    backup(database, tmp_path / "backup", quiet)
    _, [wrong] = restore(empty_database, tmp_path / "backup", tmp_path / "pictures", None, quiet)
    assert wrong.startswith(f"{len(files)} archives: [retention] archive_dir")


SPOILT = {
    "UPDATE part SET raw = raw || ' ' WHERE seq = 3": "row 3 is not what was acknowledged",
    "UPDATE part SET raw = 'x' WHERE seq = 3": "row 3 is not what was acknowledged",
    "UPDATE part SET hash = 'x' WHERE seq = 3": "row 3 is not what was acknowledged",
    "DELETE FROM part WHERE seq = 3": "row 3 is missing",
    "DELETE FROM quarantine": "row 10 is missing",
    "DELETE FROM ledger_row WHERE seq = 11": "row 11 is missing",
    "WITH lost AS (INSERT INTO gap (stream, first, last) SELECT stream, 10, 10 FROM cursor), "
    "gone AS (DELETE FROM quarantine) UPDATE ledger_row SET raw = '{' WHERE seq = 11": (
        "row 11 cannot be read: Input data was truncated; no law is counted again"
    ),
    "UPDATE cursor SET next = 10": "rows from 10 on are new",
    "UPDATE cursor SET hash = repeat('0', 64)": "row 11 is not the one that was acknowledged last",
    "UPDATE law SET ok = 5": "s1 epoch 1: ok is 5, its rows say 4",
    "UPDATE law SET settled = 9": "s1 epoch 1: settled is 9, its rows say 10",
    "WITH hours AS (DELETE FROM law_hour) DELETE FROM law": "s1 epoch 1: has no law",
}


def test_what_was_changed_before_the_backup_is_told(
    connection: session.Connection, ledger: PaperLedger
) -> None:
    assert verify(connection, quiet).wrong == []
    for spoil, told in SPOILT.items():
        with connection.transaction(force_rollback=True):
            connection.execute(spoil.encode())
            assert verify(connection, quiet).wrong == [f"ledger {ledger.stream}: {told}"]


def test_a_hash_that_is_none_is_told_where_the_row_before_it_is_not_known(
    connection: session.Connection, ledger: PaperLedger
) -> None:
    first, _, *others = connection.execute(
        query("stream_rows").sql.encode(), {"stream": ledger.stream}
    ).fetchall()
    gap = {2: (2, None)}
    assert broken_at([first, *others], ledger.next, gap, None) is None
    spoilt = [first, others[0] | {"hash": "x"}, *others[1:]]
    assert broken_at(spoilt, ledger.next, gap, None) == "row 3 is not what was acknowledged"
    archived = {2: (2, "x")}
    told = broken_at([first, *others], ledger.next, archived, None)
    assert told == "row 3 is not what was acknowledged"


def test_a_row_that_is_stored_twice_is_told(
    connection: session.Connection, ledger: PaperLedger
) -> None:
    [first, *others] = connection.execute(
        query("stream_rows").sql.encode(), {"stream": ledger.stream}
    ).fetchall()
    assert broken_at([first, *others], ledger.next, {}, None) is None
    assert broken_at([first, first, *others], ledger.next, {}, None) == "row 1 is stored twice"


def test_a_database_that_goes_away_under_a_snapshot_is_one_sentence(
    connection: session.Connection, database: str
) -> None:
    def seen_while_it_goes() -> None:
        with session.snapshot(database, "backup") as seen:
            [own] = seen.execute("SELECT pg_backend_pid() AS pid").fetchall()
            connection.execute("SELECT pg_terminate_backend(%(pid)s, 10000)", own)

    with pytest.raises(StoreError, match="backup: "):
        seen_while_it_goes()


def test_programs_older_than_the_server_are_named() -> None:
    with pytest.raises(BackupError, match=r"pg_dump of PostgreSQL 99 or newer is needed; the new"):
        dump._program("pg_dump", 99)


def test_a_database_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    made = command("backup", "host=/nowhere dbname=quanjian", tmp_path, tmp_path / "backup")
    assert (made.returncode, made.stdout) == (1, "")
    assert made.stderr.startswith("database: connection")
