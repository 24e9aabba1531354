"""Migrations: each once, in order, by one program at a time; what was edited is refused."""

import re
import threading
from pathlib import Path

import psycopg
import pytest

import edge.errors
import hub.errors
from hub.errors import MigrationError, StoreError
from hub.store import session
from hub.store.migrate import LOCK, Migration, advice, migrate, shipped
from hub.store.queries import all_queries, parse

FIRST = Migration(1, "0001_first.sql", b"CREATE TABLE apple (id int);")
SECOND = Migration(
    2, "0002_second.sql", b"CREATE TABLE pear (id int); INSERT INTO pear VALUES (1);"
)

NAMED = re.compile(r"%\(\w+\)s")


def tables(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
    return {name for (name,) in found}


def test_what_is_missing_is_applied_once_and_in_order(empty_database: str) -> None:
    assert migrate(empty_database, [FIRST]) == ["0001_first.sql"]
    assert migrate(empty_database, [FIRST, SECOND]) == ["0002_second.sql"]
    assert migrate(empty_database, [FIRST, SECOND]) == []
    assert tables(empty_database) == {"migration", "apple", "pear"}


def test_a_failing_file_leaves_nothing_of_itself_and_says_its_name(empty_database: str) -> None:
    broken = Migration(2, "0002_broken.sql", b"CREATE TABLE pear (id int); SELECT no_such_thing;")
    with pytest.raises(MigrationError, match=r"0002_broken\.sql.*no_such_thing"):
        migrate(empty_database, [FIRST, broken])
    assert tables(empty_database) == {"migration", "apple"}
    assert migrate(empty_database, [FIRST, SECOND]) == ["0002_second.sql"]


def test_a_file_whose_record_fails_leaves_nothing_either(empty_database: str) -> None:
    hostile = Migration(2, "0002_hostile.sql", b"CREATE TABLE pear (id int); DROP TABLE migration;")
    with pytest.raises(MigrationError, match=r"0002_hostile\.sql"):
        migrate(empty_database, [FIRST, hostile])
    assert tables(empty_database) == {"migration", "apple"}


def test_a_file_edited_after_it_was_applied_is_refused(empty_database: str) -> None:
    migrate(empty_database, [FIRST])
    edited = Migration(1, FIRST.name, FIRST.sql + b" -- a harmless comment")
    with pytest.raises(MigrationError, match=r"0001_first\.sql was edited"):
        migrate(empty_database, [edited, SECOND])
    assert tables(empty_database) == {"migration", "apple"}


def test_a_schema_newer_than_the_program_is_refused(empty_database: str) -> None:
    migrate(empty_database, [FIRST, SECOND])
    with pytest.raises(
        MigrationError, match="the schema is at 0002, this program knows up to 0001"
    ):
        migrate(empty_database, [FIRST])


def test_a_second_program_waits_until_the_first_has_migrated(empty_database: str) -> None:
    applied: list[list[str]] = []
    with session.connect(empty_database, "first") as first:
        first.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        second = threading.Thread(target=lambda: applied.append(migrate(empty_database, [FIRST])))
        second.start()
        waiting = "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while first.execute(waiting).fetchall()[0]["n"] == 0:
            assert second.is_alive()
        assert applied == []
    second.join(timeout=20)
    assert applied == [["0001_first.sql"]]


def test_a_database_that_is_away_is_one_sentence() -> None:
    with pytest.raises(StoreError, match=r"^database: connection"):
        migrate("host=/nowhere/at/all dbname=quanjian", [FIRST])


def test_the_shipped_migrations_apply_to_an_empty_database(empty_database: str) -> None:
    assert migrate(empty_database) == [migration.name for migration in shipped()]
    assert {"part", "ledger_row", "cursor", "law", "minute_count"} <= tables(empty_database)


@pytest.mark.usefixtures("embedded")
def test_a_server_with_too_few_locks_is_told(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert advice(database) is None
    monkeypatch.setattr("hub.store.migrate.LOCKS", 100_000)
    assert re.search("max_locks_per_transaction is 512.* give it 100000", str(advice(database)))


def test_every_named_query_is_described_and_understood_by_the_database(database: str) -> None:
    with psycopg.connect(database) as connection:
        for query in all_queries().values():
            assert len(query.description) > 20, query.name
            prepared = query.sql
            for number, named in enumerate(dict.fromkeys(NAMED.findall(query.sql)), 1):
                prepared = prepared.replace(named, f"${number}")
            connection.execute(f"PREPARE {query.name} AS {prepared}".encode())


def test_every_named_query_is_asked_by_the_hub() -> None:
    sources = sorted((Path(__file__).parent.parent / "hub").rglob("*.py"))
    asked = "".join(path.read_text(encoding="utf-8") for path in sources)
    assert [name for name in all_queries() if f'"{name}"' not in asked] == []


def test_a_hint_names_only_documents_that_exist() -> None:
    root = Path(__file__).parent.parent
    for module in (hub.errors, edge.errors):
        text = Path(str(module.__file__)).read_text(encoding="utf-8")
        missing = [
            name for name in re.findall(r"docs/[\w.-]+\.md", text) if not (root / name).is_file()
        ]
        assert missing == [], module.__name__


def test_two_queries_of_one_name_are_refused() -> None:
    twice = "-- name: apples\n-- All.\nSELECT 1;\n" * 2
    with pytest.raises(StoreError, match="query apples"):
        parse(twice)


def test_a_query_without_a_description_is_refused() -> None:
    with pytest.raises(StoreError, match="query apples"):
        parse("-- name: apples\nSELECT 1;\n")
