"""The store: the board's query over a day of rows, what TimescaleDB saves, how an embedded server
starts.

    python -m bench.store --json          # 1.73 M rows; a few minutes and 3 GiB of disk

The day is 20 parts/s over four stations, filled by the server itself. Where QUANJIAN_TEST_DSN names
a server with TimescaleDB, the same day is filled there too, its chunks are compressed and the query
is asked again; elsewhere there is no bar for compression. The starts are of an embedded server in a
folder of its own: made from nothing, started again, and killed while rows are committed.
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from math import ceil
from pathlib import Path
from typing import Any

from bench.report import Bar, at_least, at_most, exactly, finish
from bench.stored.day import FILL, FROM_ROWS, SUMMED
from hub.errors import StoreError
from hub.store import partitions, session
from hub.store.embedded import EmbeddedServer
from hub.store.migrate import migrate

ASKED = 30
WARM = 5
WEEKS = 160  # of partitions: three years
ANYWHERE: dict[str, Any] = {"plant": None, "line": None, "station": None}


def seconds(act: Callable[[], object]) -> float:
    """How long one call takes."""
    begun_s = time.perf_counter()
    act()
    return time.perf_counter() - begun_s


def milliseconds(act: Callable[[], object], times: int = ASKED) -> dict[str, float]:
    """Many calls after one that warms up: median, p95 and max."""
    act()
    taken = sorted(seconds(act) * 1000 for _ in range(times))
    return {
        "p50_ms": round(statistics.median(taken), 2),
        "p95_ms": round(taken[ceil(0.95 * times) - 1], 2),
        "max_ms": round(taken[-1], 2),
    }


class Writer:
    """Commits a row after the other until the server is gone."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.committed = 0
        self.many = threading.Event()
        self._thread = threading.Thread(target=self._write, name="writer")
        self._thread.start()

    def _write(self) -> None:
        try:
            with session.connect(self._dsn, "writer") as connection, session.converted("kept"):
                while True:
                    connection.execute("INSERT INTO kept VALUES (%s)", (self.committed + 1,))
                    self.committed += 1
                    if self.committed == 200:
                        self.many.set()
        except StoreError:
            self.many.set()

    def join(self) -> None:
        """Return when the server is gone."""
        self._thread.join()


def starts(folder: Path) -> dict[str, Any]:
    """An embedded server made, started warm, and killed while rows are committed."""
    server = EmbeddedServer(folder)
    first_s = seconds(server.start)
    warm_s = []
    for _ in range(WARM):
        server.stop()
        warm_s.append(seconds(server.start))
    with session.connect(server.dsn, "bench") as connection:
        connection.execute("CREATE TABLE kept (value bigint)")
    back_s, lost = [], 0
    for _ in range(WARM):
        with session.connect(server.dsn, "bench") as connection:
            connection.execute("TRUNCATE kept")
        writer = Writer(server.dsn)
        writer.many.wait()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        writer.join()
        server.stop()
        back_s.append(seconds(server.start))
        with session.connect(server.dsn, "bench") as connection:
            [row] = connection.execute(
                "SELECT count(*) AS n, max(value) AS last FROM kept"
            ).fetchall()
        lost += max(0, writer.committed - row["n"])
    server.stop()
    return {
        "first_s": round(first_s, 3),
        "warm_s": [round(value, 3) for value in warm_s],
        "back_after_kill_s": [round(value, 3) for value in back_s],
        "committed_rows_lost": lost,
    }


def day(dsn: str, rows: int) -> dict[str, Any]:
    """Fill a migrated database with a day and ask for its last 24 h."""
    until = datetime.now(timezone.utc).replace(second=0, microsecond=0)  # whole minutes
    since = until - timedelta(hours=24)
    with session.connect(dsn, "bench") as connection:
        partitions.make_ahead(connection, since.date(), 8)
        fill_s = seconds(lambda: connection.execute(FILL.encode(), {"rows": rows, "until": until}))
        connection.execute(SUMMED)
        connection.execute("VACUUM ANALYZE part")
        connection.execute("VACUUM ANALYZE minute_count")

        def board() -> list[dict[str, Any]]:
            return session.rows(
                connection,
                "counts_by_bucket",
                since=since,
                until=until,
                width="1 minute",
                **ANYWHERE,
            )

        period = {"since": since, "until": until}
        raw = milliseconds(lambda: connection.execute(FROM_ROWS.encode(), period).fetchall(), 5)
        told = milliseconds(board)
        counted = sum(row["ok"] + row["ng"] for row in board())
        return {
            "rows": rows,
            "fill_s": round(fill_s, 1),
            "per_minute": told,
            "per_minute_from_rows": raw,
            "minutes": len(board()),
            "counted": int(counted),
        }


def one_part(dsn: str) -> dict[str, Any]:
    """A part asked for by stream and sequence alone, with three years of weeks."""
    with session.connect(dsn, "bench") as connection:
        partitions.make_ahead(connection, datetime.now(timezone.utc).date(), 7 * WEEKS)
        [stream] = connection.execute("SELECT stream FROM part LIMIT 1").fetchall()
        asked = {"stream": stream["stream"], "seq": 1000}
        return milliseconds(lambda: session.rows(connection, "part_detail", **asked))


def compressed(dsn: str) -> dict[str, Any]:
    """Every chunk of `part` compressed: sizes with indexes, and the ratio."""
    size = "SELECT hypertable_size('part') AS bytes"
    with session.connect(dsn, "bench") as connection:
        [before] = connection.execute(size).fetchall()
        taken_s = seconds(
            lambda: connection.execute(
                "SELECT compress_chunk(c, true) FROM show_chunks('part') AS c"
            )
        )
        [after] = connection.execute(size).fetchall()
        return {
            "bytes_before": before["bytes"],
            "bytes_after": after["bytes"],
            "ratio": round(before["bytes"] / after["bytes"], 2),
            "compress_s": round(taken_s, 1),
        }


@contextmanager
def timescale() -> Iterator[str | None]:
    """A migrated database on QUANJIAN_TEST_DSN's server; None where that has no TimescaleDB."""
    admin = os.environ.get("QUANJIAN_TEST_DSN")
    if admin is None:
        yield None
        return
    with session.connect(admin, "bench") as connection:
        known = "SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'"
        if not connection.execute(known).fetchall():
            yield None
            return
        connection.execute("DROP DATABASE IF EXISTS quanjian_bench WITH (FORCE)")
        connection.execute("CREATE DATABASE quanjian_bench")
        dsn = f"{admin} dbname=quanjian_bench"  # the last one counts
        try:
            with session.connect(dsn, "bench") as inside:
                inside.execute("CREATE EXTENSION timescaledb")
            migrate(dsn)
            with session.connect(dsn, "bench") as inside:  # compressed when we say so
                inside.execute("SELECT remove_compression_policy('part')")
            yield dsn
        finally:
            connection.execute("DROP DATABASE quanjian_bench WITH (FORCE)")


def measure(folder: Path, rows: int) -> tuple[list[Bar], dict[str, Any]]:
    """The three parts of the bench."""
    started = starts(folder / "starts")
    with EmbeddedServer(folder / "day") as server:
        migrate(server.dsn)
        plain = day(server.dsn, rows)
        plain["part_by_stream_and_seq"] = one_part(server.dsn)
    bars = [
        at_most("per-minute query of the last 24 h, p95 ms", plain["per_minute"]["p95_ms"], 50),
        exactly("rows in the answer - rows stored", plain["counted"] - rows, 0),
        at_most("embedded server, first start s", started["first_s"], 5),
        at_most("embedded server, slowest warm start s", max(started["warm_s"]), 0.5),
        at_most("back after kill -9, slowest s", max(started["back_after_kill_s"]), 2),
        exactly("committed rows lost in a kill", started["committed_rows_lost"], 0),
    ]
    figures: dict[str, Any] = {"embedded": started, "plain": plain, "timescale": None}
    with timescale() as dsn:
        if dsn is not None:
            figures["timescale"] = day(dsn, rows)
            figures["timescale"] |= compressed(dsn)
            p95 = figures["timescale"]["per_minute"]["p95_ms"]
            bars.append(at_most("the same on TimescaleDB, p95 ms", p95, 50))
            bars.append(at_least("compression of part", figures["timescale"]["ratio"], 10))
    return bars, figures


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="bench.store", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--rows", type=int, default=1_728_000, help="of the day")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="qj-bench-") as folder:
        place = Path(folder)
        place.chmod(0o755)  # an embedded server of root's runs as `nobody`
        bars, figures = measure(place, args.rows)
    return finish("store", bars, figures, args.json)


if __name__ == "__main__":
    sys.exit(main())
