"""One station by wire: the thread that owns its I/O, and what an inspector sees of it.

    inspector threads                    wires thread
    submit, status, alive          ->    outputs: the OK pulse, Ready, lamps
    observations                   <-    inputs, and what the bus saw, if there is one

Ready is a lease: on (level where the I/O drops its outputs by itself, else a beat of 2 Hz) only
while the inspector renews it, and so is every OK.
"""

import logging
import queue
import threading
import time
from collections.abc import Iterable

from edge import settings
from edge.errors import PlcError
from edge.plc.backoff import Backoff
from edge.plc.blocks import LineCounters, Result, StatusFlags
from edge.plc.bus import STUMBLE_S, BusStation
from edge.plc.contacts import LOOK_S, Lines
from edge.plc.gpio import GpioLines
from edge.plc.io_module import IoModule
from edge.plc.panel import Panel
from edge.plc.tracking import Tracking
from edge.plc.turns import LinkBack, LinkLost, Seen

log = logging.getLogger(__name__)


def open_lines(io: settings.Io) -> Lines:
    """The I/O of this kind; nothing is opened yet."""
    return GpioLines(io) if io.kind == "gpio" else IoModule(io)


class Wires:
    """One station's line with an I/O: what `BusStation` is, and more. Safe from any thread."""

    def __init__(
        self,
        station: settings.Station,
        io: settings.Io,
        bus: BusStation | None,
        epoch: int = 0,
    ) -> None:
        """`bus` carries the numbers; None = the station counts itself, from `epoch` + 1 on."""
        self.observations: queue.Queue[Seen] = queue.Queue()
        self._name, self._io, self._bus = station.name, io, bus
        self._lines = open_lines(io)
        self._tracking = Tracking(station, io, self._lines.lead_s, epoch if bus is None else None)
        self._panel = Panel(self._lines.drops_itself)
        self._backoff = Backoff()
        self._flags = StatusFlags(0)
        self._hung = False  # commissioning plays a node that hangs
        self._alive_until_s = float("-inf")
        self._on: frozenset[str] | None = None  # None = nobody knows: write it
        self._fault: str | None = "no answer yet"
        self._bus_lost = bus is not None  # until it answers
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{station.name} wires", daemon=True)

    # -- the inspector's side -----------------------------------------------------------------

    @property
    def counters(self) -> LineCounters | None:
        """The PLC's where there is one, else those of the eye behind the gate."""
        return self._tracking.counters if self._bus is None else self._bus.counters

    def submit(self, epoch: int, result: Result, now_s: float) -> None:
        """A part's verdict, its row on disk: for the wire, and as data for the bus."""
        self._tracking.submit(epoch, result.number, result.code)
        if self._bus is not None:
            self._bus.submit(epoch, result, now_s)

    @property
    def running(self) -> bool:
        """Is the thread there, and that of the bus where there is one?"""
        return self._thread.is_alive() and (self._bus is None or self._bus.running)

    @property
    def fault(self) -> str | None:
        """Why the I/O cannot be used; None = it answers."""
        return self._fault

    def status(self, flags: StatusFlags, active_recipe: int = 0, error_code: int = 0) -> None:
        """For the lamps, and for the status registers: not ready without the wire."""
        shown = self.show(flags)
        if self._bus is not None:
            self._bus.status(shown, active_recipe, error_code)

    def show(self, flags: StatusFlags) -> StatusFlags:
        """For the lamps alone; what of it holds while the I/O is as it is."""
        if self._fault is not None:
            flags &= ~StatusFlags.TRIGGER_READY
        self._flags = flags
        return flags

    def hang(self, *, on: bool) -> None:
        """For commissioning: `ready` drops as when the node hangs; pulses are still given."""
        self._hung = on
        if self._bus is not None:
            self._bus.hang(on=on)

    def acquired(self, number: int) -> None:
        """All pictures of this part are taken: only a bus can say so."""
        if self._bus is not None:
            self._bus.acquired(number)

    def alive(self, until_s: float) -> None:
        """Ready and every OK may stand until then (monotonic)."""
        self._alive_until_s = until_s
        if self._bus is not None:
            self._bus.alive(until_s)

    def start(self) -> None:
        """Begin to look and to switch."""
        self._thread.start()

    def close(self) -> None:
        """Every output off, the I/O given back. Safe to call twice."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(5)

    # -- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._step()
            except Exception:  # a fault of ours must not leave the outputs as they are
                log.exception("%s: wires stumbled, go on in %.0f s", self._name, STUMBLE_S)
                self._lose("stumbled", time.monotonic())
                self._stop.wait(STUMBLE_S)
        self._lines.close()

    def _step(self) -> None:
        """Hear the bus, switch, look, tell."""
        now_s = time.monotonic()
        self._hear_bus()
        self._tracking.decide(now_s)
        try:
            if self._lines.is_open or self._reopened(now_s):
                switched_s = time.monotonic()
                if self._switch(switched_s):
                    self._look(switched_s)
            else:
                self._stop.wait(LOOK_S)
        except PlcError as wrong:
            self._lose(str(wrong), time.monotonic())
        self._tell(self._tracking.settled(time.monotonic()))

    def _hear_bus(self) -> None:
        while self._bus is not None:
            try:
                seen = self._bus.observations.get_nowait()
            except queue.Empty:
                return
            if isinstance(seen, LinkLost | LinkBack):
                self._bus_lost = isinstance(seen, LinkLost)
                if not self._bus_lost and self._fault is not None:
                    continue  # the line is whole only when its wires answer too
            self._tell(self._tracking.heard(seen))

    def _switch(self, now_s: float) -> bool:
        """Order what shall be on, and tell the pulse that it was read back.

        Returns:
            False: nobody knows whether it came. The next step orders anew, by its own time: an OK
            only while its window allows, OFF before anything else.
        """
        alive, pulses = now_s < self._alive_until_s, self._tracking.pulses
        shown = self._panel.on(self._flags, alive, now_s)
        if alive and pulses.wanted(now_s):
            shown.add("ok")
        if self._hung:
            shown.discard("ready")
        on = frozenset(role for role in shown if getattr(self._io, role) is not None)
        if on != self._on:
            self._on = None
            if not self._lines.write(on, pulses.off_s(now_s) - now_s):
                pulses.doubted(time.monotonic())
                return False
            self._on = on
        if "ok" in on:
            pulses.seen(time.monotonic())
        return True

    def _look(self, switched_s: float) -> None:
        """At the inputs, until something is to be switched that was not when it was last."""
        due_s = self._tracking.pulses.due_s(switched_s)
        sight = self._lines.read(max(0.0, due_s - time.monotonic()))
        now_s = time.monotonic()
        ready = bool(self._flags & StatusFlags.TRIGGER_READY) and now_s < self._alive_until_s
        self._tell(self._tracking.looked(sight, ready, now_s))

    def _reopened(self, now_s: float) -> bool:
        if now_s < self._backoff.due_s:
            return False
        self._lines.open()
        self._backoff.worked()
        self._on, self._fault = None, None
        log.info("%s: io %s answers", self._name, self._io.name)
        self._tell(self._tracking.opened())
        if not self._bus_lost:
            self.observations.put(LinkBack())
        return True

    def _lose(self, why: str, now_s: float) -> None:
        self._backoff.failed(now_s)
        self._tracking.pulses.failed(now_s)
        self._lines.close()
        if why != self._fault:
            log.warning("%s: %s", self._name, why)
            self.observations.put(LinkLost(why))
        self._fault = why

    def _tell(self, seen: Iterable[Seen]) -> None:
        for one in seen:
            self.observations.put(one)
