"""How one station stands: its health, its state in the words of OPC 40100-1, and its latest parts.

Written by the station's own threads, read by its page and by the state message. Whether the
heartbeat may run is decided here and nowhere else.
"""

import logging
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from edge import stopping
from edge.alerts import AlertBoard, AlertCode, Change
from edge.eye import Eye, Look
from edge.flights import Flights
from edge.mqtt.message import FaultWord, PartRow, StateWord, StationState, Trust
from edge.plc.blocks import StatusFlags
from edge.release import Loaded
from edge.terms import Code, Mode

log = logging.getLogger(__name__)

PROOF_S = 5.0  # camera, ledger and detector must have proved themselves within this

PER_PART = (AlertCode.PARTS_MISSED, AlertCode.PAIRING_LOST, AlertCode.RECIPE_UNKNOWN)
"""Alerts whose cause comes with a part, so that seeing it again counts."""

LATCHED = (AlertCode.CONSECUTIVE_NG, AlertCode.UNDECIDED_SHARE, AlertCode.STOP_REQUEST)
"""Runs of bad parts: the PLC is warned of them until a person presses reset, though they end."""

CountedBy = Literal["plc", "self"]
"""Who counts the parts: without a PLC nobody checks the count."""

WORDS = ("ok", "ng", "undecided", "missed", "bypassed", "samples")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why parts cannot be judged: a word for screens, whom it is about, a sentence for logs."""

    word: FaultWord
    text: str
    about: str = ""


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
        unfit: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        """Args:
        recipe_faults: why recipes of edge.toml could not be loaded, in sentences.
        unfit: why recipes that were loaded are not for this station, by their numbers.
        """
        self.name = name
        self.eyes = eyes
        self.recipes = {n: one for n, one in recipes.items() if n not in unfit}
        self.board = AlertBoard()
        self.plc_fault: str | None = "no answer from the PLC yet"
        self.ready = False  # parts can be judged
        self.alive = False  # the heartbeat may run
        self.counts: Counter[str] = Counter()  # of this run, by verdict; missed and bypassed too
        self.last_not_ok: LastNotOk | None = None
        self.epoch = 0
        self.counted_by: CountedBy = "plc"
        self.triggers = 0
        self._recipe_faults, self._unfit = list(recipe_faults), unfit
        self._line_running = False
        self._mode = Mode.AUTO
        self._wanted = 0
        self._active = 0  # the recipe the cameras are set up for
        self._failed: frozenset[int] = frozenset()
        self.judging = False  # a part is being judged now
        self.overrun = False  # the last missed part came too fast
        self.stop_reason: str | None = None  # why the line must stop, until somebody resets it
        self._run = stopping.Run()
        self._warned = False  # of a run of bad parts, until somebody resets it
        self.error_code = 0  # 1 camera, 2 ledger, 3 detector, 4 part overdue, 5 recipe
        self._fault: Fault | None = Fault("starting", "starting")
        self._state: StateWord = "preoperational"
        self._told: tuple[StateWord, Mode, str | None] | None = None
        self._lock = threading.Lock()

    def told(self, line_running: bool, mode: Mode, recipe_wanted: int) -> None:
        """What the PLC's block says of the line."""
        self._line_running, self._mode, self._wanted = line_running, mode, recipe_wanted

    @property
    def fault(self) -> str | None:
        """Why parts cannot be judged; None: they can."""
        return self._fault.text if self._fault is not None else None

    @property
    def bypassed(self) -> bool:
        """The PLC's key switch lets parts pass uninspected."""
        return self._mode is Mode.BYPASS

    @property
    def camera_fault(self) -> str | None:
        """Why one of the cameras gives no pictures; None: all do."""
        return lost.text if (lost := self._lost_camera()) is not None else None

    def _lost_camera(self) -> Fault | None:
        captures = (eye.capture for eye in self.eyes)
        lost = (Fault("camera", c.fault, c.name) for c in captures if c.fault)
        return next(lost, None)

    @property
    def active_recipe(self) -> int:
        """Number of the recipe that is switched to; 0 = none, also while another cannot be had."""
        return self._active if self._usable(self._wanted) and self._usable(self._active) else 0

    @property
    def job_failed(self) -> bool:
        """The PLC wants a recipe that this node cannot judge by; the old one is none either."""
        return self._wanted != 0 and not self._usable(self._wanted)

    def _usable(self, number: int) -> bool:
        return number in self.recipes and number not in self._failed

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
        silent_ledger = "ledger silent" if now_s - ledger_s > PROOF_S else None
        silent = "detector silent" if self.recipes and now_s - detector_s > PROOF_S else None
        late = "a part is past its deadline without a verdict" if overdue else None
        faults = (
            self._lost_camera(),
            _fault("ledger", ledger_fault or silent_ledger),
            _fault("detector", silent),
            _fault("overdue", late),
        )
        own = next((fault for fault in faults if fault), None)
        self._failed = failed
        self.alive = own is None
        changing = self._changing_over()
        refused = _fault("recipe", self._recipe_fault(), f"{self._wanted}")
        self._fault = own or _fault("plc", self.plc_fault) or refused or changing
        self.ready = self.alive and self.active_recipe != 0 and not stopping and not changing
        recipe = 5 if own is None and refused else 0
        self.error_code = next((n for n, fault in enumerate(faults, 1) if fault), recipe)
        self._state = self._word()

    def prepare(self) -> None:
        """Change over to the recipe that the PLC wants; only while no part is on its way.

        Its model is loaded and proved since the start; what takes time is the cameras.
        """
        number = self._wanted
        if not self._usable(number):
            self._active = 0
            return
        for eye in self.eyes:
            if not eye.is_prepared(number):
                eye.prepare(number)
        if number != self._active and all(eye.is_prepared(number) for eye in self.eyes):
            log.info("%s: recipe %d after recipe %d", self.name, number, self._active)
            self._active = number

    def _changing_over(self) -> Fault | None:
        """What is still to be done before parts can be judged by the recipe that the PLC wants."""
        number = self._wanted
        if not self._usable(number):
            return None
        waiting = next((e.capture.name for e in self.eyes if not e.is_prepared(number)), None)
        if waiting is not None:
            return Fault("setup", f"{waiting}: being set up for recipe {number}", waiting)
        if number != self._active:
            text = f"change-over to recipe {number}: parts on their way come first"
            return Fault("change_over", text, f"{number}")
        return None

    def _recipe_fault(self) -> str | None:
        """Why the recipe that the PLC wants cannot be used."""
        if self._usable(self._wanted):
            return None
        if self._wanted in self._failed:
            return f"recipe {self._wanted}: its golden pictures go wrong"
        if self._wanted in self._unfit:
            return self._unfit[self._wanted]
        return next(iter(self._recipe_faults), f"no recipe {self._wanted} on this node")

    def _word(self) -> StateWord:
        if self.plc_fault is not None:
            return "preoperational"
        if not self.alive or self.job_failed:
            return "error"
        if self.stop_reason is not None and not self._line_running:
            return "stopped"
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
            return self._latch(self.board.seen(code, detail) if holds else self.board.gone(code))

    def _latch(self, changes: list[Change]) -> list[Change]:
        self._warned |= any(change.active and change.code in LATCHED for change in changes)
        return changes

    def resumed(self, flights: Flights) -> None:
        """The epoch of the last run, to begin with."""
        self.epoch, self.triggers = flights.epoch, flights.counter - flights.base

    def settled(self, mode: Mode, code: Code) -> list[Change]:
        """One more closed part row; a golden sample says nothing about the parts of the line."""
        with self._lock:
            if mode is Mode.SAMPLE:
                self.counts["samples"] += 1
                return []
            self.counts[code.name.lower()] += 1
            return self._latch(self.board.judged(code))

    def judged(self, loaded: Loaded, mode: Mode, code: Code) -> None:
        """One more judged part, for the recipe's [stop] rules; golden samples do not count."""
        if mode in (Mode.SAMPLE, Mode.BYPASS):
            return
        rules = loaded.recipe.stop
        with self._lock:
            self._run = stopping.follow(self._run, loaded.number, code, rules)
            self.stop_reason = self.stop_reason or stopping.reason(self._run, rules)

    def reset(self) -> None:
        """Somebody pressed reset at the PLC: the line may run, and its rules begin anew."""
        with self._lock:
            self._run, self.stop_reason, self._warned = stopping.Run(), None, False

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
        active, fault = self.recipes.get(self.active_recipe), self._fault
        return StationState(
            station=self.name,
            state=self._state,
            mode=self._mode,
            epoch=self.epoch,
            triggers=self.triggers,
            recipe=active.recipe.name if active else "",
            trust=trust,
            fault=fault.text[:200] if fault else None,
            fault_word=fault.word if fault else None,
            fault_about=fault.about if fault else "",
        )

    def flags(self) -> StatusFlags:
        """The station's status bits for the PLC; ready comes last and goes first."""
        flags = StatusFlags.ONLINE
        if self.ready:
            flags |= StatusFlags.TRIGGER_READY
        if not self.alive or self.job_failed:
            flags |= StatusFlags.FAULT
        if self.job_failed:
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
        if self.board.active or self._warned:
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


def _fault(word: FaultWord, text: str | None, about: str = "") -> Fault | None:
    """The fault of this text, if there is one."""
    return Fault(word, text, about) if text else None
