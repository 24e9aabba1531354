"""The ingest transaction: rows, sums, law and cursor together or not at all.

The cursor row of the stream is locked first, so any number of ingest workers may be given batches
of one stream in any order. Rows go in by binary COPY. Every public function is one transaction; the
answer to the node is published only after it.
"""

import json
from dataclasses import dataclass
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from edge.mqtt.message import (
    Ack,
    Batch,
    Birth,
    Notice,
    PartRow,
    Row,
    State,
    TagRow,
)
from hub.errors import RegistryError
from hub.figures import Figure, Figures
from hub.intake import LAST_MS, Bad, Good, Intake, Place, examine
from hub.moments import moment
from hub.store import branches, cursors, session, sums
from hub.store.session import Connection, converted
from hub.tally import Law, Tally

CHANNEL = "qj_line"

_PART = (
    ("stream", "text"), ("seq", "int8"), ("at", "timestamptz"), ("plant", "text"),
    ("line", "text"), ("node", "text"), ("station", "text"), ("epoch", "int8"),
    ("number", "int8"), ("code", "int2"), ("reason", "text"), ("computed", "int2"),
    ("computed_reason", "text"), ("defect", "text"), ("score", "int4"), ("mode", "text"),
    ("recipe", "text"), ("model", "text"), ("trust", "text"), ("product", "text"),
    ("batch", "text"), ("serial", "text"), ("inspect_ms", "int8"), ("latency_ms", "int8"),
    ("views", "jsonb"), ("hash", "text"), ("raw", "bytea"),
)  # fmt: skip
_OTHER = (
    ("stream", "text"), ("seq", "int8"), ("at", "timestamptz"), ("plant", "text"),
    ("line", "text"), ("node", "text"), ("kind", "text"), ("station", "text"),
    ("epoch", "int8"), ("body", "jsonb"), ("hash", "text"), ("raw", "bytea"),
)  # fmt: skip
_QUARANTINE = (
    ("stream", "text"), ("seq", "int8"), ("node", "text"), ("station", "text"),
    ("epoch", "int8"), ("parts", "int8"), ("reason", "text"), ("hash", "text"), ("raw", "bytea"),
    ("elsewhere", "int8"), ("first_number", "int8"), ("last_number", "int8"),
)  # fmt: skip


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
            cursors.moved(connection, birth.stream, birth.next, None)
            following, digest = birth.next, None
    ack = Ack(
        v=1,
        stream=birth.stream,
        next=following,
        hash=_told(following, digest),
        compared=compared,
    )
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
    with converted("batch"), connection.transaction():
        _registered(connection, place)
        cursor = cursors.locked(connection, place, batch.stream, batch.first)
        intake = examine(batch, cursor.next, cursor.hash, condemned)
        if cursor.branched:
            branches.alone(connection, cursor.root)
        tally = _tallied(connection, place, batch.stream, cursor, intake)
        if intake.rows:
            _store(connection, place, batch.stream, intake)
            sums.add(connection, place, batch.stream, tally)
            cursors.moved(connection, batch.stream, intake.next, intake.hash)
            _tell(connection, place, intake, tally)
    good = [row for row in intake.rows if isinstance(row, Good)]
    return Taken(
        ack=Ack(
            v=1,
            stream=batch.stream,
            next=intake.next,
            hash=_told(intake.next, intake.hash),
            refused=_short(intake.refused),
        ),
        stored=len(good),
        duplicates=intake.duplicates,
        quarantined=len(intake.rows) - len(good),
        parts=sum(isinstance(row.row, PartRow) for row in good),
    )


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


def refuse(connection: Connection, topic: str, reason: str, payload: bytes) -> None:
    """Keep the beginning of a message that was not taken, for a person to look at."""
    with converted("refused"), connection.transaction():
        session.rows(
            connection,
            "refused_kept",
            topic=_clean(topic),
            reason=_clean(reason)[:500],
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


def _tallied(
    connection: Connection, place: Place, stream: str, cursor: cursors.Cursor, intake: Intake
) -> Tally:
    """The sums of the new rows, on top of the laws as stored (locked by the cursor)."""
    touched = {_epoch_of(row) for row in intake.rows} - {None}
    laws: dict[tuple[str, int], Law] = {}
    for station, epoch in filter(None, touched):
        found = session.rows(connection, "law_of", stream=stream, station=station, epoch=epoch)
        if found:
            laws[station, epoch] = Law(**found[0])
    if cursor.branched:
        branches.count_once(connection, place.node, stream, intake, laws)
    tally = Tally(laws, Figures(_figures(connection, stream, intake)))
    for row in intake.rows:
        tally.add(row)
    return tally


def _figures(connection: Connection, stream: str, intake: Intake) -> dict[tuple[str, str], Figure]:
    """The tags that the new rows name, as stored."""
    named = {
        (row.row.station, row.row.name)
        for row in intake.rows
        if isinstance(row, Good) and isinstance(row.row, TagRow)
    }
    known: dict[tuple[str, str], Figure] = {}
    for station, name in named:
        found = session.rows(connection, "tag_of", stream=stream, station=station, tag=name)
        if found:
            known[station, name] = Figure(**found[0])
    return known


def _epoch_of(row: Good | Bad) -> tuple[str, int] | None:
    if isinstance(row, Good):
        return row.row.station, row.row.epoch
    return None if row.station is None or row.epoch is None else (row.station, row.epoch)


def _store(connection: Connection, place: Place, stream: str, intake: Intake) -> None:
    parts: list[tuple[Any, ...]] = []
    others: list[tuple[Any, ...]] = []
    bad: list[tuple[Any, ...]] = []
    for row in intake.rows:
        if isinstance(row, Bad):
            reason = _clean(row.reason)[:500]
            where = (stream, row.seq, place.node, row.station, row.epoch, row.parts)
            first, last = row.numbers or (None, None)
            bad.append((*where, reason, row.hash, row.raw, row.elsewhere, first, last))
        elif isinstance(row.row, PartRow):
            parts.append(_part_columns(place, stream, row, row.row))
        else:
            others.append(_other_columns(place, stream, row, row.row))
    _copy(connection, "part", _PART, parts)
    _copy(connection, "ledger_row", _OTHER, others)
    _copy(connection, "quarantine", _QUARANTINE, bad)


def _part_columns(place: Place, stream: str, good: Good, row: PartRow) -> tuple[Any, ...]:
    return (
        stream, good.seq, moment(row.at_ms), place.plant, place.line, place.node, row.station,
        row.epoch, row.number, int(row.code), row.reason and row.reason.value, int(row.computed),
        row.computed_reason and row.computed_reason.value, row.defect, row.score, row.mode.value,
        row.recipe, row.model, row.trust, row.product, row.batch, row.serial, row.inspect_ms,
        row.latency_ms, Jsonb(row.views, dumps=msgspec.json.encode), good.hash, good.raw,
    )  # fmt: skip


def _other_columns(place: Place, stream: str, good: Good, row: Row) -> tuple[Any, ...]:
    kind = str(type(row).__struct_config__.tag)
    return (
        stream, good.seq, moment(row.at_ms), place.plant, place.line, place.node, kind,
        row.station, row.epoch, Jsonb(row, dumps=msgspec.json.encode), good.hash, good.raw,
    )  # fmt: skip


def _copy(
    connection: Connection,
    table: str,
    columns: tuple[tuple[str, str], ...],
    rows: list[tuple[Any, ...]],
) -> None:
    if not rows:
        return
    names = ", ".join(name for name, _ in columns)
    statement = f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        copy.set_types([kind for _, kind in columns])
        for row in rows:
            copy.write_row(row)


def _tell(connection: Connection, place: Place, intake: Intake, tally: Tally) -> None:
    stations = {row.row.station for row in intake.rows if isinstance(row, Good)}
    _notify(
        connection,
        place,
        kind="rows",
        stations=sorted(stations)[:32],
        rows=len(intake.rows),
        not_ok=tally.not_ok,
        alerts=len(tally.alerts),
    )


def _notify(connection: Connection, place: Place, **told: Any) -> None:
    told |= {"plant": place.plant, "line": place.line, "node": place.node}
    payload = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))


def _told(following: int, digest: str | None) -> str | None:
    """The hash of the last row stored, as an acknowledgement tells it: none before row 1."""
    return digest if following > 1 else None


def _clean(text: str) -> str:
    """Text as PostgreSQL can store it."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode("utf-8")


def _short(text: str | None) -> str | None:
    return None if text is None else text[:200]
