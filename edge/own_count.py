"""A station that counts for itself: own numbers, and nobody who could check them.

    camera      a part finder sees each part come wholly into the first camera's picture
    interval    a picture every so many milliseconds, of material without parts

To its inspector it is a line like any other. No PLC acts on its verdicts, so every part's mode is
monitor, its epoch says counted_by "self", and pages print 自计数，无独立核对 (decision 0014).
"""

import logging
import queue
import threading
import time
from dataclasses import dataclass, field

from edge.finder import PartFinder
from edge.plc.blocks import LineCounters, Result, StatusFlags
from edge.plc.bus import STUMBLE_S
from edge.plc.handshake import (
    EpochOpened,
    Expired,
    Missed,
    Observation,
    Running,
    Sampled,
    Taken,
    Triggered,
)
from edge.plc.turns import LinkBack, Seen
from edge.settings import Station
from edge.terms import Cause, Code, Mode, Part, Trigger
from edge.vision.camera import BadFrame, Capture

log = logging.getLogger(__name__)

SAMPLE_S = 1.0
LOOK_S = 0.1


@dataclass(slots=True)
class Count:
    """The numbers of one run; an epoch, because what passed before it is unknown. Pure."""

    station: Station
    epoch: int
    ready: bool = False
    number: int = 0
    _waiting: dict[int, float] = field(default_factory=dict)  # number -> deadline
    _sampled: int = 0
    _sampled_s: float = float("-inf")

    def begin(self) -> list[Seen]:
        """What an inspector has to hear first."""
        opened = EpochOpened(self.epoch, 0, 0, "self_counted")
        return [LinkBack(), opened, Running(True, Mode.MONITOR, self.station.recipe or 0)]

    def found(self, edge_s: float) -> list[Observation]:
        """A part, or the next piece of the material, is in place."""
        self.number += 1
        if not self.ready:
            return [Missed(self.epoch, self.number, self.number, Cause.NOT_READY)]
        deadline_s = edge_s + self.station.deadline_ms / 1000
        self._waiting[self.number] = deadline_s
        part = Part(self.station.name, self.epoch, self.number)
        trigger = Trigger(part, edge_s, 0.0, Mode.MONITOR, self.station.recipe or 0)
        return [Triggered(trigger, deadline_s)]

    def judged(self, epoch: int, number: int, code: Code, now_s: float) -> list[Observation]:
        """A verdict: taken at once, as nobody has to act on it; one that is late is not."""
        deadline_s = self._waiting.get(number)
        if epoch != self.epoch or deadline_s is None or now_s > deadline_s:
            return []
        del self._waiting[number]
        return [Taken(epoch, number, code, now_s)]

    def tick(self, now_s: float) -> list[Observation]:
        """Whatever time brings: deadlines, and the count once a second."""
        late = [number for number, deadline_s in self._waiting.items() if now_s > deadline_s]
        for number in late:
            del self._waiting[number]
        seen: list[Observation] = [Expired(self.epoch, number, False) for number in late]
        if self.number != self._sampled and now_s - self._sampled_s >= SAMPLE_S:
            self._sampled, self._sampled_s = self.number, now_s
            seen.append(Sampled(self.epoch, self.number))
        return seen


class OwnCount:
    """A `Line` without a PLC; its thread runs from `start` to `close`."""

    def __init__(self, station: Station, last_epoch: int, capture: Capture) -> None:
        """`capture`: of the station's first camera; `last_epoch`: 0 = this station never ran."""
        self.observations: queue.Queue[Seen] = queue.Queue()
        self._count = Count(station, last_epoch + 1)
        self._capture = capture
        self._every_s = (station.interval_ms or 0) / 1000
        self._finder = PartFinder(station.part_share)
        self._looked_s = float("-inf")  # exposure of the last picture looked at
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{station.name} count", daemon=True)

    @property
    def counters(self) -> LineCounters | None:
        """Nobody counts at the gate."""
        return None

    @property
    def running(self) -> bool:
        """Is the thread there?"""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to count."""
        self._tell(self._count.begin())
        self._thread.start()

    def close(self) -> None:
        """Count no more. Safe to call twice."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(5)

    def submit(self, epoch: int, result: Result, now_s: float) -> None:
        """A part's verdict."""
        with self._lock:
            self._tell(self._count.judged(epoch, result.number, result.code, now_s))

    def status(self, flags: StatusFlags, active_recipe: int = 0, error_code: int = 0) -> None:
        """Parts that come while the station is not ready are missed."""
        self._count.ready = StatusFlags.TRIGGER_READY in flags

    def acquired(self, number: int) -> None:
        """Nobody waits for it."""

    def alive(self, until_s: float) -> None:
        """Nobody watches it."""

    def _tell(self, seen: list[Seen] | list[Observation]) -> None:
        for one in seen:
            self.observations.put(one)

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._stop.is_set():
            try:
                found_s = self._interval(due_s) if self._every_s else self._look()
                due_s += self._every_s
                with self._lock:
                    self._tell(self._count.found(found_s) if found_s is not None else [])
                    self._tell(self._count.tick(time.monotonic()))
            except Exception:  # a fault of ours must not let parts go by uncounted for good
                log.exception("%s: stumbled, goes on in %.0f s", self._thread.name, STUMBLE_S)
                self._stop.wait(STUMBLE_S)

    def _interval(self, due_s: float) -> float | None:
        """The next piece of the material is there when it is due, whoever was held up."""
        at_s = due_s + self._every_s
        return None if self._stop.wait(max(0.0, at_s - time.monotonic())) else at_s

    def _look(self) -> float | None:
        """The next picture of the camera: when it was exposed, if a part is in place in it."""
        before_s = self._looked_s
        frame = self._capture.wait_for(
            lambda frame: frame.exposed_s > before_s, time.monotonic() + LOOK_S
        )
        if frame is None:
            return None
        self._looked_s = frame.exposed_s
        if isinstance(frame, BadFrame) or not self._finder.feed(frame.image):
            return None
        return frame.exposed_s
