"""The fault suite can fail: each of eight known bugs is planted, and a short run must find it.

A bug is a list of exact replacements in a copy of edge/ and hub/ (tests/faults/mutants.toml). A
snippet that is not there exactly once fails the test, so that no mutant goes stale unseen.
"""

import functools
import shutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hub.store.embedded import EmbeddedServer
from tests.faults import oracle
from tests.faults.echo import Echo
from tests.faults.plant import INGESTS, ROOT, Plant, lines, reached
from tests.faults.runs import ended, plant_on
from tests.postgres_peer import made

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MUTANTS: dict[str, dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "mutants.toml").read_text(encoding="utf-8")
)
KILLS = (("node",), INGESTS, ("broker",), ("node",), (INGESTS[0],), INGESTS)
SIDE_BY_SIDE = 4
LIVE_S = 0.8
BACK_S = 20.0  # a program that starts on a loaded machine
DOWN_S = 0.6
SETTLE_S = 12.0  # a bug may keep it from ever coming to rest ...
REST_S = 60.0  # ... without one it only takes what a loaded machine takes


def planted(name: str, folder: Path) -> Path:
    """A tree with the product and this bug in it; "none" = as it is."""
    for package in ("edge", "hub"):
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for path, text in changed(name).items():
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def changed(name: str) -> dict[str, str]:
    """The files that this bug changes, with it; each snippet stands there exactly once."""
    texts: dict[str, str] = {}
    for change in MUTANTS[name]["change"] if name != "none" else ():
        path, snippet = change["file"], change["snippet"]
        text = texts.get(path) or (ROOT / path).read_text(encoding="utf-8")
        assert text.count(snippet) == 1, f"{name}: {path}: not there once: {snippet}"
        texts[path] = text.replace(snippet, change["becomes"])
    return texts


def trouble(plant: Plant, settle_s: float) -> list[str]:
    """Parts come, batches come twice, everything is killed in turn; what is wrong in the end."""
    pause = threading.Event()
    going = True
    with Echo(plant.broker.port) as echo:
        plant.plc.feed(True)
        pause.wait(LIVE_S)
        plant.plc.feed(False)  # the first one is killed with an empty ledger
        reached(lambda: oracle.settled(plant.dsn, plant.plc), 4.0)
        pause.wait(LIVE_S / 4)
        plant.plc.feed(True)
        for names in KILLS:
            for name in names:
                plant.broker.kill() if name == "broker" else plant.kill(name)
            pause.wait(DOWN_S)
            before = oracle.rows_at_hub(plant.dsn)
            for name in names:
                plant.broker.start() if name == "broker" else plant.start(name)
            # killed while nothing runs yet, no bug shows; some bugs end it for good
            going = going and reached(functools.partial(_more_rows, plant.dsn, before), BACK_S)
            if told := _watched(plant, LIVE_S):
                return told
        told = _watched(plant, LIVE_S)
    if not echo.repeated:
        told.append("no batch ever came to the broker")
    return told + ended(plant, settle_s)


def _watched(plant: Plant, seconds: float) -> list[str]:
    """What shows while everything runs."""
    told: list[str] = []

    def wrong() -> bool:
        told.extend(oracle.given_away(plant.dsn, plant.data))
        return bool(told)

    reached(wrong, seconds)
    return told


def _more_rows(dsn: str, before: int) -> bool:
    return oracle.rows_at_hub(dsn) > before


@dataclass(frozen=True)
class Outcome:
    """What a short run came to."""

    found: list[str]
    story: str = field(repr=False)


def run(name: str, server: EmbeddedServer, folder: Path) -> Outcome:
    """One short run of a tree with this bug."""
    tree = planted(name, folder / "tree")
    with (
        made(server, "quanjian") as dsn,
        plant_on(dsn, folder / "run", tree=tree, rate_per_s=30.0, twins=0.15) as plant,
    ):
        found = trouble(plant, REST_S if name == "none" else SETTLE_S)
        broken = lines(plant.log("node") + plant.log("ingest-1"), ["SyntaxError", "ImportError"])
        outcome = Outcome(found, plant.told())
    assert broken == [], f"{name}: the copy does not even run"
    return outcome


@pytest.fixture(scope="module")
def outcomes(
    postgres: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Outcome]]:
    """What the short run finds in each copy; some run beside each other."""
    folder = tmp_path_factory.mktemp("mutants")
    names = ["none", *(name for name, told in MUTANTS.items() if told["run"] == "kills")]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        results = {name: pool.submit(run, name, postgres, folder / name) for name in names}
        yield {name: result.result() for name, result in results.items()}


@pytest.mark.faults
@pytest.mark.needs_mosquitto
def test_a_copy_without_a_bug_holds_the_law(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["none"].found == [], outcomes["none"].story


@pytest.mark.faults
@pytest.mark.needs_mosquitto
@pytest.mark.parametrize("name", [n for n, told in MUTANTS.items() if told["run"] == "kills"])
def test_a_planted_bug_is_found(name: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[name]
    assert outcome.found, f"nobody noticed: {MUTANTS[name]['bug']}\n{outcome.story}"


@pytest.mark.parametrize("name", MUTANTS)
def test_a_bug_can_still_be_planted(name: str) -> None:
    for path, text in changed(name).items():
        compile(text, path, "exec")


def test_there_are_eight() -> None:
    assert len(MUTANTS) == 8
