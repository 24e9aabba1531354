"""What must be true after any run: the law, the numbers, the verdicts told, the chain, the sums.

Read from the database and the PLC alone, by statements and sums of its own: nothing here asks the
code under test whether it did well, save the alarms that `duties` shows.
"""

import contextlib
import itertools
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from edge.mqtt.message import GENESIS, chain
from edge.outbox import Outbox
from edge.terms import Code
from tests.faults.plc import WRAP, PlayedPlc

NEVER = ("residue", "chain_broken", "rows_lost", "quarantine", "gate_mismatch")
"""Alarms that no fault may raise that is not itself about lost or wrong rows."""

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Truth:
    """What the database holds of one node."""

    laws: Rows
    parts: Rows
    ranges: Rows  # missed and bypassed
    cursors: Rows
    gaps: Rows
    quarantine: Rows
    alarms: Rows
    minutes: dict[str, int]
    chained: Rows = field(repr=False)  # seq, hash, raw of every row of every stream

    @property
    def counted(self) -> int:
        """Parts that have their row."""
        return len(self.parts) + sum(int(row["last"] - row["first"] + 1) for row in self.ranges)


def asked(dsn: str, statement: str, *values: Any) -> Rows:
    """The rows of a statement of a test's own."""
    with psycopg.connect(dsn, row_factory=dict_row, autocommit=True) as connection:
        return connection.execute(statement.encode(), values).fetchall()


def read(dsn: str) -> Truth:
    """Everything an oracle looks at."""
    ranges = asked(
        dsn,
        "SELECT stream, station, epoch, kind, (body->>'first')::bigint AS first,"
        " (body->>'last')::bigint AS last FROM ledger_row WHERE kind IN ('missed', 'bypassed')",
    )
    chained = asked(
        dsn,
        "SELECT stream, seq, hash, raw FROM part UNION ALL SELECT stream, seq, hash, raw"
        " FROM ledger_row UNION ALL SELECT stream, seq, hash, raw FROM quarantine"
        " ORDER BY stream, seq",
    )
    [minutes] = asked(
        dsn,
        "SELECT coalesce(sum(ok), 0)::bigint AS ok, coalesce(sum(ng), 0)::bigint AS ng,"
        " coalesce(sum(undecided), 0)::bigint AS undecided,"
        " coalesce(sum(missed), 0)::bigint AS missed,"
        " coalesce(sum(triggers), 0)::bigint AS triggers FROM minute_count",
    )
    return Truth(
        laws=asked(dsn, "SELECT * FROM law ORDER BY stream, epoch"),
        parts=asked(dsn, "SELECT stream, station, epoch, number, code, computed FROM part"),
        ranges=ranges,
        cursors=asked(dsn, "SELECT * FROM cursor"),
        gaps=asked(dsn, "SELECT * FROM gap WHERE held_by IS NULL"),
        quarantine=asked(dsn, "SELECT * FROM quarantine"),
        alarms=asked(dsn, "SELECT code, detail FROM alert WHERE source = 'hub' AND active"),
        minutes=minutes,
        chained=chained,
    )


def settled(dsn: str, plc: PlayedPlc) -> bool:
    """Does the hub have every part of the PLC's present run, none of them open?"""
    found = asked(
        dsn,
        "SELECT base, counter, open FROM law WHERE plc_start = %s ORDER BY updated_at DESC LIMIT 1",
        plc.start_number,
    )
    return any(
        (last := _last(law)) is not None and last % WRAP == plc.counter % WRAP and not law["open"]
        for law in found
    )


def rows_at_hub(dsn: str) -> int:
    """Rows of every ledger that the hub has committed."""
    [row] = asked(dsn, "SELECT coalesce(sum(next - 1), 0)::bigint AS n FROM cursor")
    return int(row["n"])


def checked(dsn: str) -> bool:
    """Has `duties` verified every chain to its end?"""
    found = asked(dsn, "SELECT 1 FROM cursor WHERE checked < next")
    return not found


def findings(truth: Truth, plc: PlayedPlc) -> list[str]:
    """Everything that is not as it must be, in sentences; none if the law holds."""
    return [
        *itertools.chain.from_iterable(map(_law, truth.laws)),
        *_numbers(truth),
        *_runs(truth, plc),
        *_told(truth, plc),
        *_chains(truth),
        *_sums(truth),
        *(f"declared lost: {gap['first']} to {gap['last']}" for gap in truth.gaps),
        *(f"in quarantine: row {row['seq']}: {row['reason']}" for row in truth.quarantine),
        *(f"alarm {a['code']}: {a['detail']}" for a in truth.alarms if a["code"] in NEVER),
    ]


def _last(law: dict[str, Any]) -> int | None:
    """The last count of an epoch that was read; None before the row that opens it is there.

    Its opening is the first reading: where no part comes after it, no sample follows.
    """
    last: int | None = law["base"] if law["counter"] is None else law["counter"]
    return last


def _law(law: dict[str, Any]) -> list[str]:
    name = f"epoch {law['epoch']}"
    last = _last(law)
    if last is None or law["base"] is None:
        return [f"{name}: never opened"]
    words = ("ok", "ng", "undecided", "missed", "bypassed", "quarantined")
    triggers, rows = last - law["base"], sum(law[word] for word in words)
    told = []
    if law["counter"] is not None and (residue := triggers - law["settled"] - law["open"]):
        told.append(f"{name}: residue {residue} at the last sample")
    if law["open"] or rows != triggers:
        told.append(f"{name}: {triggers} triggers, {rows} rows, {law['open']} open at the end")
    return told


def _numbers(truth: Truth) -> list[str]:
    """Each number of an epoch is in exactly one row."""
    found: dict[tuple[str, int], list[int]] = {}
    for part in truth.parts:
        found.setdefault((part["stream"], part["epoch"]), []).append(part["number"])
    for gone in truth.ranges:
        numbers = found.setdefault((gone["stream"], gone["epoch"]), [])
        numbers.extend(range(gone["first"], gone["last"] + 1))
    told = []
    for law in truth.laws:
        last = _last(law)
        if law["base"] is None or last is None:
            continue
        numbers = sorted(found.get((law["stream"], law["epoch"]), []))
        wanted = range(law["base"] + 1, last + 1)
        if numbers != list(wanted):
            twice = len(numbers) - len(set(numbers))
            lost = len(set(wanted) - set(numbers))
            told.append(f"epoch {law['epoch']}: {lost} numbers without a row, {twice} with two")
    return told


def _runs(truth: Truth, plc: PlayedPlc) -> list[str]:
    """The PLC's own word: one epoch per run of it, and the present one counted to its end."""
    told = []
    ends = {**plc.ends, plc.start_number: plc.counter}
    for start, end in ends.items():
        laws = [law for law in truth.laws if law["plc_start"] == start]
        if len(laws) > 1:
            told.append(f"the PLC's run {start} was split into {len(laws)} epochs")
        for law in laws:
            ahead = ((_last(law) or 0) - end + WRAP // 2) % WRAP - WRAP // 2
            if ahead > 0 or (ahead and start == plc.start_number):
                told.append(f"the PLC's run {start} ended {-ahead} parts after the last sample")
    if not any(law["plc_start"] == plc.start_number for law in truth.laws):
        told.append("the PLC's present run has no epoch")
    return told


def _told(truth: Truth, plc: PlayedPlc) -> list[str]:
    """Record before release: what the PLC took was computed so, and only what it took counts OK."""
    starts = {(law["stream"], law["epoch"]): law["plc_start"] for law in truth.laws}
    rows: dict[tuple[Any, int], tuple[int, int]] = {
        (starts.get((p["stream"], p["epoch"])), p["number"] % WRAP): (p["code"], p["computed"])
        for p in truth.parts
    }
    taken: dict[tuple[Any, int], Code] = {
        (start, number % WRAP): code for (start, number), code in plc.taken.items()
    }
    without = [
        key
        for key, code in taken.items()
        if rows.get(key, (0, 0))[1] != code
        and (code is not Code.UNDECIDED or key in rows)  # "undecided" goes out with a missed row
    ]
    believed = [
        key for key, (code, _) in rows.items() if code == Code.OK and taken.get(key) != Code.OK
    ]
    told = []
    if without:
        told.append(f"{len(without)} verdicts that the PLC took are not recorded: {without[:5]}")
    if believed:
        told.append(f"{len(believed)} parts are counted ok, the PLC took no OK: {believed[:5]}")
    return told


def _chains(truth: Truth) -> list[str]:
    told = []
    for stream, rows in itertools.groupby(truth.chained, lambda row: row["stream"]):
        prev, seq = GENESIS, 0
        for seq, row in enumerate(rows, 1):
            if row["seq"] != seq or chain(prev, seq, bytes(row["raw"])) != row["hash"]:
                told.append(f"ledger {stream}: row {row['seq']} does not follow row {seq - 1}")
                break
            prev = row["hash"]
        cursor = next(c for c in truth.cursors if c["stream"] == stream)
        if cursor["next"] != seq + 1:
            told.append(f"ledger {stream}: the cursor says {cursor['next']} after row {seq}")
    return told


def _sums(truth: Truth) -> list[str]:
    """The minute sums, which every page reads, against the rows."""
    codes = [Code(part["code"]) for part in truth.parts]
    wanted = {
        "ok": codes.count(Code.OK),
        "ng": codes.count(Code.NG),
        "undecided": codes.count(Code.UNDECIDED),
        "missed": sum(r["last"] - r["first"] + 1 for r in truth.ranges if r["kind"] == "missed"),
        "triggers": sum((_last(law) or 0) - (law["base"] or 0) for law in truth.laws),
    }
    return [
        f"the minutes count {truth.minutes[word]} {word}, the rows {count}"
        for word, count in wanted.items()
        if truth.minutes[word] != count
    ]


def given_away(dsn: str, ledger: Path) -> list[str]:
    """At any moment: what the node has deleted, the hub has committed. `ledger`: of one stream."""
    with contextlib.closing(
        sqlite3.connect(f"file:{ledger / 'ledger.db'}?mode=ro", uri=True)
    ) as db:
        stream, first = db.execute("SELECT stream, first FROM ledger").fetchone()
    found = asked(dsn, "SELECT next FROM cursor WHERE stream = %s", stream)  # read after the node
    following = found[0]["next"] if found else 1
    if first <= following:
        return []
    return [f"the node deleted its rows below {first}, the hub has those below {following}"]


def left_at_the_node(ledger: Path) -> list[str]:
    """The node's own ledger after a stop in order: nothing waits, nothing is open."""
    outbox = Outbox(ledger / "ledger.db")
    try:
        told = []
        if outbox.waiting:
            told.append(f"{outbox.waiting} rows wait at the node")
        if outbox.open_parts():
            told.append(f"{len(outbox.open_parts())} parts are open at the node")
        return told
    finally:
        outbox.close()
