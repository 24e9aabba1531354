"""What a demo run came to: the line's own truth beside what the hub holds. Pure.

The line (`quanjian-edge simulate`) knows what every part was and what the PLC did; the hub knows
what the node told it. The laws hold only if both say the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub import metrics

SETTLED = ("ok", "ng", "undecided", "missed", "bypassed", "quarantined")

DETECTION = ("escapes", "overkills", "defective_parts", "good_parts")
"""What only the simulated line can know: how the detector did against the truth."""


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a run left behind."""

    laws: Sequence[Mapping[str, Any]]  # rows of `law`, of this run's epochs
    parts: Sequence[Mapping[str, Any]]  # plc_start, number, code, computed of its part rows
    unjudged: int  # parts in its missed, bypassed and quarantined rows
    line: Mapping[str, Any]  # the summary that the line wrote
    truth: Iterable[Mapping[str, Any]]  # the line's story of every part
    setup_s: float
    simulated: bool = True  # False: own pictures, whose truth the line does not know


def figures(run: Run) -> dict[str, Any]:
    """The one JSON object of a run.

    triggers are the PLC's own; ok to bypassed are the hub's sums; hub_parts are counted from the
    rows themselves; residue is triggers minus everything settled, so it is 0 or the ledger lies.
    latency_ms runs from the sensor edge to the PLC's scan that took the verdict; null = infinite.
    """
    sums = {name: sum(law[name] for law in run.laws) for name in SETTLED}
    triggers = int(run.line["triggers"])
    latency = run.line["latency_ms"]
    return {
        "triggers": triggers,
        **sums,
        "hub_parts": len(run.parts) + run.unjudged,
        "residue": triggers - sum(sums.values()),
        "wrong_verdicts_at_plc": wrong_verdicts(run),
        "good_bin_without_ok": run.line["good_bin_without_ok"],
        **{name: run.line[name] if run.simulated else None for name in DETECTION},
        "latency_ms": {key: latency[key] for key in ("p50", "p99", "max")},
        "setup_s": round(run.setup_s, 1),
    }


def wrong_verdicts(run: Run) -> int:
    """Verdicts that the PLC took and that are not what the node's row of that part says.

    A row whose verdict the PLC took without the node hearing of it is undecided; what was computed
    then is what the PLC must have.
    """
    told = {(part["plc_start"], part["number"]): part for part in run.parts}
    wrong = int(run.line["wrong_words"])
    for part in run.truth:
        if part["kind"] != "part" or part["code"] is None:
            continue
        row = told.get((part["plc_start"], part["number"]))
        wrong += row is None or part["code"] not in (row["code"], row["computed"])
    return wrong


def failures(run: Run) -> list[str]:
    """Why the laws do not hold, in sentences; empty if they do."""
    found = figures(run)
    problems = []
    for law in run.laws:
        first = metrics.first_law(law)
        if first.state != "balanced" or metrics.unsettled(law):
            problems.append(
                f"epoch {law['epoch']}: {first.state}, residue {first.residue}, "
                f"{metrics.unsettled(law)} triggers never settled"
            )
    if not run.laws:
        problems.append("no epoch reached the hub")
    if found["residue"] != 0:
        problems.append(f"residue: expected 0, got {found['residue']}")
    if found["hub_parts"] != found["triggers"]:
        problems.append(
            f"hub_parts: expected {found['triggers']} as the PLC counted, got {found['hub_parts']}"
        )
    problems += [
        f"{name}: expected 0, got {found[name]}"
        for name in ("wrong_verdicts_at_plc", "good_bin_without_ok")
        if found[name]
    ]
    return problems


def sentence(laws: Sequence[Mapping[str, Any]]) -> str:
    """The ledger of these epochs in one line, in both languages.

    The PLC's counter is sampled about once a second; parts settled since the sample were triggers
    too, so they are added to both sides. Whether it balances is told by the sample.
    """
    sums = {name: sum(law[name] for law in laws) for name in SETTLED}
    states = {metrics.first_law(law).state for law in laws}
    sampled = sum(metrics.first_law(law).triggers or 0 for law in laws)
    triggers = max(sampled, sum(sums.values()))
    in_work = triggers - sum(sums.values())
    word = "平衡 balanced" if states <= {"balanced"} else "不平衡 OUT OF BALANCE"
    if not laws or "unknown" in states:
        word = "等待首个触发 waiting for the first trigger"
    return (
        f"台账 ledger: 触发 {triggers} triggers = 合格 {sums['ok']} ok + 不合格 {sums['ng']} ng + "
        f"未判定 {sums['undecided']} undecided + 未检 {sums['missed']} missed + "
        f"旁路 {sums['bypassed']} bypassed + {in_work} in work: {word}"
    )
