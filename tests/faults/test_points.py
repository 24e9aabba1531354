"""A program that dies between any two steps that half-done work could tell apart."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub.store.embedded import EmbeddedServer
from tests.faults.chaos import POINTS
from tests.faults.plant import Plant, Point, reached
from tests.faults.points import DIED, found
from tests.faults.runs import ended, plant_on
from tests.postgres_peer import made

NAMED = [(program, name) for program, names in POINTS.items() for name in names]
SIDES = (("node",), ("ingest", "duties"))
"""Programs that die in one plant; each side is a plant of its own, beside the other."""

SELDOM = ("_epoch_opened", "born", "make_ahead")

Death = tuple[str, str, str]
"""Program, name of the point, before or after it."""


@dataclass(frozen=True)
class Outcome:
    """What all the deaths in one plant came to."""

    wrong: dict[Death, str | None]
    law: list[str]
    kills: int
    story: str


def die(plant: Plant, program: str, name: str, when: str) -> str | None:
    """Let a program die at its point and start again; what went otherwise."""
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
    if plant.runs(running):
        return f"{running} was to die {when} {name}"
    if (code := plant.code(running)) != DIED:
        return f"{running} ended with {code}:\n{plant.log(running)[-2000:]}"
    plant.start(running)
    return None


def play(programs: Sequence[str], server: EmbeddedServer, folder: Path) -> Outcome:
    """One plant for all of them: what one death leaves behind is there at the next."""
    with made(server, "quanjian") as dsn, plant_on(dsn, folder, rate_per_s=30.0) as plant:
        plant.plc.feed(True)
        wrong = {
            (program, name, when): die(plant, program, name, when)
            for program in programs
            for name in POINTS[program]
            for when in ("before", "after")
        }
        return Outcome(wrong, ended(plant), plant.kills, plant.told())


@pytest.mark.parametrize(("program", "name"), NAMED)
def test_a_named_point_is_a_function_of_the_product(program: str, name: str) -> None:
    owner, last = found(name)
    assert callable(getattr(owner, last)), program


@pytest.fixture(scope="module")
def outcomes(
    postgres: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Outcome]]:
    """What came of the deaths on each side."""
    with ThreadPoolExecutor(len(SIDES)) as pool:
        runs = [
            pool.submit(play, programs, postgres, tmp_path_factory.mktemp("points"))
            for programs in SIDES
        ]
        yield [run.result() for run in runs]


@pytest.mark.faults
@pytest.mark.needs_mosquitto
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("program", "name"), NAMED)
def test_a_program_that_dies_at_a_named_point_starts_again(
    outcomes: list[Outcome], program: str, name: str, when: str
) -> None:
    [wrong] = [o.wrong[program, name, when] for o in outcomes if (program, name, when) in o.wrong]
    assert wrong is None


@pytest.mark.faults
@pytest.mark.needs_mosquitto
def test_after_all_these_deaths_the_law_holds(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        assert outcome.kills
        assert outcome.law == [], outcome.story
