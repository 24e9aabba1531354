"""The ingest transaction: rows, sums, law and cursor together or not at all.

The cursor row of the stream is locked first, so any number of ingest workers may be given batches
of one stream in any order. Batches of several nodes may share a transaction and its fsync; their
cursors are locked in one order, so that two workers never wait for each other. Rows go in by binary
COPY. Every public function is one transaction; the answer to the node, and what pages are told,
are published only after it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from edge.mqtt.message import GENESIS, Ack, Batch, Birth, Notice, PartRow, State, TagRow
from hub.errors import RegistryError
from hub.figures import Figure, Figures
from hub.intake import LAST_MS, NOTHING_TOLD, Arrival, Bad, Good, Intake, Place, Told, examine
from hub.moments import milliseconds, moment
from hub.store import copied, session, sums
from hub.store.copied import clean
from hub.store.packed import PartPacker
from hub.store.session import Connection, converted
from hub.tally import Law, Tally


@dataclass(frozen=True, slots=True)
class Born:
    """The answer to a birth: `new` = a stream never seen, `lost` = rows nobody holds any more."""

    ack: Ack
    new: bool
    lost: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a stream stands; `hash` is None right after a declared gap."""

    next: int
    hash: str | None
    arrival: Arrival
    new: bool = False
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch, once committed."""

    ack: Ack
    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0
    parts: int = 0
    misplaced: int = 0
    told: Told = NOTHING_TOLD


@dataclass(slots=True)
class _Work:
    """One batch under way in a transaction."""

    place: Place
    stream: str
    intake: Intake
    laws: "_Laws"
    tally: Tally
    others: list[copied.Values] = field(default_factory=list)
    bad: list[copied.Values] = field(default_factory=list)
    parts: int = 0
    later: list[Good | Bad] = field(default_factory=list)
    """Rows that cannot be counted during the COPY, as their law or tag must be asked for first,
    and those after them in the same law."""

    def packed(self) -> Iterator[bytes]:
        """The part rows, each as it is read and counted; the others for their own tables aside."""
        packer, tally, later = PartPacker(self.place, self.stream), self.tally, self.later
        waits = False
        for row in self.intake.reading():
            if type(row) is Good and isinstance(row.row, TagRow):
                later.append(row)
            elif waits or not self.laws.has_asked(row):
                waits = True
                later.append(row)
            else:
                tally.add(row)
            if type(row) is Bad:
                self.bad.append(copied.of_bad(self.place, self.stream, row))
            elif isinstance(row.row, PartRow):
                self.parts += 1
                yield packer.pack(row, row.row)
            else:
                self.others.append(copied.of_other(self.place, self.stream, row, row.row))

    @property
    def stored(self) -> int:
        """Rows that are no poison."""
        return self.parts + len(self.others)


def born(connection: Connection, place: Place, birth: Birth) -> Born:
    """Know the stream (a new one starts at its `next`) and say where to go on from.

    Rows that the node no longer holds and the hub never got become a declared gap, never silence.

    Raises:
        RegistryError: the node is not registered, or the stream belongs to another one.
        StoreError: nothing was committed.
    """
    with converted("birth"), connection.transaction():
        cursor = _cursor(connection, place, birth.stream, birth.next)
        following, digest, lost = cursor.next, cursor.hash, cursor.lost
        if following < birth.next:
            lost = birth.next - following
            _declare_gap(connection, birth.stream, following, birth.next - 1)
            sums.move(connection, birth.stream, sums.Moved(birth.next, None))
            following, digest = birth.next, None
    ack = Ack(v=1, stream=birth.stream, next=following, hash=_told(following, digest))
    return Born(ack, cursor.new, lost)


def taken(
    connection: Connection, place: Place, batch: Batch, condemned: str | None = None
) -> Taken:
    """Store what is new of a batch, in one transaction.

    Args:
        condemned: a reason for which every new row goes to quarantine (see `examine`).

    Raises:
        RegistryError: as `born`.
        StoreError, StatementError: nothing was committed.
    """
    [outcome] = taken_many(connection, [(place, batch)], condemned)
    if isinstance(outcome, RegistryError):
        raise outcome
    return outcome


def taken_many(
    connection: Connection,
    batches: Sequence[tuple[Place, Batch]],
    condemned: str | None = None,
) -> list[Taken | RegistryError]:
    """Store what is new of batches of different nodes, in one transaction, all of them or none.

    Returns:
        In the order of `batches`: what became of each, or why its node may not write. That one
        stores nothing and does not keep the others from being stored.

    Raises:
        StoreError, StatementError: nothing was committed.
    """
    assert len({place.node for place, _ in batches}) == len(batches), "one batch of each node"
    outcomes: dict[str, Taken | RegistryError] = {}
    with converted("batch"), connection.transaction():
        works = []
        for place, batch in sorted(batches, key=lambda one: one[1].stream):
            try:
                cursor = _cursor(connection, place, batch.stream, batch.first)
            except RegistryError as wrong:
                outcomes[place.node] = wrong
                continue
            intake = examine(batch, cursor.next, cursor.hash, condemned, cursor.arrival)
            laws = _Laws(connection, batch.stream)
            tally = Tally(laws, Figures(_Tags(connection, batch.stream)))
            works.append(_Work(place, batch.stream, intake, laws, tally))
        _store(connection, [work for work in works if work.intake.new])
    outcomes |= {work.place.node: _became(work) for work in works}
    return [outcomes[place.node] for place, _ in batches]


def heard(connection: Connection, place: Place, state: State, retained: bool) -> None:
    """Keep the node's newest State; a retained one was true when it was said, not now.

    Raises:
        RegistryError, StoreError: as `born`.
    """
    with converted("state"), connection.transaction():
        _registered(connection, place)
        session.rows(
            connection,
            "state_heard",
            node=place.node,
            online=state.online,
            stream=state.stream,
            waiting=state.waiting,
            at=moment(min(state.at_ms, LAST_MS)),
            retained=retained,
            stations=Jsonb(state.stations, dumps=msgspec.json.encode),
        )
        if state.online and not retained:
            session.rows(
                connection, "seen_now", node=place.node, plant=place.plant, line=place.line
            )
        _notify(connection, place, kind="state")


def noticed(connection: Connection, place: Place, notice: Notice) -> None:
    """Show a not-OK part at once; it is counted when its row comes.

    Raises:
        RegistryError, StoreError: as `born`.
    """
    with converted("notice"), connection.transaction():
        _registered(connection, place)
        _notify(connection, place, kind="notice", **msgspec.to_builtins(notice))


def tell(connection: Connection, told: Sequence[dict[str, Any]]) -> None:
    """Tell the pages of batches that were committed. Not part of their transaction: NOTIFY takes
    a lock that every other writer that notifies waits for, until that commit is on disk.

    Raises:
        StoreError: the database is away.
    """
    session.rows(connection, "lines_told", payloads=[_json(one) for one in told])


def refuse(connection: Connection, topic: str, reason: str, payload: bytes) -> None:
    """Keep the beginning of a message that was not taken, for a person to look at."""
    with converted("refused"), connection.transaction():
        session.rows(
            connection,
            "refused_kept",
            topic=clean(topic),
            reason=clean(reason)[:500],
            head=payload[:4096],
        )


def _registered(connection: Connection, place: Place) -> None:
    if not session.rows(connection, "node_may_write", **asdict(place)):
        raise _stranger(place)


def _stranger(place: Place) -> RegistryError:
    return RegistryError(
        f"node {place.node} of {place.plant}/{place.line} is not registered or was revoked"
    )


def _cursor(connection: Connection, place: Place, stream: str, first: int) -> Cursor:
    """Lock the stream's cursor; a stream never seen gets one that starts at row `first`.

    Raises:
        RegistryError: the node may not write, or not into this stream; nothing was written.
    """
    where = {"stream": stream, **asdict(place)}
    found = session.rows(connection, "cursor_locked", **where)
    new = not found
    if new:
        _registered(connection, place)
        known = GENESIS if first == 1 else None
        session.rows(connection, "stream_known", **where, next=first, hash=known)
        if first > 1:
            _declare_gap(connection, stream, 1, first - 1)
        found = session.rows(connection, "cursor_locked", **where)
    row = found[0]
    if not row["may_write"]:
        raise _stranger(place)
    if row["node"] != place.node:
        raise RegistryError(f"stream {stream} belongs to node {row['node']}, not {place.node}")
    arrival = Arrival(milliseconds(row["now"]), milliseconds(row["started_at"]))
    return Cursor(row["next"], row["hash"], arrival, new, first - 1 if new else 0)


def _declare_gap(connection: Connection, stream: str, first: int, last: int) -> None:
    session.rows(connection, "gap_declared", stream=stream, first=first, last=last)


def _store(connection: Connection, works: list[_Work]) -> None:
    """Rows, sums and cursors of batches that have new rows."""
    if not works:
        return
    for work in works:
        for station, epoch in work.intake.epochs():
            work.laws.ask(station, epoch)
    parts = chain.from_iterable(work.packed() for work in works)
    first = next(parts, None)
    if first is not None:  # the rest is read while the server stores it
        copied.copy_parts(connection, chain((first,), parts))
    copied.copy(connection, "ledger_row", copied.OTHER, [v for work in works for v in work.others])
    copied.copy(connection, "quarantine", copied.QUARANTINE, [v for w in works for v in w.bad])
    for work in works:
        for row in work.later:
            work.tally.add(row)
        if work.stored or work.bad:
            moved = sums.Moved(work.intake.next, work.intake.hash)
            sums.add(connection, work.place, work.stream, work.tally, moved)


class _Laws(dict[tuple[str, int], Law]):
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
        for found in session.rows(
            self._connection, "law_of", stream=self._stream, station=station, epoch=epoch
        ):
            self[station, epoch] = Law(**found)

    def __missing__(self, key: tuple[str, int]) -> Law:
        if key not in self._asked:
            self.ask(*key)
            if key in self:
                return self[key]
        raise KeyError(key)


class _Tags(dict[tuple[str, str], Figure]):
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


def _became(work: _Work) -> Taken:
    intake, tally, quarantined = work.intake, work.tally, len(work.bad)
    return Taken(
        ack=Ack(
            v=1,
            stream=work.stream,
            next=intake.next,
            hash=_told(intake.next, intake.hash),
            refused=_short(intake.refused),
        ),
        stored=work.stored,
        duplicates=intake.duplicates,
        quarantined=quarantined,
        parts=work.parts,
        misplaced=tally.misplaced,
        told=Told(
            frozenset(tally.stations), work.stored + quarantined, tally.not_ok, len(tally.alerts)
        ),
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _notify(connection: Connection, place: Place, **told: Any) -> None:
    tell(connection, [told | {"plant": place.plant, "line": place.line, "node": place.node}])


def _told(following: int, digest: str | None) -> str | None:
    """The hash of the last row stored, as an acknowledgement tells it: none before row 1."""
    return digest if following > 1 else None


def _short(text: str | None) -> str | None:
    return None if text is None else text[:200]
