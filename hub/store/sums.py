"""Writes what a batch adds up to: laws, minutes, hours, causes, pictures, alerts, line data.

Part of the ingest transaction in hub/store/rows.py.

The rows of a table go in as one JSON text: the database takes it apart, and the columns have their
types from the table itself. What nearly every batch adds is one statement. Rows go in order of
their keys, so that two workers that add to the same minutes never wait for each other in a circle.
"""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from edge.mqtt.message import AlertRow, SealRow
from hub.figures import Figures
from hub.intake import Place
from hub.store import session
from hub.store.session import Connection
from hub.tally import Tally

_key = itemgetter(0)


class Moved(NamedTuple):
    """A cursor after the rows of a transaction."""

    next: int
    hash: str | None


def add(connection: Connection, place: Place, stream: str, tally: Tally, moved: Moved) -> None:
    """Write the sums of one batch, and the cursor after it; an empty tally moves that alone."""
    where = {"plant": place.plant, "line": place.line, "node": place.node}
    own = {**where, "stream": stream}
    minutes = sorted(tally.minutes.items(), key=_key)
    low, high = min(tally.seen, default=None), max(tally.seen, default=None)
    gone = ({**where, "sha256": sha256, "evicted_at": at} for sha256, at in tally.evicted.items())
    session.rows(
        connection,
        "batch_added",
        laws=_rows({**own, **asdict(law)} for law in tally.laws.values()),
        hours=_rows({**own, **key._asdict(), **at._asdict()} for key, at in tally.hours.items()),
        minutes=_rows({**where, **key._asdict(), **asdict(count)} for key, count in minutes),
        causes=_rows(
            {**where, **key._asdict(), "kind": kind, "label": label, "parts": parts}
            for (key, kind, label), parts in sorted(tally.causes.items())
        ),
        seen=_rows({**where, "minute": minute} for minute in sorted(tally.seen)),
        pictures=_rows({**own, **p._asdict()} for p in tally.pictures.values()),
        stream=stream,
        next=moved.next,
        hash=moved.hash,
        misplaced=tally.misplaced,
        low=low,
        high=None if high is None else high + timedelta(minutes=1),
    )
    _put(connection, "pictures_evicted", gone)
    seals = ({**own, **_seal(row), "seq": seq, "at": at} for row, seq, at in tally.seals)
    _put(connection, "seals_kept", seals)
    for row, at in tally.alerts:
        _alert(connection, where, row, at)
    _figures(connection, own, tally.figures)


def _figures(connection: Connection, own: dict[str, str], figures: Figures) -> None:
    """Tags that the batch named, the growth of counts, and how lines stand."""
    _put(connection, "tags_kept", ({**own, **asdict(tag)} for tag in figures.tags.values()))
    grown = ({**own, **key._asdict(), "grown": n} for key, n in sorted(figures.growth.items()))
    _put(connection, "growth_added", grown)
    _put(connection, "lines_kept", ({**own, **asdict(line)} for line in figures.lines.values()))


def _seal(row: SealRow) -> dict[str, Any]:
    return {
        "day": row.day,
        "sealed_stream": row.stream,
        "sealed": row.sealed,
        "head": row.head,
        "certificate": row.certificate,
        "signature": row.signature,
    }


def _alert(connection: Connection, where: dict[str, str], row: AlertRow, at: datetime) -> None:
    known = {**where, "source": "node", "station": row.station, "code": row.code, "at": at}
    if row.active:
        session.rows(connection, "alert_raised", **known, count=row.count, detail=row.detail)
    else:
        session.rows(connection, "alert_cleared", **known)


def _put(connection: Connection, name: str, rows: Iterable[dict[str, Any]]) -> None:
    """One named statement for all rows of a table, if there are any."""
    many = list(rows)
    if many:
        session.rows(connection, name, rows=_rows(many))


def _rows(rows: Iterable[dict[str, Any]]) -> str:
    return msgspec.json.encode(list(rows)).decode()
