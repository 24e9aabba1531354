"""From a part on its way to its row on disk: the one place where a station's numbers are settled.

A number enters as a flight or as missed or bypassed, and leaves when its row is committed. Rows are
written by the station's recorder, in order. When the last number on its way is settled, a counter
row follows, so that the law of that epoch closes without waiting for another part.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from edge.evidence import Evidence
from edge.flights import Flight, Flights
from edge.ledger.epochs import LastEpoch
from edge.line import Line
from edge.mqtt.message import AnyRow, BypassedRow, MissedRow, PartRow
from edge.outbox import Outbox
from edge.plc.blocks import LineCounters
from edge.recorder import Recorder, Write
from edge.rows import Rows
from edge.terms import Code, Reason

QUIET_S = 1.2  # while parts are triggered a counter row comes every second; after that, not

log = logging.getLogger(__name__)


class Settling:
    """The unsettled parts of one station. Safe from its observe, judge and record threads."""

    def __init__(
        self,
        name: str,
        ledger: Outbox,
        rows: Rows,
        line: Line,
        settled: Callable[[PartRow, Code], Sequence[AnyRow]],
        evidence: Evidence | None = None,
    ) -> None:
        """`settled` is told each closed part with its code and returns the rows that follow.

        `evidence` names the pictures of a part when it is closed, and writes them after that.
        """
        self._evidence = evidence
        self._line = line
        self._told_line: LineCounters | None = None  # in the last counter row ...
        self._told_s = 0.0  # ... and when that was written
        self.recorder = Recorder(name)
        self._ledger = ledger
        self._rows = rows
        self._settled = settled
        self._lock = threading.RLock()  # guards epochs and flights; never held over a commit
        self._epochs: dict[int, Flights] = {}
        self.current = Flights(0, 0)
        self.leftover = {
            (row.epoch, row.number): row for row in ledger.open_parts() if row.station == name
        }
        self.gaps = ledger.gaps(name)  # (epoch, first, last)
        for known in ledger.epochs(name):
            self._take_up(known)
        for left in self._epochs.values():  # the newest is read from the PLC again
            if left is not self.current and left.open_told and not left.open():
                # the last run died between the last row of an epoch and the counter row after it
                self.recorder.put(partial(self._write_counter, left))

    def _take_up(self, known: LastEpoch) -> None:
        """Go on with an epoch of the last run, with what it left unsettled; the newest is last."""
        self.current = self._epochs[known.epoch] = Flights(known.epoch, known.base)
        self.current.counter = known.counter
        for epoch, number in self.leftover:
            if epoch == known.epoch:
                self.current.pass_by(number, number)
        for epoch, first, last in self.gaps:
            if epoch == known.epoch:
                self.current.pass_by(first, last)
        self.current.open_told = max(self.current.open(), not known.told)

    # -- on the way ---------------------------------------------------------------------------

    def open_epoch(self, epoch: int, base: int) -> None:
        """The PLC counts anew; parts of older epochs are still settled under theirs."""
        with self._lock:
            left = {n: flights for n, flights in self._epochs.items() if flights.open()}
            for flights in left.values():  # no sample comes any more: their last row must say 0
                flights.open_told = flights.open()
            self.current = left[epoch] = Flights(epoch, base)
            self._epochs = left

    def start(self, flight: Flight) -> None:
        """A part that will be judged."""
        with self._lock:
            self._of(flight.trigger.part.epoch).start(flight)

    def flight(self, epoch: int, number: int) -> Flight | None:
        """The part's flight, or None if it is not (any more) on its way."""
        with self._lock:
            return self._of(epoch).get(number)

    def judging(self) -> int:
        """Parts triggered whose verdict is not yet on disk."""
        with self._lock:
            return self.current.judging()

    def alone(self, number: int) -> bool:
        """Is no other part between its trigger and its verdict?"""
        with self._lock:
            return self.current.alone(number)

    def overdue(self, now_s: float) -> bool:
        """Has a part passed its deadline without a row on disk?"""
        with self._lock:
            return self.current.overdue(now_s)

    def unsettled(self) -> bool:
        """Is any number, of any epoch, without its row?"""
        with self._lock:
            return any(flights.open() for flights in self._epochs.values())

    # -- on disk ------------------------------------------------------------------------------

    def opened(self, flight: Flight, row: PartRow) -> bool:
        """The computed row is on disk; False if the part's deadline has passed meanwhile."""
        with self._lock:
            flight.row = row
            return not flight.expired and time.monotonic() <= flight.deadline_s

    def expire(self, flight: Flight) -> PartRow | None:
        """The deadline passed; returns the row to close, or None if it is not yet on disk."""
        with self._lock:
            flight.expired = True
            return flight.row

    def close(
        self, row: PartRow, code: Code, reason: Reason | None, latency_ms: int | None
    ) -> None:
        """Close an open row, once."""
        flights = self._of(row.epoch)
        with self._lock:
            flight = flights.get(row.number)
            if flight is not None and flight.closing:
                return
            if flight is not None:
                flight.closing = True

        def write() -> list[Write]:
            pictures = self._evidence.name(row) if self._evidence is not None else ()
            self._ledger.close_part(
                row.station, row.epoch, row.number, code, reason, latency_ms, pictures
            )
            follow = self._settled(row, code)
            writes: list[Write] = [lambda: self._ledger.append(*follow)] if follow else []
            writes += self._leave(flights, row.number, row.number)
            return [*writes, lambda: self._store(row)] if pictures else writes

        self.recorder.put(write)

    def _store(self, row: PartRow) -> None:
        if self._evidence is not None:
            self._evidence.store(row)

    def pass_by(self, row: MissedRow | BypassedRow) -> None:
        """Parts that nobody will judge: on the way until their row is on disk."""
        flights = self._of(row.epoch)
        with self._lock:
            flights.pass_by(row.first, row.last)

        def write() -> list[Write]:
            self._ledger.append(row)
            return self._leave(flights, row.first, row.last)

        self.recorder.put(write)

    def sample(self, epoch: int, counter: int) -> int:
        """The PLC's counter was read; returns the epoch's triggers so far."""
        flights = self._of(epoch)
        with self._lock:
            flights.counter = max(flights.counter, counter)
            triggers = flights.counter - flights.base
        self.recorder.put(lambda: self._write_counter(flights))
        return triggers

    def sample_again(self) -> None:
        """Parts pass the gate after the last was triggered: the second law wants them told."""
        flights = self.current
        moved = self._told_line is not None and self._line.counters != self._told_line
        if moved and time.monotonic() - self._told_s > QUIET_S:
            self._told_s = time.monotonic()
            self.recorder.put(lambda: self._write_counter(flights))

    def append(self, *rows: AnyRow) -> None:
        """Rows that settle no number."""
        if rows:
            self.recorder.put(lambda: self._ledger.append(*rows))

    def probe(self) -> None:
        """Let the ledger prove that it can commit."""
        self.recorder.put(self._ledger.probe)

    def _leave(self, flights: Flights, first: int, last: int) -> list[Write]:
        """Their row is committed; returns the counter row that closes the law, if none is left."""
        with self._lock:
            flights.settle(first, last)
            left = flights.open()
        if left or not flights.open_told:
            return []
        return [lambda: self._write_counter(flights)]

    def _write_counter(self, flights: Flights) -> None:
        with self._lock:  # one moment: a number in only one of both would break the law
            unsettled, counter = flights.numbers(), flights.counter
            line = self._line.counters if flights is self.current else None  # it counted anew
        self._ledger.counter(self._rows.counter(flights.epoch, counter, line), unsettled)
        self._told_line, self._told_s = line, time.monotonic()
        with self._lock:
            flights.open_told = sum(len(numbers) for numbers in unsettled)

    def _of(self, epoch: int) -> Flights:
        """The flights of an epoch; one that is all settled starts empty again."""
        with self._lock:
            return self._epochs.setdefault(epoch, Flights(epoch, 0))
