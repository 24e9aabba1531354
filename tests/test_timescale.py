"""The layer for TimescaleDB: put on later, the same answers to the same queries, weeks that go."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest

from edge.mqtt.message import GENESIS, Birth, chain
from hub import registry
from hub.intake import Place
from hub.settings import Broker, Database, Retention, Settings, Web
from hub.store import partitions, rows, session
from hub.store.archive import sweep
from hub.store.migrate import TIMESCALE, migrate, shipped
from hub.store.queries import all_queries
from tests.test_migrate import NAMED

pytestmark = pytest.mark.needs_timescale

START = datetime(2026, 10, 1, tzinfo=timezone.utc)  # a Thursday: three weeks of a part every 5 min
PARTS = 3 * 7 * 24 * 12
NOW = START + timedelta(weeks=3)
FILLED = f"""
INSERT INTO part (stream, seq, at, received_at, plant, line, node, station, epoch, number, code,
                  reason, computed, defect, score, mode, recipe, model, trust, inspect_ms,
                  latency_ms, views, hash, raw)
SELECT 's', n, at, at + interval '1 second', 'jinan', 'line-1', 'node-1', 's' || n % 2, 1, n,
       CASE WHEN n % 33 = 0 THEN 2 WHEN n % 50 = 0 THEN 3 ELSE 1 END,
       CASE WHEN n % 33 <> 0 AND n % 50 = 0 THEN 'uncertain' END, 1,
       CASE WHEN n % 33 = 0 THEN 'scratch' END, 9000 + n % 1000, 'auto', 'plate', 'm', 'pinned',
       30 + n % 9, 70 + n % 31, '[]', md5(n::text) || md5((n + 1)::text),
       convert_to('{{"kind":"part","number":' || n || '}}', 'UTF8')
FROM generate_series(1, {PARTS}) AS n,
     LATERAL (SELECT timestamptz '{START}' + (n - 1) * interval '5 minutes' AS at) AS placed;
INSERT INTO ledger_row (stream, seq, at, received_at, plant, line, node, kind, station, epoch, body,
                        hash, raw)
SELECT 's', {PARTS} + n, at, at, 'jinan', 'line-1', 'node-1', 'counter', 's1', 1, '{{}}',
       md5(n::text), ''
FROM generate_series(1, 20) AS n,
     LATERAL (SELECT timestamptz '{START}' + n * interval '1 day' AS at) AS placed;
INSERT INTO minute_count (plant, line, station, node, recipe, model, mode, minute, ok, ng,
                          undecided, latency_count, latency_sum_ms, latency_max_ms)
SELECT plant, line, station, node, recipe, model, mode, date_trunc('minute', at),
       count(*) FILTER (WHERE code = 1), count(*) FILTER (WHERE code = 2),
       count(*) FILTER (WHERE code = 3), count(latency_ms), sum(latency_ms), max(latency_ms)
FROM part GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
"""
ANYWHERE: dict[str, Any] = {"plant": None, "line": None, "station": None}
PERIOD = {"since": START + timedelta(days=3), "until": START + timedelta(days=17)}
PAGE = dict.fromkeys(
    ("code", "reason", "defect", "recipe", "model", "number", "after_at", "after_seq"), None
)
ASKED: dict[str, dict[str, Any]] = {
    "counts": {**PERIOD, **ANYWHERE},
    "counts_by_bucket": {**PERIOD, **ANYWHERE, "width": "1 hour"},
    "latency": {**PERIOD, **ANYWHERE},
    "last_not_ok": {"plant": "jinan", "line": "line-1", "limit": 5},
    "parts_page": {**PERIOD, **ANYWHERE, **PAGE, "after_stream": None, "not_ok": True, "limit": 40},
    "stream_rows": {"stream": "s"},
    "chain_checked": {
        **{"stream": "s", "first": PARTS - 50, "after": PARTS + 21, "before": None},
        **{"low": START, "high": NOW},
    },
    "rows_stored": {},
    "week_counted": {"since": START, "until": START + timedelta(weeks=1)},
}
WEEK = timedelta(weeks=1)
ONE = """
INSERT INTO part (stream, seq, at, plant, line, node, station, epoch, number, code, computed, mode,
                  recipe, trust, views, hash, raw)
VALUES ('one', %(seq)s, %(at)s, 'jinan', 'line-1', 'node-1', 's1', 1, 1, 1, 1, 'auto', 'plate',
        'pinned', '[]', repeat('0', 64), '')
"""
DRILLED = (
    "SELECT * FROM part_by_hour WHERE code <> 1 ORDER BY hour, station, reason, defect",
    "SELECT * FROM part_by_day ORDER BY day, station, code, reason, defect",
)


@dataclass
class Layer:
    """The database with the layer, and what putting it on said."""

    dsn: str
    before: list[str]
    applied: list[str]


@pytest.fixture(scope="module")
def layer(bare_timescale: str) -> Layer:
    """A hub with three weeks of rows that got TimescaleDB later."""
    before = migrate(bare_timescale)
    fill(bare_timescale)
    with psycopg.connect(bare_timescale, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION timescaledb")
    return Layer(bare_timescale, before, migrate(bare_timescale))


@pytest.fixture
def connection(layer: Layer) -> Iterator[session.Connection]:
    with session.connect(layer.dsn, "test") as opened:
        yield opened


def known(connection: session.Connection, stream: str, rows_of: int) -> None:
    """A stream of node-1 whose rows are all verified."""
    birth = Birth(v=1, stream=stream, next=1, head=rows_of, software="t")
    rows.born(connection, Place("jinan", "line-1", "node-1"), birth)
    connection.execute(
        "UPDATE cursor SET next = %(n)s, checked = %(n)s WHERE stream = %(stream)s",
        {"n": rows_of + 1, "stream": stream},
    )


def fill(dsn: str) -> None:
    registry.add(dsn, "jinan", "line-1", "node-1")
    with session.connect(dsn, "fill") as connection:
        partitions.make_ahead(connection, START.date(), 7)
        known(connection, "s", PARTS + 20)
        for statement in FILLED.split(";\n"):
            connection.execute(statement.encode())


def answers(connection: session.Connection) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: session.rows(connection, name, **asked) for name, asked in ASKED.items()
    }
    return found | {sql: connection.execute(sql.encode()).fetchall() for sql in DRILLED}


def refresh(connection: session.Connection) -> None:
    """What its jobs do, of everything."""
    for view in ("part_by_hour", "part_by_day"):
        connection.execute(f"CALL refresh_continuous_aggregate('{view}', NULL, NULL)".encode())


def chunks(connection: session.Connection, table: str) -> list[dict[str, Any]]:
    return connection.execute(
        "SELECT range_start, range_end, is_compressed FROM timescaledb_information.chunks "
        "WHERE hypertable_name = %s ORDER BY range_start",
        (table,),
    ).fetchall()


def test_the_layer_is_put_on_when_the_extension_comes_and_once(layer: Layer) -> None:
    assert layer.before == [migration.name for migration in shipped()]
    assert layer.applied == [f"timescale/{migration.name}" for migration in shipped(TIMESCALE)]
    assert migrate(layer.dsn) == []


def test_chunks_are_the_weeks_of_the_partitions(connection: session.Connection) -> None:
    for table in ("part", "ledger_row"):
        ranges = [(row["range_start"], row["range_end"]) for row in chunks(connection, table)]
        assert ranges == [
            (START + timedelta(weeks=n), START + timedelta(weeks=n + 1)) for n in range(3)
        ]
    assert partitions.week_of(date(2026, 10, 7)) == START.date()
    assert partitions.make_ahead(connection, START.date(), 7) == []


def test_every_named_query_is_understood(connection: session.Connection) -> None:
    for query in all_queries().values():
        prepared = query.sql
        for number, named in enumerate(dict.fromkeys(NAMED.findall(query.sql)), 1):
            prepared = prepared.replace(named, f"${number}")
        connection.execute(f"PREPARE {query.name} AS {prepared}".encode())


def test_answers_are_those_of_plain_postgresql_also_when_compressed(
    connection: session.Connection, database: str
) -> None:
    fill(database)
    with session.connect(database, "ask") as other:
        plain = answers(other)
    assert answers(connection) == plain
    compressed = "SELECT compress_chunk(c, true) FROM show_chunks('part', older_than => %s) AS c"
    connection.execute(compressed.encode(), (NOW - timedelta(days=14),))
    assert chunks(connection, "part")[0]["is_compressed"]
    assert answers(connection) == plain
    refresh(connection)
    assert answers(connection) == plain


def test_what_comes_now_is_in_the_aggregate_at_once_and_what_comes_late_after_its_refresh(
    connection: session.Connection,
) -> None:
    def parts() -> int:
        told = connection.execute("SELECT sum(parts)::int AS n FROM part_by_day").fetchall()
        return int(told[0]["n"])

    refresh(connection)
    before = parts()
    connection.execute(ONE.encode(), {"seq": 1, "at": datetime.now(timezone.utc) + WEEK})
    assert parts() == before + 1
    late = START + timedelta(hours=3)
    connection.execute("SELECT compress_chunk(c, true) FROM show_chunks('part') AS c LIMIT 1")
    connection.execute(ONE.encode(), {"seq": 2, "at": late})
    refresh(connection)
    assert parts() == before + 2


def test_its_jobs_compress_and_refresh_and_none_drops_rows(connection: session.Connection) -> None:
    jobs = connection.execute(
        "SELECT job_id, proc_name FROM timescaledb_information.jobs WHERE job_id >= 1000"
    ).fetchall()
    kinds = sorted(job["proc_name"] for job in jobs)
    assert kinds == ["policy_compression"] * 2 + ["policy_refresh_continuous_aggregate"] * 2
    for job in jobs:
        connection.execute(f"CALL run_job({job['job_id']})".encode())
    over = datetime.now(timezone.utc) - timedelta(days=21)
    old = [row for row in chunks(connection, "ledger_row") if row["range_end"] < over]
    assert old
    assert all(row["is_compressed"] for row in old)


def test_a_week_is_sealed_and_its_chunks_are_dropped(
    connection: session.Connection, layer: Layer, tmp_path: Path
) -> None:
    at = datetime.now(timezone.utc) - timedelta(days=1200)
    raw = b'{"kind":"part","number":1}'
    digest = chain(GENESIS, 1, raw)
    known(connection, "old", 1)
    connection.execute(
        "INSERT INTO part (stream, seq, at, received_at, plant, line, node, station, epoch, number,"
        " code, computed, mode, recipe, trust, views, hash, raw) VALUES ('old', 1, %s, %s, 'jinan',"
        " 'line-1', 'node-1', 's1', 1, 1, 1, 1, 'auto', 'plate', 'pinned', '[]', %s, %s)",
        (at, at, digest, raw),
    )
    stored = session.rows(connection, "rows_stored")[0]["parts"]
    settings = Settings(
        database=Database(dsn=layer.dsn),
        broker=Broker(host="127.0.0.1"),
        web=Web(pictures_dir="pictures"),
        retention=Retention(archive_dir=str(tmp_path)),
    )
    [file] = sweep(connection, settings, datetime.now(timezone.utc))
    [line] = map(json.loads, gzip.decompress(file.read_bytes()).splitlines()[1:])
    assert (line["stream"], line["seq"], line["hash"]) == ("old", 1, digest)
    assert session.rows(connection, "rows_stored")[0]["parts"] == stored - 1
    assert all(row["range_end"] > at for row in chunks(connection, "part"))
