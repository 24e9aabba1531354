"""What our master costs beside libmodbus in C: the same slave, the same pty pair, no silence kept.

A pty has no baud rate and no UART: this is software alone, and says so. Every master runs on one
core, the relay and the slave on another, as a PLC is another computer: left to the kernel, three
processes on two cores take 43 us where all share one and 100 us where they do not, and the ratio of
two masters was 0.7 in one minute and 1.9 in the next.
"""

import asyncio
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.report import Bar, at_most
from edge import settings
from edge.plc.links import Link
from edge.plc.transaction import read_registers, write_registers

SOURCE = Path(__file__).parent / "peers.c"
TIMES = 1.3  # of libmodbus, at the most
TURN = 100
"""Reads and writes of ours, then of libmodbus, and so on: what disturbs one disturbs both."""

Pair = tuple[list[float], list[float]]
"""Microseconds of each read of 12 registers and of each write of 5."""


def run(count: int, folder: Path) -> tuple[list[Bar], dict[str, Any]]:
    """`count` reads and writes of each master; bars and figures.

    Raises:
        RuntimeError: what is missing to compile the peers.
    """
    program = compiled(folder)
    theirs: dict[str, Pair] = {"libmodbus": ([], []), "ours": ([], [])}
    said: dict[str, str] = {}
    with relay(program) as (near, far), slave(program, far), on_a_core_of_its_own():
        for _ in range(count // TURN):
            add(theirs["libmodbus"], libmodbus(program, near, TURN))
            add(theirs["ours"], ours(near, TURN))
        for name, measure in (
            ("pymodbus sync", pymodbus_sync),
            ("pymodbus async", pymodbus_async),
            ("minimalmodbus", minimalmodbus),
        ):
            package = name.split()[0]
            if find_spec(package) is None:
                said[name] = "not installed here, not measured"
                continue
            said[name] = version(package)
            theirs[name] = measure(near, count // 10)
    return bars(theirs), {"label": "pty only", "count": count, "versions": said, **figures(theirs)}


def bars(theirs: dict[str, Pair]) -> list[Bar]:
    """Ours against the floor, by the medians."""
    found = []
    for place, what in enumerate(("read of 12 registers", "write of 5 registers")):
        floor = statistics.median(theirs["libmodbus"][place])
        times = statistics.median(theirs["ours"][place]) / floor
        found.append(at_most(f"{what}, times libmodbus in C (pty only)", round(times, 3), TIMES))
    return found


def figures(theirs: dict[str, Pair]) -> dict[str, Any]:
    """Median and p99 of each, us."""
    return {
        name: {
            what: {
                "median_us": round(statistics.median(took), 1),
                "p99_us": round(sorted(took)[int(0.99 * len(took))], 1),
            }
            for what, took in zip(("read", "write"), pair, strict=True)
        }
        for name, pair in theirs.items()
    }


def add(kept: Pair, more: Pair) -> None:
    """One more round."""
    for own, new in zip(kept, more, strict=True):
        own.extend(new)


def compiled(folder: Path) -> Path:
    """The peers; needs gcc, pkg-config and libmodbus-dev."""
    for tool in ("gcc", "pkg-config"):
        if shutil.which(tool) is None:
            raise RuntimeError(f"{tool} is missing: apt-get install gcc pkg-config libmodbus-dev")
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libmodbus"], capture_output=True, text=True
    )
    if flags.returncode != 0:
        raise RuntimeError("libmodbus is missing: apt-get install libmodbus-dev")
    program = folder / "peers"
    command = ["gcc", "-O2", str(SOURCE), "-o", str(program), *flags.stdout.split(), "-lutil"]
    subprocess.run(command, check=True)
    return program


@contextmanager
def relay(program: Path) -> Iterator[tuple[str, str]]:
    """Two ports, joined."""
    with subprocess.Popen(
        [program, "relay"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        _elsewhere(child.pid)
        try:
            yield child.stdout.readline().strip(), child.stdout.readline().strip()
        finally:
            child.stdin.close()


@contextmanager
def slave(program: Path, port: str) -> Iterator[None]:
    """libmodbus serving unit 1."""
    with subprocess.Popen([program, "slave", port], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        _elsewhere(child.pid)
        try:
            assert child.stdout.readline() == "ready\n"
            yield
        finally:
            child.kill()


@contextmanager
def on_a_core_of_its_own() -> Iterator[None]:
    """Inside, this process and what it starts keep to one core, to the last one given to it.

    What was started before keeps to the others by `_elsewhere`; on a computer with one core nothing
    can be done.
    """
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _elsewhere(pid: int) -> None:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(pid, cores - {max(cores)} or cores)


def libmodbus(program: Path, port: str, count: int) -> Pair:
    """The floor."""
    done = subprocess.run(
        [program, "master", port, str(count)], stdout=subprocess.PIPE, text=True, check=True
    )
    took: dict[str, list[float]] = {"read": [], "write": []}
    for line in done.stdout.splitlines():
        kind, nanoseconds = line.split()
        took[kind].append(int(nanoseconds) / 1000)
    return took["read"], took["write"]


def ours(port: str, count: int) -> Pair:
    """Our master, its silence switched off: on a wire it never is."""
    link = Link(settings.Bus(name="bench", port=port, parity="N", reply_timeout_s=0.2))
    link.open()
    link._line._gap_s = 0.0
    block = read_registers(1, 0, 12)
    result = write_registers(1, 105, (1, 2, 3, 4, 5))
    try:
        return (
            timed(lambda: link.transact(block), count),
            timed(lambda: link.transact(result), count),
        )
    finally:
        link.close()


def pymodbus_sync(port: str, count: int) -> Pair:
    from pymodbus.client import ModbusSerialClient

    client = ModbusSerialClient(port=port, baudrate=115200)
    assert client.connect()
    try:
        return (
            timed(lambda: client.read_holding_registers(0, count=12, device_id=1), count),
            timed(lambda: client.write_registers(105, [1, 2, 3, 4, 5], device_id=1), count),
        )
    finally:
        client.close()  # type: ignore[no-untyped-call]


def pymodbus_async(port: str, count: int) -> Pair:
    from pymodbus.client import AsyncModbusSerialClient

    async def measure() -> Pair:
        client = AsyncModbusSerialClient(port=port, baudrate=115200)
        assert await client.connect()
        took: Pair = ([], [])
        for _ in range(count):
            began_s = time.perf_counter()
            await client.read_holding_registers(0, count=12, device_id=1)
            took[0].append(1e6 * (time.perf_counter() - began_s))
        for _ in range(count):
            began_s = time.perf_counter()
            await client.write_registers(105, [1, 2, 3, 4, 5], device_id=1)
            took[1].append(1e6 * (time.perf_counter() - began_s))
        client.close()
        return took

    return asyncio.run(measure())


def minimalmodbus(port: str, count: int) -> Pair:
    import minimalmodbus as library

    instrument = library.Instrument(port, 1)
    instrument.serial.baudrate = 115200
    try:
        return (
            timed(lambda: instrument.read_registers(0, 12), count),
            timed(lambda: instrument.write_registers(105, [1, 2, 3, 4, 5]), count),
        )
    finally:
        instrument.serial.close()


def timed(call: Callable[[], object], count: int) -> list[float]:
    """Microseconds of each call, after a few that are not counted."""
    for _ in range(20):
        call()
    took = []
    for _ in range(count):
        began_s = time.perf_counter()
        call()
        took.append(1e6 * (time.perf_counter() - began_s))
    return took
