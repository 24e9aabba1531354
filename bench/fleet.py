"""How many nodes one hub carries: 1, 10, 50 and 200 nodes at 20 parts/s, by 1, 2 and 4 workers.

    python -m bench.fleet [--json] [--seconds 20] [--nodes 1,10,50,200] [--workers 1,2,4]

Every cell has a database of its own on one PostgreSQL server, a real mosquitto and so many real
`quanjian-hub ingest`, all on this computer. The nodes are played by one process (bench/swarm):
each sends as a node does, one batch under way, the next after the hub's answer. Reported are rows/s
until the last answer, the time from a part's row to the hub's answer, and the processor time of
each kind of process per 1,000 rows. Bars: no row is missing and every law balances, however late.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from bench import report
from bench.swarm.nodes import Order, place
from bench.swarm.worker import ingest
from hub import metrics, registry
from hub.store import session
from hub.store.embedded import EmbeddedServer
from hub.store.migrate import migrate
from tests.broker_peer import broker

RATE_PER_S = 20.0
BROKER = "max_queued_messages 20000\nset_tcp_nodelay true\n"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def main(arguments: list[str] | None = None) -> int:
    """Every number of nodes with every number of workers."""
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each cell")
    parser.add_argument("--nodes", type=_numbers, default=(1, 10, 50, 200), help="e.g. 1,10")
    parser.add_argument("--workers", type=_numbers, default=(1, 2, 4), help="e.g. 1,2")
    asked = parser.parse_args(arguments)
    cells: dict[str, Any] = {}
    for nodes in asked.nodes:
        for workers in asked.workers:
            name = f"{nodes} nodes, {workers} workers"
            try:
                cells[name] = cell(nodes, workers, asked.seconds)
            except FileNotFoundError as wrong:  # no broker here
                sys.stderr.write(f"not run: {wrong}\n")
                return report.EXIT_CANNOT_RUN
            sys.stderr.write(f"{name}: {json.dumps(cells[name])}\n")
    bars = [
        report.exactly("rows that the hub does not have", _sum(cells, "missing"), 0),
        report.exactly("laws that do not balance", _sum(cells, "unbalanced"), 0),
    ]
    return report.finish("fleet", bars, {"rate_per_node": RATE_PER_S, "cells": cells}, asked.json)


def cell(nodes: int, workers: int, seconds: float) -> dict[str, Any]:
    """One run: what the nodes saw, what the hub has, and what it cost."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-")))
        folder.chmod(0o755)  # PostgreSQL runs as an ordinary user where this runs as root
        peer = stack.enter_context(broker(folder, BROKER))
        server = stack.enter_context(EmbeddedServer(folder / "postgres"))
        migrate(server.dsn)
        for number in range(nodes):
            registry.add(server.dsn, *place(number))
        pids = [
            stack.enter_context(ingest(folder / f"ingest{n}", server.dsn, peer.port))
            for n in range(workers)
        ]
        before = _cpu(pids, server.pid or 0, peer.pid)
        order = Order(port=peer.port, nodes=nodes, rate=RATE_PER_S, seconds=seconds)
        command = [sys.executable, "-m", "bench.swarm.nodes", msgspec.json.encode(order).decode()]
        played = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        seen: dict[str, Any] = json.loads(played.stdout.splitlines()[-1])
        after = _cpu(pids, server.pid or 0, peer.pid)
        with session.connect(server.dsn, "bench") as connection:
            laws = [metrics.first_law(row) for row in session.rows(connection, "laws_all")]
    spent = {kind: after[kind] - before[kind] for kind in after} | {"nodes": seen.pop("cpu_s")}
    return {
        **seen,
        "missing": seen["parts"] - sum(law.settled or 0 for law in laws),
        "unbalanced": nodes - sum(law.state == "balanced" for law in laws),
        "rows_per_batch": round(seen["parts"] / seen["batches"], 1),
        "cpu_ms_per_1000_rows": {
            kind: round(cpu_s * 1e6 / seen["parts"]) for kind, cpu_s in spent.items()
        },
    }


def _cpu(ingest: list[int], postmaster: int, mosquitto: int) -> dict[str, float]:
    """Processor seconds so far, by kind of process; PostgreSQL with all its children."""
    live = [_stat(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()]
    children = sum(own for parent, own, _ in filter(None, live) if parent == postmaster)
    _, own, ended = _stat(postmaster) or (0, 0.0, 0.0)
    return {
        "ingest": sum((_stat(pid) or (0, 0.0, 0.0))[1] for pid in ingest),
        "postgresql": own + ended + children,
        "mosquitto": (_stat(mosquitto) or (0, 0.0, 0.0))[1],
    }


def _stat(pid: int) -> tuple[int, float, float] | None:
    """Parent, own and ended children's processor seconds; None: it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return None
    user, system, ended_user, ended_system = map(int, fields[11:15])
    return (
        int(fields[1]),
        (user + system) / _TICKS_PER_S,
        (ended_user + ended_system) / _TICKS_PER_S,
    )


def _sum(cells: dict[str, Any], name: str) -> int:
    return sum(cell[name] for cell in cells.values())


def _numbers(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected numbers such as 1,10,50")
    return found


if __name__ == "__main__":
    sys.exit(main())
