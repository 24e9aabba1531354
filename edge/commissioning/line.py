"""One station's PLC for trying its points: the node's own bus, and the test as its inspector.

No part is ever OK by itself: a verdict goes out only where a point sends it.
"""

import queue
import time
from collections.abc import Callable
from types import TracebackType

from edge import check
from edge.commissioning.sentences import quoted
from edge.errors import CommissioningError
from edge.plc.blocks import LineCounters, Result, StatusFlags
from edge.plc.bus import Bus, BusStation, LinkBack, LinkLost
from edge.plc.handshake import (
    Bypassed,
    EpochOpened,
    Expired,
    Missed,
    Running,
    Taken,
    Triggered,
)
from edge.plc.turns import Seen
from edge.plc.wires import Wires
from edge.settings import Settings, Station
from edge.terms import Cause, Code, Mode

ANSWER_S = 5.0  # the PLC's block must be known within this
LOOK_S = 0.05
FOREVER_S = float("inf")

BASE = StatusFlags.ONLINE


class Line:
    """The station's PLC, from enter to exit. The port is this process's alone meanwhile."""

    def __init__(self, wiring: Settings, station: Station) -> None:
        """Nothing is opened before `__enter__`.

        Raises:
            CommissioningError: the station has no PLC.
        """
        self.station = station
        self.running: Running | None = None  # what the line does, as last told
        self.back = False  # its heartbeat was seen to move
        self.lost: str | None = None  # why it is lost, since it was
        self.counter = 0  # the newest part number told
        self._wiring = wiring
        if station.bus is None:
            raise CommissioningError(f"工位 {station.name} 没有总线：没有 PLC，没有点位可试")
        self._answers = dict(check.trials(wiring, unsigned=True))[f"station {station.name}"]

    def __enter__(self) -> "Line":
        """Open the port.

        Raises:
            PlcError: the port is held, nobody answers, or the map is another.
            CommissioningError: what it answers is not to be believed.
        """
        self._answers()
        own = next(bus for bus in self._wiring.bus if bus.name == self.station.bus)
        self._bus = Bus(own, [self.station], {})
        self._line = self._opened(self._bus.station(self.station.name))
        self._bus.start()
        self.tell()
        self._line.alive(FOREVER_S)
        fault = self._contact_fault()
        if fault is not None:
            self._close()
            raise CommissioningError(fault)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _wrong: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        self._close()

    @property
    def counters(self) -> LineCounters | None:
        """Of the bins' sensors; None without them."""
        return self._line.counters

    @property
    def line_running(self) -> bool:
        """Is the line in production?"""
        return self.running is not None and self.running.line_running

    def tell(self, flags: StatusFlags = BASE) -> None:
        """What the status register shall say."""
        self._line.status(BASE | flags, active_recipe=self._recipe)

    def ready(self, within_s: float) -> bool:
        """Say that parts can be judged; False when the PLC could not be told in time."""
        deadline_s = time.monotonic() + within_s
        self.tell(StatusFlags.TRIGGER_READY)
        while not self._told_ready and time.monotonic() < deadline_s:
            self.wait(lambda _: False, LOOK_S)
            self.tell(StatusFlags.TRIGGER_READY)  # anew: an I/O that was lost holds it back
        return self._told_ready

    def hang(self, *, on: bool) -> None:
        """Play a node that hangs: heartbeat and TriggerReady stay as they are in the PLC."""
        self._line.hang(on=on)

    def forget(self) -> None:
        """Take note of what has been seen so far, and be done with it."""
        while (seen := self._next(0.0)) is not None:
            self._note(seen)

    def wait(self, wanted: Callable[[Seen], bool], within_s: float) -> Seen | None:
        """The first observation like that, from now on; None = none in time."""
        deadline_s = time.monotonic() + within_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            seen = self._next(min(left_s, LOOK_S))
            if seen is None:
                continue
            self._note(seen)
            if wanted(seen):
                return seen
        return None

    def part(self, within_s: float) -> Triggered | Missed | None:
        """The next part that the PLC counts; parts of before this process do not count."""
        seen = self.wait(_is_part, within_s)
        return seen if isinstance(seen, Triggered | Missed) else None

    def next_mode(self, within_s: float) -> Mode | None:
        """What the key says with the next part, bypassed ones too; None = no part came in time."""
        if self.wait(lambda seen: isinstance(seen, Bypassed) or _is_part(seen), within_s) is None:
            return None
        self.wait(lambda _: False, LOOK_S)  # the same read tells of the key after the part
        return self.running.mode if self.running else None

    def judge(self, part: Triggered, code: Code) -> Taken | None:
        """Send this verdict; the PLC's echo, None when the part's deadline passed without one."""
        place = part.trigger.part
        self._line.acquired(place.number)
        result = Result(place.number, code, score=1.0)
        self._line.submit(place.epoch, result, time.monotonic())

        def settled(seen: Seen) -> bool:
            return isinstance(seen, Taken | Expired) and seen.number == place.number

        seen = self.wait(settled, self._settled_s(part) - time.monotonic() + 1.0)
        return seen if isinstance(seen, Taken) else None

    def counted(
        self, enough: Callable[[LineCounters], bool], within_s: float
    ) -> LineCounters | None:
        """The bins' counters as soon as they are like that, else as they are then."""
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            counters = self.counters
            if counters is not None and enough(counters):
                break
            self.wait(lambda _: False, LOOK_S)
        return self.counters

    # -- what a station whose verdict goes by wire does otherwise ------------------------------

    def _opened(self, bus_station: BusStation) -> BusStation | Wires:
        """Where the station is talked to."""
        return bus_station

    def _close(self) -> None:
        self._bus.close()

    def _contact_fault(self) -> str | None:
        """Why nothing can be tried; waits for the first contact."""
        if self.wait(lambda seen: isinstance(seen, Running), ANSWER_S) is not None:
            return None
        base = self.station.read_base
        return quoted(
            f"工位 {self.station.name}：PLC 有回答，但 {ANSWER_S:g} 秒内数都不可信："
            f"查触发编号（寄存器 {base + 1}）是否就是计数的低字（寄存器 {base + 4}）",
            self.lost,
        )

    def _settled_s(self, part: Triggered) -> float:
        """When it is known at the latest what became of the part's verdict (monotonic)."""
        return part.deadline_s

    # -- inside -------------------------------------------------------------------------------

    @property
    def _recipe(self) -> int:
        return self.running.recipe_wanted if self.running else 0

    @property
    def _told_ready(self) -> bool:
        return self._bus.station(self.station.name).ready

    def _next(self, within_s: float) -> Seen | None:
        try:
            return self._line.observations.get(timeout=within_s) if within_s else self._at_once()
        except queue.Empty:
            return None

    def _at_once(self) -> Seen:
        return self._line.observations.get_nowait()

    def _note(self, seen: Seen) -> None:
        match seen:
            case Running():
                self.running = seen
            case LinkBack():
                self.back, self.lost = True, None
            case LinkLost(text):
                self.back, self.lost = False, text
            case EpochOpened():
                self.counter = seen.base
            case Triggered(trigger):
                self.counter = trigger.part.number
            case Missed() | Bypassed():
                self.counter = seen.last


def _is_part(seen: Seen) -> bool:
    return isinstance(seen, Triggered) or (
        isinstance(seen, Missed) and seen.cause is not Cause.NODE_RESTART
    )
