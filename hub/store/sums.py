"""Writes what a batch adds up to: laws, minutes, hours, causes, pictures, alerts, line data.

Part of the ingest transaction in hub/store/rows.py.

The rows of a table go in as one JSON text and one statement: the database takes it apart, and the
columns have their types from the table itself. They go in order of their keys, so that two workers
that add to the same minutes never wait for each other in a circle.
"""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from operator import itemgetter
from typing import Any

import msgspec

from edge.mqtt.message import AlertRow
from hub.figures import Figures
from hub.intake import Place
from hub.store import session
from hub.store.session import Connection
from hub.tally import Tally

_key = itemgetter(0)


def add(connection: Connection, place: Place, stream: str, tally: Tally) -> None:
    """Write the sums of one batch."""
    where = {"plant": place.plant, "line": place.line, "node": place.node}
    own = {**where, "stream": stream}
    _put(connection, "laws_kept", ({**own, **asdict(law)} for law in tally.laws.values()))
    hours = ({**own, **key._asdict(), **at._asdict()} for key, at in tally.hours.items())
    _put(connection, "hours_kept", hours)
    minutes = sorted(tally.minutes.items(), key=_key)
    _put(
        connection,
        "minutes_added",
        ({**where, **key._asdict(), **asdict(count)} for key, count in minutes),
    )
    _put(
        connection,
        "causes_added",
        (
            {**where, **key._asdict(), "kind": kind, "label": label, "parts": parts}
            for (key, kind, label), parts in sorted(tally.causes.items())
        ),
    )
    _put(connection, "minutes_seen", ({**where, "minute": at} for at in sorted(tally.seen)))
    _put(connection, "pictures_named", ({**own, **p._asdict()} for p in tally.pictures.values()))
    gone = ({**where, "sha256": sha256, "evicted_at": at} for sha256, at in tally.evicted.items())
    _put(connection, "pictures_evicted", gone)
    for row, at in tally.alerts:
        _alert(connection, where, row, at)
    _figures(connection, own, tally.figures)


def _figures(connection: Connection, own: dict[str, str], figures: Figures) -> None:
    """Tags that the batch named, the growth of counts, and how lines stand."""
    _put(connection, "tags_kept", ({**own, **asdict(tag)} for tag in figures.tags.values()))
    grown = ({**own, **key._asdict(), "grown": n} for key, n in sorted(figures.growth.items()))
    _put(connection, "growth_added", grown)
    _put(connection, "lines_kept", ({**own, **asdict(line)} for line in figures.lines.values()))


def _alert(connection: Connection, where: dict[str, str], row: AlertRow, at: datetime) -> None:
    known = {**where, "source": "node", "station": row.station, "code": row.code, "at": at}
    if row.active:
        session.rows(connection, "alert_raised", **known, count=row.count, detail=row.detail)
    else:
        session.rows(connection, "alert_cleared", **known)


def _put(connection: Connection, name: str, rows: Iterable[dict[str, Any]]) -> None:
    """One named statement for all rows of a table."""
    many = list(rows)
    if many:
        session.rows(connection, name, rows=msgspec.json.encode(many).decode())
