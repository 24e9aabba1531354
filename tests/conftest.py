"""Peers that several test files share; each plugin owns one kind of peer.

`--short` plays the long fault runs with a fifth of their parts; what must hold stays the same.
"""

from collections.abc import Iterator

import pytest

from edge.plc import lockfile

pytest_plugins = [
    "tests.chromium_peer",
    "tests.faults.table",
    "tests.gige_peer",
    "tests.loopback_peer",
    "tests.ingest_peer",  # after the peers it uses
    "tests.played_hub",
    "tests.postgres_peer",
    "tests.timescale_peer",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--short", action="store_true", help="long fault runs with a fifth of parts")
    parser.addoption(
        "--chaos",
        type=_runs,
        default=(5, 60.0),
        metavar="RUNSxSECONDS",
        help="how many chaos runs, and how long each; 5x60",
    )
    parser.addoption(
        "--faults-table", metavar="FILE", help="the page whose last results this run writes"
    )


@pytest.fixture(autouse=True)
def ports_given_back() -> Iterator[None]:
    """A test that fails with a port open must not take those after it along: names come again."""
    yield
    for path in tuple(lockfile._held):
        path.unlink(missing_ok=True)
        lockfile._held.discard(path)


def _runs(text: str) -> tuple[int, float]:
    runs, seconds = text.split("x")
    return int(runs), float(seconds)


@pytest.fixture
def many(request: pytest.FixtureRequest) -> int:
    """Parts of a long run."""
    return 2_000 if request.config.getoption("--short") else 10_000
