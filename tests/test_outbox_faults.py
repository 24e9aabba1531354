"""A ledger that is killed, or whose disk is full: what it said is committed stays."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.errors import LedgerError
from edge.mqtt.message import (
    GENESIS,
    PartRow,
)
from edge.outbox import Outbox
from tests.ledger_rows import (
    STATION,
    drain,
    epoch_row,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "ledger.db", ballast_bytes=4096)
    outbox.append(epoch_row())
    yield outbox
    outbox.close()


CHILD = """
import sys
from pathlib import Path
from edge.outbox import Outbox
from edge.terms import Code
from tests.ledger_rows import STATION, epoch_row, part_row
outbox = Outbox(Path(sys.argv[1]), ballast_bytes=4096)
if outbox.resume(STATION) is None:
    outbox.append(epoch_row())
number = outbox.resume(STATION).counter
while True:
    number += 1
    outbox.open(part_row(number))
    sys.stdout.write(f"open {number}\\n")
    sys.stdout.flush()
    outbox.close_part(STATION, 1, number, Code.OK, None, 5)
    sys.stdout.write(f"closed {number}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("after_lines", [1, 2, 37, 60])
def test_every_row_reported_committed_survives_kill_minus_9(
    tmp_path: Path, after_lines: int
) -> None:
    path = tmp_path / "ledger.db"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(after_lines)]
    os.kill(child.pid, signal.SIGKILL)
    lines += child.stdout.readlines()
    child.stdout.close()
    child.wait(10)
    said: dict[str, set[int]] = {"open": set(), "closed": set()}
    for line in lines:
        if line.endswith("\n"):
            word, number = line.split()
            said[word].add(int(number))
    outbox = Outbox(path)
    rows, _ = drain(outbox, GENESIS)
    closed = [row.number for row in rows if isinstance(row, PartRow)]
    open_now = {row.number for row in outbox.open_parts()}
    assert closed == list(range(1, len(closed) + 1))
    assert said["closed"] <= set(closed)
    assert said["open"] <= set(closed) | open_now
    assert outbox.totals(STATION, 1).ok == len(closed)
    outbox.close()
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


FULL_DISK = """
import sys
from pathlib import Path
from edge.errors import LedgerError
from edge.outbox import Outbox
from tests.ledger_rows import STATION, epoch_row, missed_row
folder = Path(sys.argv[1])
outbox = Outbox(folder / "ledger.db")
outbox.append(epoch_row())
number = 0
for rows in (50, 1):  # to the last page
    try:
        while True:
            numbers = range(number + 1, number + 2 * rows, 2)
            outbox.append(*(missed_row(n, n) for n in numbers))
            number += 2 * rows
    except LedgerError as wrong:
        assert "full" in str(wrong), wrong
assert outbox.waiting == number // 2 + 1
assert (folder / "ledger.db.ballast").exists(), "rows must not eat the ballast"
outbox.acknowledge(outbox.head)
assert outbox.waiting == 0
outbox.append(missed_row(number + 1, number + 1))
outbox.close()
outbox = Outbox(folder / "ledger.db")
assert outbox.totals(STATION, 1).missed == number // 2 + 1
outbox.close()
sys.stdout.write("survived")
"""


def test_on_a_full_disk_counts_stay_and_the_ballast_lets_acknowledged_rows_go(
    tmp_path: Path,
) -> None:
    """A disk of 6 MiB in a mount namespace of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=6m tmpfs "$1"; exec "$2" -c "$3" "$1"'
    ran = subprocess.run(
        (
            *("unshare", "--map-root-user", "--mount", "sh", "-euc", mount, "full"),
            *(str(disk), sys.executable, FULL_DISK),
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert (ran.stdout, ran.returncode) == ("survived", 0), ran.stderr
    assert "ballast released" in ran.stderr


def test_a_commit_is_on_disk_when_it_returns(ledger: Outbox) -> None:
    """synchronous = FULL (2) in WAL: fsync in every commit; NORMAL loses rows in a power cut."""

    def ask(db: sqlite3.Connection) -> tuple[int, str]:
        (synchronous,) = db.execute("PRAGMA synchronous").fetchone()
        (journal,) = db.execute("PRAGMA journal_mode").fetchone()
        return synchronous, journal

    assert ledger.transact(ask) == (2, "wal")


def test_the_probe_fails_when_the_ledger_cannot_commit(ledger: Outbox) -> None:
    ledger.probe()
    ledger.transact(lambda db: db.execute("PRAGMA query_only = 1").close())
    with pytest.raises(LedgerError):
        ledger.probe()
