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
from collections.abc import Callable, Sequence

from edge.alerts import AlertCode
from edge.errors import LedgerError
from edge.evidence import Evidence, Shot
from edge.flights import Flight, Flights
from edge.judging import Judged, Judging
from edge.mqtt.message import AnyRow, BypassedRow, EpochRow, MissedRow, Notice, PartRow
from edge.outbox import Outbox
from edge.plc.bus import BusStation, LinkBack, LinkLost
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
from edge.recorder import Recorder
from edge.rows import Rows
from edge.standing import Standing
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
        line: BusStation,
        ledger: Outbox,
        evidence: Evidence,
        rows: Rows,
        announce: Callable[[Notice], None],
    ) -> None:
        """`announce` sends a preview of a not-OK part and must not block."""
        self.name = standing.name
        self.standing = standing
        self._line = line
        self._ledger = ledger
        self._evidence = evidence
        self._rows = rows
        self._announce = announce
        self._settling = threading.Lock()  # guards the flights; never held over a commit
        self._epochs: dict[int, Flights] = {}
        self._flights = Flights(0, 0)  # of the current epoch
        self._resumed_epoch = 0
        self._leftover = {
            row.number: row for row in ledger.open_parts() if row.station == self.name
        }
        self._gaps = ledger.gaps(self.name)
        self._resume()
        self._recorder = Recorder(self.name)
        self._judging = Judging(
            self.name, standing.eyes, standing.recipes, self._alone, self._deliver
        )
        self._turned_s = self._probed_s = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{self.name} observe", daemon=True)

    def start(self) -> None:
        """Start the station's threads; the bus may already be running."""
        self._recorder.start()
        self._judging.start()
        self._thread.start()

    def turning(self) -> bool:
        """Has the loop turned lately, no part stuck in it? The watchdog is fed only then."""
        now_s = time.monotonic()
        return now_s - self._turned_s < STUCK_S and not self._flights.overdue(now_s - STUCK_S)

    def close(self) -> None:
        """Take no new part, settle what is on its way, stop. Safe to call twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)
        self._judging.close()
        self._recorder.close()

    # -- observe ------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set() or self._unsettled():
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
                self._sampled(epoch, counter)
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

    def _epoch_opened(self, seen: EpochOpened) -> None:
        log.warning(
            "%s: epoch %d opened (%s) at counter %d", self.name, seen.epoch, seen.cause, seen.base
        )
        flights = Flights(seen.epoch, seen.base)
        self._epochs = {n: f for n, f in self._epochs.items() if f.numbers()}
        self._epochs[seen.epoch] = self._flights = flights
        self.standing.epoch, self.standing.triggers = seen.epoch, 0
        for eye in self.standing.eyes:
            eye.pairing.lose()
        row = EpochRow(
            **self._rows.stamp(seen.epoch),
            base=seen.base,
            plc_start=seen.plc_start,
            cause=seen.cause,
            counted_by="plc",
        )
        self._recorder.put(lambda: self._ledger.append(row))

    def _triggered(self, flight: Flight) -> None:
        part = flight.trigger.part
        flights = self._of(part.epoch)
        if flight.trigger.recipe not in self.standing.recipes:
            self._hold(AlertCode.RECIPE_UNKNOWN, True, f"recipe {flight.trigger.recipe}")
        if flights.judging() >= QUEUE or self._stop.is_set():
            cause = Cause.NOT_READY if self._stop.is_set() else Cause.OVERRUN
            self._missed(part.epoch, part.number, part.number, cause)
            return
        with self._settling:
            flights.start(flight)
        self._judging.put(flight)

    def _taken(self, seen: Taken) -> None:
        left = self._leftover.get(seen.number)
        if left is not None and left.epoch == seen.epoch and left.computed is seen.code:
            del self._leftover[seen.number]
            self._put_close(left, seen.code, left.computed_reason, None)
            return
        flight = self._of(seen.epoch).get(seen.number)
        if flight is not None and flight.row is not None:
            latency_ms = max(0, round((seen.taken_s - flight.trigger.edge_s) * 1000))
            self._put_close(flight.row, seen.code, flight.row.computed_reason, latency_ms)

    def _expired(self, seen: Expired) -> None:
        flight = self._of(seen.epoch).get(seen.number)
        if flight is None:
            return
        with self._settling:
            flight.expired = True
            row = flight.row
        if row is not None:
            reason = Reason.NOT_DELIVERED if seen.written else Reason.LATE
            self._put_close(row, Code.UNDECIDED, reason, None)

    def _missed(self, epoch: int, first: int, last: int, cause: Cause) -> None:
        log.warning("%s: parts %d to %d missed (%s)", self.name, first, last, cause.value)
        self.standing.passed("missed", last - first + 1)
        for eye in self.standing.eyes:
            eye.pairing.lose()
        self._hold(AlertCode.PARTS_MISSED, True, f"{first} to {last}: {cause.value}")
        row = MissedRow(**self._rows.stamp(epoch), first=first, last=last, cause=cause)
        self._put_passed(row)

    def _bypassed(self, epoch: int, first: int, last: int) -> None:
        self.standing.passed("bypassed", last - first + 1)
        self._put_passed(BypassedRow(**self._rows.stamp(epoch), first=first, last=last))

    def _sampled(self, epoch: int, counter: int) -> None:
        flights = self._of(epoch)
        flights.counter = max(flights.counter, counter)
        self.standing.triggers = flights.counter - flights.base
        self._recorder.put(lambda: self._write_counter(flights))

    # -- judge --------------------------------------------------------------------------------

    def _alone(self, number: int) -> bool:
        with self._settling:
            return self._flights.alone(number)

    def _deliver(self, judged: Judged) -> None:
        """Commit the computed row, then tell the PLC: never the other way round."""
        flight, code = judged.flight, judged.verdict.code
        shots = [
            self._evidence.take(look, code, flight.trigger.part.number) for look in judged.looks
        ]
        row = self._rows.part(judged, [shot.hashes() for shot in shots])
        try:
            self._ledger.open(row)
        except LedgerError as wrong:
            self._refused(row, wrong)
            return
        with self._settling:
            flight.row = row
            late = flight.expired or time.monotonic() > flight.deadline_s
        self._line.acquired(row.number)
        if late:
            self._put_close(row, Code.UNDECIDED, Reason.LATE, None)
        else:
            self._submit(row, code)
        self._store(shots, code)
        self.standing.saw(row, judged.looks)
        self._hold(AlertCode.PAIRING_LOST, row.computed_reason is Reason.PAIRING, None)
        if code is not Code.OK:
            self._announce(self._rows.notice(row))

    def _submit(self, row: PartRow, code: Code) -> None:
        defect = self.standing.defect_number(row)
        score = (row.score or 0) / 10_000
        self._line.submit(
            row.epoch, row.number, code, defect, score, row.inspect_ms or 0, time.monotonic()
        )

    def _refused(self, row: PartRow, wrong: LedgerError) -> None:
        """The ledger takes no row: the PLC hears "undecided", the part becomes a missed row."""
        log.error("%s: part %d: %s %s", self.name, row.number, wrong, wrong.hint)
        self._submit(row, Code.UNDECIDED)
        self._missed(row.epoch, row.number, row.number, Cause.LEDGER)

    def _store(self, shots: Sequence[Shot], code: Code) -> None:
        for shot in shots:
            try:
                self._evidence.store(shot, code)
            except LedgerError as wrong:
                log.error("%s: a picture was not kept: %s %s", self.name, wrong, wrong.hint)

    # -- record -------------------------------------------------------------------------------

    def _put_close(
        self, row: PartRow, code: Code, reason: Reason | None, latency_ms: int | None
    ) -> None:
        flights = self._of(row.epoch)
        flight = flights.get(row.number)
        if flight is not None:
            with self._settling:
                if flight.closing:
                    return
                flight.closing = True

        def write() -> None:
            self._ledger.close_part(row.station, row.epoch, row.number, code, reason, latency_ms)
            with self._settling:
                flights.settle([row.number])
            for change in self.standing.settled(code, reason):
                self._ledger.append(self._rows.alert(row.epoch, change))
            self._tell_settled(row.epoch)

        self._recorder.put(write)

    def _put_passed(self, row: MissedRow | BypassedRow) -> None:
        """Parts that nobody will judge: on the way until their row is on disk."""
        flights = self._of(row.epoch)
        with self._settling:
            flights.pass_by(row.first, row.last)

        def write() -> None:
            self._ledger.append(row)
            with self._settling:
                flights.settle(range(row.first, row.last + 1))
            self._tell_settled(row.epoch)

        self._recorder.put(write)

    def _write_counter(self, flights: Flights) -> None:
        row = self._rows.counter(flights.epoch, flights.counter, self._line.counters)
        with self._settling:
            unsettled = flights.numbers()
        self._ledger.counter(row, unsettled)
        flights.open_told = len(unsettled)

    def _tell_settled(self, epoch: int) -> None:
        """When the last part on its way is settled, the law must close without waiting for more."""
        flights = self._of(epoch)
        if flights.open_told and not flights.numbers():
            self._write_counter(flights)

    def _resume(self) -> None:
        """Take up the epoch of the last run, with what it left unsettled."""
        last = self._ledger.resume(self.name)
        if last is None:
            return
        self._flights = self._epochs[last.epoch] = Flights(last.epoch, last.base)
        self._flights.counter = last.counter
        for number in self._leftover:
            self._flights.pass_by(number, number)
        self._resumed_epoch = last.epoch
        self._flights.open_told = len(self._leftover) + len(self._gaps)
        self.standing.epoch, self.standing.triggers = last.epoch, last.counter - last.base

    def _close_leftover(self) -> None:
        """What a node that died left: parts without a row, and open rows the PLC did not echo."""
        for first, last in self._gaps:
            self._missed(self._resumed_epoch, first, last, Cause.NODE_RESTART)
        self._gaps = []
        for row in self._leftover.values():
            self._put_close(row, Code.UNDECIDED, Reason.UNCONFIRMED, None)
        self._leftover.clear()

    def _hold(self, code: AlertCode, holds: bool, detail: str | None) -> None:
        changes = self.standing.hold(code, holds, detail)
        if changes:
            self._put_rows([self._rows.alert(self._flights.epoch, change) for change in changes])

    def _put_rows(self, rows: Sequence[AnyRow]) -> None:
        self._recorder.put(lambda: self._ledger.append(*rows))

    # -- health -------------------------------------------------------------------------------

    def _tend(self, now_s: float) -> None:
        """Prove the station, say what is wrong, let the heartbeat run only while all is well."""
        ledger = self._recorder
        if now_s - self._probed_s > PROBE_S:
            self._probed_s = now_s
            ledger.put(self._ledger.probe)
        standing = self.standing
        standing.judge_health(
            now_s,
            ledger.proved_s,
            self._judging.proved_s,
            ledger.fault,
            self._flights.overdue(now_s),
        )
        lost = next((eye.capture.fault for eye in standing.eyes if not eye.capture.online), None)
        self._hold(AlertCode.CAMERA_LOST, lost is not None, lost)
        self._hold(AlertCode.LEDGER_FAULT, ledger.fault is not None, ledger.fault)
        self._hold(AlertCode.UNSIGNED, standing.unsigned, None)
        if standing.changed_state():
            self._put_rows([self._rows.state(self._flights.epoch, standing.state())])
        self._line.status(standing.flags(), standing.active_recipe)
        if standing.alive:
            self._line.alive(now_s + ALIVE_S)

    def _unsettled(self) -> bool:
        with self._settling:
            return any(flights.numbers() for flights in self._epochs.values())

    def _of(self, epoch: int) -> Flights:
        """The flights of an epoch; one resumed from the last run starts empty."""
        flights = self._epochs.get(epoch)
        if flights is None:
            flights = self._epochs[epoch] = self._flights = Flights(epoch, 0)
            self.standing.epoch = epoch
        return flights
