"""How one station stands: its health, its state in the words of OPC 40100-1, and its latest parts.

Written by the station's own threads, read by its page and by the state message. Whether the
heartbeat may run is decided here and nowhere else.
"""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge import stopping
from edge.alerts import AlertBoard, AlertCode, Change
from edge.eye import Eye, Look
from edge.flights import Flights
from edge.mqtt.message import PartRow, StateWord, StationState, Trust
from edge.plc.blocks import StatusFlags
from edge.release import Loaded
from edge.terms import Code, Mode

PROOF_S = 5.0  # camera, ledger and detector must have proved themselves within this

PER_PART = (AlertCode.PARTS_MISSED, AlertCode.PAIRING_LOST, AlertCode.RECIPE_UNKNOWN)
"""Alerts whose cause comes with a part, so that seeing it again counts."""

WORDS = ("ok", "ng", "undecided", "missed", "bypassed")


@dataclass(frozen=True, slots=True)
class LastNotOk:
    """The newest part that was not OK, for the page."""

    row: PartRow
    looks: tuple[Look, ...]


class Standing:
    """Health and counts of one station."""

    def __init__(
        self,
        name: str,
        eyes: Sequence[Eye],
        recipes: Mapping[int, Loaded],
        recipe_faults: Sequence[str],
    ) -> None:
        """`recipe_faults`: why recipes of edge.toml could not be loaded, in sentences."""
        self.name = name
        self.eyes = eyes
        self.recipes = recipes
        self.board = AlertBoard()
        self.plc_fault: str | None = "no answer from the PLC yet"
        self.ready = False  # parts can be judged
        self.alive = False  # the heartbeat may run
        self.fault: str | None = "starting"
        self.counts: Counter[str] = Counter()  # of this run, by verdict; missed and bypassed too
        self.last_not_ok: LastNotOk | None = None
        self.epoch = 0
        self.triggers = 0
        self._recipe_faults = list(recipe_faults)
        self._line_running = False
        self._mode = Mode.AUTO
        self._wanted = 0
        self._failed: frozenset[int] = frozenset()
        self.judging = False  # a part is being judged now
        self.overrun = False  # the last missed part came too fast
        self.stop_reason: str | None = None  # why the line must stop, until somebody resets it
        self._run = stopping.Run()
        self.error_code = 0  # 1 camera, 2 ledger, 3 detector, 4 part overdue, 5 recipe
        self._state: StateWord = "preoperational"
        self._told: tuple[StateWord, Mode, str | None] | None = None
        self._lock = threading.Lock()

    def told(self, line_running: bool, mode: Mode, recipe_wanted: int) -> None:
        """What the PLC's block says of the line."""
        self._line_running, self._mode, self._wanted = line_running, mode, recipe_wanted

    @property
    def bypassed(self) -> bool:
        """The PLC's key switch lets parts pass uninspected."""
        return self._mode is Mode.BYPASS

    @property
    def active_recipe(self) -> int:
        """Number of the recipe parts are judged by now; 0 = none."""
        good = self._wanted in self.recipes and self._wanted not in self._failed
        return self._wanted if good else 0

    def judge_health(
        self,
        now_s: float,
        ledger_s: float,
        detector_s: float,
        ledger_fault: str | None,
        overdue: bool,
        stopping: bool,
        failed: frozenset[int],
    ) -> None:
        """Decide readiness and heartbeat.

        Args:
            now_s: monotonic; `ledger_s` and `detector_s` are the times of the last proofs.
            ledger_fault: why rows cannot be written, if they cannot.
            overdue: a part is past its deadline without a row.
            stopping: the node takes no new part.
            failed: recipes whose golden pictures went wrong.
        """
        lost = next((eye.capture.fault for eye in self.eyes if not eye.capture.online), None)
        silent_ledger = "ledger silent" if now_s - ledger_s > PROOF_S else None
        silent = "detector silent" if self.recipes and now_s - detector_s > PROOF_S else None
        late = "a part is past its deadline without a verdict" if overdue else None
        faults = (lost, ledger_fault or silent_ledger, silent, late)
        own = next((fault for fault in faults if fault), None)
        self._failed = failed
        self.fault = own or self.plc_fault or self._recipe_fault()
        self.alive = own is None
        unprepared = self._unprepared()
        self.fault = self.fault or unprepared
        self.ready = self.alive and self.active_recipe != 0 and not stopping and not unprepared
        recipe = 5 if own is None and self._recipe_fault() else 0
        self.error_code = next((n for n, fault in enumerate(faults, 1) if fault), recipe)
        self._state = self._word()

    def prepare(self) -> None:
        """Have the cameras set up for the recipe that the PLC wants; only between two parts."""
        number = self.active_recipe
        for eye in self.eyes:
            if number != 0 and not eye.is_prepared(number):
                eye.prepare(number)

    def _unprepared(self) -> str | None:
        """Which camera is not set up yet for the recipe that the PLC wants."""
        number = self.active_recipe
        names = [e.capture.name for e in self.eyes if number != 0 and not e.is_prepared(number)]
        return f"{names[0]}: being set up for recipe {number}" if names else None

    def _recipe_fault(self) -> str | None:
        """Why the recipe that the PLC wants cannot be used."""
        if self.active_recipe != 0:
            return None
        if self._wanted in self._failed:
            return f"recipe {self._wanted}: its golden pictures go wrong"
        return next(iter(self._recipe_faults), f"no recipe {self._wanted} on this node")

    def _word(self) -> StateWord:
        if self.plc_fault is not None:
            return "preoperational"
        if not self.alive or (self._wanted and self.active_recipe == 0):
            return "error"
        if not self.ready:
            return "initialized"
        return "running" if self._line_running else "ready"

    def changed_state(self) -> bool:
        """Has state, mode or fault changed since this was last asked?"""
        now = (self._state, self._mode, self.fault)
        changed, self._told = now != self._told, now
        return changed

    def hold(self, code: AlertCode, holds: bool, detail: str | None) -> list[Change]:
        """Raise or clear one alert; returns the change, if there is one."""
        with self._lock:
            if holds and code in self.board.active and code not in PER_PART:
                return []  # a lasting fault is one cause, not one per look
            return self.board.seen(code, detail) if holds else self.board.gone(code)

    def resumed(self, flights: Flights) -> None:
        """The epoch of the last run, to begin with."""
        self.epoch, self.triggers = flights.epoch, flights.counter - flights.base

    def settled(self, code: Code) -> list[Change]:
        """One more closed part row."""
        with self._lock:
            self.counts[code.name.lower()] += 1
            return self.board.judged(code)

    def judged(self, loaded: Loaded, mode: Mode, code: Code) -> None:
        """One more judged part, for the recipe's [stop] rules; golden samples do not count."""
        if mode in (Mode.SAMPLE, Mode.BYPASS):
            return
        rules = loaded.recipe.stop
        with self._lock:
            self._run = stopping.follow(self._run, loaded.number, code, rules)
            self.stop_reason = self.stop_reason or stopping.reason(self._run, rules)

    def reset(self) -> None:
        """Somebody pressed reset at the PLC: the line may run, and the [stop] rules begin anew."""
        with self._lock:
            self._run, self.stop_reason = stopping.Run(), None

    def passed(self, word: str, count: int) -> None:
        """`count` parts were missed or bypassed."""
        with self._lock:
            self.counts[word] += count

    def saw(self, row: PartRow, looks: tuple[Look, ...]) -> None:
        """One more judged part, for the page."""
        if row.code is not Code.OK:
            self.last_not_ok = LastNotOk(row, looks)

    def defect_number(self, row: PartRow) -> int:
        """The PLC's number of the deciding class: its place in the model's list from 1, or 0."""
        loaded = next((r for r in self.recipes.values() if r.recipe.name == row.recipe), None)
        if loaded is None or row.defect not in loaded.detector.labels:
            return 0
        return loaded.detector.labels.index(row.defect) + 1

    def defect_name(self, row: PartRow) -> str | None:
        """What people call the deciding class; its label where the recipe gives it no name."""
        loaded = next((r for r in self.recipes.values() if r.recipe.name == row.recipe), None)
        limits = loaded.recipe.classes if loaded else ()
        return next((c.name for c in limits if c.label == row.defect and c.name), row.defect)

    def state(self) -> StationState:
        """As told to the hub."""
        trust: Trust = "unsigned" if self.unsigned else "pinned"
        active = self.recipes.get(self.active_recipe)
        return StationState(
            station=self.name,
            state=self._state,
            mode=self._mode,
            epoch=self.epoch,
            triggers=self.triggers,
            recipe=active.recipe.name if active else "",
            trust=trust,
            fault=self.fault[:200] if self.fault else None,
        )

    def flags(self) -> StatusFlags:
        """The station's status bits for the PLC; ready comes last and goes first."""
        flags = StatusFlags.ONLINE
        if self.ready:
            flags |= StatusFlags.TRIGGER_READY
        if self.fault is not None and not self.alive:
            flags |= StatusFlags.FAULT
        if self._wanted and self.active_recipe == 0:
            flags |= StatusFlags.JOB_FAILED
        if self.bypassed:
            flags |= StatusFlags.BYPASS_SEEN
        if self.judging:
            flags |= StatusFlags.BUSY
        if AlertCode.PARTS_MISSED in self.board.active:
            flags |= StatusFlags.MISSED_ACQ
            if self.overrun:
                flags |= StatusFlags.OVERRUN
        if self.stop_reason is not None:
            flags |= StatusFlags.STOP_REQUEST
        if self.board.active:
            flags |= StatusFlags.WARNING
        return flags

    def sentence(self) -> str:
        """The counts of this run, for the log."""
        counts = ", ".join(f"{self.counts[word]} {word}" for word in WORDS)
        cameras = "".join(f"; {eye.capture.sentence()}" for eye in self.eyes)
        return f"{self._state}, {self.triggers} triggers in epoch {self.epoch}: {counts}{cameras}"

    @property
    def unsigned(self) -> bool:
        """Does any recipe or model run without a pin?"""
        return any(loaded.trust == "unsigned" for loaded in self.recipes.values())
