"""quanjian-hub duties: what exactly one process does for all, the leader by an advisory lock.

Every round: partitions ahead, and the alarms that no row raises by itself: a law that does not
balance, a gate that disagrees, lost rows, quarantine, a clock that is wrong, a node that is silent,
a chain that does not hold or was not verified in time. An alarm is a row of `alert` and one line in
the log; it clears when its cause does. The chains are verified beside it (hub/chains.py).

A duty that breaks off stops none of the others: it is an alarm itself. One that goes by the hub's
own clock waits until that can be believed (hub/store/clock.py). Either way what it said before
stands until it has looked again.
"""

import json
import logging
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from hub import metrics, seals, signing
from hub.chains import LATE_S, Chains
from hub.errors import StoreError
from hub.notify import notify
from hub.purge import Purge
from hub.settings import Settings
from hub.store import archive, clock, partitions, session
from hub.store.session import Connection

log = logging.getLogger(__name__)

LOCK = 0x716A_0002  # advisory lock "qj" 2: the leader of the duties
_KEPT_REFUSED = 1000
_REFUSED_KINDS = 50  # of an hour: topics and reasons that are counted apart
_RETRY_S = 5.0
_JITTER = random.Random()
_CLOCK_H = 1  # a node whose rows had to be placed in the last hours has a wrong clock
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


@dataclass(frozen=True, slots=True)
class Duty:
    """One thing to do in every round, at its time; `codes` are those of its alarms.

    `clocks`: how the hub's clock may stand for it.
    """

    name: str
    work: Callable[[datetime], Iterable[Alarm]]
    codes: tuple[str, ...] = ()
    clocks: tuple[clock.State, ...] = ("believed", "ahead", "behind")


class Duties:
    """The rounds of the leader, on one connection; `checked` is what is known of the chains."""

    def __init__(
        self, connection: Connection, settings: Settings, checked: Chains | None = None
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._checked = checked or Chains(settings.duties.check_rows)
        self._archivist = archive.Archivist(settings)
        self._purge = Purge(settings)
        self._failed: dict[str, str] = {}  # duty: why its last round broke off
        self._duties = (
            Duty("partitions", self._ahead, clocks=("believed", "ahead")),
            Duty("refused messages", self._trimmed),
            Duty("archive", self._archived, ("archive_failed",), ("believed",)),
            Duty("purge", self._purged, clocks=("believed",)),
            Duty("laws", self._laws, ("residue", "gate_mismatch")),
            Duty("nodes", self._silent, ("node_offline",)),
            Duty("losses", self._losses, ("rows_lost", "stream_forked", "quarantine")),
            Duty("clocks", self._clocks, ("clock_wrong",)),
            Duty("chains", self._chains, ("chain_broken", "chain_unchecked")),
            Duty("seals", self._seals, ("seal_wrong",)),
            Duty("certificates", self._signed, signing.CODES, ("believed", "ahead")),
        )

    def lead(self) -> bool:
        """True if this connection leads, or has led since it asked first."""
        return bool(session.rows(self._connection, "duties_lead", lock=LOCK)[0]["lead"])

    def round(self, now: datetime) -> list[Alarm]:
        """One round at `now` (aware UTC); returns the alarms that stand.

        Raises:
            StoreError: the database is away.
        """
        time = clock.looked(self._connection, now)
        alarms: list[Alarm] = []
        if time.state != "believed":
            alarms.append(Alarm("", "", "", "", "hub_clock_wrong", time.told))
        unknown: set[str] = set()  # codes of which nobody knows now whether they stand
        for duty in self._duties:
            if time.state not in duty.clocks:
                unknown.update(duty.codes)
                continue
            try:
                alarms += list(duty.work(now))
            except Exception as wrong:
                if self._connection.closed:
                    raise  # the database is away, for all of them
                told = f"{duty.name}: {type(wrong).__name__}: {wrong}"
                if self._failed.get(duty.name) != told:  # once, not in every round
                    log.exception("duties: %s broke off", duty.name)
                self._failed[duty.name] = told
                alarms.append(Alarm("", "", "", "", "duty_failed", told))
                unknown.update(duty.codes)
            else:
                self._failed.pop(duty.name, None)
        self._show(alarms, unknown, now)
        return alarms

    def _ahead(self, now: datetime) -> tuple[()]:
        days = self._settings.duties.partitions_ahead_days
        for name in partitions.make_ahead(self._connection, now.date(), days):
            log.info("partition %s made", name)
        return ()

    def _trimmed(self, _: datetime) -> tuple[()]:
        session.rows(self._connection, "refused_trimmed", keep=_KEPT_REFUSED, kinds=_REFUSED_KINDS)
        return ()

    def _archived(self, now: datetime) -> Iterator[Alarm]:
        self._archivist.round(now)
        if self._archivist.trouble is not None:
            yield Alarm("", "", "", "", "archive_failed", self._archivist.trouble)

    def _purged(self, now: datetime) -> tuple[()]:
        self._purge.round(self._connection, now)
        return ()

    def _signed(self, now: datetime) -> Iterator[Alarm]:
        for told in signing.work(self._connection, self._settings, now):
            yield Alarm(told.plant, told.line, told.node, "", told.code, told.detail)

    def _chains(self, _: datetime) -> Iterator[Alarm]:
        broken = dict(self._checked.broken)
        for where, told in broken.values():
            yield Alarm(*where, "", "chain_broken", told)
        for row in session.rows(self._connection, "unchecked_age", but=list(broken)):
            if row["age_s"] > LATE_S:
                where = (row["plant"], row["line"], row["node"])
                told = f"ledger {row['stream']}: rows not verified for more than a minute"
                yield Alarm(*where, "", "chain_unchecked", told)

    def _laws(self, now: datetime) -> Iterator[Alarm]:
        for row in session.rows(self._connection, "laws_watched"):
            yield from self._law(row, now, row["newest"])

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

    def _losses(self, _: datetime) -> Iterator[Alarm]:
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

    def _clocks(self, _: datetime) -> Iterator[Alarm]:
        for row in session.rows(self._connection, "misplaced", hours=_CLOCK_H):
            where = (row["plant"], row["line"], row["node"])
            told = f"ledger {row['stream']}: {row['misplaced']} rows stand at their arrival"
            yield Alarm(*where, "", "clock_wrong", told)

    def _seals(self, _: datetime) -> Iterator[Alarm]:
        seals.judge_new(self._connection)
        for row in session.rows(self._connection, "seals_wrong"):
            told = f"{row['day']}: row {row['sealed']} of ledger {row['stream']}"
            yield Alarm(row["plant"], row["line"], row["node"], "", "seal_wrong", told)

    def _show(self, alarms: list[Alarm], unknown: set[str], now: datetime) -> None:
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
            if code in unknown:
                continue
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


def run(settings: Settings, stop: threading.Event) -> None:
    """Lead, or stand by until the leader is gone; the database away = tried again."""
    notify("READY=1")
    while not stop.is_set():
        try:
            with session.connect(settings.database.dsn, "duties") as connection:
                _lead(connection, settings, stop)
        except StoreError as wrong:
            log.warning("%s; tried again in %.0f s", wrong, _RETRY_S)
            notify("WATCHDOG=1")
            stop.wait(_RETRY_S * _JITTER.uniform(0.5, 1.0))


def _lead(connection: Connection, settings: Settings, stop: threading.Event) -> None:
    checked = Chains(settings.duties.check_rows)
    duties = Duties(connection, settings, checked)
    leading: bool | None = None
    with _beside(checked, settings) as start:
        while not stop.is_set():
            if not leading:
                before, leading = leading, duties.lead()
                if leading is not before:
                    log.info("duties: %s", "leading" if leading else "another leads, standing by")
                if leading:
                    start()
            if leading:
                duties.round(datetime.now(timezone.utc))
            notify("WATCHDOG=1")
            stop.wait(settings.duties.round_s)


@contextmanager
def _beside(checked: Chains, settings: Settings) -> Iterator[Callable[[], None]]:
    """A thread for the chains, to be started once we lead; it ends with the lead."""
    over = threading.Event()
    thread = threading.Thread(
        target=checked.run,
        args=(settings.database.dsn, over, settings.duties.round_s),
        name="chains",
    )
    try:
        yield thread.start
    finally:
        over.set()
        if thread.is_alive():
            thread.join()
