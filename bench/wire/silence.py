"""Silences and turnarounds of our master, in a slave's own timestamps, beside a node's full load.

    slave     first byte        reply out                     first byte
    master    |--- request      |--- caller --- silence ------|--- request ...
                                |<- back ->|<---- gap ---->|<- late ->|

`back` and `late` hold everything: the pty, the scheduler, the wait for Python's lock. What of it is
the pty and the scheduler a master in C tells, in turns with ours, on the same pty beside the same
load (`floor`): its figures are no bar.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.report import Bar, at_most, exactly
from bench.wire import floor
from bench.wire.load import Load
from edge import settings
from edge.plc import modbus_rtu, punctual
from edge.plc.links import Link
from edge.plc.transaction import read_registers, write_registers

REQUESTS = 10_000
TURN = 1000  # of ours, then as many in C: what disturbs one disturbs both
LIMIT_MS = 0.5
BAUDRATE = 115200
GAP_S = modbus_rtu.silence_s(11 / BAUDRATE)

Milliseconds = npt.NDArray[np.float64]
Asked = Callable[[str, int], list[float]]
"""So many transactions at this port; when each returned, monotonic s."""


@dataclass(slots=True)
class Times:
    """What one master took, turn by turn."""

    late: list[Milliseconds] = field(default_factory=list)
    back: list[Milliseconds] = field(default_factory=list)

    @property
    def late_ms(self) -> Milliseconds:
        """End of the silence to the first byte of the next request."""
        return np.concatenate(self.late)

    @property
    def back_ms(self) -> Milliseconds:
        """Last byte of the reply to the caller."""
        return np.concatenate(self.back)


def run(requests: int) -> tuple[list[Bar], dict[str, Any]]:
    """Measure; bars and figures."""
    with (
        tempfile.TemporaryDirectory(prefix="plc-") as folder,
        ThreadPoolExecutor(1, "bus") as bus,  # of a thread's own, as the port is in a node
    ):
        refused = bus.submit(punctual.prepare_thread).result()
        masters: dict[str, Asked] = {"ours": lambda *asked: bus.submit(_ask, *asked).result()}
        program = floor.compiled(Path(folder))
        if program is not None:
            masters["floor"] = lambda port, count: floor.ask(
                program, port, count, GAP_S, real_time=not refused
            )
        with Load(Path(folder)) as load:
            times, clock = in_turns(masters, requests)
            beside = load.figures()
    figures = {
        "gap_ms": 1000 * GAP_S,
        "slave_clock": clock,
        "thread": refused or f"SCHED_FIFO {punctual.PRIORITY}",
        "late_ms": spread(times["ours"].late_ms),
        "back_ms": spread(times["ours"].back_ms),
        "floor": "no gcc here, not measured" if program is None else told(times["floor"]),
        "beside": beside,
    }
    return bars(requests, times["ours"]), figures


def bars(requests: int, ours: Times) -> list[Bar]:
    """What is demanded of our master."""
    early = int((ours.late_ms < 0).sum())
    return [
        exactly(f"requests of {requests} before the silence was over", early, 0),
        at_most("end of the silence to first byte out p99, ms", high(ours.late_ms), LIMIT_MS),
        at_most("last byte of the reply to the caller p99, ms", high(ours.back_ms), LIMIT_MS),
    ]


def told(times: Times) -> dict[str, Any]:
    """The figures of a master without bars."""
    return {"late_ms": spread(times.late_ms), "back_ms": spread(times.back_ms)}


def in_turns(masters: dict[str, Asked], requests: int) -> tuple[dict[str, Times], str]:
    """So many transactions of each master, and the slave's priority."""
    turns = [min(TURN, requests - begun) for begun in range(0, requests, TURN)]
    times = {name: Times() for name in masters}
    asked: list[tuple[str, list[float]]] = []
    program = [sys.executable, "-m", "bench.wire.stamping"]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as slave:
        assert slave.stdin is not None
        assert slave.stdout is not None
        port, clock = slave.stdout.readline().split()
        for count in turns:
            for name, ask in masters.items():  # the first of a turn has no silence before it
                asked.append((name, ask(port, count + 1)))
        slave.stdin.close()
        stamps = np.array([line.split()[:2] for line in slave.stdout], float)
    for name, returned_s in asked:
        stamped, stamps = stamps[: len(returned_s)], stamps[len(returned_s) :]
        first_s, before_s = stamped.T
        times[name].late.append(1000 * (first_s[1:] - before_s[:-1] - GAP_S))
        times[name].back.append(1000 * (np.array(returned_s) - before_s))
    return times, clock


def _ask(port: str, requests: int) -> list[float]:
    """Reads of the station block and writes of a result, in turns, one after the other."""
    link = Link(settings.Bus(name="bench", port=port, reply_timeout_s=2))
    block = read_registers(1, 0, 12)
    result = write_registers(1, 105, (1, 2, 3, 4, 5))
    returned_s = []
    link.open()
    try:
        for number in range(requests):
            link.transact(result if number % 2 else block)
            returned_s.append(time.monotonic())
    finally:
        link.close()
    return returned_s


def high(values: Sequence[float] | Milliseconds) -> float:
    """The 99th percentile, by nearest rank."""
    return float(np.percentile(values, 99, method="higher"))


def spread(values: Milliseconds) -> dict[str, float]:
    """Median, p99, p99.9 and the longest."""
    return {
        "median": round(float(np.median(values)), 4),
        "p99": round(high(values), 4),
        "p99_9": round(float(np.percentile(values, 99.9, method="higher")), 4),
        "max": round(float(values.max()), 4),
        "min": round(float(values.min()), 4),
    }
