"""The worst verdict on a loaded bus, measured at wire speed against what the plan foretold.

One station, 20 tags in a frame each, a slave that is dead. Parts come at moments that sweep over
the whole cycle; each is answered the moment it is known, so that what is measured is the bus: from
the change of the PLC's registers to the verdict in them. Foretold is what `check` foretells of it:
both steps of the plan, and how late this computer lets the thread of a bus be, measured as by
`check --measure`, while the parts come.
"""

import math
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from bench.report import Bar, at_least, at_most, exactly
from bench.wire import pacing
from edge import settings
from edge.plc.blocks import Result, StatusFlags
from edge.plc.bus import Bus, BusStation
from edge.plc.handshake import Triggered
from edge.plc.lateness import Lateness
from edge.plc.plan import BusPlan
from edge.terms import Code

PARTS = {9600: 160, 19200: 220, 115200: 500}
TAKT_S = {9600: 0.45, 19200: 0.3, 115200: 0.13}
MARGIN = 1.25  # the plan may be so much above the measured worst case, no more


@dataclass(slots=True)
class Swept:
    """What one baud rate gave."""

    baudrate: int
    plan_s: float
    took_s: list[float] = field(default_factory=list)
    probes: int = 0
    probes_in_flight: int = 0
    late_s: float = 0.0  # the thread of the bus, the longest

    @property
    def foretold_s(self) -> float:
        return self.plan_s + self.late_s

    @property
    def worst_s(self) -> float:
        return max(self.took_s, default=math.inf)


def run(share: float) -> tuple[list[Bar], dict[str, Any]]:
    """Each baud rate; `share` of the parts. Bars and figures."""
    bars: list[Bar] = []
    figures: dict[str, Any] = {}
    for baudrate, parts in PARTS.items():
        sys.stderr.write(f"paced at {baudrate} baud ...\n")
        swept = sweep(baudrate, max(10, round(share * parts)))
        bars += bars_of(swept)
        took_ms = sorted(1000 * took_s for took_s in swept.took_s)
        figures[str(baudrate)] = {
            "parts": len(took_ms),
            "median_ms": round(took_ms[len(took_ms) // 2], 2),
            "measured_max_ms": round(took_ms[-1], 2),
            "foretold_ms": round(1000 * swept.foretold_s, 2),
            "of_it_late_ms": round(1000 * swept.late_s, 2),
            "probes_of_the_dead_slave": swept.probes,
        }
    return bars, figures


def bars_of(swept: Swept) -> list[Bar]:
    """What issue 4 demands of one baud rate."""
    worst_ms, foretold_ms = 1000 * swept.worst_s, 1000 * swept.foretold_s
    name = f"{swept.baudrate} baud"
    return [
        at_most(f"{name}: measured max, ms, against the plan", worst_ms, round(foretold_ms, 2)),
        at_most(f"{name}: plan / measured max", round(foretold_ms / worst_ms, 3), MARGIN),
        exactly(f"{name}: probes of the dead slave in flight", swept.probes_in_flight, 0),
        at_least(f"{name}: probes of the dead slave", swept.probes, 1),
    ]


def wiring(baudrate: int, port: str, takt_s: float) -> BusPlan:
    """The bus of the bench."""
    bus = settings.Bus(name="b", port=port, baudrate=baudrate)  # type: ignore[arg-type]
    station = settings.Station(
        name="s",
        bus="b",
        unit=pacing.PLC_UNIT,
        trigger="software",
        cameras=("c",),
        deadline_ms=3000,
        scan_ms=1000 * pacing.SCAN_S,
        max_rate_per_s=1 / takt_s,
    )
    answer_ms = 1000 * pacing.SCAN_S
    slaves = [
        settings.Slave(name="meter", bus="b", unit=pacing.METER_UNIT, answer_ms=answer_ms),
        settings.Slave(name="dead", bus="b", unit=pacing.DEAD_UNIT, answer_ms=answer_ms),
    ]
    tags = [settings.Tag(name="d0", slave="dead", address=0)]
    for number in range(pacing.TAGS):  # 4 registers apart: none shares a frame with another
        place = 4 * number
        station_tag = {"station": "s", "address": pacing.TAGS_BASE + place}
        tags.append(settings.Tag(name=f"p{number}", type="u32", **station_tag))  # type: ignore[arg-type]
        tags.append(settings.Tag(name=f"m{number}", type="u32", slave="meter", address=place))
    return BusPlan(bus, [station], slaves, tags)


def sweep(baudrate: int, parts: int) -> Swept:
    """Let the parts come; what became of each."""
    takt_s = TAKT_S[baudrate]
    plan = wiring(baudrate, "", takt_s)
    station = plan.stations[0]
    swept = Swept(baudrate, plan.seen_s(station) + plan.verdict_s(station))
    program = [sys.executable, "-m", "bench.wire.pacing", str(baudrate), str(parts), str(takt_s)]
    program.append(str(1.25 * plan.poll_s))
    edges: list[tuple[float, float]] = []
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        plan = wiring(baudrate, child.stdout.readline().strip(), takt_s)
        with _Node(plan), Lateness(real_time=True) as lateness:
            for line in child.stdout:
                words = line.split()
                if words[0] == "end":
                    break
                if words[0] == "probe":
                    probe_s = float(words[1])
                    swept.probes += 1
                    busy_until_s = probe_s + plan.bus.reply_timeout_s
                    swept.probes_in_flight += any(
                        edge_s <= busy_until_s and probe_s <= taken_s for edge_s, taken_s in edges
                    )
                    continue
                edges.append((float(words[0]), float(words[1])))
        child.stdin.close()
    swept.took_s = [taken_s - edge_s for edge_s, taken_s in edges]
    swept.late_s = lateness.longest_s
    return swept


class _Node:
    """The bus as a node runs it, with an inspector that answers at once."""

    def __init__(self, plan: BusPlan) -> None:
        self._bus = Bus(plan.bus, plan.stations, {}, plan.slaves, plan.tags)
        self._station: BusStation = self._bus.station(plan.stations[0].name)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._answer, name="answer")

    def __enter__(self) -> "_Node":
        self._station.status(StatusFlags.ONLINE | StatusFlags.TRIGGER_READY, active_recipe=1)
        self._station.alive(math.inf)
        self._bus.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self._bus.close()

    def _answer(self) -> None:
        while not self._stop.is_set():
            try:
                seen = self._station.observations.get(timeout=0.1)
            except queue.Empty:
                continue
            if isinstance(seen, Triggered):
                part, now_s = seen.trigger.part, time.monotonic()
                result = Result(part.number, Code.OK, 0, 0.5, 1)
                self._station.submit(part.epoch, result, now_s)
