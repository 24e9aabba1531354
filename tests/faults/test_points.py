"""A program that dies between any two steps that half-done work could tell apart."""

from collections.abc import Iterator

import pytest

from hub.store.embedded import EmbeddedServer
from tests.faults.chaos import POINTS
from tests.faults.plant import Plant, Point, reached
from tests.faults.points import DIED, found
from tests.faults.runs import ended, plant_on
from tests.postgres_peer import made

NAMED = [(program, name) for program, names in POINTS.items() for name in names]

SELDOM = ("_epoch_opened", "born", "make_ahead")


@pytest.mark.parametrize(("program", "name"), NAMED)
def test_a_named_point_is_a_function_of_the_product(program: str, name: str) -> None:
    owner, last = found(name)
    assert callable(getattr(owner, last)), program


@pytest.fixture(scope="module")
def plant(postgres: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """One plant for all of them: what one death leaves behind is there at the next."""
    with (
        made(postgres, "quanjian") as dsn,
        plant_on(dsn, tmp_path_factory.mktemp("points"), rate_per_s=30.0) as running,
    ):
        running.plc.feed(True)
        yield running


@pytest.mark.faults
@pytest.mark.needs_mosquitto
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("program", "name"), NAMED)
def test_a_program_that_dies_at_a_named_point_starts_again(
    plant: Plant, program: str, name: str, when: str
) -> None:
    running = "ingest-1" if program == "ingest" else program
    plant.kill(running)
    seldom = name.split(".")[-1] in SELDOM
    plant.start(running, Point(when, name, 1 if seldom else 2))
    for _ in range(20):
        if name.endswith("_epoch_opened"):
            plant.plc.restart(65_500)
        elif name.endswith("born"):  # which one of both workers gets
            plant.kill("node")
            plant.start("node")
        if reached(lambda: not plant.runs(running), 3.0):
            break
    assert not plant.runs(running), f"{running} was to die {when} {name}"
    assert plant.code(running) == DIED
    plant.start(running)


@pytest.mark.faults
@pytest.mark.needs_mosquitto
def test_after_all_these_deaths_the_law_holds(plant: Plant) -> None:
    assert plant.kills
    assert ended(plant) == []
