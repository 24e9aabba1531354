"""The database while batches come: killed, stopped at once, read-only for a while."""

import os
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest

from hub.store.embedded import EmbeddedServer
from tests.faults.plant import INGESTS, Plant, wait_until
from tests.faults.runs import ended, own_server, plant_on

pytestmark = [pytest.mark.faults, pytest.mark.needs_mosquitto]


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[tuple[EmbeddedServer, Plant]]:
    with own_server() as server, plant_on(server.dsn, tmp_path, rate_per_s=40.0) as plant:
        yield server, plant


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT], ids=["kill -9", "immediate"])
def test_a_database_that_goes_down_takes_no_row_with_it(
    whole: tuple[EmbeddedServer, Plant], number: signal.Signals
) -> None:
    server, plant = whole
    pause = threading.Event()
    plant.plc.feed(True)
    for _ in range(4):
        pause.wait(0.8)
        assert server.pid is not None
        os.kill(server.pid, number)
        pause.wait(0.2)
        server.stop()
        server.start()
    assert ended(plant) == []


def told_read_only(plant: Plant) -> int:
    """How often the workers said that the database is read-only."""
    return sum(plant.log(name).count("read-only transaction") for name in INGESTS)


def _more(plant: Plant, before: int) -> bool:
    return told_read_only(plant) > before


def test_a_database_that_is_read_only_for_a_while_condemns_no_row(
    whole: tuple[EmbeddedServer, Plant],
) -> None:
    server, plant = whole
    plant.feed(30)
    plant.plc.feed(True)
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        for _ in range(8):  # a row that is tried again just then must not go to quarantine
            before = told_read_only(plant)
            admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            admin.execute("SELECT pg_reload_conf()")
            wait_until(partial(_more, plant, before), "a worker says that it is read-only")
            admin.execute("SET default_transaction_read_only = off")
            admin.execute("ALTER SYSTEM SET default_transaction_read_only = off")
            admin.execute("SELECT pg_reload_conf()")
    assert ended(plant) == []
