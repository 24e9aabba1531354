"""Parts between their trigger and their closed row: one registry per station. No IO.

A number enters when the bus reports it and leaves when its row is committed; what is inside is
exactly what a counter row calls `open`. Guard it with one lock together with the ledger calls it
mirrors.
"""

from dataclasses import dataclass

from edge.mqtt.message import PartRow
from edge.terms import Trigger


@dataclass(slots=True)
class Flight:
    """One part on its way."""

    trigger: Trigger
    deadline_s: float
    row: PartRow | None = None  # its computed row, once that is on disk
    expired: bool = False  # its deadline passed without an echo
    closing: bool = False  # its closed row is on the way to disk


class Flights:
    """The unsettled numbers of one epoch; `counter` is the PLC's count as far as it is known."""

    def __init__(self, epoch: int, base: int) -> None:
        self.epoch = epoch
        self.base = base
        self.counter = base
        self.open_told = 0  # `open` in this epoch's last counter row
        self._judging: dict[int, Flight] = {}
        # missed or bypassed numbers whose row is not yet on disk: disjoint, none touches another
        self._passing: list[range] = []

    def start(self, flight: Flight) -> None:
        """The PLC triggered a part that will be judged."""
        number = flight.trigger.part.number
        self._judging[number] = flight
        self.counter = max(self.counter, number)

    def pass_by(self, first: int, last: int) -> None:
        """Numbers that will get a missed or bypassed row, also ones that were to be judged."""
        self.settle(first, last)
        joined, apart = range(first, last + 1), []
        for one in self._passing:
            if one.stop == joined.start or one.start == joined.stop:
                joined = range(min(one.start, joined.start), max(one.stop, joined.stop))
            else:
                apart.append(one)
        self._passing = [*apart, joined]
        self.counter = max(self.counter, last)

    def get(self, number: int) -> Flight | None:
        """The part's flight, or None if it is not (any more) on its way."""
        return self._judging.get(number)

    def settle(self, first: int, last: int) -> None:
        """The rows of first..last are committed."""
        for number in [number for number in self._judging if first <= number <= last]:
            del self._judging[number]
        below = [range(one.start, min(one.stop, first)) for one in self._passing]
        above = [range(max(one.start, last + 1), one.stop) for one in self._passing]
        self._passing = [one for one in (*below, *above) if one]

    def alone(self, number: int) -> bool:
        """Is no other part between its trigger and its verdict?"""
        return all(n == number or flight.row is not None for n, flight in self._judging.items())

    def judging(self) -> int:
        """Parts triggered whose verdict is not yet on disk."""
        return sum(not flight.row is not None for flight in self._judging.values())

    def overdue(self, now_s: float) -> bool:
        """Has a part passed its deadline without a row on disk?"""
        return any(f.row is None and now_s > f.deadline_s for f in self._judging.values())

    def numbers(self) -> list[range]:
        """Every unsettled number, as disjoint ranges in order: a gap may be millions long."""
        judging = [range(number, number + 1) for number in self._judging]
        return sorted([*judging, *self._passing], key=lambda numbers: numbers.start)

    def open(self) -> int:
        """How many numbers are unsettled."""
        return len(self._judging) + sum(len(numbers) for numbers in self._passing)
