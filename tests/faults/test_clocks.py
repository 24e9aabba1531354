"""Clocks that jump: order comes from the sequence, ages from the monotonic clock."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.plant import Plant
from tests.faults.runs import ended, plant_on

pytestmark = [pytest.mark.faults, pytest.mark.needs_mosquitto, pytest.mark.needs_faketime]

TIMES = ("@1970-01-01 00:00:09", "+0", "+400d", "-1d", "+1h", "@2037-12-31 23:59:58", "+0")
"""As libfaketime reads them: where a clock is set to, or how far it is off."""


class FakedClock:
    """The wall clock of a process's own; its monotonic clock is the true one."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        [library] = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.set("+0")

    def set(self, told: str) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(told)
        fresh.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> FakedClock:
    return FakedClock(tmp_path)


@pytest.fixture(params=["node", "hub"])
def plant(
    request: pytest.FixtureRequest, database: str, tmp_path: Path, clock: FakedClock
) -> Iterator[Plant]:
    """A plant whose node, or whose hub, has that clock."""
    given = {f"{request.param}_environment": clock.environment}
    with plant_on(database, tmp_path / "run", rate_per_s=40.0, **given) as made:
        yield made


def test_a_clock_that_jumps_while_parts_come_neither_loses_nor_doubles_one(
    plant: Plant, clock: FakedClock
) -> None:
    pause = threading.Event()
    plant.plc.feed(True)
    for told in TIMES:
        clock.set(told)
        pause.wait(0.7)
    assert ended(plant) == []


def test_a_computer_that_starts_in_1970_and_is_set_right_later_counts_every_part(
    plant: Plant, clock: FakedClock
) -> None:
    plant.feed(20)
    clock.set(TIMES[0])
    for name in ("node", "ingest-1", "ingest-2", "duties"):
        plant.kill(name)
        plant.start(name)
    plant.feed(40)
    clock.set("+0")
    plant.kill("node")
    assert ended(plant) == []
