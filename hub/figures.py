"""Line data of a batch: the newest figure of each tag, what its counts grew, how the line stands.

No IO. As with the laws, a `Figures` is fed the rows in order, together with the tags as they stood.
A count that steps back (another meter, a PLC without power) grows from there on: a step back and a
change of unit or scale add nothing.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from edge.mqtt.message import LineRow, TagRow
from hub.moments import minute_of


@dataclass(slots=True)
class Figure:
    """One row of the table `tag`: a tag of one stream as it was read last."""

    station: str
    name: str
    title: str | None
    value: int | None  # as it was read last; None = it could not be
    known: int | None  # as it could be read last
    exponent: int
    unit: str
    counts: bool
    word: str | None
    fault: str | None
    at: datetime

    def then(self, row: TagRow, at: datetime) -> int:
        """Take the next row; returns what the count grew."""
        same = (row.exponent, row.unit) == (self.exponent, self.unit)
        before = self.known if same else None
        self.title, self.value, self.word, self.fault = row.title, row.value, row.word, row.fault
        self.exponent, self.unit, self.counts = row.exponent, row.unit, row.counts
        self.known = before if row.value is None else row.value
        self.at = at
        if not row.counts or row.value is None or before is None:
            return 0
        return max(0, row.value - before)


class GrowthKey(NamedTuple):
    """Where a growth stands."""

    station: str
    name: str
    exponent: int
    unit: str
    minute: datetime


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table `line_state`: how the line of a station stands, and since when."""

    station: str
    state: str
    cause: int | None
    word: str | None
    at: datetime


@dataclass(slots=True)
class Figures:
    """What one batch says of the line. `tags` must hold every tag its rows name, as stored."""

    tags: dict[tuple[str, str], Figure]
    growth: Counter[GrowthKey] = field(default_factory=Counter)
    lines: dict[str, Line] = field(default_factory=dict)

    def tag(self, row: TagRow, at: datetime) -> None:
        """One more reading, and where it stands."""
        try:
            figure = self.tags[row.station, row.name]
        except KeyError:
            figure = self.tags[row.station, row.name] = Figure(
                row.station, row.name, None, None, None, row.exponent, row.unit, row.counts, None,
                None, at,
            )  # fmt: skip
        grown = figure.then(row, at)
        if grown:
            key = GrowthKey(row.station, row.name, row.exponent, row.unit, minute_of(at))
            self.growth[key] += grown

    def line(self, row: LineRow, at: datetime) -> None:
        """The line runs or stands otherwise than before."""
        self.lines[row.station] = Line(row.station, row.state, row.cause, row.word, at)
