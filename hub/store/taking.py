"""A batch on its way through the ingest transaction: read, packed and counted row by row.

Part of hub/store/rows.py. While the server stores the rows that were sent, the next are read, and
counted in the laws that were asked for before; the rest is counted once the connection is free.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from edge.mqtt.message import PartRow, TagRow
from hub.figures import Figure
from hub.intake import Bad, Good, Intake, Place
from hub.store import copied, session
from hub.store.packed import PartPacker
from hub.store.session import Connection
from hub.tally import Law, Tally


@dataclass(slots=True)
class Work:
    """One batch under way in a transaction."""

    place: Place
    stream: str
    intake: Intake
    laws: "Laws"
    tally: Tally
    family: str | None  # root of the streams that share its past, if there are others
    others: list[copied.Values] = field(default_factory=list)
    bad: list[copied.Values] = field(default_factory=list)
    parts: int = 0
    later: list[Good | Bad] = field(default_factory=list)
    """Rows that cannot be counted during the COPY, as their law or tag must be asked for first: all
    rows of that law, so they stay in order."""

    def packed(self) -> Iterator[bytes]:
        """The part rows, each as it is read and counted; the others for their own tables aside."""
        packer, tally, later = PartPacker(self.place, self.stream), self.tally, self.later
        asked: tuple[str, int] | None = None  # where the last part counted: most count there
        for row in self.intake.reading():
            if type(row) is Bad:
                self.bad.append(copied.of_bad(self.place, self.stream, row))
            elif isinstance(part := row.row, PartRow):
                self.parts += 1
                where = (part.station, part.epoch)
                if where == asked or self.laws.has_asked(row):
                    asked = where
                    tally.add(row)
                else:
                    later.append(row)
                yield packer.pack(row, part)
                continue
            else:
                self.others.append(copied.of_other(self.place, self.stream, row, part))
            asks = type(row) is Good and isinstance(row.row, TagRow)
            if asks or not self.laws.has_asked(row):
                later.append(row)
            else:
                tally.add(row)

    @property
    def stored(self) -> int:
        """Rows that are no poison."""
        return self.parts + len(self.others)


class Laws(dict[tuple[str, int], Law]):
    """The laws of a stream, read from the store before a row is counted in them."""

    def __init__(self, connection: Connection, stream: str) -> None:
        self._connection, self._stream = connection, stream
        self._asked: set[tuple[str | None, int | None]] = set()

    def has_asked(self, row: Good | Bad) -> bool:
        """True if counting this row asks the store nothing."""
        where = row if type(row) is Bad else row.row
        return (where.station, where.epoch) in self._asked

    def ask(self, station: str, epoch: int) -> None:
        """Know the law of this epoch, if the store does."""
        self._asked.add((station, epoch))
        wanted = [{"stream": self._stream, "station": station, "epoch": epoch}]
        for found in session.rows(
            self._connection, "laws_of", wanted=msgspec.json.encode(wanted).decode()
        ):
            self[station, epoch] = Law(**{name: found[name] for name in Law.__slots__})

    def __missing__(self, key: tuple[str, int]) -> Law:
        if key not in self._asked:
            self.ask(*key)
            if key in self:
                return self[key]
        raise KeyError(key)


class Tags(dict[tuple[str, str], Figure]):
    """The tags of a stream, read from the store when a row first names them."""

    def __init__(self, connection: Connection, stream: str) -> None:
        self._connection, self._stream = connection, stream

    def __missing__(self, key: tuple[str, str]) -> Figure:
        station, tag = key
        found = session.rows(
            self._connection, "tag_of", stream=self._stream, station=station, tag=tag
        )
        if not found:
            raise KeyError(key)
        figure = self[key] = Figure(**found[0])
        return figure
