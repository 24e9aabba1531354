"""The power goes while a node writes: nothing that it told the PLC or the hub had may be lost.

The same cuts find a ledger that does not wait for the disk, by its setting or by the disk's lie.
"""

import random
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hub.store.embedded import EmbeddedServer
from tests.faults.disk import Disk
from tests.faults.plant import Plant
from tests.faults.runs import ended, plant_on
from tests.faults.test_mutants import MUTANTS, planted
from tests.postgres_peer import made

pytestmark = [
    pytest.mark.faults,
    pytest.mark.needs_mosquitto,
    pytest.mark.needs_disk,
    pytest.mark.needs_eatmydata,
]

EATMYDATA = "libeatmydata.so"
CUTS_OF_A_BUG = 4
SETTLE_S = 60.0
GIVE_UP_S = 12.0  # for a copy that is to fail


def cut_often(plant: Plant, disk: Disk, cuts: int, seed: int, settle_s: float) -> list[str]:
    """Cut the power again and again while parts come."""
    pause, chance = threading.Event(), random.Random(seed)
    plant.plc.feed(True)
    for _ in range(cuts):
        pause.wait(chance.uniform(0.9, 1.8))
        disk.cut()
        plant.kill("node")
        disk.unmount()
        disk.mount()
        plant.start("node")
    pause.wait(1.0)
    return ended(plant, settle_s)


def run(name: str, server: EmbeddedServer, folder: Path, cuts: int) -> list[str]:
    """Power cuts for a tree with this bug, "none" = as it is."""
    tree = planted(name, folder / "tree")
    environment = {"LD_PRELOAD": EATMYDATA} if name == "no-fsync" else {}
    with (
        made(server, "quanjian") as dsn,
        Disk(folder) as disk,
        plant_on(
            dsn,
            folder / "run",
            tree=tree,
            ledger=disk.place / "node",
            rate_per_s=30.0,
            node_environment=environment,
        ) as plant,
    ):
        seed, settle_s = len(name), SETTLE_S if name == "none" else GIVE_UP_S
        found = cut_often(plant, disk, cuts, seed, settle_s)
        plant.kill("node")  # a disk in use cannot be unmounted
    shutil.rmtree(folder)
    return found


@pytest.fixture(scope="module")
def found(
    request: pytest.FixtureRequest,
    postgres: EmbeddedServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, list[str]]]:
    folder = tmp_path_factory.mktemp("power")
    cuts = {"none": 10 if request.config.getoption("--short") else 50}
    cuts |= {n: CUTS_OF_A_BUG for n, told in MUTANTS.items() if told["run"] == "power"}
    with ThreadPoolExecutor(2) as pool:
        results = {n: pool.submit(run, n, postgres, folder / n, count) for n, count in cuts.items()}
        yield {name: result.result() for name, result in results.items()}


def test_a_power_cut_loses_no_row_that_was_told(found: dict[str, list[str]]) -> None:
    assert found["none"] == []


@pytest.mark.parametrize("name", [n for n, told in MUTANTS.items() if told["run"] == "power"])
def test_a_ledger_that_does_not_wait_for_the_disk_is_found(
    name: str, found: dict[str, list[str]]
) -> None:
    assert found[name], f"nobody noticed: {MUTANTS[name]['bug']}"
