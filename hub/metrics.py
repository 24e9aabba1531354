"""Every formula that a page or a report shows, once. Pure: counts in, figures out, no IO.

Counts come from the queries `counts`, `latency` and `seen_minutes` (hub/store/queries.sql), laws
from the table `law`, tags from `tags_now`. A share without a denominator has no value (None), never
0; nothing is capped, because a share above 1 says that a sum is wrong. Sums are added first and
divided last.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

Counts = Mapping[str, Any]
"""ok, ng, undecided, missed, bypassed, samples, triggers, latency_count, latency_sum_ms, ..."""


def inspected(counts: Counts) -> int:
    """Parts that got a verdict: ok + ng + undecided, golden samples left out."""
    return int(counts["ok"] + counts["ng"] + counts["undecided"])


def share(part: float, whole: float) -> float | None:
    """part / whole; None if there is no whole."""
    return part / whole if whole else None


def ng_rate(counts: Counts) -> float | None:
    """不良率, 0..1: ng / inspected. None without inspected parts."""
    return share(counts["ng"], inspected(counts))


def first_pass_yield(counts: Counts) -> float | None:
    """首检合格率, 0..1: ok / inspected, by station: without serial numbers a part that comes twice
    counts twice (ISO 22400-2 asks for serials). None without inspected parts.
    """
    return share(counts["ok"], inspected(counts))


def undecided_rate(counts: Counts) -> float | None:
    """未判定率, 0..1: undecided / inspected; every one of them was rejected. None without parts."""
    return share(counts["undecided"], inspected(counts))


def counted(counts: Counts) -> int:
    """Parts the PLC counted, as far as is known: its last sample, or the parts settled since.

    A settled row carries the PLC's own number, so it proves that the PLC counted the part even if
    the next sample of the counter is still on its way. An imbalance is the law's to show.
    """
    settled = sum(int(counts[key]) for key in ("ok", "ng", "undecided", "samples"))
    settled += int(counts["missed"]) + int(counts["bypassed"])
    return max(int(counts["triggers"]), settled)


def own(counts: Counts) -> int:
    """Parts of the line itself that the PLC counted: golden samples are in no figure of it."""
    return counted(counts) - int(counts["samples"])


def trigger_detection_rate(counts: Counts) -> float | None:
    """触发检测率, 0..1: inspected / (triggers of the PLC's own counter - golden samples).

    Missed and bypassed parts lower it. None without triggers.
    """
    return share(inspected(counts), own(counts))


def missed_rate(counts: Counts) -> float | None:
    """未检率, 0..1: missed / (triggers - golden samples). None without triggers."""
    return share(counts["missed"], own(counts))


def bypass_rate(counts: Counts) -> float | None:
    """旁路率, 0..1: bypassed / (triggers - golden samples). None without triggers."""
    return share(counts["bypassed"], own(counts))


def minutes_between(since: datetime, until: datetime) -> int:
    """Whole minutes of a period, at least 0."""
    return max(0, int((until - since).total_seconds() // 60))


def coverage(seen_minutes: int, nodes: int, since: datetime, until: datetime) -> float | None:
    """数据覆盖率, 0..1: minutes in which a node was known to be alive / (nodes x minutes).

    The running minute may be seen before it is whole, so `until` is the end of the period or now,
    whichever is earlier, and the share is not above 1. None for an empty period or no node.
    """
    value = share(seen_minutes, nodes * minutes_between(since, until))
    return None if value is None else min(value, 1.0)


KWH = {"Wh": Decimal("0.001"), "kWh": Decimal(1), "MWh": Decimal(1000)}
"""Units of energy that a tag may have, in kWh."""


def figure(value: int, exponent: int) -> Decimal:
    """A tag's figure in its unit, exact: value x 10 ** exponent."""
    return Decimal(value).scaleb(exponent)


def energy_kwh(tags: Iterable[Mapping[str, Any]]) -> Decimal | None:
    """电量: what every tag that counts energy grew, in kWh; None if no tag counts energy.

    Args:
        tags: rows of the query `tags_now`, of one period.
    """
    grown = [
        figure(tag["grown"], tag["exponent"]) * KWH[tag["unit"]]
        for tag in tags
        if tag["counts"] and tag["unit"] in KWH
    ]
    return sum(grown, Decimal(0)) if grown else None


LawState = Literal["balanced", "unbalanced", "self_counted", "unknown"]


@dataclass(frozen=True, slots=True)
class FirstLaw:
    """PLC triggers = ok + ng + undecided + missed + bypassed + quarantined + open, at a sample.

    residue > 0: triggers without a row; < 0: rows without a trigger. "self_counted": no PLC counter
    (自计数，无独立核对); "unknown": no epoch row or no sample yet.
    """

    state: LawState
    triggers: int | None
    settled: int | None
    open: int | None
    residue: int | None


def first_law(row: Mapping[str, Any]) -> FirstLaw:
    """The first law of one row of `law`."""
    if row["counter"] is None or row["base"] is None:
        state: LawState = "self_counted" if row["counted_by"] == "self" else "unknown"
        return FirstLaw(state, None, row["settled"], row["open"], None)
    triggers = row["counter"] - row["base"]
    residue = triggers - row["settled"] - row["open"]
    if row["counted_by"] == "self":
        state = "self_counted"
    else:
        state = "balanced" if residue == 0 else "unbalanced"
    return FirstLaw(state, triggers, row["settled"], row["open"], residue)


def day_law(row: Mapping[str, Any]) -> FirstLaw:
    """The first law of one day of an epoch, of one row of the query `law_by_day`.

    `open` is what the day left under way less what it found so; it may be negative.
    """
    names = ("ok", "ng", "undecided", "missed", "bypassed", "quarantined", "elsewhere")
    settled = sum(int(row[name]) for name in names)
    triggers = row["triggers"]
    residue = None if triggers is None else triggers - settled - row["open"]
    state: LawState = "unknown" if residue is None else "unbalanced" if residue else "balanced"
    if row["counted_by"] == "self":
        state = "self_counted"
    return FirstLaw(state, triggers, settled, row["open"], residue)


def unsettled(row: Mapping[str, Any]) -> int:
    """Triggers of the last sample that no row has settled since, of one row of `law`.

    While an epoch runs they are parts in work; once it is over and its rows are here, it is 0 or
    parts were lost.
    """
    if row["counter"] is None or row["base"] is None:
        return 0
    names = ("ok", "ng", "undecided", "missed", "bypassed", "quarantined", "elsewhere")
    return max(0, int(row["counter"] - row["base"] - sum(row[name] for name in names)))


GateState = Literal["balanced", "in_transit", "mismatch", "no_sensors"]


@dataclass(frozen=True, slots=True)
class SecondLaw:
    """PLC good = released parts, rejects confirmed = every other part, since the first sample.

    good_residue and reject_residue: parts with a verdict that the gate has not counted yet; below 0
    the gate counted more than there were verdicts. "no_sensors": 剔除未确认.
    """

    state: GateState
    good_residue: int | None
    reject_residue: int | None


def second_law(row: Mapping[str, Any], still_s: float, still_after_s: float = 30.0) -> SecondLaw:
    """The second law of one row of `law`.

    Args:
        row: with the PLC's counters at its first and at its last sample.
        still_s: seconds since the PLC's part counter last moved (law.moved_at), now.
        still_after_s: from then on no part can be on its way between camera and gate.

    Returns:
        "mismatch" at once if the PLC let more parts pass than were released, beyond the parts that
        were on their way at the first sample; any other difference only once the line is still.
    """
    if row["first_good"] is None or row["good"] is None:
        return SecondLaw("no_sensors", None, None)
    released = row["passed"] - row["first_passed"]
    others = (row["settled"] - row["passed"]) - (row["first_settled"] - row["first_passed"])
    good = released - (row["good"] - row["first_good"])
    rejects = others - (row["reject_confirmed"] - row["first_reject_confirmed"])
    under_way = row["first_counter"] - row["first_good"] - row["first_reject_confirmed"]
    allowed = max(0, under_way)
    if good < -allowed:
        return SecondLaw("mismatch", good, rejects)
    if -allowed <= good <= 0 and -allowed <= rejects <= 0:
        return SecondLaw("balanced", good, rejects)
    return SecondLaw("mismatch" if still_s >= still_after_s else "in_transit", good, rejects)


@dataclass(frozen=True, slots=True)
class Indicator:
    """One figure of a report, with what it was made of, so that anybody can divide again.

    `value` is None where it is not collected or has no denominator; `note` then says which:
    "no_parts", "no_triggers", "no_latency", "no_period", "no_audit".
    """

    key: str
    name_zh: str
    name_en: str
    unit: Literal["件", "%", "ms"]  # a % is given as 0..1
    formula_zh: str
    formula_en: str
    numerator: int | None
    denominator: int | None
    value: float | None
    note: str | None = None


_COUNTED = (
    ("triggers", "触发数", "Triggers", "PLC 自身计数器的增量", "steps of the PLC's own counter"),
    ("ok", "合格数", "OK parts", "判定为合格的工件", "parts with verdict OK"),
    ("ng", "不合格数", "NG parts", "判定为不合格的工件", "parts with verdict NG"),
    ("undecided", "未判定数", "Undecided parts", "未判定，已剔除", "undecided, rejected"),
    ("missed", "未检数", "Missed parts", "PLC 已计数而未判定", "counted by the PLC, not judged"),
    ("bypassed", "旁路数", "Bypassed parts", "旁路开关下通过", "passed under the key switch"),
)
_LATENCY = (("p50", "P50"), ("p95", "P95"), ("p99", "P99"), ("max", "max"))


def indicators(
    counts: Counts, latency: Mapping[str, Any], covered: float | None
) -> list[Indicator]:
    """Every indicator of a period.

    Args:
        counts: sums of the period (query `counts`, rows added up).
        latency: percentiles of the period (query `latency`).
        covered: `coverage` of the period.
    """
    known = {**counts, "triggers": counted(counts)}
    found = [
        Indicator(key, zh, en, "件", formula_zh, formula_en, None, None, int(known[key]))
        for key, zh, en, formula_zh, formula_en in _COUNTED
    ]
    found += _shares(counts)
    found += [_not_audited("escape_rate", "漏检率", "Escape rate", "漏检数 / 不良品数")]
    found += [_not_audited("overkill_rate", "过检率", "Overkill rate", "误判数 / 良品数")]
    for key, name in _LATENCY:
        value = latency[key]
        found.append(
            Indicator(
                f"latency_{key}_ms",
                f"检测时延 {name}",
                f"Latency {name}",
                "ms",
                "传感器触发到 PLC 回读结论",
                "sensor edge to the PLC's echo of the verdict",
                None,
                None,
                None if value is None else float(value),
                "no_latency" if value is None else None,
            )
        )
    found.append(
        Indicator(
            "coverage",
            "数据覆盖率",
            "Coverage",
            "%",
            "节点在线分钟数 / 统计期分钟数",
            "minutes a node was alive / minutes of the period",
            None,
            None,
            covered,
            "no_period" if covered is None else None,
        )
    )
    return found


def _shares(counts: Counts) -> list[Indicator]:
    seen, triggers = inspected(counts), own(counts)
    judged = ("no_parts", "合格 + 不合格 + 未判定", "OK + NG + undecided", seen)
    less = "PLC 触发数 - 标准件", "PLC triggers - golden samples"
    fired = ("no_triggers", *less, triggers)
    rows = (
        ("first_pass_yield", "首检合格率", "First-pass yield", "合格", "OK", counts["ok"], judged),
        ("ng_rate", "不良率", "NG rate", "不合格", "NG", counts["ng"], judged),
        (
            "undecided_rate",
            "未判定率",
            "Undecided rate",
            "未判定",
            "undecided",
            counts["undecided"],
            judged,
        ),
        (
            "trigger_detection_rate",
            "触发检测率",
            "Trigger detection rate",
            "(合格 + 不合格 + 未判定)",
            "(OK + NG + undecided)",
            seen,
            fired,
        ),
        ("missed_rate", "未检率", "Missed rate", "未检", "missed", counts["missed"], fired),
        ("bypass_rate", "旁路率", "Bypass rate", "旁路", "bypassed", counts["bypassed"], fired),
    )
    return [
        Indicator(
            key,
            zh,
            en,
            "%",
            f"{top_zh} / ({below_zh})",
            f"{top_en} / ({below_en})",
            int(top),
            below,
            share(top, below),
            None if below else note,
        )
        for key, zh, en, top_zh, top_en, top, (note, below_zh, below_en, below) in rows
    ]


def _not_audited(key: str, zh: str, en: str, formula: str) -> Indicator:
    """Needs parts judged by people on the record; until an audit exists there is no figure."""
    told = "needs an audit of parts by people"
    return Indicator(key, zh, en, "%", formula, told, None, None, None, "no_audit")
