"""Chaos with the law as judge: five runs of a minute, or as many as are asked for.

make test-faults PYTEST="-k chaos --chaos=20x180"    twenty runs of three minutes, five at a time
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.faults.chaos import Outcome, chaos

pytestmark = [pytest.mark.faults, pytest.mark.needs_mosquitto]

SIDE_BY_SIDE = 5
KILLS_PER_S = 0.4  # of a run; a machine that is too slow for that proves little


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        seeds, _ = metafunc.config.getoption("--chaos")
        metafunc.parametrize("seed", range(1, seeds + 1))


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[int, "Future[Outcome]"]]:
    """Every run, some at a time."""
    seeds, seconds = request.config.getoption("--chaos")
    folder = tmp_path_factory.mktemp("chaos")
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        yield {
            seed: pool.submit(chaos, seed, seconds, folder / str(seed))
            for seed in range(1, seeds + 1)
        }
        pool.shutdown(cancel_futures=True)


def test_chaos_leaves_no_residue_and_a_whole_chain(
    seed: int, outcomes: dict[int, "Future[Outcome]"], request: pytest.FixtureRequest
) -> None:
    _, seconds = request.config.getoption("--chaos")
    outcome = outcomes[seed].result()
    assert outcome.found == [], outcome.story
    assert outcome.kills >= KILLS_PER_S * seconds, outcome.story
    assert outcome.at_points, outcome.story
