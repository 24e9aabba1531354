"""What hands, mechanics and idle hours do to a line: belt, program, wire and handshake together.

The judge sees what the camera saw: every plate in the one picture of the part's window.
"""

import io
import json
from collections import Counter
from typing import Any

import pytest
from msgspec import structs

from edge.plc.handshake import EpochOpened, Missed, Taken, Triggered, Wrong
from edge.plc.images import Outputs
from edge.plc.turns import LinkLost
from edge.simulation.belt import Exposure, Landed
from edge.simulation.disturbances import Disturbances, Happening, Scheduled
from edge.simulation.line import LinePlan, SimulatedLine
from edge.simulation.summary import PlatePlan, Records
from edge.terms import Code
from tests.played_line import STATION, PlayedLine

SCAN_S = 0.02


class Seen:
    """The simulated line as the played one's belt, and what its camera saw."""

    def __init__(self, plan: LinePlan, now_s: float = 100.0) -> None:
        self.truth = io.StringIO()
        self.records = Records(self.truth)
        self.plates: dict[int, PlatePlan] = {}
        self.done: Counter[str] = Counter()
        self.added: set[int] = set()
        self.landed: list[Landed] = []
        self.line = SimulatedLine(plan, 1, self.records, now_s, self._put)
        self._pictures: list[Exposure] = []
        slip, remove = self.line.belt.slip, self.line.belt.remove
        place_between = self.line.belt.place_between
        physical = self.records.physical

        def slipped(plate: int, back_mm: float) -> bool:
            done = slip(plate, back_mm)
            self.done["slip"] += done
            return done

        def removed(plate: int) -> None:
            remove(plate)
            self.done["removed"] += 1

        def place() -> float | None:
            x_mm = place_between()
            self.done["added"] += x_mm is not None
            self.added |= set() if x_mm is None else {len(self.plates)}
            return x_mm

        def happened(event: Any) -> None:
            self.landed += [event] if isinstance(event, Landed) else []
            physical(event)

        self.line.belt.slip = slipped  # type: ignore[method-assign]
        self.line.belt.remove = removed  # type: ignore[method-assign]
        self.line.belt.place_between = place  # type: ignore[method-assign]
        self.records.physical = happened  # type: ignore[method-assign]

    def _put(self, plate: PlatePlan) -> None:
        self.plates[plate.plate] = plate

    def scan(self, now_s: float, node: tuple[int, ...]) -> Outputs:
        """One scan, with the belt moved to it."""
        self._pictures = [*self._pictures, *self.line.run_to(now_s)][-16:]
        return self.line.scan(now_s, node)

    def judge(self, told: Triggered) -> Code:
        """As a faultless detector judges the one picture of the part's window."""
        trigger = told.trigger
        earliest_s, latest_s = trigger.edge_s - trigger.edge_error_s, trigger.edge_s + 0.06
        seen = [one for one in self._pictures if earliest_s <= one.at_s <= latest_s]
        if len(seen) != 1 or not seen[0].placed:
            return Code.UNDECIDED
        bad = any(self.plates[plate].labels for plate, _ in seen[0].placed)
        return Code.NG if bad else Code.OK

    def lines(self) -> list[dict[str, Any]]:
        """The truth of every part."""
        return [json.loads(text) for text in self.truth.getvalue().splitlines()]


def played(
    plan: LinePlan, baudrate: int = 19_200, scan_s: float = SCAN_S
) -> tuple[PlayedLine, Seen]:
    """The line with its node, ready for parts."""
    belt = Seen(plan)
    station = structs.replace(STATION, scan_ms=1000 * scan_s, max_rate_per_s=10)
    made = PlayedLine(belt, belt.judge, station=station, scan_s=scan_s, baudrate=baudrate)
    made.until(lambda: belt.line.program.node_ready)
    belt.line.start_feed()
    return made, belt


def ran_out(made: PlayedLine, belt: Seen) -> dict[str, Any]:
    """Stop the feed, let the belt run empty; the sums."""
    belt.line.stop_feed()
    made.until(lambda: belt.line.empty, within_s=30)
    made.run(1.5)
    belt.records.close()
    return belt.records.summary()


@pytest.mark.faults
@pytest.mark.parametrize(("rate", "defect_rate"), [(0.01, 0.03), (0.03, 0.03), (0.01, 0.3)])
def test_ten_thousand_parts_with_disturbances_of_four_kinds(
    rate: float, defect_rate: float, many: int
) -> None:
    rates = Disturbances(touching=rate, removed=rate, added=rate, slip=rate)
    made, belt = played(LinePlan(defect_rate=defect_rate, disturbances=rates))
    made.until(lambda: belt.line.fed >= many, within_s=8000)
    told = ran_out(made, belt)
    assert told["escapes"] == told["good_bin_without_ok"] == told["wrong_words"] == 0
    lines = belt.lines()
    parts = [one for one in lines if one["kind"] == "part"]
    belt.done["touching"] = sum(len(one["plates"]) > 1 for one in parts)
    assert min(belt.done.values()) > many * rate / 2
    plates = [plate for one in lines for plate in one.get("plates", [one])]
    assert len(plates) == len(belt.plates)
    lost = [
        plate["plate"]
        for plate in plates
        if plate["bin"] == "reject" and not plate["labels"] and plate["plate"] not in belt.added
    ]  # one that was added would not be there without its disturbance; all others would have passed
    assert len(lost) <= 1.8 * belt.done.total(), f"{len(lost)} good parts for {belt.done}"  # < 2
    settled = made.settled()
    assert settled == list(range(1, len(settled) + 1))
    assert len(made.of(EpochOpened)) == 1


@pytest.mark.parametrize("kind", ["dead_pusher", "no_air", "full_bin", "offset"])
def test_the_line_stops_within_one_part(kind: str) -> None:
    """Of what falls after the first plate in a wrong bin, or on a full one, at most one is more."""
    schedule = (Scheduled(5.0, Happening(kind)),)
    plan = LinePlan(defect_rate=0.25, repair_s=None, disturbances=Disturbances(schedule=schedule))
    made, belt = played(plan)
    made.run(30.0)
    assert not made.out.run
    assert belt.line.belt.speed_mm_s == 0
    codes = {one.number: one.code for one in made.of(Taken)}
    belt.records.close()
    parts = [one for one in belt.lines() if one["kind"] == "part"]
    owner = {p["plate"]: one["number"] for one in parts for p in one["plates"]}
    wrong = [
        place
        for place, landed in enumerate(belt.landed)
        if (landed.bin == "good") != (codes.get(owner.get(landed.plate, 0)) is Code.OK)
    ]
    began_s = made.now_s - 25.0
    after = [one for one in belt.landed if kind == "full_bin" and one.at_s > began_s]
    told = belt.landed[wrong[0] + 1 :] if wrong else after
    assert len(told) <= 1
    assert bool(wrong) == (kind != "full_bin")


@pytest.mark.faults
@pytest.mark.parametrize("before", [0, 1])
def test_half_an_hour_without_a_part_stops_nothing_and_the_first_part_is_inspected(
    before: int,
) -> None:
    plan = LinePlan(parts=before, defect_rate=0.0, stop_after_s=3.0)
    made, belt = played(plan, baudrate=9600, scan_s=0.05)
    made.run(3.0)
    stopped = []
    until_s = made.now_s + 1800
    while made.now_s < until_s:
        made.step()
        stopped += [] if made.out.run else [made.now_s]
    assert stopped == []
    assert [one for one in made.seen if isinstance(one, LinkLost | Wrong | Missed)] == []
    belt.line.plan = LinePlan(parts=before + 1, defect_rate=0.0)
    belt.line.start_feed()
    made.run(3.0)
    assert [one.code for one in made.of(Taken)] == [Code.OK] * (before + 1)
    assert [one.bin for one in belt.landed] == ["good"] * (before + 1)
