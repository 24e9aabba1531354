"""What a station has on its way, over epochs, threads and restarts: edge.settling."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from edge import settling
from edge.flights import Flight, Flights
from edge.line import Line as AnyLine
from edge.mqtt.message import GENESIS, AnyRow, CounterRow, MissedRow, PartRow
from edge.outbox import Outbox
from edge.plc.blocks import LineCounters
from edge.rows import Rows
from edge.settling import Settling
from edge.terms import Code, Mode, Part, Reason, Trigger
from tests.ledger_rows import STATION, counter_row, drain, epoch_row, missed_row, part_row

LINE = LineCounters(good=3, rejected=2, reject_confirmed=2, bypassed=0, reject_faults=0)


class Line:
    """A PLC that has only counted since its restart."""

    counters = LINE


class Waylaid(Flights):
    """Lets another thread act at the worst moment, once, for as long as that can take."""

    in_open: Callable[[], object] | None = None
    before_counter: Callable[[], object] | None = None  # as the recorder reads it
    _counter = 0

    @property
    def counter(self) -> int:
        act = Waylaid.before_counter
        if act is not None and "record" in threading.current_thread().name:
            Waylaid.before_counter = None
            let_in(act)
        return self._counter

    @counter.setter
    def counter(self, value: int) -> None:
        self._counter = value

    def open(self) -> int:
        found = super().open()
        act, Waylaid.in_open = Waylaid.in_open, None
        if act is not None:
            let_in(act)
        return found


def let_in(act: Callable[[], object]) -> None:
    done = threading.Event()

    def other() -> None:
        act()
        done.set()

    threading.Thread(target=other).start()
    done.wait(0.3)


@contextmanager
def settling_on(ledger: Outbox) -> Iterator[Settling]:
    """One station's unsettled parts; at the end all that was put is on disk."""
    found = Settling(STATION, ledger, Rows(STATION), cast(AnyLine, Line()), lambda *_: [])
    try:
        yield found
    finally:
        found.recorder.start()
        found.recorder.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "ledger.db", ballast_bytes=4096)
    yield outbox
    outbox.close()


def flight(number: int, epoch: int = 1) -> Flight:
    return Flight(Trigger(Part(STATION, epoch, number), 0.0, 0.0, Mode.AUTO, 1), 1e12)


def written(ledger: Outbox) -> list[AnyRow]:
    return drain(ledger, GENESIS)[0]


def last_counter(ledger: Outbox, epoch: int) -> CounterRow:
    rows = [row for row in written(ledger) if isinstance(row, CounterRow) and row.epoch == epoch]
    return rows[-1]


def test_what_a_node_left_in_two_epochs_is_settled_under_each_of_its_own(ledger: Outbox) -> None:
    """The PLC restarts with part 1000 under judgement and 991..999 unrecorded; the node dies."""
    ledger.append(epoch_row(1), missed_row(1, 990))
    ledger.counter(counter_row(989))
    ledger.open(part_row(1000))
    ledger.append(epoch_row(2))
    ledger.open(part_row(1000, epoch=2))  # the same number, of another epoch
    ledger.append(missed_row(1, 5, epoch=2), missed_row(7, 999, epoch=2))
    with settling_on(ledger) as found:
        assert sorted(found.leftover) == [(1, 1000), (2, 1000)]
        assert found.gaps == [(1, 991, 999), (2, 6, 6)]
        assert (found.current.epoch, found.current.numbers()) == (
            2,
            [range(6, 7), range(1000, 1001)],
        )
        for epoch, first, last in found.gaps:
            found.pass_by(missed_row(first, last, epoch))
        for row in found.leftover.values():
            found.close(row, Code.UNDECIDED, Reason.UNCONFIRMED, None)
        assert found.sample(2, 1000) == 1000
    for epoch in (1, 2):
        totals, told = ledger.totals(STATION, epoch), last_counter(ledger, epoch)
        assert (told.counter, told.open) == (1000, 0)
        assert totals.triggers == totals.settled == 1000
    assert (last_counter(ledger, 1).good, last_counter(ledger, 2).good) == (None, 3)


def test_parts_of_an_older_epoch_do_not_raise_the_counter_of_the_newest(ledger: Outbox) -> None:
    ledger.append(epoch_row(1), missed_row(1, 999))
    ledger.open(part_row(1000))
    ledger.append(epoch_row(2))
    with settling_on(ledger) as found:
        assert found.sample(2, 5) == 5
    assert last_counter(ledger, 2).counter == 5


def test_an_epoch_that_ends_with_a_part_under_judgement_closes_its_own_law(ledger: Outbox) -> None:
    ledger.append(epoch_row(1))
    with settling_on(ledger) as found:
        found.start(flight(1))
        row = part_row(1)
        ledger.open(row)
        found.open_epoch(2, 0)
        found.append(epoch_row(2))
        found.close(row, Code.OK, None, 80)
    assert (last_counter(ledger, 1).counter, last_counter(ledger, 1).open) == (1, 0)
    kinds = [type(row) for row in written(ledger)]
    assert kinds.count(PartRow) == 1
    assert MissedRow not in kinds


def test_the_next_run_closes_the_law_of_an_epoch_that_the_last_one_left_untold(
    ledger: Outbox,
) -> None:
    """A node dies between the last row of an epoch that is over and the counter row after it."""
    ledger.append(epoch_row(1), missed_row(1, 4))
    ledger.open(part_row(5))
    ledger.counter(counter_row(5))
    ledger.append(epoch_row(2), missed_row(1, 3, epoch=2))
    ledger.close_part(STATION, 1, 5, Code.UNDECIDED, Reason.UNCONFIRMED, None)
    assert last_counter(ledger, 1).open == 1
    with settling_on(ledger):
        pass
    assert (last_counter(ledger, 1).counter, last_counter(ledger, 1).open) == (5, 0)
    rows = len(written(ledger))
    with settling_on(ledger):  # once is enough; the newest is read from the PLC
        pass
    assert len(written(ledger)) == rows


def test_a_part_that_starts_while_the_counter_is_written_is_counted_in_both_or_none(
    ledger: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "Flights", Waylaid)
    ledger.append(epoch_row(1), missed_row(1, 4))
    with settling_on(ledger) as found:
        found.sample(1, 4)
        Waylaid.before_counter = lambda: found.start(flight(5))
    told = last_counter(ledger, 1)
    assert told.counter == 4 + told.open


def test_an_epoch_may_open_while_another_thread_asks_for_one(
    ledger: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "Flights", Waylaid)
    ledger.append(epoch_row(1))
    with settling_on(ledger) as found:
        Waylaid.in_open = lambda: found.sample(9, 1)
        found.open_epoch(2, 0)
        assert found.current.epoch == 2
