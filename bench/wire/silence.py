"""Silences and turnarounds of our master, in a slave's own timestamps, beside a node's full load.

    slave     first byte        reply out                     first byte
    master    |--- request      |--- caller --- silence ------|--- request ...
                                |<- back ->|<---- gap ---->|<- late ->|

`back` and `late` hold everything: the pty, the scheduler, the wait for Python's lock.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.report import Bar, at_most, exactly
from bench.wire.load import Load
from edge import settings
from edge.plc import modbus_rtu, punctual
from edge.plc.links import Link
from edge.plc.transaction import read_registers, write_registers

REQUESTS = 10_000
LIMIT_MS = 0.5
BAUDRATE = 115200


def run(requests: int) -> tuple[list[Bar], dict[str, Any]]:
    """Measure; bars and figures."""
    with tempfile.TemporaryDirectory(prefix="plc-") as folder, Load(Path(folder)) as load:
        stamps, returned_s, clock = transact(requests)
        beside = load.figures()
    gap_s = modbus_rtu.silence_s(11 / BAUDRATE)
    first_s = np.array([first for first, _, _ in stamps[1:]])
    before_s = np.array([before for _, before, _ in stamps])
    silence_s = first_s - before_s[:-1]
    late_ms = 1000 * (silence_s - gap_s)
    back_ms = 1000 * (np.array(returned_s) - before_s)
    bars = [
        exactly(f"requests of {requests} before the silence was over", int((late_ms < 0).sum()), 0),
        at_most("end of the silence to first byte out p99, ms", high(late_ms), LIMIT_MS),
        at_most("last byte of the reply to the caller p99, ms", high(back_ms), LIMIT_MS),
    ]
    figures = {
        "gap_ms": 1000 * gap_s,
        "slave_clock": clock,
        "late_ms": spread(late_ms),
        "back_ms": spread(back_ms),
        "beside": beside,
    }
    return bars, figures


def transact(requests: int) -> tuple[list[tuple[float, float, float]], list[float], str]:
    """So many transactions; the slave's stamps, when each returned, and the slave's priority."""
    program = [sys.executable, "-m", "bench.wire.stamping"]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as slave:
        assert slave.stdin is not None
        assert slave.stdout is not None
        port, clock = slave.stdout.readline().split()
        returned_s = _ask(port, requests)
        slave.stdin.close()
        stamps = [tuple(map(float, line.split())) for line in slave.stdout]
    return [(first, before, after) for first, before, after in stamps], returned_s, clock


def _ask(port: str, requests: int) -> list[float]:
    """Reads of the station block and writes of a result, in turns, one after the other."""
    link = Link(settings.Bus(name="bench", port=port, reply_timeout_s=2))
    block = read_registers(1, 0, 12)
    result = write_registers(1, 105, (1, 2, 3, 4, 5))
    returned_s = []
    link.open()
    punctual.prepare_thread()  # as the thread of a bus does
    try:
        for number in range(requests):
            link.transact(result if number % 2 else block)
            returned_s.append(time.monotonic())
    finally:
        link.close()
    return returned_s


def high(values: Sequence[float] | np.ndarray[Any, Any]) -> float:
    """The 99th percentile, by nearest rank."""
    return float(np.percentile(values, 99, method="higher"))


def spread(values: np.ndarray[Any, Any]) -> dict[str, float]:
    """Median, p99, p99.9 and the longest."""
    return {
        "median": round(float(np.median(values)), 4),
        "p99": round(high(values), 4),
        "p99_9": round(float(np.percentile(values, 99.9, method="higher")), 4),
        "max": round(float(values.max()), 4),
        "min": round(float(values.min()), 4),
    }
