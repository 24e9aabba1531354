"""A node that reads tags, its disk full for a while: parts rejected and missed, nothing lost or
counted twice, here and at the hub."""

import contextlib
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hub import metrics, registry
from hub.settings import Settings
from hub.store import session
from tests.ingest_peer import asked, worker
from tests.loopback_peer import wait_for
from tests.small_line import SimulatedPlc, wire
from tests.test_line_data import TAGS

PARTS, RATE = 44, 4.0
DISK = "80m"  # 64 MB of which pictures leave free
HUB = """
[hub]
broker_host = "127.0.0.1"
broker_port = {port}
"""
GOOD = """
[[tag]]
name = "good"
station = "s1"
address = 43
type = "u32"
counts = true
"""


class NodeOnDisk:
    """A node in its own process, with its data on a small disk in a mount namespace of its own."""

    def __init__(self, folder: Path) -> None:
        self.said: list[str] = []
        self._data = folder / "data"
        self._data.mkdir()
        mount = f'mount -t tmpfs -o size={DISK} tmpfs "$1"; shift; exec "$@"'
        run = [sys.executable, "-m", "edge", "run", "--unsigned"]
        self.process = subprocess.Popen(
            [
                *("unshare", "--map-root-user", "--mount", "sh", "-euc", mount, "node"),
                *(str(self._data), *run, "--config", str(folder / "edge.toml")),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, name="node's log", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)

    def lines(self, *words: str) -> list[str]:
        """What it said with all these words."""
        return [line for line in list(self.said) if all(word in line for word in words)]

    @property
    def disk(self) -> Path:
        """Its data, as it sees it."""
        return Path(f"/proc/{self.process.pid}/root{self._data}")

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """To the last byte, also what the node frees meanwhile."""
        filler, done = self.disk / "filler", threading.Event()

        def fill() -> None:
            with filler.open("ab", buffering=0) as file:
                while not done.wait(0.01):
                    with contextlib.suppress(OSError):
                        while True:
                            file.write(bytes(65_536))
                    with contextlib.suppress(OSError):
                        file.write(bytes(4096))

        thread = threading.Thread(target=fill, name="filler")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(30)
            filler.unlink()

    def epoch(self, copied: Path) -> dict[str, Any]:
        """Its only epoch's totals, from a copy of its ledger while it is at rest."""
        copied.mkdir()
        for name in ("ledger.db", "ledger.db-wal"):
            (copied / name).write_bytes((self.disk / name).read_bytes())
        db = sqlite3.connect(copied / "ledger.db")
        db.row_factory = sqlite3.Row
        try:
            (found,) = db.execute("SELECT * FROM epoch").fetchall()
        finally:
            db.close()
        return dict(found)

    def stop(self) -> int:
        """As `systemctl stop` does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def close(self) -> None:
        """End it in any case."""
        self.process.kill()
        self.process.wait(10)
        self._reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def plc(tmp_path: Path) -> Iterator[SimulatedPlc]:
    made = SimulatedPlc(tmp_path, parts=PARTS, rate=RATE, at=("4:jog=1", "7:jog=0"))
    yield made
    made.process.kill()
    made.process.wait(10)


@pytest.fixture
def node(tmp_path: Path, wired: Settings) -> Iterator[NodeOnDisk]:
    wire(tmp_path, [number % 10 == 4 for number in range(PARTS)])
    registry.add(wired.database.dsn, "test", "line-1", "node-1")
    with (tmp_path / "edge.toml").open("a", encoding="utf-8") as file:
        file.write(TAGS.replace('unit = "kWh"', 'unit = "kWh"\nperiod_s = 1') + GOOD)
        file.write(HUB.format(port=wired.broker.port))
    with contextlib.closing(NodeOnDisk(tmp_path)) as made:
        yield made


def test_a_full_disk_costs_parts_and_no_row(
    tmp_path: Path, plc: SimulatedPlc, node: NodeOnDisk, wired: Settings, database: str
) -> None:
    with worker(wired):
        wait_for(lambda: bool(asked(database, "SELECT 1 FROM part OFFSET 5")), "parts at the hub")
        with node.full():
            wait_for(lambda: bool(node.lines("rows wait in memory")), "line data is refused")
            full_ms = 1000 * time.time()
            wait_for(lambda: len(node.lines(" missed (")) >= 10, "parts are missed")
            freed_ms = 1000 * time.time()
        wait_for(lambda: bool(node.lines("line data", "takes rows again")), "rows are taken again")
        summary = plc.summary()
        wait_for(
            lambda: asked(database, "SELECT counter, open FROM law")
            == [{"counter": PARTS, "open": 0}],
            "the law is closed at the hub",
        )
        edge = node.epoch(tmp_path / "copied")
        assert node.stop() == 0

    # the first law, at the edge and at the hub
    (law,) = asked(database, "SELECT * FROM law")
    words = ("ok", "ng", "undecided", "missed", "bypassed")
    assert summary["triggers"] == PARTS == sum(law[word] for word in words)
    assert [edge[word] for word in words] == [law[word] for word in words]
    assert metrics.first_law(law).state == "balanced"
    assert (law["quarantined"], law["bypassed"]) == (0, 0)
    assert law["missed"] >= 10
    causes = asked(database, "SELECT DISTINCT label FROM minute_cause WHERE kind = 'missed'")
    assert {cause["label"] for cause in causes} <= {"ledger", "not_ready"}
    # what was not judged went into the reject bin
    assert summary["wrong_words"] == summary["good_bin_without_ok"] == 0
    assert summary["good_bin"] == law["ok"]

    # each row once
    (cursor,) = asked(database, "SELECT next FROM cursor")
    rows = asked(database, "SELECT seq FROM part UNION ALL SELECT seq FROM ledger_row ORDER BY seq")
    assert [row["seq"] for row in rows] == [*range(1, cursor["next"])]
    readings = asked(
        database,
        "SELECT body->>'name' AS name, (body->>'mono_ms')::bigint AS made_ms,"
        " (body->>'at_ms')::bigint AS at_ms, (body->>'value')::bigint AS value"
        " FROM ledger_row WHERE kind = 'tag' AND body->>'value' IS NOT NULL ORDER BY seq",
    )
    made = [(row["name"], row["made_ms"]) for row in readings]
    assert len(set(made)) == len(made)

    # a log on the same disk is not filled with it
    assert len(node.lines("disk is full")) < 12

    # what was read while the disk was full waited
    energy = [row for row in readings if row["name"] == "energy"]
    assert [row["made_ms"] for row in energy] == sorted(row["made_ms"] for row in energy)
    assert [row for row in energy if full_ms < row["at_ms"] < freed_ms]
    assert [row for row in energy if row["at_ms"] > freed_ms]
    # how the line stood, each change once
    lines = asked(
        database, "SELECT body->>'state' AS state FROM ledger_row WHERE kind = 'line' ORDER BY seq"
    )
    states = [line["state"] for line in lines]
    assert states[:3] == ["execute", "stopped", "execute"]
    assert states.count("stopped") == 1
    assert all(before != after for before, after in pairwise(states))
    # a count lost nothing
    for name, unit in (("energy", "kWh"), ("good", "")):
        values = [row["value"] for row in readings if row["name"] == name]
        assert all(before <= after for before, after in pairwise(values))
        (tag,) = asked(database, "SELECT known, unit, exponent FROM tag WHERE name = %s", name)
        (sum_,) = asked(database, "SELECT sum(grown) n FROM tag_growth WHERE name = %s", name)
        assert tag["unit"] == unit
        assert sum_["n"] == tag["known"] - values[0] > 0
    assert tag["known"] == summary["good_bin"] == law["ok"]
    with session.connect(database, "test") as connection:
        asked_for = {"plant": None, "line": None, "since": datetime.fromtimestamp(0, timezone.utc)}
        now = list(session.rows(connection, "tags_now", **asked_for))
    kwh = Decimal(energy[-1]["value"] - energy[0]["value"]).scaleb(-3)
    assert metrics.energy_kwh(now) == kwh
