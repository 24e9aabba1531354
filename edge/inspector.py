"""THE LOOP: trigger -> frames -> detections -> verdict -> ledger -> PLC -> closed row.

Three threads a station, so that none waits for another's work:

    observe   takes what the bus saw, starts flights, grants the heartbeat
    judge     looks, judges, commits the open row, hands the verdict to the bus
    record    commits everything else in the order it happened: closed, missed, counter, alerts

A part is OK at the PLC only after its open row is on disk; it is counted ok only after the PLC
echoed it. Whoever dies in between leaves an open row, which the next start closes.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable

from edge import clock
from edge.alerts import AlertCode, Change
from edge.errors import LedgerError
from edge.evidence import Evidence
from edge.flights import Flight
from edge.judging import Judged, Judging
from edge.line import Line
from edge.mqtt.message import AnyRow, BypassedRow, EpochRow, MissedRow, Notice, PartRow
from edge.outbox import Outbox
from edge.plc.blocks import Result
from edge.plc.bus import LinkBack, LinkLost
from edge.plc.handshake import (
    Bypassed,
    EpochOpened,
    Expired,
    Missed,
    Observation,
    ResetPressed,
    Running,
    Sampled,
    Taken,
    Triggered,
    Wrong,
)
from edge.rows import Rows
from edge.settling import Settling
from edge.standing import CountedBy, Standing
from edge.terms import Cause, Code, Reason

log = logging.getLogger(__name__)

TICK_S = 0.1  # the station looks at its own health at least this often
ALIVE_S = 0.4  # one look at the health lets the heartbeat run this long
PROBE_S = 2.0  # an idle ledger proves itself this often
STUCK_S = 5.0  # a loop that did not turn for this long is dead
QUEUE = 8  # parts waiting for judgement; beyond it they are missed(overrun)


class Inspector:
    """One station from trigger to closed row."""

    def __init__(
        self,
        standing: Standing,
        line: Line,
        ledger: Outbox,
        evidence: Evidence,
        rows: Rows,
        announce: Callable[[Notice], None],
        record: Callable[[Judged], None],
    ) -> None:
        """`announce` sends a preview of a not-OK part, `record` keeps frames where an engineer
        asked for it; both must not block.
        """
        self.name = standing.name
        self.standing = standing
        self._line = line
        self._ledger = ledger
        self._evidence = evidence
        self._rows = rows
        self._announce = announce
        self._record = record
        self._settling = Settling(self.name, ledger, rows, line, self._settled, evidence)
        self._resumed_epoch = self._settling.current.epoch
        standing.resumed(self._settling.current)
        self._judging = Judging(
            self.name,
            standing.eyes,
            standing.recipes,
            self._settling.alone,
            line.acquired,
            self._deliver,
        )
        self._turned_s = self._probed_s = time.monotonic()
        self._was_ready = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{self.name} observe", daemon=True)

    def start(self) -> None:
        """Start the station's threads; the bus may already be running."""
        if self._resumed_epoch:  # what the last run raised is not known: this one begins clear
            clear = [Change(code, False, 0) for code in AlertCode]
            self._settling.append(*(self._rows.alert(self._resumed_epoch, c) for c in clear))
        self._settling.recorder.start()
        self._judging.start()
        self._thread.start()

    def turning(self) -> bool:
        """Has the loop turned lately, no part stuck in it? The watchdog is fed only then."""
        now_s = time.monotonic()
        parts = (self._judging, self._settling.recorder, self._line)
        threads = all(part.running for part in parts)
        turned = now_s - self._turned_s < STUCK_S
        return threads and turned and not self._settling.overdue(now_s - STUCK_S)

    @property
    def busy(self) -> bool:
        """Is any part between its trigger and its closed row?"""
        return self._settling.unsettled()

    def close(self) -> None:
        """Take no new part, settle what is on its way, stop. Safe to call twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)
        self._judging.close()
        self._settling.recorder.close()

    # -- observe ------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set() or self._settling.unsettled():
            self._turned_s = time.monotonic()
            try:
                seen = self._line.observations.get(timeout=TICK_S)
            except queue.Empty:
                pass
            else:
                self._observe(seen)
            self._tend(time.monotonic())

    def _observe(self, seen: Observation | LinkLost | LinkBack) -> None:
        match seen:
            case Triggered(trigger, deadline_s):
                self._triggered(Flight(trigger, deadline_s))
            case Taken():
                self._taken(seen)
            case Expired():
                self._expired(seen)
            case Missed(epoch, first, last, cause):
                self._missed(epoch, first, last, cause)
            case Bypassed(epoch, first, last):
                self._bypassed(epoch, first, last)
            case Sampled(epoch, counter):
                self.standing.triggers = self._settling.sample(epoch, counter)
            case EpochOpened():
                self._epoch_opened(seen)
            case _:
                self._said(seen)

    def _said(self, seen: Observation | LinkLost | LinkBack) -> None:
        """What the PLC says about itself, not about a part."""
        match seen:
            case Running(line_running, mode, recipe_wanted):
                self._close_leftover()
                self.standing.told(line_running, mode, recipe_wanted)
                self._hold(AlertCode.BYPASS, self.standing.bypassed, None)
                unknown = f"recipe {recipe_wanted}"
                self._hold(AlertCode.RECIPE_UNKNOWN, self.standing.job_failed, unknown)
            case LinkLost(text):
                self.standing.plc_fault = text
                self._hold(AlertCode.PLC_LOST, True, text)
            case LinkBack():
                self.standing.plc_fault = None
                self._hold(AlertCode.PLC_LOST, False, None)
                self._hold(AlertCode.MAP_WRONG, False, None)
            case Wrong(text):
                self._hold(AlertCode.MAP_WRONG, True, text)
            case ResetPressed():
                log.info("%s: reset pressed at the PLC", self.name)
                self.standing.reset()
                self._tell_stop()

    def _epoch_opened(self, seen: EpochOpened) -> None:
        log.warning(
            "%s: epoch %d opened (%s) at counter %d", self.name, seen.epoch, seen.cause, seen.base
        )
        self._settling.open_epoch(seen.epoch, seen.base)
        counted_by: CountedBy = "self" if seen.cause == "self_counted" else "plc"
        self.standing.epoch, self.standing.triggers = seen.epoch, 0
        self.standing.counted_by = counted_by
        for eye in self.standing.eyes:
            eye.lose()
        row = EpochRow(
            **self._rows.stamp(seen.epoch),
            base=seen.base,
            plc_start=seen.plc_start,
            cause=seen.cause,
            counted_by=counted_by,
        )
        self._settling.append(row)

    def _triggered(self, flight: Flight) -> None:
        part, recipe = flight.trigger.part, flight.trigger.recipe
        known = recipe in self.standing.recipes
        self._hold(AlertCode.RECIPE_UNKNOWN, not known, f"recipe {recipe}")
        if self._stop.is_set():
            self._missed(part.epoch, part.number, part.number, Cause.NOT_READY)
        elif self._settling.judging() >= QUEUE:
            self._missed(part.epoch, part.number, part.number, Cause.OVERRUN)
        else:
            self._settling.start(flight)
            self._judging.put(flight)

    def _taken(self, seen: Taken) -> None:
        left = self._settling.leftover.get((seen.epoch, seen.number))
        if left is not None and left.computed is seen.code:
            del self._settling.leftover[seen.epoch, seen.number]
            self._settling.close(left, seen.code, left.computed_reason, None)
            return
        flight = self._settling.flight(seen.epoch, seen.number)
        if flight is not None and flight.row is not None:
            latency_ms = max(0, round((seen.taken_s - flight.trigger.edge_s) * 1000))
            self._settling.close(flight.row, seen.code, flight.row.computed_reason, latency_ms)

    def _expired(self, seen: Expired) -> None:
        flight = self._settling.flight(seen.epoch, seen.number)
        row = self._settling.expire(flight) if flight is not None else None
        if row is not None:
            reason = Reason.NOT_DELIVERED if seen.written else Reason.LATE
            self._settling.close(row, Code.UNDECIDED, reason, None)

    def _missed(self, epoch: int, first: int, last: int, cause: Cause) -> None:
        log.warning("%s: parts %d to %d missed (%s)", self.name, first, last, cause.value)
        self.standing.passed("missed", last - first + 1)
        self.standing.overrun = cause is Cause.OVERRUN
        self._line.acquired(last)  # nobody will take a picture of it: it may move
        self._hold(AlertCode.PARTS_MISSED, True, f"{first} to {last}: {cause.value}")
        row = MissedRow(**self._rows.stamp(epoch), first=first, last=last, cause=cause)
        self._settling.pass_by(row)

    def _bypassed(self, epoch: int, first: int, last: int) -> None:
        self.standing.passed("bypassed", last - first + 1)
        self._settling.pass_by(BypassedRow(**self._rows.stamp(epoch), first=first, last=last))

    def _close_leftover(self) -> None:
        """What a node that died left: parts without a row, and open rows the PLC did not echo."""
        settling = self._settling
        for epoch, first, last in settling.gaps:
            self._missed(epoch, first, last, Cause.NODE_RESTART)
        settling.gaps = []
        for row in settling.leftover.values():
            settling.close(row, Code.UNDECIDED, Reason.UNCONFIRMED, None)
        settling.leftover.clear()

    # -- judge --------------------------------------------------------------------------------

    def _deliver(self, judged: Judged) -> None:
        """Commit the computed row, then tell the PLC: never the other way round."""
        flight, code = judged.flight, judged.verdict.code
        row = self._rows.part(judged)
        try:
            self._ledger.open(row)
        except LedgerError as wrong:
            self._refused(row, wrong)
            return
        self._evidence.hold(row, judged.looks)  # before anybody can close the row
        in_time = self._settling.opened(flight, row)
        if in_time:
            self._submit(row, code)
        else:
            self._settling.close(row, Code.UNDECIDED, Reason.LATE, None)
        self.standing.saw(row, judged.looks)
        self._hold(AlertCode.PAIRING_LOST, row.computed_reason is Reason.PAIRING, None)
        if judged.loaded is not None:
            self.standing.judged(judged.loaded, flight.trigger.mode, code)
            self._tell_stop()
        if code is not Code.OK:
            self._announce(self._rows.notice(row))
        self._record(judged)

    def _submit(self, row: PartRow, code: Code) -> None:
        defect = self.standing.defect_number(row)
        score = (row.score or 0) / 10_000
        result = Result(row.number, code, defect, score, row.inspect_ms or 0)
        self._line.submit(row.epoch, result, time.monotonic())

    def _refused(self, row: PartRow, wrong: LedgerError) -> None:
        """The ledger takes no row: the PLC hears "undecided", the part becomes a missed row."""
        log.error("%s: part %d: %s %s", self.name, row.number, wrong, wrong.hint)
        self._submit(row, Code.UNDECIDED)
        self._missed(row.epoch, row.number, row.number, Cause.LEDGER)

    # -- alerts -------------------------------------------------------------------------------

    def _settled(self, row: PartRow, code: Code) -> list[AnyRow]:
        """A part was closed; returns the alert rows that follow from it."""
        epoch = self._settling.current.epoch
        changes = self.standing.settled(row.mode, code)
        return [self._rows.alert(epoch, change) for change in changes]

    def _hold(self, code: AlertCode, holds: bool, detail: str | None) -> None:
        epoch = self._settling.current.epoch
        changes = self.standing.hold(code, holds, detail)
        self._settling.append(*(self._rows.alert(epoch, change) for change in changes))

    def _tell_stop(self) -> None:
        """The PLC hears of it with the status at the next tick."""
        wanted = self.standing.stop_reason
        self._hold(AlertCode.STOP_REQUEST, wanted is not None, wanted)

    # -- health -------------------------------------------------------------------------------

    def _tend(self, now_s: float) -> None:
        """Prove the station, say what is wrong, let the heartbeat run only while all is well."""
        standing, settling = self.standing, self._settling
        ledger = settling.recorder
        if now_s - self._probed_s > PROBE_S:
            self._probed_s = now_s
            settling.probe()
        settling.sample_again()
        standing.judging = settling.judging() > 0
        if not standing.judging:
            standing.prepare()
        standing.judge_health(
            now_s,
            ledger.proved_s,
            self._judging.proved_s,
            ledger.fault,
            settling.overdue(now_s),
            self._stop.is_set(),
            self._judging.failed,
        )
        lost = standing.camera_fault
        self._hold(AlertCode.CAMERA_LOST, lost is not None, lost)
        self._hold(AlertCode.LEDGER_FAULT, ledger.fault is not None, ledger.fault)
        restored = self._ledger.restored
        self._hold(AlertCode.LEDGER_RESTORED, restored is not None, restored)
        self._hold(AlertCode.UNSIGNED, standing.unsigned, None)
        self._tell_stop()
        self._tell_ready()
        if standing.changed_state():
            settling.append(self._rows.state(settling.current.epoch, standing.state()))
        self._line.status(standing.flags(), standing.active_recipe, standing.error_code)
        if standing.alive:
            self._line.alive(now_s + ALIVE_S)

    def _tell_ready(self) -> None:
        """Once: how long a cold start takes until parts are judged."""
        if self._was_ready or not self.standing.ready:
            return
        self._was_ready = True
        program_s, computer_s = clock.since_start_s()
        told = "%s: ready for parts, %.1f s after the start of the program, %.0f s of the computer"
        log.info(told, self.name, program_s, computer_s)
