"""Disks that are full or fail, at the node and under the database: no row is lost or doubled."""

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.store.embedded import EmbeddedServer
from hub.store.migrate import migrate
from tests.faults.disk import Disk, MemoryDisk
from tests.faults.oracle import asked
from tests.faults.plant import Plant, wait_until
from tests.faults.runs import ended, plant_on

pytestmark = [pytest.mark.faults, pytest.mark.needs_mosquitto]

DATABASE_MB = 256


@pytest.fixture
def small(database: str, tmp_path: Path) -> Iterator[tuple[Plant, Disk]]:
    """A node whose ledger lies on a disk of its own, of 16 MB."""
    with (
        Disk(tmp_path / "disk", size_mb=16) as disk,
        plant_on(database, tmp_path / "run", ledger=disk.place / "node", rate_per_s=40.0) as plant,
    ):
        yield plant, disk


@pytest.mark.needs_disk
def test_on_a_full_disk_parts_are_rejected_and_counted_until_there_is_room(
    small: tuple[Plant, Disk],
) -> None:
    plant, disk = small
    plant.feed(40)
    disk.fill()
    plant.feed(120)
    wait_until(lambda: "full" in plant.log("node"), "the ledger says that it is full")
    disk.empty()
    plant.feed(40)
    assert ended(plant) == []


@pytest.mark.needs_disk
def test_on_a_disk_that_turns_read_only_no_part_is_passed_and_all_are_counted_after_its_repair(
    small: tuple[Plant, Disk],
) -> None:
    plant, disk = small
    plant.feed(40)
    disk.turn_read_only()
    plant.plc.feed(True)
    wait_until(lambda: "until then every part is rejected" in plant.log("node"), "a fault")
    plant.kill("node")
    disk.repair()
    plant.start("node")
    plant.feed(40)
    assert ended(plant) == []


@pytest.mark.needs_strace
@pytest.mark.parametrize(
    "fault",
    ["fdatasync:error=EIO:when=40+9", "pwrite64:error=ENOSPC:when=300+31"],
    ids=["EIO at fdatasync", "ENOSPC at pwrite"],
)
def test_a_disk_whose_calls_fail_now_and_then_loses_nothing(
    database: str, tmp_path: Path, fault: str
) -> None:
    call = fault.split(":")[0]
    strace = ("strace", "-fqq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={fault}")
    with plant_on(database, tmp_path, rate_per_s=30.0, node_before=strace) as plant:
        plant.feed(120)
        wait_until(lambda: "until then every part is rejected" in plant.log("node"), "a fault")
        plant.kill("node")
        plant.node_before = ()
        assert ended(plant) == []


@pytest.mark.needs_disk
def test_a_full_disk_under_the_database_is_waited_for(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="qj-") as name:
        Path(name).chmod(0o755)
        with (
            MemoryDisk(Path(name) / "d", DATABASE_MB) as disk,
            EmbeddedServer(disk.place) as server,
        ):
            migrate(server.dsn)
            with plant_on(server.dsn, tmp_path, rate_per_s=40.0) as plant:
                plant.feed(40)
                disk.fill()
                plant.plc.feed(True)
                said = ("No space left", "could not extend", "could not write")
                logs = ("ingest-1", "ingest-2")
                wait_until(
                    lambda: server.pid is None
                    or any(words in plant.log(log) for log in logs for words in said),
                    "the database has no room",
                )
                threading.Event().wait(1.0)
                disk.empty()
                if server.pid is None:  # it may go down for want of room
                    server.stop()
                    server.start()
                assert asked(server.dsn, "SELECT 1 AS one") == [{"one": 1}]
                assert ended(plant) == []
