"""A PLC for fault runs: its registers lie in a file that a node's process maps, killed or not.

What it knows is the truth of a run: how far its counter went in each of its own runs, and which
verdict its program took for which part. Its numbers begin just below the wrap of a u32.
"""

import mmap
import os
import random
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge.plc.blocks import BLOCK_SIZE, RESULT_SIZE, Control, PlcBlock, Result, verdict_word
from edge.terms import MAP_VERSION, Code

SCAN_S = 0.004
LEAST_S = 0.015  # between two parts that do not come as twins
WAY_S = 4.0  # from the sensor to the gate: later no verdict is taken
WRAP = 1 << 32

_BLOCK = struct.Struct(f"<{BLOCK_SIZE}H")
_RESULT = struct.Struct(f"<{RESULT_SIZE}H")
_RESULT_AT = 32
_FILE_BYTES = 64


class Registers:
    """The two blocks between PLC and node, from either side."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_FILE_BYTES))
        descriptor = os.open(path, os.O_RDWR)
        self._map = mmap.mmap(descriptor, _FILE_BYTES)
        os.close(descriptor)

    def read_block(self) -> tuple[int, ...]:
        return _BLOCK.unpack_from(self._map, 0)

    def write_block(self, values: Sequence[int]) -> None:
        _BLOCK.pack_into(self._map, 0, *values)

    def read_result(self) -> tuple[int, ...]:
        return _RESULT.unpack_from(self._map, _RESULT_AT)

    def write_result(self, values: Sequence[int]) -> None:
        _RESULT.pack_into(self._map, _RESULT_AT, *values)

    def close(self) -> None:
        self._map.close()


@dataclass
class PlayedPlc:
    """The program: counts parts, and takes a verdict once, for a part that is on its way."""

    path: Path
    rate_per_s: float = 12.0
    twins: float = 0.02  # share of parts that come right behind another one
    seed: int = 0
    feeding: bool = False
    counter: int = WRAP - 40  # unwrapped; the register shows it modulo 2**32
    start_number: int = 1
    ends: dict[int, int] = field(default_factory=dict)  # counter at the end of each earlier run
    taken: dict[tuple[int, int], Code] = field(default_factory=dict)  # (run, unwrapped number)

    def __post_init__(self) -> None:
        self._registers = Registers(self.path)
        self._random = random.Random(self.seed)
        self._lock = threading.Lock()
        self._way: dict[int, float] = {}  # part on its way -> when it came
        self._edge_s = time.monotonic()
        self._next_s = self._edge_s
        self._beat = 0
        self._shown = (0, 0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="PLC", daemon=True)

    def __enter__(self) -> "PlayedPlc":
        self._scan(time.monotonic())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._registers.close()

    def feed(self, on: bool) -> None:
        """Parts come, or none."""
        with self._lock:
            self._next_s = time.monotonic()
            self.feeding = on

    def restart(self, counter: int = 0) -> None:
        """Power goes and comes: a new start number, and what was on its way is forgotten."""
        with self._lock:
            self.ends[self.start_number] = self.counter
            self.start_number += 1
            self.counter = counter
            self._way.clear()
            self._shown = (0, 0)
            self._registers.write_result((0,) * RESULT_SIZE)

    def _run(self) -> None:
        while not self._stop.wait(SCAN_S):
            with self._lock:
                self._scan(time.monotonic())

    def _scan(self, now_s: float) -> None:
        self._way = {n: at_s for n, at_s in self._way.items() if now_s - at_s < WAY_S}
        self._take()
        if self.feeding and self._next_s <= now_s:
            for _ in range(1 + (self._random.random() < self.twins)):
                self.counter += 1
                self._way[self.counter] = now_s
            self._edge_s = now_s  # never caught up: no belt brings parts at once
            self._next_s = now_s + max(LEAST_S, self._random.expovariate(self.rate_per_s))
        self._beat = (self._beat + 1) & 0xFFFF
        register = self.counter % WRAP
        block = PlcBlock(
            Control.ENABLE | Control.LINE_RUNNING,
            register & 0xFFFF,
            1,
            min(0xFFFF, round((now_s - self._edge_s) * 1000)),
            register,
            self._beat,
            MAP_VERSION,
            *self._shown,
            self.start_number,
            0,
        )
        self._registers.write_block(block.encode())

    def _take(self) -> None:
        result = Result.decode(self._registers.read_result())
        number = next((n for n in self._way if result and n & 0xFFFF == result.number), None)
        if result is None or number is None:
            return
        del self._way[number]
        self.taken[self.start_number, number] = result.code
        self._shown = (result.number, verdict_word(number, result.code))
