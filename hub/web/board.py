"""What an operator's board says, from rows of the store. No IO; the time is passed in.

What a line's big word is, in this order: no node, node offline, bypass, fault, running, ready, else
stopped. Bypass and faults come before "running", because a person must act on them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec

from edge.mqtt.message import StationState
from hub import metrics
from hub.web import draw
from hub.web.part import Part
from hub.web.periods import Shift
from hub.web.words import WORDS

One = TypeVar("One")
Row = Mapping[str, Any]
COUNTED = ("ok", "ng", "undecided", "missed", "bypassed")
TREND_MINUTES = 60


@dataclass(frozen=True, slots=True)
class NodeNow:
    """A node as it said last."""

    name: str
    online: bool
    waiting: int  # rows it still has to send
    rows_at: datetime | None  # when its last row was stored
    stations: tuple[StationState, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a station judges no parts: a word of `words` and whom it is about, or as it came."""

    word: str
    about: str


@dataclass(frozen=True, slots=True)
class StateNow:
    """The line in one word (`state.WORD` in `words`), and how it looks."""

    word: str
    look: str  # class in the style sheet: alarm, monitor, or the word itself
    icon: str
    modes: tuple[str, ...]
    recipes: tuple[str, ...]
    faults: tuple[Fault, ...]
    unsigned: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Parts of a period."""

    ok: int
    ng: int
    undecided: int
    missed: int
    bypassed: int
    ng_rate: float | None  # None without judged parts

    @property
    def total(self) -> int:
        return self.ok + self.ng + self.undecided + self.missed + self.bypassed


@dataclass(frozen=True, slots=True)
class Trend:
    """The last hour, minute by minute."""

    pace: int  # parts in the newest full minute
    pace_peak: int
    pace_drawn: draw.Sparkline
    ng_drawn: draw.Sparkline


Term = tuple[str, str, int | None]
"""Sign before it ("" for the first), key in `words`, value."""


@dataclass(frozen=True, slots=True)
class LawNow:
    """Both laws of one station's newest epoch, ready to be written as sums."""

    station: str
    epoch: int
    terms: tuple[Term, ...]
    look: str  # good, bad, none
    word: str  # `law.WORD`
    residue: int
    second_terms: tuple[Term, ...]
    second_look: str
    second_word: str
    second_residue: int


@dataclass(frozen=True, slots=True)
class AlertNow:
    """One alert; `advice` is the key in `words` of what to do, if there is a card for it."""

    code: str
    active: bool
    count: int
    station: str
    detail: str | None
    advice: str | None
    raised_at: datetime
    cleared_at: datetime | None


@dataclass(frozen=True, slots=True)
class Board:
    """Everything on the board of one line."""

    plant: str
    line: str
    now: datetime
    shift: Shift
    state: StateNow
    nodes: tuple[NodeNow, ...]
    shift_counts: Counts
    hour_counts: Counts
    trend: Trend
    last: Part | None
    alerts: tuple[AlertNow, ...]
    laws: tuple[LawNow, ...]

    @property
    def banners(self) -> tuple[str, ...]:
        """What a person must see from across the hall, worst first (`banner.WORD`)."""
        found = []
        if self.state.word == "offline":
            found.append("offline")
        if "bypass" in self.state.modes:
            found.append("bypass")
        if self.state.unsigned:
            found.append("unsigned")
        if any(law.look == "bad" for law in self.laws):
            found.append("unbalanced")
        if "monitor" in self.state.modes:
            found.append("monitor")
        return tuple(found)


def node_of(row: Row) -> NodeNow:
    """A node from a row of `line_nodes`."""
    return NodeNow(
        row["node"],
        bool(row["online"]),
        row["waiting"] or 0,
        row["rows_at"],
        msgspec.convert(row["stations"] or [], tuple[StationState, ...]),
    )


def state_of(nodes: Sequence[NodeNow]) -> StateNow:
    """The line's word from what its nodes said last."""
    stations = [station for node in nodes for station in node.stations]
    modes = _distinct(station.mode.value for station in stations)
    states = {station.state for station in stations}
    if not any(node.stations or node.rows_at for node in nodes):
        word, look, icon = "silent", "silent", "wait"
    elif not all(node.online for node in nodes):
        word, look, icon = "offline", "alarm", "offline"
    elif "bypass" in modes:
        word, look, icon = "bypass", "alarm", "bypassed"
    elif "error" in states:
        word, look, icon = "error", "alarm", "alarm"
    else:
        order = ("preoperational", "initialized", "stopped", "running", "ready")
        word = next((state for state in order if state in states), "stopped")
        look = "monitor" if "monitor" in modes else word
        icon = {"running": "run", "ready": "ok", "stopped": "stop"}.get(word, "wait")
    return StateNow(
        word,
        look,
        icon,
        modes,
        _distinct(station.recipe for station in stations if station.recipe),
        _distinct(
            Fault(station.fault_word or station.fault, station.fault_about)
            for station in stations
            if station.fault
        ),
        any(station.trust == "unsigned" for station in stations),
    )


def counts_of(rows: Sequence[Row]) -> Counts:
    """The sum of rows of `counts` or `counts_by_bucket`."""
    sums = {key: sum(row[key] for row in rows) for key in COUNTED}
    return Counts(**sums, ng_rate=metrics.ng_rate(sums))


def trend_of(buckets: Sequence[Row], start: datetime) -> Trend:
    """60 full minutes from `start` and the running one, from rows of `counts_by_bucket`."""
    by_minute = {row["bucket"]: counts_of([row]) for row in buckets}
    nothing = counts_of([])
    minutes = [
        by_minute.get(start + timedelta(minutes=i), nothing) for i in range(TREND_MINUTES + 1)
    ]
    running, full = minutes[-1], minutes[:-1]
    pace = [minute.total for minute in full]
    return Trend(
        pace[-1] or running.total,
        max(*pace, running.total),
        draw.sparkline(pace, at_least=10),
        draw.sparkline([minute.ng_rate for minute in full], at_least=0.05),
    )


def law_of(row: Row, now: datetime, still_after_s: float) -> LawNow:
    """Both laws of a row of `law`, judged by hub.metrics and written out as sums.

    The PLC's counter is sampled about once a second, and parts are closed between two samples. So
    that the sum on the screen adds up, parts closed since the sample leave "in flight", and those
    beyond it are added to the triggers: the difference stays exactly the law's residue.
    """
    first = metrics.first_law(row)
    moved_at = row["moved_at"]
    still_s = math.inf if moved_at is None else (now - moved_at).total_seconds()
    second = metrics.second_law(row, still_s, still_after_s)
    counted = {key: row[key] for key in (*COUNTED, "quarantined")}
    elsewhere = row["elsewhere"]
    since = sum(counted.values()) + elsewhere - (row["settled"] or 0)
    open_now = (row["open"] or 0) - since
    triggers = None if first.triggers is None else first.triggers + max(-open_now, 0)
    terms: list[Term] = [("", "law.triggers", triggers), ("=", "verdict.ok", counted["ok"])]
    terms += [("+", f"short.{key}", counted[key]) for key in COUNTED[1:]]
    terms.append(("+", "law.open", max(open_now, 0)))
    if counted["quarantined"]:
        terms.append(("+", "law.quarantined", counted["quarantined"]))
    if elsewhere:
        terms.append(("+", "law.elsewhere", elsewhere))
    look, word = FIRST_LAW[first.state]
    second_look, second_word = SECOND_LAW[second.state]
    return LawNow(
        station=row["station"],
        epoch=row["epoch"],
        terms=tuple(terms),
        look=look,
        word=word,
        residue=first.residue or 0,
        second_terms=() if second.state == "no_sensors" else _gate(row),
        second_look=second_look,
        second_word=second_word,
        second_residue=max(second.good_residue or 0, second.reject_residue or 0, key=abs),
    )


def _gate(row: Row) -> tuple[Term, ...]:
    """What the gate counted and what was judged, both since the sensors' first sample."""
    seen = {key: row[key] - row[f"first_{key}"] for key in ("good", "passed", "reject_confirmed")}
    settled = row["settled"] - row["first_settled"]
    return (
        ("", "law.plc_good", seen["good"]),
        ("=", "law.released", seen["passed"]),
        ("", "law.rejected", seen["reject_confirmed"]),
        ("=", "law.not_released", settled - seen["passed"]),
    )


FIRST_LAW = {
    "balanced": ("good", "balanced"),
    "unbalanced": ("bad", "unbalanced"),
    "self_counted": ("none", "self_counted"),
    "unknown": ("none", "waiting"),
}
SECOND_LAW = {
    "balanced": ("good", "agree"),
    "mismatch": ("bad", "differ"),
    "in_transit": ("none", "in_transit"),
    "no_sensors": ("none", "unconfirmed"),
}


def alert_of(row: Row) -> AlertNow:
    """An alert from a row of `alerts_active` or `alerts_recent`."""
    advice = f"alert.{row['code']}.do"
    return AlertNow(
        row["code"],
        row["active"],
        row["count"],
        row["station"],
        row["detail"],
        advice if advice in WORDS else None,
        row["raised_at"],
        row["cleared_at"],
    )


def _distinct(words: Iterable[One]) -> tuple[One, ...]:
    return tuple(dict.fromkeys(words))
