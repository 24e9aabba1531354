"""The wire between node and broker while parts come: down, silent, slow, reset, in disorder."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.echo import Echo
from tests.faults.oracle import rows_at_hub
from tests.faults.plant import Plant, wait_until
from tests.faults.proxy import Proxy
from tests.faults.runs import ended, plant_on

pytestmark = [pytest.mark.faults, pytest.mark.needs_mosquitto]

NOTICED_S = 15.0  # a dead peer: twice the keepalive of 5 s, and a loaded machine


@pytest.fixture
def plant(database: str, tmp_path: Path) -> Iterator[Plant]:
    with plant_on(database, tmp_path, rate_per_s=40.0) as made:
        yield made


@pytest.fixture
def wired(database: str, tmp_path: Path) -> Iterator[tuple[Plant, Proxy]]:
    """The node's connection goes through a proxy."""
    with plant_on(database, tmp_path, rate_per_s=40.0, proxied=True) as made:
        assert made.proxy is not None
        yield made, made.proxy


def test_a_broker_that_is_down_stops_no_part_and_everything_drains_afterwards(
    plant: Plant,
) -> None:
    plant.feed(20)
    plant.broker.kill()
    taken = len(plant.plc.taken)
    plant.plc.feed(True)
    wait_until(lambda: len(plant.plc.taken) > taken + 60, "the PLC gets its verdicts meanwhile")
    plant.broker.start()
    assert ended(plant) == []


def test_a_broker_without_persistence_may_be_killed_at_any_moment(plant: Plant) -> None:
    pause = threading.Event()
    plant.plc.feed(True)
    for _ in range(6):
        pause.wait(0.8)
        plant.broker.kill()
        plant.broker.start()
    assert ended(plant) == []


def test_a_half_open_connection_is_noticed_and_nothing_is_lost(
    wired: tuple[Plant, Proxy],
) -> None:
    plant, proxy = wired
    plant.feed(20)
    before = plant.log("node").count("down:")
    plant.plc.feed(True)
    proxy.silent = True
    begun_s = time.monotonic()
    wait_until(lambda: plant.log("node").count("down:") > before, "the node notices", 60)
    noticed_s = time.monotonic() - begun_s
    proxy.reset()
    proxy.silent = False
    assert ended(plant) == []
    assert noticed_s < NOTICED_S


def test_a_wire_that_is_reset_again_and_again_loses_nothing(wired: tuple[Plant, Proxy]) -> None:
    plant, proxy = wired
    pause = threading.Event()
    plant.plc.feed(True)
    for _ in range(12):
        pause.wait(0.5)
        proxy.reset()
    assert ended(plant) == []


def test_a_slow_wire_is_only_slow(wired: tuple[Plant, Proxy]) -> None:
    """2 kB/s, a tenth of what the rows of this line are: they wait, and are sent when they can."""
    plant, proxy = wired
    plant.feed(20)
    proxy.bytes_per_s = 2_000.0
    plant.feed(150)
    assert rows_at_hub(plant.dsn) < 150
    proxy.bytes_per_s = None
    assert ended(plant) == []


def test_batches_that_come_twice_and_in_another_order_are_counted_once(plant: Plant) -> None:
    with Echo(plant.broker.port, heap=4) as echo:
        plant.feed(150)
        wait_until(lambda: echo.repeated > 10, "batches come twice")
    assert ended(plant) == []


def test_an_ingest_worker_that_wakes_up_with_old_batches_stores_none_of_them_again(
    plant: Plant,
) -> None:
    plant.plc.feed(True)
    pause = threading.Event()
    for name in ("ingest-1", "ingest-2") * 2:
        plant.signal(name, signal.SIGSTOP)
        pause.wait(2.5)  # longer than the node waits for an answer: it asks the other one
        plant.signal(name, signal.SIGCONT)
        pause.wait(0.5)
    assert ended(plant) == []
