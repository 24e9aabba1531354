"""Ingest while things fail: the database goes, workers are killed, workers share the streams."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from msgspec.structs import replace
from psycopg.conninfo import make_conninfo

from hub import metrics
from hub.errors import StatementError, StoreError
from hub.settings import Settings
from hub.store import rows, session
from hub.store.embedded import EmbeddedServer
from tests.ingest_peer import PLACE, asked, shift_of_rows, worker
from tests.ledger_rows import (
    counter_row,
    epoch_row,
    part_row,
)
from tests.loopback_peer import PlayedNode, played_node, wait_for
from tests.paper_ledger import PaperLedger

pytestmark = pytest.mark.faults


def test_nothing_is_acknowledged_while_the_database_is_away_and_nothing_is_lost(
    wired: Settings, node: PlayedNode, database: str, postgres: EmbeddedServer
) -> None:
    ledger = PaperLedger()
    shift_of_rows(ledger)
    name = database.rsplit("=", 1)[1]
    admin = postgres.dsn.replace("dbname=quanjian", "dbname=postgres")
    with worker(wired), psycopg.connect(admin, autocommit=True) as connection:
        node.send(ledger.batch(1, 4))
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        node.publish("parts", ledger.batch(4, 14))
        with node.changed:
            assert not node.changed.wait(1.5)
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
        wait_for(lambda: node.acks[-1].next == 14, "the batch is taken once the database is back")
    [law] = asked(database, "SELECT * FROM law")
    assert metrics.first_law(law).state == "balanced"


def test_a_batch_that_fails_at_its_last_step_leaves_no_row_behind(
    direct: session.Connection, database: str
) -> None:
    ledger = PaperLedger()
    shift_of_rows(ledger)
    direct.execute("ALTER TABLE cursor ADD CONSTRAINT early CHECK (next < 14)")
    with pytest.raises(StatementError, match="early"):
        rows.taken(direct, PLACE, ledger.batch(1, 14))
    for table in ("part", "ledger_row", "law", "minute_count", "minute_cause"):
        assert asked(database, f"SELECT 1 FROM {table}") == [], table
    direct.execute("ALTER TABLE cursor DROP CONSTRAINT early")
    assert rows.taken(direct, PLACE, ledger.batch(1, 14)).stored == 13


def test_a_database_that_is_read_only_puts_no_row_to_blame(direct: session.Connection) -> None:
    """Taken for a fault of the rows, the next moment's retry would put good ones in quarantine."""
    ledger = PaperLedger()
    shift_of_rows(ledger)
    direct.execute("SET default_transaction_read_only = on")
    with pytest.raises(StoreError) as told:
        rows.taken(direct, PLACE, ledger.batch(1, 14))
    assert not isinstance(told.value, StatementError)
    direct.execute("SET default_transaction_read_only = off")
    assert rows.taken(direct, PLACE, ledger.batch(1, 14)).stored == 13


def test_a_killed_worker_loses_and_doubles_nothing(
    wired: Settings, node: PlayedNode, tmp_path: Path
) -> None:
    dsn, ledger = wired.database.dsn, PaperLedger()
    ledger.write([epoch_row(), *(part_row(number) for number in range(1, 400)), counter_row(399)])
    config = tmp_path / "hub.toml"
    config.write_text(
        f'[database]\ndsn = "{dsn}"\n[broker]\nhost = "127.0.0.1"\nport = {wired.broker.port}\n'
        f'[web]\npictures_dir = "{tmp_path}"\n'
    )
    command = [sys.executable, "-m", "hub", "ingest", "--config", str(config)]
    following = 1
    for kill in (True, True, True, False):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            until = 401 + 1 if not kill else following + 100
            while following < until:
                batch = ledger.batch(following, min(following + 20, ledger.next))
                if kill and following + 20 >= until:  # killed between receipt and answer
                    node.publish("parts", batch)
                    break
                following = node.send(batch).next
            os.kill(process.pid, signal.SIGKILL if kill else signal.SIGTERM)
        if not kill:
            assert process.returncode == 0
        with node.changed:
            node.acks.clear()
    [found] = asked(dsn, "SELECT count(*) n, count(DISTINCT number) numbers FROM part")
    assert found == {"n": 399, "numbers": 399}
    [law] = asked(dsn, "SELECT * FROM law")
    assert metrics.first_law(law).state == "balanced"
    assert asked(dsn, "SELECT sum(ok) ok FROM minute_count") == [{"ok": 399}]


def test_two_workers_share_the_streams_and_count_once(
    wired: Settings, node: PlayedNode, broker_port: int
) -> None:
    dsn = wired.database.dsn
    ledgers = [PaperLedger("a" * 32), PaperLedger("b" * 32)]
    for ledger in ledgers:
        shift_of_rows(ledger)
    with worker(wired) as one, worker(wired) as two, played_node(broker_port, dsn, "node-2") as b:
        for first in range(1, 14, 2):
            for played, ledger in zip((node, b), ledgers, strict=True):
                after = min(first + 2, 14)
                assert played.send(ledger.batch(first, after)).next == after
        assert one.counts["rows"] + two.counts["rows"] == 26
        assert one.counts["rows"]
        assert two.counts["rows"]
    laws = asked(dsn, "SELECT * FROM law")
    assert [metrics.first_law(law).state for law in laws] == ["balanced", "balanced"]


def test_a_worker_that_is_stopped_without_a_database_leaves_what_waits_to_the_nodes(
    wired: Settings, node: PlayedNode, database: str, postgres: EmbeddedServer
) -> None:
    ledger = PaperLedger()
    shift_of_rows(ledger)
    name = database.rsplit("=", 1)[1]
    admin = postgres.dsn.replace("dbname=quanjian", "dbname=postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        with worker(wired) as ingest:
            node.send(ledger.batch(1, 4))
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
            before = ingest.counts["messages"]
            for _ in range(100):
                node.publish("parts", ledger.batch(4, 14))
            wait_for(lambda: ingest.waiting >= 99, "the batches wait")
        assert ingest.counts["messages"] - before < 10, "no more tries than the pauses allowed"
        assert ingest.waiting > 90
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
    with worker(wired):
        assert node.send(ledger.batch(4, 14)).next == 14


@pytest.fixture
def writer(database: str, embedded: None) -> Iterator[str]:
    """The dsn of a user who may write every table, and is no superuser."""
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("CREATE ROLE qj_writer LOGIN")
        admin.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO qj_writer")
        admin.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO qj_writer")
        yield make_conninfo(database, user="qj_writer")
        admin.execute("DROP OWNED BY qj_writer")
        admin.execute("DROP ROLE qj_writer")


AILMENTS = {
    "a right is missing": (
        "REVOKE INSERT ON part FROM qj_writer",
        "GRANT INSERT ON part TO qj_writer",
    ),
    "a column is missing": (
        "ALTER TABLE part RENAME raw TO row",
        "ALTER TABLE part RENAME row TO raw",
    ),
    "a table is missing": ("ALTER TABLE part RENAME TO p", "ALTER TABLE p RENAME TO part"),
}


@pytest.mark.parametrize("ailment", AILMENTS)
def test_a_fault_of_the_database_condemns_no_row(
    ailment: str, writer: str, wired: Settings, node: PlayedNode, database: str
) -> None:
    """Nothing is wrong with the rows: they wait at the node until it is mended, and go in whole."""
    ledger, (broken, mended) = PaperLedger(), AILMENTS[ailment]
    shift_of_rows(ledger)
    with (
        psycopg.connect(database, autocommit=True) as admin,
        worker(replace(wired, database=replace(wired.database, dsn=writer))) as ingest,
    ):
        admin.execute(broken.encode())
        node.publish("parts", ledger.batch(1, 14))
        wait_for(lambda: ingest.counts["messages"] >= 3 or bool(node.acks), "it is tried again")
        assert node.acks == []
        admin.execute(mended.encode())
        wait_for(lambda: bool(node.acks), "the batch is taken")
    assert node.acks[-1].next == 14
    assert asked(database, "SELECT seq FROM quarantine") == []
    assert asked(database, "SELECT count(*) n FROM part") == [{"n": 10}]
