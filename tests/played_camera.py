"""A camera over a line of parts, in played time: what the node sees, and what was really there.

Nothing waits. A part's edge, what the PLC tells of it and every exposure lie on one time line; the
frame's number is the part that is really in the picture, which `Pairing` must not look at.
"""

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from edge.pairing import Pairing
from edge.terms import Frame, Mode, Part, Reason, Trigger, TriggerMode

IMAGE = np.zeros((1, 1), np.uint8)
RATE = 5.0  # parts per second at the most
READOUT_S = 0.05
KEPT = 8
FREE_RUN_S = 0.04  # between two frames of a camera that runs freely
DELAY_S = 0.014  # from the edge to the exposure of a hardware trigger


@dataclass(frozen=True)
class Trouble:
    """How often what goes wrong, per part."""

    not_fired: float = 0.0  # the camera does not count this trigger
    lost: float = 0.0  # counted, but the frame never arrives
    stray: float = 0.0  # a pulse that no part made
    not_told: float = 0.0  # the number goes by between two polls
    late: float = 0.0  # the frame arrives up to 40 ms later than usual
    mistimed: float = 0.0  # the frame's exposure time is wrong, by up to two parts
    near: float = 0.0  # the next part follows closer than parts can
    reconnect: float = 0.0  # the camera counts from 0 again, after a second without frames
    plc_restart: float = 0.0  # the PLC counts from 0 again


@dataclass(order=True)
class Arrival:
    """A frame, and when it has been read out."""

    at_s: float
    frame: Frame = field(compare=False)


@dataclass
class Told:
    """A part as the node hears of it."""

    at_s: float
    trigger: Trigger
    real: int
    fresh: bool  # the first of an epoch


@dataclass
class Outcome:
    """What became of one part at this camera."""

    real: int
    shown: int | None  # the part in the picture that was judged; None: undecided
    reason: Reason | None


class PlayedLine:
    """Parts from a seed: their edges, and what the PLC tells of them."""

    def __init__(self, parts: int, trouble: Trouble, seed: int) -> None:
        self.chance = random.Random(seed)
        self.trouble = trouble
        self.edges: list[float] = []
        edge_s = 10.0
        for _ in range(parts):
            near = self.chance.random() < trouble.near
            edge_s += self.chance.uniform(0.02, 0.06) if near else self.chance.uniform(0.2, 0.35)
            self.edges.append(edge_s)

    def told(self) -> Iterator[Told]:
        """What the PLC tells, in the order in which it does."""
        epoch, number, fresh, before_s = 1, 1000, True, 0.0
        for real, edge_s in enumerate(self.edges):
            if self.chance.random() < self.trouble.plc_restart:
                epoch, number, fresh = epoch + 1, 0, True
            number += 1
            at_s = max(before_s, edge_s + self.chance.uniform(0.0, 0.04))
            before_s = at_s
            if self.chance.random() < self.trouble.not_told:
                continue
            error_s = self.chance.uniform(0.03, 0.045)
            late_s = self.chance.uniform(0.0, error_s)
            trigger = Trigger(Part("s1", epoch, number), edge_s + late_s, error_s, Mode.AUTO, 1)
            yield Told(at_s, trigger, real, fresh)
            fresh = False


class PlayedCamera:
    """One camera and its pairing, as an eye and its threads drive them."""

    def __init__(
        self, line: PlayedLine, mode: TriggerMode, offset_s: float, pairing: Pairing
    ) -> None:
        self._line, self._mode, self._offset_s = line, mode, offset_s
        self._chance = line.chance
        self._pairing = pairing
        self._told = list(line.told())
        self._heard = 0  # of them
        self._arrivals: list[Arrival] = self._exposed()
        self._arrived = 0
        self._kept: deque[Frame] = deque(maxlen=KEPT)
        self._judging: deque[tuple[float, Trigger, Frame, Outcome]] = deque()
        self._unsettled: set[Part] = set()

    def run(self) -> list[Outcome]:
        """Every part that the PLC told of, one after the other."""
        outcomes, free_s = [], 0.0
        for told in self._told:
            outcome, free_s = self._look(told, max(free_s, told.at_s))
            outcomes.append(outcome)
        self._pass_to(free_s + 1.0)
        return outcomes

    def _look(self, told: Told, now_s: float) -> tuple[Outcome, float]:
        trigger = told.trigger
        self._pass_to(now_s)
        earliest_s, latest_s = self._pairing.window(trigger)
        now_s = max(now_s, earliest_s)
        self._pass_to(now_s)
        if self._mode == "software":
            self._expose(now_s + self._chance.uniform(0.001, 0.005))
        found, now_s = self._wait_for(trigger, now_s, latest_s + READOUT_S)
        if found is None:
            self._unsettled.discard(trigger.part)
            return Outcome(told.real, None, Reason.NO_FRAME), now_s
        alone = self._unsettled == {trigger.part}
        distrust = self._pairing.take(trigger, found, tuple(self._kept), alone)
        outcome = Outcome(told.real, None if distrust else found.number, distrust)
        verdict_s = now_s + self._chance.uniform(0.026, 0.04)  # the PLC tells of a part sooner
        self._judging.append((verdict_s, trigger, found, outcome))
        return outcome, now_s

    def _wait_for(
        self, trigger: Trigger, now_s: float, give_up_s: float
    ) -> tuple[Frame | None, float]:
        while True:
            for frame in self._kept:
                if self._pairing.is_candidate(trigger, frame):
                    return frame, now_s
            coming = self._arrivals[self._arrived : self._arrived + 1]
            if not coming or coming[0].at_s > give_up_s:
                now_s = max(now_s, give_up_s)
                self._pass_to(now_s)
                return None, now_s
            now_s = coming[0].at_s
            self._pass_to(now_s)

    def _pass_to(self, now_s: float) -> None:
        """Let everything happen that happens until then, in its order."""
        while True:
            waiting = []
            if self._heard < len(self._told):
                waiting.append((self._told[self._heard].at_s, 0))
            if self._arrived < len(self._arrivals):
                waiting.append((self._arrivals[self._arrived].at_s, 1))
            if self._judging:
                waiting.append((self._judging[0][0], 2))
            if not waiting or min(waiting)[0] > now_s:
                return
            (self._hear, self._arrive, self._confirm)[min(waiting)[1]]()

    def _hear(self) -> None:
        told = self._told[self._heard]
        self._heard += 1
        if told.fresh:
            self._pairing.lose()
        self._pairing.expect(told.trigger)
        self._unsettled.add(told.trigger.part)

    def _arrive(self) -> None:
        self._kept.append(self._arrivals[self._arrived].frame)
        self._arrived += 1

    def _confirm(self) -> None:
        _, trigger, frame, outcome = self._judging.popleft()
        self._unsettled.discard(trigger.part)
        if outcome.reason is None and self._pairing.is_doubtful(trigger, frame, tuple(self._kept)):
            outcome.reason, outcome.shown = Reason.PAIRING, None

    # -- what the camera exposes --------------------------------------------------------------

    def _exposed(self) -> list[Arrival]:
        if self._mode == "software":
            return []
        return self._fired() if self._mode == "hardware" else self._free_running()

    def _fired(self) -> list[Arrival]:
        line, chance, trouble = self._line, self._chance, self._line.trouble
        shots: list[tuple[float, int]] = []  # when, and which part is there
        for real, edge_s in enumerate(line.edges):
            if chance.random() >= trouble.not_fired:
                jitter_s = chance.uniform(-0.002, 0.002)
                shots.append((edge_s + self._offset_s + DELAY_S + jitter_s, real))
            if chance.random() < trouble.stray:
                at_s = edge_s + chance.uniform(0.0, 0.3)
                near = range(max(0, real - 2), min(len(line.edges), real + 3))
                shown = min(near, key=lambda n: abs(line.edges[n] + DELAY_S - at_s))
                shots.append((at_s + self._offset_s, shown))
        arrivals, count, dark_until_s = [], 500, 0.0
        for at_s, shown in sorted(shots):
            if chance.random() < trouble.reconnect:
                count, dark_until_s = 0, at_s + 1.0
            count += 1
            if at_s >= dark_until_s and chance.random() >= trouble.lost:
                arrivals.append(self._arrival(at_s, shown, count))
        return sorted(arrivals)

    def _free_running(self) -> list[Arrival]:
        """A standing part is there from its edge until the next one's; then that is."""
        arrivals, part = [], -1
        at_s, end_s = self._line.edges[0], self._line.edges[-1] + 1.0
        while at_s < end_s:
            at_s += FREE_RUN_S
            while part + 1 < len(self._line.edges) and (
                self._line.edges[part + 1] + self._offset_s <= at_s
            ):
                part += 1
            if self._chance.random() >= self._line.trouble.lost:
                arrivals.append(self._arrival(at_s, part, None))
        return sorted(arrivals)

    def _expose(self, at_s: float) -> None:
        """On request."""
        if self._chance.random() < self._line.trouble.lost:
            return
        there = [n for n, edge_s in self._near(at_s) if edge_s + self._offset_s <= at_s]
        arrival = self._arrival(at_s, max(there, default=-1), None)
        self._arrivals[self._arrived :] = sorted([*self._arrivals[self._arrived :], arrival])

    def _near(self, at_s: float) -> list[tuple[int, float]]:
        """Parts that can be at the camera; the newest told of is never far."""
        real = self._told[max(0, self._heard - 1)].real
        reach = range(max(0, real - 12), min(len(self._line.edges), real + 3))
        return [(n, self._line.edges[n]) for n in reach]

    def _arrival(self, at_s: float, shown: int, count: int | None) -> Arrival:
        usual_s = self._chance.uniform(0.003, 0.012)
        late = self._chance.random() < self._line.trouble.late
        came_s = at_s + usual_s + (self._chance.uniform(0.0, 0.035) if late else 0.0)
        if self._chance.random() < self._line.trouble.mistimed:
            at_s += self._chance.uniform(-0.6, 0.6)
        return Arrival(came_s, Frame("c1", shown, at_s, IMAGE, count))
