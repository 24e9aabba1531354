"""One serial port with its stations and slaves: the thread that owns it, and what others see of it.

inspector threads                     bus thread
station.submit, status, alive   ->    frames, one at a time (edge/plc/turns.py says which)
station.observations            <-    what the answers mean
LineData.keep                   <-    readings of tags, the state of the line (edge/line_data.py)
"""

import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from edge import settings
from edge.errors import PlcError, PlcTimeoutError
from edge.plc import modbus, punctual
from edge.plc.backoff import Backoff
from edge.plc.blocks import LineCounters as LineCounters
from edge.plc.blocks import Result, StatusFlags
from edge.plc.codecs import speaks
from edge.plc.handshake import Resume
from edge.plc.line_state import LineSeen, LineWatch
from edge.plc.links import Link
from edge.plc.plan import BusPlan
from edge.plc.roundabout import Roundabout
from edge.plc.tag_lane import Reading, TagLane, groups
from edge.plc.turns import Frame, Seen, Status, Turns
from edge.plc.turns import LinkBack as LinkBack
from edge.plc.turns import LinkLost as LinkLost

log = logging.getLogger(__name__)

Keep = Callable[[Reading | LineSeen], None]
"""Told of line data worth a row, in the bus thread; must not block."""

IDLE_S = 0.02  # how often deadlines are looked at while nobody may be asked
STUMBLE_S = 1.0  # pause after a fault of our own
PATIENT = ("block", "tag")
"""Lanes whose frame waits for its next turn when a sounding must go before it, so that no turn is
longer than edge/plc/plan.py foretells. The others go out only while their unit owes nothing
(edge/plc/turns.py), so that no verdict leaves late behind a sounding or a listening."""


class BusStation:
    """One station as its inspector sees it. Safe from any thread."""

    def __init__(self, name: str, turns: Turns, thread: threading.Thread) -> None:
        """`thread`: of the bus."""
        self._name = name
        self._thread = thread
        self.observations: queue.Queue[Seen] = queue.Queue()  # unbounded: none may be dropped
        self._turns = turns
        self._verdicts: deque[tuple[int, Result, float]] = deque()
        self._status = Status()
        self._lock = threading.Lock()

    @property
    def counters(self) -> LineCounters | None:
        """The second law's counters as last read; None without sensors or while unreadable."""
        return self._turns.counters

    @property
    def running(self) -> bool:
        """Is the thread of the bus there?"""
        return self._thread.is_alive()

    @property
    def ready(self) -> bool:
        """Has the PLC been told that parts can be judged?"""
        return self._turns.handshake.ready

    def submit(self, epoch: int, result: Result, now_s: float) -> None:
        """A part's verdict, for the PLC. Taken or Expired will say what became of it.

        Args:
            now_s: monotonic.
        """
        self._verdicts.append((epoch, result, now_s))

    def status(self, flags: StatusFlags, active_recipe: int = 0, error_code: int = 0) -> None:
        """What the status registers shall say; written when the PLC's map is known."""
        with self._lock:
            self._status = replace(
                self._status, flags=flags, active_recipe=active_recipe, error_code=error_code
            )

    def acquired(self, number: int) -> None:
        """All pictures of this part are taken: it may move."""
        with self._lock:
            self._status = replace(self._status, acquired=number)

    def alive(self, until_s: float) -> None:
        """The heartbeat may run until then (monotonic)."""
        self._turns.alive_until_s = until_s

    def hang(self, *, on: bool) -> None:
        """For commissioning: leave the status registers as they are, as a node that hangs does.

        The heartbeat in them stands, TriggerReady too; verdicts still go out.
        """
        self._turns.hung = on

    def hand_over(self) -> None:
        """Bus thread: give what the inspector said to the turns."""
        self._turns.wanted = self._status
        while self._verdicts:
            self._turns.handshake.submit(*self._verdicts.popleft())

    def tell(self, seen: Sequence[Seen]) -> None:
        """Bus thread: give what was seen to the inspector."""
        for one in seen:
            if isinstance(one, LinkLost):
                log.warning("station %s: PLC lost: %s", self._name, one.text)
            elif isinstance(one, LinkBack):
                log.info("station %s: PLC answers", self._name)
            self.observations.put(one)


class Bus:
    """The owner of one serial port. Runs from `start` to `close`; reopens a port that goes."""

    def __init__(
        self,
        bus: settings.Bus,
        stations: Sequence[settings.Station],
        resumes: Mapping[str, Resume | None],
        slaves: Sequence[settings.Slave] = (),
        tags: Sequence[settings.Tag] = (),
        keep: Keep = lambda _: None,
    ) -> None:
        """`stations` and `slaves` are those of this bus; `resumes` by station name, absent = never
        seen; of `tags` those of other buses are left out.
        """
        begun_s = time.monotonic()
        self._name = bus.name
        self._serial = bus.host is None
        self._link = Link(bus)
        self._backoff = Backoff()
        self._turns = {
            station.name: Turns(station, resumes.get(station.name), begun_s) for station in stations
        }
        self._thread = threading.Thread(target=self._run, name=f"bus {bus.name}", daemon=True)
        self._stations = {
            name: BusStation(name, turns, self._thread) for name, turns in self._turns.items()
        }
        self._by_turns = {id(turns): self._stations[name] for name, turns in self._turns.items()}
        self._slaves = [slave.name for slave in slaves]
        plan = BusPlan(bus, stations, slaves, tags)
        probe_s, self._brief_s = plan.probe_s, plan.brief_s
        self._tags = TagLane(groups(tags, stations, slaves, partial(speaks, bus)), probe_s)
        self._roundabout = Roundabout(list(self._turns.values()), self._tags, probe_s)
        self._lines = [(LineWatch(name, tags), turns) for name, turns in self._turns.items()]
        self._keep = keep
        self._stop = threading.Event()

    def station(self, name: str) -> BusStation:
        """The station of this name.

        Raises:
            KeyError: it is not on this bus.
        """
        return self._stations[name]

    def start(self) -> None:
        """Begin to talk."""
        self._thread.start()

    def close(self) -> None:
        """Tell the PLCs that the node goes, give the port back. Safe to call twice."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(10)

    def _run(self) -> None:
        refused = punctual.prepare_thread(real_time=self._serial)
        if refused:
            log.warning("bus %s: %s", self._name, refused)
        while not self._stop.is_set():
            try:
                self._step()
            except Exception:  # a fault of ours must not silence the other stations for good
                log.exception("bus %s: stumbled, goes on in %.0f s", self._name, STUMBLE_S)
                self._stop.wait(STUMBLE_S)
        self._farewell()
        self._link.close()

    def _step(self) -> None:
        """Hand over, one transaction, tell."""
        now_s = time.monotonic()
        for name, turns in self._turns.items():
            self._stations[name].hand_over()
            self._tell(turns, turns.tick(now_s))
        for watch, turns in self._lines:
            changed = watch.see(turns.running, self._tags.latest, now_s)
            if changed is not None:
                self._keep(changed)
        if not self._link.is_open:
            self._reopen(now_s)
            return
        chosen = self._roundabout.next(now_s)
        if chosen is None:
            self._stop.wait(IDLE_S)
            return
        self._transact(*chosen)

    def _reopen(self, now_s: float) -> None:
        if now_s < self._backoff.due_s:
            self._stop.wait(IDLE_S)
            return
        try:
            self._link.open()
        except PlcError as wrong:
            self._backoff.failed(now_s)
            self._unplugged(wrong)
            return
        self._backoff.worked()
        log.info("bus %s: port open", self._name)

    def _transact(self, turns: Turns | None, frame: Frame) -> None:
        until_s = time.monotonic() + self._brief_s if frame.brief else math.inf
        try:
            if frame.lane in PATIENT and self._link.sound(frame.request, until_s):
                self._roundabout.put_off(turns)
                return
            reading = self._link.transact(frame.request, until_s=until_s)
        except PlcError as wrong:
            self._failed(turns, frame, wrong)
            return
        if frame.lane == "tag":
            self._keep_all(self._tags.answered(reading.values, reading.made_s))
        if turns is not None:
            told = turns.answered(frame, reading.values, reading.sent_s, reading.made_s)
            self._tell(turns, told)

    def _failed(self, turns: Turns | None, frame: Frame, wrong: PlcError) -> None:
        now_s, why = time.monotonic(), str(wrong)
        if frame.lane == "tag":
            self._keep_all(self._tag_failed(wrong, now_s))
        if turns is not None:
            self._tell(turns, turns.failed(frame, why, now_s))
        if self._link.owed(frame.request.unit):
            for its in self._turns.values():
                if its.unit == frame.request.unit:
                    its.must_read()
        if not self._link.is_open:
            self._unplugged(wrong)

    def _tag_failed(self, wrong: PlcError, now_s: float) -> list[Reading]:
        if isinstance(wrong, PlcTimeoutError):
            return self._tags.silent(str(wrong), now_s)
        if wrong.code not in (None, modbus.BUSY):
            return self._tags.refused(str(wrong), now_s)
        return self._tags.spoilt(str(wrong), now_s)

    def _tell(self, turns: Turns, seen: Sequence[Seen]) -> None:
        self._by_turns[id(turns)].tell(seen)
        for one in seen:
            if isinstance(one, LinkLost):
                lost = self._tags.lost([turns.name], one.text, time.monotonic())
                self._keep_all(lost)

    def _keep_all(self, readings: Sequence[Reading]) -> None:
        faults = [reading for reading in readings if reading.fault is not None]
        if faults:
            names = ", ".join(reading.tag.name for reading in faults)
            log.warning("tags of %s (%s): %s", faults[0].source, names, faults[0].fault)
        for reading in readings:
            self._keep(reading)

    def _unplugged(self, wrong: PlcError) -> None:
        for turns in self._turns.values():
            self._tell(turns, turns.unplugged(str(wrong)))
        self._keep_all(self._tags.lost(self._slaves, str(wrong), time.monotonic()))

    def _farewell(self) -> None:
        if not self._link.is_open:
            return
        for turns in self._turns.values():
            frame = turns.farewell()
            if frame is not None:
                self._transact(turns, frame)
