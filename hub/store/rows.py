"""The ingest transaction: rows, sums, law and cursor together or not at all.

The cursor row of the stream is locked first, so any number of ingest workers may be given batches
of one stream in any order. Batches of several nodes may share a transaction and its fsync; their
cursors are locked in one order, so that two workers never wait for each other. Rows go in by binary
COPY. Every public function is one transaction; the answer to the node, and what pages are told,
are published only after it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from edge.mqtt.message import Ack, Batch, Birth, Notice, PartRow, State, TagRow
from hub.errors import RegistryError
from hub.figures import Figure, Figures
from hub.intake import LAST_MS, NOTHING_TOLD, Bad, Good, Intake, Place, Told, examine
from hub.moments import moment
from hub.store import branches, copied, cursors, session, sums
from hub.store.copied import clean
from hub.store.session import Connection, converted
from hub.tally import Law, Tally


@dataclass(frozen=True, slots=True)
class Born:
    """The answer to a birth: `new` = a stream never seen, `lost` = rows nobody holds any more.

    `follows`: the stream of which this new one is a branch: its disk was restored or copied.
    """

    ack: Ack
    new: bool
    lost: int
    follows: str | None = None


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
    family: str | None  # root of the streams that share its past, if there are others
    tally: Tally = field(default_factory=lambda: Tally({}))


def born(connection: Connection, place: Place, birth: Birth) -> Born:
    """Know the stream (a new one starts at its `next`) and say where to go on from.

    Rows that the node no longer holds and the hub never got become a declared gap, never silence.

    Raises:
        RegistryError: the node is not registered, or the stream belongs to another one.
        StoreError: nothing was committed.
    """
    with converted("birth"), connection.transaction():
        _registered(connection, place)
        cursor = cursors.locked(
            connection, place, birth.stream, birth.next, birth.follows, birth.begins
        )
        following, digest, lost = cursor.next, cursor.hash, cursor.lost
        compared = cursors.compared(connection, birth, cursor)
        if following < birth.next:
            lost = birth.next - following
            cursors.declare_gap(connection, birth.stream, following, birth.next - 1)
            cursors.moved(connection, birth.stream, birth.next, None, Tally({}))
            following, digest = birth.next, None
    digest = _told(following, digest)
    ack = Ack(v=1, stream=birth.stream, next=following, hash=digest, compared=compared)
    return Born(ack, cursor.new, lost, cursor.follows)


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
                _registered(connection, place)
                cursor = cursors.locked(connection, place, batch.stream, batch.first, born=False)
            except RegistryError as wrong:
                outcomes[place.node] = wrong
                continue
            intake = examine(batch, cursor.next, cursor.hash, condemned, cursor.arrival)
            works.append(
                _Work(place, batch.stream, intake, cursor.root if cursor.branched else None)
            )
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
    found = session.rows(
        connection, "node_may_write", node=place.node, plant=place.plant, line=place.line
    )
    if not found:
        raise RegistryError(
            f"node {place.node} of {place.plant}/{place.line} is not registered or was revoked"
        )


def _store(connection: Connection, works: list[_Work]) -> None:
    """Rows, sums and cursors of batches that have new rows."""
    if not works:
        return
    branched = [work for work in works if work.family is not None]
    branches.alone(connection, {work.family for work in branched if work.family is not None})
    for work in branched:
        _ = work.intake.rows  # read to the end: rows may be set aside
    _laws(connection, branched)
    for work in branched:
        branches.count_once(connection, work.place.node, work.stream, work.intake, work.tally)
    others: list[copied.Values] = []
    bad: list[copied.Values] = []
    parts = _columns(works, others, bad)
    first = next(parts, None)
    if first is not None:  # the rest is read while the server stores it
        copied.copy(connection, "part", copied.PART, chain((first,), parts))
    if others:
        copied.copy(connection, "ledger_row", copied.OTHER, others)
    if bad:
        copied.copy(connection, "quarantine", copied.QUARANTINE, bad)
    works = [work for work in works if work.intake.read]
    _laws(connection, [work for work in works if work.family is None])
    _figures(connection, works)
    for work in works:
        for row in work.intake.read:
            work.tally.add(row)
    with connection.pipeline():
        for work in works:
            sums.add(connection, work.place, work.stream, work.tally)
            cursors.moved(connection, work.stream, work.intake.next, work.intake.hash, work.tally)


def _columns(
    works: list[_Work], others: list[copied.Values], bad: list[copied.Values]
) -> Iterator[copied.Values]:
    """The part rows as they are read; the others are put aside for their own tables."""
    for work in works:
        place, stream = work.place, work.stream
        for row in chain(tuple(work.intake.read), work.intake.reading()):
            if isinstance(row, Bad):
                bad.append(copied.of_bad(place, stream, row))
            elif isinstance(row.row, PartRow):
                yield copied.of_part(place, stream, row, row.row)
            else:
                others.append(copied.of_other(place, stream, row, row.row))


def _became(work: _Work) -> Taken:
    intake, tally = work.intake, work.tally
    good = [row for row in intake.read if isinstance(row, Good)]
    stations = frozenset(row.row.station for row in good)
    return Taken(
        ack=Ack(
            v=1,
            stream=work.stream,
            next=intake.next,
            hash=_told(intake.next, intake.hash),
            refused=_short(intake.refused),
        ),
        stored=len(good),
        duplicates=intake.duplicates,
        quarantined=len(intake.read) - len(good),
        parts=sum(isinstance(row.row, PartRow) for row in good),
        misplaced=tally.misplaced,
        told=Told(stations, len(intake.read), tally.not_ok, len(tally.alerts)),
    )


def _laws(connection: Connection, works: list[_Work]) -> None:
    """Give each tally the laws that its rows touch, as stored (locked by the cursor)."""
    asked = [
        {"stream": work.stream, "station": station, "epoch": epoch}
        for work in works
        for station, epoch in filter(None, {_epoch_of(row) for row in work.intake.read})
    ]
    tallies = {work.stream: work.tally for work in works}
    for row in session.rows(connection, "laws_of", wanted=_json(asked)):
        law = Law(**{name: row[name] for name in Law.__slots__})
        tallies[row["stream"]].laws[law.station, law.epoch] = law


def _figures(connection: Connection, works: list[_Work]) -> None:
    """Give each tally the tags that its rows name, as stored."""
    for work in works:
        named = {
            (row.row.station, row.row.name)
            for row in work.intake.read
            if isinstance(row, Good) and isinstance(row.row, TagRow)
        }
        known: dict[tuple[str, str], Figure] = {}
        for station, name in named:
            for found in session.rows(
                connection, "tag_of", stream=work.stream, station=station, tag=name
            ):
                known[station, name] = Figure(**found)
        work.tally.figures = Figures(known)


def _epoch_of(row: Good | Bad) -> tuple[str, int] | None:
    if isinstance(row, Good):
        return row.row.station, row.row.epoch
    return None if row.station is None or row.epoch is None else (row.station, row.epoch)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _notify(connection: Connection, place: Place, **told: Any) -> None:
    tell(connection, [told | {"plant": place.plant, "line": place.line, "node": place.node}])


def _told(following: int, digest: str | None) -> str | None:
    """The hash of the last row stored, as an acknowledgement tells it: none before row 1."""
    return digest if following > 1 else None


def _short(text: str | None) -> str | None:
    return None if text is None else text[:200]
