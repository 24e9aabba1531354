"""Writes what a batch adds up to: laws, minutes, causes, pictures, alerts, line data. Part of the
ingest transaction in hub/store/rows.py.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from edge.mqtt.message import AlertRow
from hub.figures import Figures
from hub.intake import Place
from hub.moments import moment
from hub.store import session
from hub.store.queries import query
from hub.store.session import Connection
from hub.tally import Tally


def add(connection: Connection, place: Place, stream: str, tally: Tally) -> None:
    """Write the sums of one batch."""
    where = {"plant": place.plant, "line": place.line, "node": place.node}
    laws = [{**where, "stream": stream, **asdict(law)} for law in tally.laws.values()]
    _each(connection, "law_kept", laws)
    _each(
        connection,
        "minute_added",
        ({**where, **key._asdict(), **asdict(count)} for key, count in tally.minutes.items()),
    )
    _each(
        connection,
        "cause_added",
        (
            {**where, **key._asdict(), "kind": kind, "label": label, "parts": parts}
            for (key, kind, label), parts in tally.causes.items()
        ),
    )
    _each(connection, "seen_minute", ({**where, "minute": minute} for minute in tally.seen))
    named = ({**where, "stream": stream, **p._asdict()} for p in tally.pictures.values())
    _each(connection, "picture_named", named)
    gone = ({**where, "sha256": sha256, "at": at} for sha256, at in tally.evicted.items())
    _each(connection, "picture_evicted", gone)
    for row in tally.alerts:
        _alert(connection, where, row)
    _figures(connection, where, stream, tally.figures)


def _figures(connection: Connection, where: dict[str, str], stream: str, figures: Figures) -> None:
    """Tags that the batch named, the growth of counts, and how lines stand."""
    rows = [{**where, "stream": stream, **asdict(figure)} for figure in figures.tags.values()]
    _each(connection, "tag_kept", rows)
    grown = ({**where, **key._asdict(), "grown": n} for key, n in figures.growth.items())
    _each(connection, "growth_added", grown)
    lines = ({**where, "stream": stream, **asdict(line)} for line in figures.lines.values())
    _each(connection, "line_kept", lines)


def _alert(connection: Connection, where: dict[str, str], row: AlertRow) -> None:
    known = {
        **where,
        "source": "node",
        "station": row.station,
        "code": row.code,
        "at": moment(row.at_ms),
    }
    if row.active:
        session.rows(connection, "alert_raised", **known, count=row.count, detail=row.detail)
    else:
        session.rows(connection, "alert_cleared", **known)


def _each(connection: Connection, name: str, rows: Iterable[dict[str, Any]]) -> None:
    """One named statement for many rows, in one round trip."""
    many = list(rows)
    if many:
        with connection.cursor() as cursor:
            cursor.executemany(query(name).sql.encode(), many)
