"""The ingest transaction: rows, sums, law and cursor together or not at all.

The cursor row of the stream is locked first, so any number of ingest workers may be given batches
of one stream in any order. Batches of several nodes may share a transaction and its fsync; their
cursors are locked in one order, so that two workers never wait for each other. Rows go in by binary
COPY. Every public function is one transaction; the answer to the node, and what pages are told,
are published only after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from edge.mqtt.message import Ack, Batch, Birth, Notice, State
from hub.errors import RegistryError
from hub.figures import Figures
from hub.intake import LAST_MS, NOTHING_TOLD, Bad, Place, Told, examine
from hub.moments import moment
from hub.store import branches, copied, cursors, session, sums
from hub.store.copied import clean
from hub.store.session import Connection, converted
from hub.store.taking import Laws, Tags, Work
from hub.tally import Tally


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


def born(connection: Connection, place: Place, birth: Birth) -> Born:
    """Know the stream (a new one starts at its `next`) and say where to go on from.

    Rows that the node no longer holds and the hub never got become a declared gap, never silence.

    Raises:
        RegistryError: the node is not registered, or the stream belongs to another one.
        StoreError: nothing was committed.
    """
    with converted("birth"), connection.transaction():
        cursor = cursors.locked(
            connection, place, birth.stream, birth.next, birth.follows, birth.begins
        )
        following, digest, lost = cursor.next, cursor.hash, cursor.lost
        compared = cursors.compared(connection, birth, cursor)
        if following < birth.next:
            lost = birth.next - following
            cursors.declare_gap(connection, birth.stream, following, birth.next - 1)
            sums.add(connection, place, birth.stream, Tally({}), sums.Moved(birth.next, None))
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
                cursor = cursors.locked(connection, place, batch.stream, batch.first, born=False)
            except RegistryError as wrong:
                outcomes[place.node] = wrong
                continue
            intake = examine(batch, cursor.next, cursor.hash, condemned, cursor.arrival)
            laws = Laws(connection, batch.stream)
            tally = Tally(laws, Figures(Tags(connection, batch.stream)))
            family = cursor.root if cursor.branched else None
            works.append(Work(place, batch.stream, intake, laws, tally, family))
        _store(connection, [work for work in works if work.intake.new])
    outcomes |= {work.place.node: _became(work) for work in works}
    return [outcomes[place.node] for place, _ in batches]


def heard(connection: Connection, place: Place, state: State, retained: bool) -> None:
    """Keep the node's newest State; a retained one was true when it was said, not now.

    Raises:
        RegistryError, StoreError: as `born`.
    """
    with converted("state"), connection.transaction():
        cursors.registered(connection, place)
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
        cursors.registered(connection, place)
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


def _store(connection: Connection, works: list[Work]) -> None:
    """Rows, sums and cursors of batches that have new rows."""
    if not works:
        return
    _count_branches_once(connection, [work for work in works if work.family is not None])
    for work in works:
        for station, epoch in work.intake.epochs():
            work.laws.ask(station, epoch)
    copied.copy_parts(connection, chain.from_iterable(work.packed() for work in works))
    copied.copy(connection, "ledger_row", copied.OTHER, [v for work in works for v in work.others])
    copied.copy(connection, "quarantine", copied.QUARANTINE, [v for w in works for v in w.bad])
    for work in works:
        for row in work.later:
            work.tally.add(row)
        if work.stored or work.bad:
            moved = sums.Moved(work.intake.next, work.intake.hash)
            sums.add(connection, work.place, work.stream, work.tally, moved)


def _count_branches_once(connection: Connection, works: list[Work]) -> None:
    """Rows of streams that share a past are all read before: some may be set aside."""
    branches.alone(connection, {work.family for work in works if work.family is not None})
    for work in works:
        for row in work.intake.rows:
            if not work.laws.has_asked(row):
                where = row if type(row) is Bad else row.row
                if where.station is not None and where.epoch is not None:
                    work.laws.ask(where.station, where.epoch)
        branches.count_once(connection, work.place.node, work.stream, work.intake, work.tally)


def _became(work: Work) -> Taken:
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
