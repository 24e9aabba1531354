"""quanjian-hub duties: what exactly one process does for all, the leader by an advisory lock.

Every round: partitions ahead, a slice of every chain verified again, and the alarms that no row
raises by itself: a law that does not balance, a gate that disagrees, lost rows, quarantine, a node
that is silent. An alarm is a row of `alert` and one line in the log; it clears when its cause does.
"""

import json
import logging
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from edge.mqtt.message import chain
from hub import metrics, signing
from hub.errors import StoreError
from hub.notify import notify
from hub.purge import Purge
from hub.settings import Settings
from hub.store import archive, partitions, session
from hub.store.session import Connection

log = logging.getLogger(__name__)

LOCK = 0x716A_0002  # advisory lock "qj" 2: the leader of the duties
_KEPT_REFUSED = 1000
_RETRY_S = 5.0
_JITTER = random.Random()
_OVER_S = 300.0  # after an epoch's last row; until then a node may still settle its parts


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something a person must look at; `code` names the card of what to do."""

    plant: str
    line: str
    node: str
    station: str  # "" = the whole node
    code: str
    detail: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.node, self.station, self.code


class Duties:
    """The rounds of the leader, on one connection."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._broken: dict[str, Alarm] = {}  # stream: its chain, until the process ends
        self._archivist = archive.Archivist(settings)
        self._purge = Purge(settings)

    def lead(self) -> bool:
        """True if this connection leads, or has led since it asked first."""
        return bool(session.rows(self._connection, "duties_lead", lock=LOCK)[0]["lead"])

    def round(self, now: datetime) -> list[Alarm]:
        """One round at `now` (aware UTC); returns the alarms that stand.

        Raises:
            StoreError: the database is away.
        """
        settings = self._settings.duties
        for name in partitions.make_ahead(
            self._connection, now.date(), settings.partitions_ahead_days
        ):
            log.info("partition %s made", name)
        session.rows(self._connection, "refused_trimmed", keep=_KEPT_REFUSED)
        self._verify_chains(settings.check_rows)
        self._archivist.round(now)
        self._purge.round(self._connection, now)
        alarms = [*self._laws(now), *self._silent(now), *self._losses(), *self._broken.values()]
        if self._archivist.trouble is not None:
            alarms.append(Alarm("", "", "", "", "archive_failed", self._archivist.trouble))
        alarms += [
            Alarm(told.plant, told.line, told.node, "", told.code, told.detail)
            for told in signing.work(self._connection, self._settings, now)
        ]
        self._show(alarms, now)
        return alarms

    def _verify_chains(self, rows: int) -> None:
        for stream in session.rows(self._connection, "unchecked"):
            if stream["stream"] not in self._broken:
                self._verify(stream, min(rows, stream["next"] - stream["checked"]))

    def _verify(self, stream: dict[str, Any], count: int) -> None:
        name, first = stream["stream"], stream["checked"]
        gaps = session.rows(self._connection, "gaps", stream=name)
        inside = [gap["last"] for gap in gaps if gap["first"] <= first <= gap["last"]]
        if inside:
            session.rows(self._connection, "checked_moved", stream=name, checked=max(inside) + 1)
            return
        from_seq = max(1, first - 1)  # the row before gives the hash to go on from
        found = session.rows(
            self._connection,
            "chain_slice",
            stream=name,
            first=from_seq,
            count=first + count - from_seq,
        )
        wrong = broken_at(found, from_seq, first + count, [(g["first"], g["last"]) for g in gaps])
        if wrong is None:
            session.rows(self._connection, "checked_moved", stream=name, checked=first + count)
            return
        where = (stream["plant"], stream["line"], stream["node"])
        self._broken[name] = Alarm(*where, "", "chain_broken", f"ledger {name}: {wrong}")

    def _laws(self, now: datetime) -> Iterator[Alarm]:
        newest = {
            (row["stream"], row["station"], row["epoch"])
            for row in session.rows(self._connection, "laws_now", plant=None, line=None)
        }
        for row in session.rows(self._connection, "laws_all"):
            runs = (row["stream"], row["station"], row["epoch"]) in newest
            yield from self._law(row, now, runs)

    def _law(self, row: dict[str, Any], now: datetime, runs: bool) -> Iterator[Alarm]:
        where = (row["plant"], row["line"], row["node"], row["station"])
        epoch = f"epoch {row['epoch']}: "
        law = metrics.first_law(row)
        if law.state == "unbalanced":
            told = f"{law.triggers} triggers, {law.settled} settled, {law.open} open"
            yield Alarm(*where, "residue", f"{epoch}{told}: residue {law.residue}")
        if not runs:  # parts between camera and gate when the PLC restarted belong to no count
            over = now - row["updated_at"] > timedelta(seconds=_OVER_S)
            lost = metrics.unsettled(row)
            if over and lost and row["continued_by"] is None:
                yield Alarm(*where, "residue", f"{epoch}over, {lost} triggers never settled")
            return
        still_s = (now - row["moved_at"]).total_seconds() if row["moved_at"] else 0.0
        gate = metrics.second_law(row, still_s, self._settings.duties.still_after_s)
        if gate.state == "mismatch":
            told = f"good {gate.good_residue:+}, rejects {gate.reject_residue:+}"
            yield Alarm(*where, "gate_mismatch", f"{epoch}{told} parts not counted at the gate")

    def _silent(self, now: datetime) -> Iterator[Alarm]:
        patience = timedelta(seconds=self._settings.duties.offline_after_s)
        for row in session.rows(self._connection, "nodes"):
            if row["revoked_at"] is not None or row["received_at"] is None:
                continue
            heard = max(filter(None, (row["received_at"], row["rows_at"])))
            if not row["online"] or now - heard > patience:
                where = (row["plant"], row["line"], row["node"])
                yield Alarm(*where, "", "node_offline", f"last heard {heard:%Y-%m-%d %H:%M:%S} UTC")

    def _losses(self) -> Iterator[Alarm]:
        for row in session.rows(self._connection, "gaps_all"):
            where = (row["plant"], row["line"], row["node"])
            lost = f"ledger {row['stream']}: rows {row['first']} to {row['last']}"
            yield Alarm(*where, "", "rows_lost", lost)
        for row in session.rows(self._connection, "branches"):
            where = (row["plant"], row["line"], row["node"])
            told = f"ledger {row['follows']} was restored or copied: from row {row['begins']} on"
            yield Alarm(*where, "", "stream_forked", f"{told} it is {row['stream']}")
        for row in session.rows(self._connection, "quarantined"):
            where = (row["plant"], row["line"], row["node"])
            told = f"ledger {row['stream']}: {row['rows']} rows, {row['parts']} parts"
            yield Alarm(*where, "", "quarantine", told)

    def _show(self, alarms: list[Alarm], now: datetime) -> None:
        standing = {
            (row["node"], row["station"], row["code"]): row
            for row in session.rows(self._connection, "hub_alerts")
        }
        wanted: dict[tuple[str, str, str], list[Alarm]] = {}
        for alarm in alarms:
            wanted.setdefault(alarm.key, []).append(alarm)
        for key, same in wanted.items():
            detail = "; ".join(alarm.detail for alarm in same)[:500]
            if key not in standing or standing[key]["detail"] != detail:
                log.warning("%s %s: %s: %s", key[0], key[1], key[2], detail)
                self._raise(same[0], len(same), detail, now)
                self._tell(same[0].plant, same[0].line, same[0].node)
        for key in standing.keys() - wanted.keys():
            node, station, code = key
            log.info("%s/%s: %s is over", node, station, code)
            session.rows(
                self._connection,
                "alert_cleared",
                source="hub",
                node=node,
                station=station,
                code=code,
                at=now,
            )
            self._tell(standing[key]["plant"], standing[key]["line"], node)

    def _tell(self, plant: str, line: str, node: str) -> None:
        payload = json.dumps({"kind": "alert", "plant": plant, "line": line, "node": node})
        session.rows(self._connection, "line_told", payload=payload)

    def _raise(self, alarm: Alarm, count: int, detail: str, now: datetime) -> None:
        session.rows(
            self._connection,
            "alert_raised",
            source="hub",
            plant=alarm.plant,
            line=alarm.line,
            node=alarm.node,
            station=alarm.station,
            code=alarm.code,
            count=count,
            detail=detail,
            at=now,
        )


def broken_at(
    found: list[dict[str, Any]], first: int, after: int, gaps: list[tuple[int, int]]
) -> str | None:
    """What is wrong with rows [first, after) of a stream, or None. Pure.

    Args:
        found: seq, hash, raw of the stored rows in order; the hash of row `first` is believed
            unless it is row 1, because the row before it is not here.
        gaps: ranges (first, last) declared lost; the row after one is believed too.
    """
    lost = {seq for low, high in gaps for seq in range(max(low, first), min(high, after) + 1)}
    rows = {row["seq"]: row for row in found}
    if len(rows) != len(found):
        return "a row is stored twice"
    previous = "0" * 64 if first == 1 else None
    for seq in range(first, after):
        row = rows.get(seq)
        if row is None:
            if seq not in lost:
                return f"row {seq} is missing"
            previous = None
            continue
        if previous is not None and chain(previous, seq, bytes(row["raw"])) != row["hash"]:
            return f"row {seq} is not what was acknowledged"
        previous = row["hash"]
    return None


def run(settings: Settings, stop: threading.Event) -> None:
    """Lead, or stand by until the leader is gone; the database away = tried again."""
    notify("READY=1")
    while not stop.is_set():
        try:
            with session.connect(settings.database.dsn, "duties") as connection:
                _lead(Duties(connection, settings), settings, stop)
        except StoreError as wrong:
            log.warning("%s; tried again in %.0f s", wrong, _RETRY_S)
            notify("WATCHDOG=1")
            stop.wait(_RETRY_S * _JITTER.uniform(0.5, 1.0))


def _lead(duties: Duties, settings: Settings, stop: threading.Event) -> None:
    leading: bool | None = None
    while not stop.is_set():
        if not leading:
            before, leading = leading, duties.lead()
            if leading is not before:
                log.info("duties: %s", "leading" if leading else "another leads, standing by")
        if leading:
            duties.round(datetime.now(timezone.utc))
        notify("WATCHDOG=1")
        stop.wait(settings.duties.round_s)
