"""What a row costs on this disk, and how long a day without the hub takes to get there.

    python -m bench.outbox [--json] [--folder DIR] [--rows 1728000]

commits     one part after the other, as an inspector's thread commits them: the row opened before
            its verdict goes out ("open"), closed after the PLC's echo ("close"). "grouped": eight
            threads at once, whose rows share a transaction. Each alone and while another thread
            keeps pictures in the node's own store, 10 MB/s in files of 0.5 MB. The floor is SQLite
            with the same settings, a row of the same size per transaction; blocks take turns.
drain       24 hours at 20 parts/s (1.73 million rows) written as fast as the ledger takes them,
            then sent by the node's link through mosquitto to a `quanjian-hub ingest` on
            PostgreSQL, while the line goes on at 20 parts/s. It ends when the hub has every row,
            and the law of the hub must balance.

The folder must be on the disk that is meant: the one of this run's temporary files unless told.
"""

import argparse
import os
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench import report
from bench.swarm.worker import ingest
from edge import settings
from edge.mqtt.link import Link
from edge.mqtt.message import AnyRow, Mark, PartRow, View, encode
from edge.outbox import Outbox
from edge.pictures import PictureStore
from edge.terms import Code
from hub import metrics, registry
from hub.store import session
from hub.store.embedded import EmbeddedServer
from hub.store.migrate import migrate
from tests.broker_peer import broker
from tests.ledger_rows import STATION, counter_row, epoch_row, part_row

DAY_ROWS = 24 * 3600 * 20
RATE_PER_S = 20
LEAST_PER_S = 0.99 * RATE_PER_S
MAX_DRAIN_S = 1800
BLOCKS, BLOCK = 10, 100  # commits of each kind
THREADS = 8
PICTURE_BYTES, PICTURES_PER_S = 500_000, 20
AT_ONCE = 5_000  # rows in one transaction while the day is written
NODE = settings.Node(plant="p", line="l", name="n1", data_dir="unused")


def main(arguments: list[str] | None = None) -> int:
    """Measure the commits, then the drain."""
    parser = argparse.ArgumentParser(prog="python -m bench.outbox", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--folder", type=Path, help="on the disk that is meant")
    parser.add_argument("--rows", type=int, default=DAY_ROWS, help="of the day without the hub")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="outbox-", dir=asked.folder) as made:
        folder = Path(made)
        folder.chmod(0o755)  # PostgreSQL runs as an ordinary user where this runs as root
        committed = {
            "alone": commits(folder, False),
            "pictures_10_mb_s": commits(folder, True),
        }
        try:
            drained = drain(folder, asked.rows)
        except FileNotFoundError as wrong:  # no broker here
            sys.stderr.write(f"drain: not run: {wrong}\n")
            return report.EXIT_CANNOT_RUN
    bars = [
        report.at_most(f"drain of {asked.rows} rows, s", drained["drain_s"], MAX_DRAIN_S),
        report.exactly("parts at the hub less parts committed", drained["missing"], 0),
        report.exactly("residue of the law at the hub", drained["residue"], 0),
        report.at_least(
            "parts/s of the line meanwhile", drained["line"]["per_s"], 0.99 * RATE_PER_S
        ),
    ]
    return report.finish("outbox", bars, {"commits": committed, "drain": drained}, asked.json)


# -- commits --------------------------------------------------------------------------------------


def commits(folder: Path, with_pictures: bool) -> dict[str, Any]:
    """Blocks of single, grouped and bare commits in turn: quantiles of each in ms."""
    root = folder / ("pictures" if with_pictures else "alone")
    root.mkdir()
    outbox = Outbox(root / "ledger.db")
    outbox.append(epoch_row())
    floor, numbers = Floor(root / "floor.db"), iter(range(1, 10_000_000))
    took: dict[str, list[float]] = {"open": [], "close": [], "grouped_open": [], "floor": []}
    told: dict[str, Any] = {}
    with ExitStack() as stack:
        stack.callback(outbox.close)
        stack.callback(floor.close)
        if with_pictures:
            told["written_mb_s"] = stack.enter_context(_pictures(root, outbox))
        threads = stack.enter_context(ThreadPoolExecutor(THREADS))
        for turn in range(BLOCKS):
            for _ in range(BLOCK):
                _judge(outbox, next(numbers), took["open"], took["close"])
            together = [_part(next(numbers)) for _ in range(BLOCK)]
            took["grouped_open"] += threads.map(
                lambda row: _timed(lambda: outbox.open(row)), together
            )
            for row in together:
                outbox.close_part(STATION, 1, row.number, row.code, None, 60)
            took["floor"] += [_timed(floor.commit) for _ in range(BLOCK)]
            sys.stderr.write(f"commits{' beside pictures' * with_pictures}: {turn + 1}/{BLOCKS}\n")
    if with_pictures:
        told["written_mb_s"] = round(told["written_mb_s"](), 1)
    return {**told, **{f"{name}_ms": _quantiles(times) for name, times in took.items()}}


class Floor:
    """SQLite as the ledger sets it, one row of the same size per transaction."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL").fetchone()
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE bare (seq INTEGER PRIMARY KEY, row BLOB NOT NULL)")
        self._row = os.urandom(len(encode(_part(1))))

    def commit(self) -> None:
        """One transaction."""
        self._db.execute("INSERT INTO bare (row) VALUES (?)", (self._row,))

    def close(self) -> None:
        """Give the file back."""
        self._db.close()


def _judge(outbox: Outbox, number: int, opened: list[float], closed: list[float]) -> None:
    """One part as an inspector commits it; appends what each of the two commits took, in ms."""
    row = _part(number)
    opened.append(_timed(lambda: outbox.open(row)))
    closed.append(_timed(lambda: outbox.close_part(STATION, 1, number, row.code, None, 60)))


def _part(number: int) -> PartRow:
    """One part in fifty is NG, with its defect marked."""
    code = Code.NG if number % 50 == 0 else Code.OK
    marks = (
        (Mark(label="scratch", score=9000, box=(100, 100, 240, 130)),) if code is Code.NG else ()
    )
    view = View(
        camera="c1", code=code, frame=number, exposed_ms=14, width=640, height=640, marks=marks
    )
    return part_row(number, code, views=(view,), at_ms=int(time.time() * 1000))


@contextmanager
def _pictures(root: Path, outbox: Outbox) -> "Iterator[Callable[[], float]]":
    """Pictures kept at their rate until the end; what is yielded then tells the MB/s."""
    store = PictureStore(root / "store", outbox, max_mb=2000)
    stop, kept, began_s = threading.Event(), [0], time.monotonic()

    def run() -> None:
        while not stop.wait(max(0.0, began_s + kept[0] / PICTURES_PER_S - time.monotonic())):
            store.put(os.urandom(PICTURE_BYTES), "ok")
            kept[0] += 1

    thread = threading.Thread(target=run, name="pictures")
    thread.start()
    try:
        yield lambda: kept[0] * PICTURE_BYTES / 1e6 / ended_s[0]
    finally:
        stop.set()
        thread.join()
        ended_s = [time.monotonic() - began_s]


# -- drain ----------------------------------------------------------------------------------------


def drain(folder: Path, rows: int) -> dict[str, Any]:
    """Write the day, then send it while the line goes on."""
    outbox = Outbox(folder / "day.db")
    with ExitStack() as stack:
        stack.callback(outbox.close)
        written_s = _write_day(outbox, rows)
        peer = stack.enter_context(broker(folder))
        server = stack.enter_context(EmbeddedServer(folder / "postgres"))
        migrate(server.dsn)
        registry.add(server.dsn, NODE.plant, NODE.line, NODE.name)
        stack.enter_context(ingest(folder / "ingest", server.dsn, peer.port))
        hub = settings.Hub(broker_host="127.0.0.1", broker_port=peer.port)
        line = Line(outbox, rows + 1)
        link = Link(NODE, hub, outbox)
        stack.callback(link.close)
        backlog, began_s = outbox.head, time.monotonic()
        line.start()
        link.start()
        _watch(outbox, backlog, began_s)
        drain_s = time.monotonic() - began_s
        parts = line.stop()
        outbox.append(counter_row(parts, at_ms=int(time.time() * 1000)))
        _watch(outbox, outbox.head, began_s)
        with session.connect(server.dsn, "bench") as connection:
            (law,) = session.rows(connection, "laws_all")
        balance = metrics.first_law(law)
    return {
        "rows": rows,
        "written_s": round(written_s, 1),
        "drain_s": round(drain_s, 1),
        "rows_per_s": round(rows / drain_s),
        "missing": parts - (balance.settled or 0),
        "residue": balance.residue if balance.residue is not None else parts,
        "line": line.told(drain_s),
    }


def _write_day(outbox: Outbox, rows: int) -> float:
    began_s = time.monotonic()
    outbox.append(epoch_row())
    for first in range(1, rows + 1, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, rows + 1))
        day: list[AnyRow] = [_part(number) for number in numbers]
        outbox.append(*day)
        if first // AT_ONCE % 40 == 0:
            sys.stderr.write(f"day: {first - 1} of {rows} rows\n")
    return time.monotonic() - began_s


class Line:
    """A line that goes on: a part every 50 ms, opened and closed like any other."""

    def __init__(self, outbox: Outbox, first: int) -> None:
        self._outbox = outbox
        self._first = self._next = first
        self._opened: list[float] = []
        self._closed: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="line")

    def start(self) -> None:
        """The first part comes now."""
        self._thread.start()

    def stop(self) -> int:
        """No part any more; the number of the last one."""
        self._stop.set()
        self._thread.join()
        return self._next - 1

    def told(self, seconds: float) -> dict[str, Any]:
        """Parts, and what their commits took."""
        return {
            "parts": len(self._closed),
            "per_s": round(len(self._closed) / seconds, 2),
            "open_ms": _quantiles(self._opened),
            "close_ms": _quantiles(self._closed),
        }

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            _judge(self._outbox, self._next, self._opened, self._closed)
            self._next += 1
            due_s += 1 / RATE_PER_S


def _watch(outbox: Outbox, head: int, began_s: float) -> None:
    """Returns when the hub has every row below `head`; says how far it is every ten seconds."""
    said_s = time.monotonic()
    while outbox.first < head:
        if time.monotonic() - began_s > 2 * MAX_DRAIN_S:
            raise TimeoutError(f"{head - outbox.first} rows are still here")
        if time.monotonic() - said_s > 10:
            said_s = time.monotonic()
            sys.stderr.write(f"drain: {outbox.first - 1} of {head - 1} rows\n")
        time.sleep(0.05)


def _timed(work: "Callable[[], None]") -> float:
    began_s = time.perf_counter()
    work()
    return (time.perf_counter() - began_s) * 1000


def _quantiles(times_ms: list[float]) -> dict[str, float]:
    found = np.percentile(times_ms, [50, 99, 99.9, 100]).round(2)
    return dict(zip(("p50", "p99", "p99.9", "max"), map(float, found), strict=True))


if __name__ == "__main__":
    sys.exit(main())
