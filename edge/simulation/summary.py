"""What really happened on the simulated line: the truth of every part, and the sums at the end.

One JSON line per part goes to the truth file once it is settled and its plates have left the belt:

    {"kind": "part", "plc_start", "number", "edge_s", "mode", "code": taken or null, "latency_ms" or
     null, "action": pass|reject|lost, "why", "plates": [{"plate", "seed", "bin", "min_size",
     "defects": [{"label", "box": frame px at the exposure, "size_mm"}]}]}
    {"kind": "plate", ...}   a plate that the PLC never counted by itself

Only `simulate` and the demo read it. Latency is in the PLC's clock: sensor edge to the scan that
took the verdict; a part that got none has none, which is infinite and never left out.
"""

import json
import math
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, TextIO

from edge.plc.images import Counted, Record, Refused, Settled, Taken
from edge.simulation.belt import Edge, Event, Joined, Landed
from edge.terms import Code, Mode

Bin = Literal["good", "reject", "removed", "belt"]


_NEED_TRUTH = ("escapes", "overkills", "defective_parts", "good_parts", "small_defects")


@dataclass(frozen=True, slots=True)
class PlatePlan:
    """One plate as the feed decided it; its pixels follow from the seed and the labels."""

    plate: int
    seed: int
    labels: tuple[str, ...]
    small: bool  # its defects are below the minimum size: nobody is held responsible
    y_mm: float
    known: bool = True  # False: the pictures are not ours, nobody here knows


@dataclass(slots=True)
class _Plate:
    plan: PlatePlan
    part: "_Part | None" = None
    owner: bool = False  # it broke the beam itself: the verdict of the part is about it
    bin: Bin = "belt"
    off_mm: float = math.inf  # from the middle of the best picture of it
    defects: list[dict[str, object]] = field(default_factory=list)

    def line(self) -> dict[str, object]:
        plan = self.plan
        return {
            "plate": plan.plate,
            "seed": plan.seed,
            "bin": self.bin,
            "labels": list(plan.labels) if plan.known else None,
            "min_size": bool(plan.labels) and not plan.small if plan.known else None,
            "defects": self.defects,
        }


@dataclass(slots=True)
class _Part:
    plc_start: int
    number: int
    edge_s: float
    mode: Mode
    plates: list[_Plate] = field(default_factory=list)
    word: int | None = None
    latency_ms: float | None = None
    settled: Settled | None = None

    @property
    def code(self) -> int | None:
        return None if self.word is None else self.word % 16

    def line(self) -> dict[str, object]:
        return {
            "kind": "part",
            "plc_start": self.plc_start,
            "number": self.number,
            "edge_s": round(self.edge_s, 6),
            "mode": self.mode.value,
            "code": self.code,
            "latency_ms": None if self.latency_ms is None else round(self.latency_ms, 2),
            "action": self.settled.action if self.settled else None,
            "why": self.settled.why if self.settled else None,
            "plates": [plate.line() for plate in self.plates],
        }


@dataclass(slots=True)
class Totals:
    """Sums over every part whose story is over."""

    triggers: int = 0
    ok: int = 0
    ng: int = 0
    undecided: int = 0
    no_verdict: int = 0
    bypassed: int = 0
    wrong_words: int = 0  # verdicts for parts never triggered, or another one for the same part
    good_bin: int = 0
    reject_bin: int = 0
    good_bin_without_ok: int = 0
    rejected_without_verdict: int = 0
    escapes: int = 0
    overkills: int = 0
    defective_parts: int = 0  # plates with a defect at or above the minimum size
    good_parts: int = 0  # plates without any defect
    small_defects: int = 0
    uncounted_plates: int = 0
    lost: int = 0


class Records:
    """Follows every plate and every number; fed in time order from one thread."""

    def __init__(self, truth: TextIO | None = None) -> None:
        self.totals = Totals()
        self.latencies_ms = array("d")  # inf = no verdict
        self._truth = truth
        self._known = True  # plates are ours: escapes and overkills can be told
        self._plates: dict[int, _Plate] = {}
        self._edges: dict[float, int] = {}  # rising edge -> plate, until the PLC counts it
        self._parts: dict[tuple[int, int], _Part] = {}

    def put(self, plan: PlatePlan) -> None:
        """A plate is on the belt."""
        self._plates[plan.plate] = _Plate(plan)
        self._known = self._known and plan.known

    def removed(self, plate: int) -> None:
        """A hand took it away."""
        self._leave(plate, "removed")

    def seen(self, plate: int, x_mm: float, defects: Sequence[dict[str, object]]) -> None:
        """The camera took a picture of it: the truth in that frame's pixels. The one in which the
        plate is nearest to the middle counts."""
        found = self._plates.get(plate)
        if found is not None and abs(x_mm) < found.off_mm:
            found.off_mm, found.defects = abs(x_mm), list(defects)

    def physical(self, event: Event) -> None:
        """Something happened on the belt."""
        if isinstance(event, Edge) and event.rising and not event.at_gate:
            if event.plate is not None:
                self._edges[event.at_s] = event.plate
                self._edges = dict(list(self._edges.items())[-16:])  # not all become parts
        elif isinstance(event, Joined):
            part = self._plates[event.first].part
            if part is not None:
                self._attach(event.plate, part, owner=False)
        elif isinstance(event, Landed):
            self._leave(event.plate, event.bin)

    def logical(self, record: Record, plc_start: int) -> None:
        """Something was recorded by the PLC's program."""
        if isinstance(record, Counted):
            part = _Part(plc_start, record.number, record.edge_s, record.mode)
            self._parts[plc_start, record.number] = part
            plate = self._edges.pop(record.edge_s, None)
            if plate is not None:
                self._attach(plate, part, owner=True)
        elif isinstance(record, Taken):
            part = self._parts[plc_start, record.number]
            part.word = record.word
            part.latency_ms = (record.at_s - part.edge_s) * 1000
        elif isinstance(record, Refused):
            self.totals.wrong_words += record.why in ("never_triggered", "conflict")
        elif isinstance(record, Settled) and record.number is not None:
            part = self._parts[plc_start, record.number]
            part.settled = record
            self._finish(part)

    def close(self) -> None:
        """The end of the run: whatever is still under way is written as it stands."""
        for part in list(self._parts.values()):
            self._write_part(part)
        for plate in list(self._plates.values()):
            self._write_plate(plate)

    def summary(self) -> dict[str, object]:
        """The sums as JSON."""
        told: dict[str, object] = asdict(self.totals)
        if not self._known:
            told.update(dict.fromkeys(_NEED_TRUTH))
        told["latency_ms"] = quantiles(self.latencies_ms)
        return told

    def _attach(self, plate: int, part: _Part, owner: bool) -> None:
        found = self._plates[plate]
        if found.part is not None:
            return  # a belt that ran back shows it once more
        found.part, found.owner = part, owner
        part.plates.append(found)

    def _leave(self, plate: int, where: Bin) -> None:
        found = self._plates.pop(plate)
        found.bin = where
        if found.part is None:
            self._write_plate(found)
        else:
            self._finish(found.part)

    def _finish(self, part: _Part) -> None:
        """Write the part if nothing more can become of it."""
        if part.settled and all(plate.bin != "belt" for plate in part.plates):
            self._write_part(part)

    def _write_part(self, part: _Part) -> None:
        del self._parts[part.plc_start, part.number]
        sums = self.totals
        sums.triggers += 1
        if part.mode is Mode.BYPASS:
            sums.bypassed += 1
        else:
            self.latencies_ms.append(math.inf if part.latency_ms is None else part.latency_ms)
            if part.code is None:
                sums.no_verdict += 1
            elif part.code == Code.OK:
                sums.ok += 1
            elif part.code == Code.NG:
                sums.ng += 1
            else:
                sums.undecided += 1
        action = part.settled.action if part.settled else None
        sums.lost += action == "lost"
        sums.rejected_without_verdict += action == "reject" and part.code is None
        for plate in part.plates:
            self._plates.pop(plate.plan.plate, None)
            self._judge(plate, part)
        self._say(part.line())

    def _write_plate(self, plate: _Plate) -> None:
        self._plates.pop(plate.plan.plate, None)
        self.totals.uncounted_plates += 1
        self._judge(plate, None)
        self._say({"kind": "plate", **plate.line()})

    def _judge(self, plate: _Plate, part: _Part | None) -> None:
        """What this plate says about the line."""
        sums, plan = self.totals, plate.plan
        sums.good_bin += plate.bin == "good"
        sums.reject_bin += plate.bin == "reject"
        free_pass = part is not None and part.mode in (Mode.BYPASS, Mode.MONITOR)
        allowed = part is not None and plate.owner and (free_pass or part.code == Code.OK)
        sums.good_bin_without_ok += plate.bin == "good" and not allowed
        sums.small_defects += bool(plan.labels) and plan.small
        sums.defective_parts += bool(plan.labels) and not plan.small
        sums.good_parts += not plan.labels
        if plate.bin == "good" and plan.labels and not plan.small and not free_pass:
            sums.escapes += 1
        named_ng = part is not None and plate.owner and part.code == Code.NG
        sums.overkills += plate.bin == "reject" and not plan.labels and named_ng

    def _say(self, line: dict[str, object]) -> None:
        if self._truth is not None:
            self._truth.write(json.dumps(line) + "\n")


def quantiles(latencies_ms: Sequence[float]) -> dict[str, object]:
    """p50, p99 and max by nearest rank; infinite (no verdict) is null."""
    ordered = sorted(latencies_ms)

    def rank(share: float) -> float | None:
        if not ordered:
            return None
        value = ordered[max(0, math.ceil(share * len(ordered)) - 1)]
        return None if math.isinf(value) else round(value, 2)

    return {
        "p50": rank(0.5),
        "p99": rank(0.99),
        "max": rank(1.0),
        "triggers": len(ordered),
        "unanswered": sum(math.isinf(value) for value in ordered),
    }
