"""How fast rows come into the store, beside the binary COPY of the same rows alone.

Rounds in pairs: each batch goes once through the ingest transaction (order, hash chain, every row
decoded, cursor, minute sums, law, what pages are told) and once by nothing but a binary COPY of
ready values into tables of the same columns, indexes and partitions, each in a transaction of its
own, in turns. Batches of 1,000 are made in memory, as the wire ends at 500; those of 500 are
decoded from the bytes that travel. Then everything is sent again: nothing may be added.

    python -m bench.ingest --json
    python -m bench.ingest --rounds 7 --batches 2       # a quick look

Servers: the embedded PostgreSQL, Debian's where it is installed, and the one that
QUANJIAN_TEST_DSN names (a database of its own is made there and dropped), with TimescaleDB where
that server has it.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from math import comb
from pathlib import Path
from typing import Any

from bench.report import Bar, at_least, exactly, finish
from bench.stored.alone import Alone
from bench.stored.shift import Shift
from edge.mqtt.message import Batch, decode_batch, encode
from hub import registry
from hub.intake import Place
from hub.store import partitions, rows, session
from hub.store.embedded import EmbeddedServer
from hub.store.migrate import migrate

ROUNDS = 15
BATCHES = 6
WARM_UP = 2
"""Rounds that are not counted: plans, caches and the first files of the tables."""
RATIO, ROWS_PER_S = 0.60, 20_000
SIZES = (1000, 500)
DEBIAN = Path("/usr/lib/postgresql")
STREAMS = {1000: "1" * 32, 500: "5" * 32}


@dataclass
class Pairs:
    """Seconds of each round, ours and COPY alone, and the rows of a round."""

    rows: int
    ours_s: list[float] = field(default_factory=list)
    alone_s: list[float] = field(default_factory=list)
    replay_s: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        return [alone / ours for ours, alone in zip(self.ours_s, self.alone_s, strict=True)]

    def figures(self) -> dict[str, Any]:
        """Medians with their intervals, rows/s."""
        found: dict[str, Any] = {"rounds": len(self.ours_s), "rows_per_round": self.rows}
        found["ratio"] = told(self.ratios, 3)
        for name in ("ours", "alone", "replay"):
            spent = getattr(self, f"{name}_s")
            found[f"{name}_rows_per_s"] = told([self.rows / s for s in spent], 0)
        return found


def told(values: Sequence[float], digits: int) -> dict[str, float]:
    """The median of some rounds and the interval that holds it (at least 95 % of the time)."""
    low, high, sure = interval(values)
    return {
        "median": round(statistics.median(values), digits),
        "low": round(low, digits),
        "high": round(high, digits),
        "sure": round(sure, 3),
    }


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Two of the values between which the median lies, and how surely, 0..1; no distribution
    assumed. With fewer than six values the surest there is.
    """
    ranked, n = sorted(values), len(values)
    cut = 0
    while cut + 1 < n / 2 and _sure(n, cut + 1) >= 0.95:
        cut += 1
    return ranked[cut], ranked[n - 1 - cut], _sure(n, cut)


def _sure(n: int, cut: int) -> float:
    return float(1 - 2 * sum(comb(n, k) for k in range(cut + 1)) / 2**n)


def seconds(act: Callable[[], object]) -> float:
    """How long one call takes."""
    begun_s = time.perf_counter()
    act()
    return time.perf_counter() - begun_s


class Measuring:
    """One database, a node per batch size, and the tables of COPY alone beside the store's own."""

    def __init__(self, connection: session.Connection, dsn: str) -> None:
        self._connection = connection
        self._alone = Alone(connection)
        self._places = {size: Place("bench", "line-1", f"node-{size}") for size in SIZES}
        for place in self._places.values():
            registry.add(dsn, place.plant, place.line, place.node)
        self._shifts = {size: Shift(STREAMS[size]) for size in SIZES}

    def round(self, size: int, count: int, pairs: Pairs, odd: bool) -> None:
        """`count` batches both ways, and once more as a node does that got no answer."""
        batches = [self._shifts[size].batch(size) for _ in range(count)]
        ready = [self._alone.ready(self._places[size], batch) for batch in batches]
        sent: Sequence[Batch | bytes] = batches
        if size <= 500:  # what the wire allows
            sent = [encode(batch) for batch in batches]
        ours_s = alone_s = 0.0
        for number, (message, values) in enumerate(zip(sent, ready, strict=True)):
            order = (True, False) if (number % 2 == 0) is odd else (False, True)
            for ours in order:
                if ours:
                    ours_s += seconds(partial(self._take, size, message))
                else:
                    alone_s += seconds(partial(self._alone.copy, values))
        pairs.ours_s.append(ours_s)
        pairs.alone_s.append(alone_s)
        pairs.replay_s.append(seconds(partial(self._take_all, size, sent)))

    def _take_all(self, size: int, messages: Sequence[Batch | bytes]) -> None:
        for message in messages:
            self._take(size, message)

    def _take(self, size: int, message: Batch | bytes) -> None:
        batch = decode_batch(message) if isinstance(message, bytes) else message
        rows.taken(self._connection, self._places[size], batch)

    def added(self) -> dict[str, int]:
        """What the store holds: rows, distinct rows, parts in the law and in the minutes."""
        with session.converted("bench"):
            found = self._connection.execute(
                "SELECT (SELECT count(*) FROM part) + (SELECT count(*) FROM ledger_row) AS rows,"
                " (SELECT count(DISTINCT (stream, seq)) FROM part)"
                " + (SELECT count(*) FROM ledger_row) AS distinct_rows,"
                " (SELECT sum(ok + ng + undecided) FROM law)::bigint AS law_parts,"
                " (SELECT sum(ok + ng + undecided) FROM minute_count)::bigint AS minute_parts,"
                " (SELECT sum(counter - base - settled - open) FROM law)::bigint AS residue"
            ).fetchone()
        assert found is not None
        return {name: int(value) for name, value in found.items()}

    def sent(self) -> int:
        """Rows that were sent so far, each counted once."""
        return sum(shift.written for shift in self._shifts.values())


def measure(dsn: str, rounds: int, batches: int) -> tuple[list[Bar], dict[str, Any]]:
    """The bars and figures of one server, in a database that is empty."""
    migrate(dsn)
    with session.connect(dsn, "bench") as connection:
        partitions.make_ahead(connection, datetime.now(timezone.utc).date(), 2)
        measuring = Measuring(connection, dsn)
        found = {size: Pairs(size * batches) for size in SIZES}
        for size in SIZES:
            for number in range(WARM_UP + rounds):
                pairs = found[size] if number >= WARM_UP else Pairs(0)
                measuring.round(size, batches, pairs, number % 2 == 0)
                sys.stderr.write(f"batch {size}: {_last(size * batches, pairs)}\n")
        held, sent = measuring.added(), measuring.sent()
    figures: dict[str, Any] = {f"batch_{size}": found[size].figures() for size in SIZES}
    figures["store"] = {**held, "rows_sent": sent}
    ratio, speed = (figures["batch_1000"][key] for key in ("ratio", "ours_rows_per_s"))
    bars = [
        at_least("ours / binary COPY alone, batch 1,000", ratio["median"], RATIO),
        at_least("rows/s, batch 1,000", speed["median"], ROWS_PER_S),
        exactly("rows that sending again added", held["rows"] - sent, 0),
        exactly("rows stored twice", held["rows"] - held["distinct_rows"], 0),
        exactly(
            "parts in the law and not in the minutes", held["law_parts"] - held["minute_parts"], 0
        ),
        exactly("residue of the law", held["residue"], 0),
    ]
    return bars, figures


def _last(count: int, pairs: Pairs) -> str:
    ours, alone, replay = pairs.ours_s[-1], pairs.alone_s[-1], pairs.replay_s[-1]
    return (
        f"{count / ours:,.0f} rows/s, COPY alone {count / alone:,.0f}, "
        f"{alone / ours:.2f}x; again {count / replay:,.0f}"
    )


@contextmanager
def started(programs: Path | None) -> Iterator[str]:
    """A new server of our own for the time of a measurement."""
    folder = Path(tempfile.mkdtemp(prefix="qj-bench-"))
    folder.chmod(0o755)  # as root the server runs as nobody
    try:
        with EmbeddedServer(folder, programs) as server:
            yield server.dsn
    finally:
        shutil.rmtree(folder)


@contextmanager
def given(dsn: str) -> Iterator[str]:
    """A database of our own on the server that the environment names."""
    name = f"quanjian_bench_{os.getpid()}"
    with session.connect(dsn, "bench") as connection, session.converted("bench"):
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield f"{dsn} dbname={name}"
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def servers() -> Iterator[tuple[str, Callable[[], Any]]]:
    """What there is here to measure, by name."""
    yield "embedded", partial(started, None)
    for program in sorted(DEBIAN.glob("*/bin/postgres"))[-1:]:
        yield "debian", partial(started, program.parent.parent)
    dsn = os.environ.get("QUANJIAN_TEST_DSN")
    if dsn:
        yield "given", partial(given, dsn)


def version(dsn: str) -> str:
    """What the server says it is, with TimescaleDB's version where that is."""
    with session.connect(dsn, "bench") as connection, session.converted("bench"):
        if connection.execute(
            "SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'"
        ).fetchone():
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        row = connection.execute(
            "SELECT current_setting('server_version') AS server, (SELECT extversion"
            " FROM pg_extension WHERE extname = 'timescaledb') AS timescale"
        ).fetchone()
    assert row is not None
    timescale = f", TimescaleDB {row['timescale']}" if row["timescale"] else ""
    return f"PostgreSQL {row['server']}{timescale}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="bench.ingest", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="pairs of each batch size")
    parser.add_argument("--batches", type=int, default=BATCHES, help="batches of each round")
    parser.add_argument("--only", action="append", help="a server: embedded, debian, given")
    asked = parser.parse_args(argv)
    bars: list[Bar] = []
    figures: dict[str, Any] = {
        "others_on_the_machine": os.getloadavg()
    }  # processes, before we began
    for name, opened in servers():
        if asked.only and name not in asked.only:
            continue
        with opened() as dsn:
            says = version(dsn)
            sys.stderr.write(f"{name}: {says} ...\n")
            found, figures[name] = measure(dsn, asked.rounds, asked.batches)
            figures[name]["server"] = says
        bars += [{**bar, "name": f"{name}: {bar['name']}"} for bar in found]
    return finish("ingest", bars, figures, asked.json)


if __name__ == "__main__":
    sys.exit(main())
