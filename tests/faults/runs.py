"""How a fault run begins and ends: a plant on its own database, and what is found in the end."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hub.store.embedded import EmbeddedServer
from hub.store.migrate import migrate
from tests.faults import oracle
from tests.faults.plant import PROGRAMS, Plant, reached
from tests.faults.plc import PlayedPlc


@contextmanager
def plant_on(dsn: str, folder: Path, **given: Any) -> Iterator[Plant]:
    """A running plant with this database; `given` are fields of Plant and PlayedPlc."""
    plc_of = {key: given.pop(key) for key in ("rate_per_s", "twins", "seed") if key in given}
    folder.mkdir(parents=True, exist_ok=True)
    with (
        PlayedPlc(folder / "registers", **plc_of) as plc,
        Plant(folder, dsn, plc, **given) as plant,
    ):
        # a copy with a bug may never come so far, and is judged all the same
        reached(lambda: bool(oracle.asked(dsn, "SELECT 1 FROM law WHERE base IS NOT NULL")), 30.0)
        yield plant


@contextmanager
def own_server() -> Iterator[EmbeddedServer]:
    """A PostgreSQL with tables for one run, which may be killed; `nobody` can reach its folder."""
    with tempfile.TemporaryDirectory(prefix="qj-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        with EmbeddedServer(folder) as server:
            migrate(server.dsn)
            yield server


def ended(plant: Plant, deadline_s: float = 60.0) -> list[str]:
    """Let the plant come to rest, stop the node in order, and say all that is wrong."""
    plant.plc.feed(False)
    for name in PROGRAMS:
        if not plant.runs(name):
            plant.start(name)
    told = _at_rest(plant, deadline_s)
    return told + oracle.findings(oracle.read(plant.dsn), plant.plc)


def _at_rest(plant: Plant, deadline_s: float) -> list[str]:
    """Wait until nothing is on its way any more; what did not come about."""
    if not reached(lambda: oracle.settled(plant.dsn, plant.plc), deadline_s):
        plant.kill("node")
        return [f"not every part of the PLC was settled at the hub within {deadline_s:.0f} s"]
    if (code := plant.stop("node")) != 0:
        return [f"the node ended with {code}"]
    told = oracle.left_at_the_node(plant.data)
    if not reached(lambda: oracle.checked(plant.dsn), deadline_s):
        told.append("duties did not verify every chain to its end")
    return told
