"""A node that knows the truth, at register level, on a simulated line with passed-in time."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from edge.plc.blocks import StatusFlags
from edge.plc.images import Counted, Outputs
from edge.simulation.line import LinePlan, SimulatedLine
from edge.simulation.summary import PlatePlan, Records
from edge.terms import Code

Judge = Callable[[int, PlatePlan | None], int]


def perfect(_number: int, plate: PlatePlan | None) -> int:
    """What the part really is; a part of which nobody knows the plate is undecided."""
    if plate is None:
        return Code.UNDECIDED
    return Code.NG if plate.labels else Code.OK


@dataclass
class ScriptedNode:
    """The line and its node. One scan per step, as irregular as the real one."""

    plan: LinePlan
    judge: Judge = perfect
    latency_s: float = 0.09
    latency_jitter_s: float = 0.0
    ready: bool = True
    beating: bool = True
    torn: bool = False  # number and word are written in two steps
    records: Records = field(default_factory=Records)
    now_s: float = 0.0
    counted: list[int] = field(default_factory=list)
    exposures: int = 0

    def __post_init__(self) -> None:
        self.plates: dict[int, PlatePlan] = {}
        self.line = SimulatedLine(self.plan, 1, self.records, put=self._put)
        self._chance = random.Random(5)
        self._node = [0] * 10
        self._due: list[tuple[float, int, int]] = []
        self._late_word = 0
        self._broken: dict[float, int] = {}

    def _put(self, plate: PlatePlan) -> None:
        self.plates[plate.plate] = plate

    def step(self) -> Outputs:
        """One scan."""
        self.now_s += 0.01 + self._chance.uniform(-0.003, 0.003)
        for exposure in self.line.run_to(self.now_s):
            self.exposures += 1
            nearest = min(exposure.placed, key=lambda p: abs(p[1]), default=None)
            if nearest is not None and abs(nearest[1]) < 5:
                self._broken[exposure.at_s] = nearest[0]
        self._write()
        out = self.line.scan(self.now_s, self._node)
        for record in out.records:
            if isinstance(record, Counted):
                self.counted.append(record.number)
                wait_s = self.latency_s + self._chance.uniform(0, self.latency_jitter_s)
                self._due.append((self.now_s + wait_s, record.number, round(record.edge_s * 1e6)))
        return out

    def _write(self) -> None:
        if self.beating:
            self._node[1] = int(self.now_s / 0.25) & 0xFFFF
        self._node[0] = 1 | (StatusFlags.TRIGGER_READY if self.ready else 0)
        if self.torn and self._node[9] // 16 != self._node[8] % 4096:
            self._node[9] = self._late_word
            return
        due = next((d for d in sorted(self._due) if d[0] <= self.now_s), None)
        if due is None:
            return
        self._due.remove(due)
        _, number, edge_us = due
        word = 16 * (number % 4096) + self.judge(number, self._seen(edge_us / 1e6))
        self._node[8] = number & 0xFFFF
        if self.torn:
            self._late_word = word
        else:
            self._node[9] = word

    def _seen(self, edge_s: float) -> PlatePlan | None:
        """The plate of the first picture after the edge."""
        times = [at_s for at_s in self._broken if edge_s - 1e-3 <= at_s <= edge_s + 0.06]
        return self.plates[self._broken[min(times)]] if times else None

    def warm_up(self) -> "ScriptedNode":
        """The PLC's first second, and the node's first heartbeats."""
        while not self.line.program.node_ready and self.now_s < 3:
            self.step()
        return self

    def make(self, parts: int) -> dict[str, object]:
        """Feed so many parts, let the belt run empty, and sum up."""
        self.line.start_feed()
        while self.line.fed < parts and self.now_s < parts * 2 + 60:
            self.step()
        return self.end()

    def end(self) -> dict[str, object]:
        """Stop the feed and run out."""
        self.line.stop_feed()
        give_up_s = self.now_s + 30
        while not self.line.empty and self.now_s < give_up_s:
            self.step()
        for _ in range(60):  # what fell last passes its sensor
            self.step()
        self.records.close()
        return self.records.summary()
