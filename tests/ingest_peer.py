"""An ingest worker with the database and broker it works for, and a node that plays rows to it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from edge.terms import Code
from hub import registry
from hub.ingest import Ingest
from hub.intake import Place
from hub.settings import Settings
from hub.store import session
from tests.ledger_rows import (
    counter_row,
    epoch_row,
    missed_row,
    part_row,
)
from tests.loopback_peer import PlayedNode, played_node, settings_for
from tests.paper_ledger import PaperLedger

PLACE = Place("jinan", "line-1", "node-1")


def asked(dsn: str, statement: str, *values: Any) -> list[dict[str, Any]]:
    with psycopg.connect(dsn, row_factory=dict_row, autocommit=True) as connection:
        return connection.execute(statement.encode(), values).fetchall()


@pytest.fixture
def wired(database: str, broker_port: int, tmp_path: Path) -> Settings:
    return settings_for(database, broker_port, tmp_path)


@contextmanager
def worker(settings: Settings) -> Iterator[Ingest]:
    """One ingest worker in a thread, stopped in order at the end."""
    stop = threading.Event()
    ingest = Ingest(settings, stop)
    thread = threading.Thread(target=ingest.run, name="ingest")
    thread.start()
    try:
        assert ingest.connected.wait(30)
        yield ingest
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


@pytest.fixture
def node(database: str, broker_port: int) -> Iterator[PlayedNode]:
    with played_node(broker_port, database) as played:
        yield played


@pytest.fixture
def direct(database: str) -> Iterator[session.Connection]:
    """A connection for the ingest transaction itself, with the node registered."""
    registry.add(database, "jinan", "line-1", "node-1")
    with session.connect(database, "test") as connection:
        yield connection


def shift_of_rows(ledger: PaperLedger) -> None:
    """12 triggers: 7 ok, 2 ng, 1 undecided, 2 missed."""
    ledger.write(
        [
            epoch_row(),
            *(part_row(number) for number in range(1, 8)),
            part_row(8, Code.NG),
            part_row(9, Code.NG),
            part_row(10, Code.UNDECIDED),
            missed_row(11, 12),
            counter_row(12),
        ]
    )
