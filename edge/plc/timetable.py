"""From the sensor edge to the moved gate, at the longest, against the part's travel. Pure.

    sensor edge - scan - poll - frame - inference - commit - FC16 - scan - valve     < gate / speed
                  `-- the camera works meanwhile: only what it takes longer counts

Every step is its longest: the edge just missed a scan, the scan a poll, the verdict a frame, and
the computer kept the thread of the bus waiting once. A part takes longer only where something
fails, and then it is rejected.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge.plc.plan import BusPlan
from edge.settings import Io, Station

WIRES = (
    "Serial cannot be in time here: wire the verdict instead (discrete I/O: an OK output of the "
    "node on an input of the PLC, energised = OK) and keep the bus for the data."
)
"""The way out, in one sentence."""

NOT_EVEN = (
    "Not even a verdict by wire would be in time here: put the gate farther away, let the belt run "
    "slower, or find a faster [runtime] (quanjian-edge tune)."
)
"""Where a wire would not help either."""

FARTHER = "The wire is in use already: put the gate farther away, or let the belt run slower."
"""What is left where the verdict goes by wire."""


ENOUGH = 1000
"""Parts: of fewer, p99.9 is the longest of them."""

NOT_MEASURED = "not measured: quanjian-edge check --measure"


@dataclass(frozen=True, slots=True)
class Measured:
    """What this computer takes for a station, p99.9 of `quanjian-edge check --measure`; s."""

    inference_s: float
    commit_s: float
    frames_s: dict[str, float]  # exposure to arrival, by camera; absent = no picture came
    parts: int = ENOUGH
    mean_s: float = 0.0  # inference and commit of a part together
    late_s: float = 0.0  # the thread of its bus, the longest (edge/plc/lateness.py)

    @property
    def rank(self) -> str:
        """Of the two times."""
        return rank_of(self.parts)


def rank_of(count: int) -> str:
    """What p99.9 of so many is."""
    return "p99.9" if count >= ENOUGH else f"longest of {count}"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the way; None = nobody knows, for this reason."""

    name: str
    took_s: float | None
    unknown: str = NOT_MEASURED


@dataclass(frozen=True, slots=True)
class Timetable:
    """The whole way of one station's parts."""

    station: Station
    steps: tuple[Step, ...]
    by_wire: bool = False  # an output says OK, not the bus
    mean_s: float = 0.0  # a part keeps the judge busy for so long; 0 = not known
    told_s: float = 0.0  # of the steps: what a wire would spare

    @property
    def total_s(self) -> float:
        """What is known of it."""
        return sum(step.took_s or 0.0 for step in self.steps)

    @property
    def taken_s(self) -> float:
        """Until the PLC's program has the verdict: what `deadline_ms` is about."""
        return self.total_s - self.station.valve_ms / 1000

    @property
    def unknown(self) -> list[str]:
        """Steps whose time is not known."""
        return [step.name for step in self.steps if step.took_s is None]

    @property
    def travel_s(self) -> float | None:
        """From the sensor to the gate; None where that is not said, or parts stand."""
        if self.station.gate_mm is None or not self.station.speed_mm_s:
            return None
        return self.station.gate_mm / self.station.speed_mm_s

    @property
    def spare_s(self) -> float | None:
        """From the moved gate to the part's arrival there, as far as known; below 0 = too late."""
        return None if self.travel_s is None else self.travel_s - self.total_s

    def lines(self) -> list[str]:
        """Each step with its time and the part's way meanwhile, their sum, and what is left."""
        total = "sensor edge to gate moved" + (", at least" if self.unknown else "")
        rows = [*self.steps, Step(total, self.total_s)]
        if self.travel_s is not None and self.spare_s is not None:
            rows.append(Step("sensor edge to part at the gate", self.travel_s))
            rows.append(Step("to spare" if self.spare_s >= 0 else "TOO LATE BY", abs(self.spare_s)))
        return [self._line(row) for row in rows]

    def _line(self, step: Step) -> str:
        if step.took_s is None:
            return f"{step.name:36} {step.unknown}"
        told = f"{step.name:36} {step.took_s * 1000:7.1f} ms"
        speed = self.station.speed_mm_s
        return f"{told} {step.took_s * speed:7.1f} mm" if speed else told

    def problems(self) -> list[str]:
        """Why this station's verdicts cannot be in time; [] = they are, as far as is known."""
        found = []
        travel_s, deadline_s = self.travel_s, self.station.deadline_ms / 1000
        if travel_s is not None and self.total_s > travel_s:
            found.append(
                f"gate_mm: a part is at the gate {travel_s * 1000:.0f} ms after the sensor edge "
                f"({self.station.gate_mm:g} mm at {self.station.speed_mm_s:g} mm/s), its verdict "
                f"needs up to {self.total_s * 1000:.0f} ms. {self._way_out(travel_s)}"
            )
        elif travel_s is not None and deadline_s + self._after_s > travel_s:
            latest_ms = (travel_s - self._after_s) * 1000
            found.append(
                f"deadline_ms: {self.station.deadline_ms} lets a verdict come after its part has "
                f"passed; expected at most {latest_ms:.0f}"
            )
        if self.taken_s > deadline_s:
            found.append(
                f"deadline_ms: {self.station.deadline_ms}, but a verdict may need "
                f"{self.taken_s * 1000:.0f} ms; expected more, or a faster bus. "
                + self._way_out(deadline_s + self._after_s)
            )
        takt_s = self.station.takt_s
        if self.mean_s > takt_s:
            found.append(
                f"max_rate_per_s: {self.station.max_rate_per_s:g} is a part every "
                f"{takt_s * 1000:.0f} ms, but this computer takes {self.mean_s * 1000:.0f} ms to "
                f"judge one and commit its row; expected at most {at_most(1 / self.mean_s)}, or a "
                "faster [runtime] (quanjian-edge tune)"
            )
        return found

    def _way_out(self, within_s: float) -> str:
        """What helps, if the gate has to be moved so soon after the sensor edge."""
        if self.by_wire:
            return FARTHER
        return WIRES if self.total_s - self.told_s <= within_s else NOT_EVEN

    def window_problems(self, io: Io) -> list[str]:
        """An OK whose window begins before its verdict is known is rejected for nothing."""
        if io.ok_from != "part_present" or self.taken_s * 1000 <= io.ok_delay_ms:
            return []
        return [
            f"[io {io.name}] ok_delay_ms: {io.ok_delay_ms}, but a verdict may need "
            f"{self.taken_s * 1000:.0f} ms; expected at least that, and the gate as much farther on"
        ]

    @property
    def _after_s(self) -> float:
        """From the echo that ends the deadline to the gate: the valve, the scan is over."""
        return self.station.valve_ms / 1000


def timetable(
    plan: BusPlan,
    station: Station,
    cameras: Sequence[tuple[str, float]],
    known: Measured | None,
    order_s: float | None = None,
) -> Timetable:
    """The longest way of this station's parts.

    Args:
        cameras: those of the station, each with the time from the sensor edge to its exposure,
            without what is waited for the PLC (s).
        known: what was measured here; None = nothing.
        order_s: from the order to the energised output, at the most; None = the bus says OK.
    """
    scans_s = 2 * station.scan_ms / 1000  # one just missed, and one to run through
    poll_s = plan.seen_s(station)
    rank = known.rank if known else "p99.9"
    told = _told(plan, station, scans_s) if order_s is None else (Step("OK by wire", order_s),)
    steps = (
        Step("sensor edge, PLC's scans", scans_s),
        Step("poll of the PLC's block", poll_s),
        _frame(station, cameras, known, scans_s + poll_s),
        Step(f"inference, {rank}", known.inference_s if known else None),
        Step(f"commit to the ledger, {rank}", known.commit_s if known else None),
        Step("bus thread late once, the longest", known.late_s if known else None),
        *told,
        Step("valve", station.valve_ms / 1000),
    )
    mean_s = known.mean_s if known else 0.0
    told_s = sum(step.took_s or 0.0 for step in told)
    return Timetable(station, steps, order_s is not None, mean_s, told_s)


def _told(plan: BusPlan, station: Station, scans_s: float) -> tuple[Step, ...]:
    """From the committed verdict to the PLC's program, by the bus."""
    return (
        Step("verdict by FC16, behind a poll", plan.verdict_s(station)),
        Step("PLC's scans", scans_s),
    )


def _frame(
    station: Station,
    cameras: Sequence[tuple[str, float]],
    known: Measured | None,
    until_known_s: float,
) -> Step:
    """What the slowest camera takes longer than the PLC's news of the part."""
    name = "frame, beyond the poll"
    if known is None:
        return Step(name, None)
    blind = [camera for camera, _ in cameras if camera not in known.frames_s]
    if blind:
        why = f"{blind[0]} gave no picture: let parts pass, check --measure again"
        return Step(name, None, why)
    beyond_s = 0.0
    for camera, exposed_s in cameras:
        begins_s = 0.0 if station.trigger == "hardware" else until_known_s
        arrives_s = max(begins_s, exposed_s) + known.frames_s[camera]
        beyond_s = max(beyond_s, arrives_s - until_known_s)
    return Step(name, beyond_s)


def too_fast(plan: BusPlan) -> list[str]:
    """Why the parts of this bus come faster than it can tell and be told; [] = they do not."""
    if plan.used <= 1:
        return []
    found = []
    for station in plan.stations:
        least_ms = 1000 * plan.part_s(station)
        found.append(
            f"[station {station.name}] max_rate_per_s: {station.max_rate_per_s:g} is a part every "
            f"{1000 * station.takt_s:.0f} ms, but two polls and a result take "
            f"{least_ms:.0f} ms on bus {plan.bus.name}; expected at most "
            f"{at_most(station.max_rate_per_s / plan.used)}, or a faster bus. {WIRES}"
        )
    return found


def lost_frame(plan: BusPlan, way: Timetable) -> str:
    """What a frame that the line loses costs, and the `reply_timeout_s` that makes it good.

    Until it is made good nothing is heard of the PLC: the part's deadline must not pass meanwhile,
    nor two parts come, of which only the newer one would be triggered.
    """
    station, timeout_s = way.station, plan.bus.reply_timeout_s
    spare_s = station.deadline_ms / 1000 - way.taken_s
    room_s, costs_s = min(spare_s, station.takt_s), plan.lost_s(station)
    told = (
        f"a frame lost on the line costs {costs_s * 1000:.0f} ms of the {spare_s * 1000:.0f} ms "
        f"that a verdict has to spare, with a part every {station.takt_s * 1000:.0f} ms"
    )
    if costs_s <= room_s:
        times = int(room_s / costs_s)
        return f"{told}: " + ("it is" if times == 1 else f"{times} in a row are") + " made good"
    least_s, longest_s = plan.least_timeout_s, plan.longest_timeout_s(station, room_s)
    if longest_s >= least_s:
        way_out = (
            f"expected at most {math.floor(longest_s * 1000) / 1000:.3f}, and no less than the "
            f"{least_s:.3f} that an answer may take"
        )
    else:
        key = "later deadline_ms" if spare_s < station.takt_s else "lower max_rate_per_s"
        way_out = (
            f"an answer may take {least_s:.3f}, so no value makes it good; expected a faster bus "
            f"or a {key}"
        )
    return (
        f"WARN   {told}: good parts are rejected for it. reply_timeout_s: {timeout_s:g}; {way_out}"
    )


def at_most(rate_per_s: float) -> str:
    """Two digits of a rate, never above it."""
    step = 10.0 ** (math.floor(math.log10(rate_per_s)) - 1)
    return f"{math.floor(rate_per_s / step + 1e-9) * step:.2g}"
