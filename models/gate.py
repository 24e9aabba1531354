"""上线评审: may this change go to a line? From two evaluations of one sealed set, nothing else.

Whatever can turn NG into OK (model, threshold, size, zone, precision) ends in the same question: do
the parts that the running release rejects for good reason stay rejected? So the part is the unit,
never the box, and both looked at the same parts:

    recall      paired, no worse than the running release by the margin (edge.stats.no_worse)
    overkill    the same over the good parts
    class       of no class may fewer parts be seen than before; each that is lost is named
    escape      what is claimed must be proved by the parts there are: 0 of 300 is at most 1.0 %
    split       what was learned from proves nothing: only the parts kept for testing do
    licence     what was tested on data that is for research only goes to no line

A first release has nothing to be compared with: it passes by its escape bound, and every class of
the recipe must have been there to be seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from edge.stats import at_most, no_worse, trials_needed
from models.dataset import DataSetError
from models.evaluate import Evaluation, Outcome
from models.manifest import for_research_only

SURE = 0.95

Share = Annotated[float, Meta(gt=0, lt=1)]


class Rules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a release has to prove."""

    recall_margin: Share = 0.01  # of the defective parts, so many more may pass
    overkill_margin: Share = 0.01  # of the good parts, so many more may be rejected
    escape: Share = 0.01  # of the defective parts, at most so many pass
    borne: tuple[str, ...] = ()  # classes of which a few may be lost within the recall margin


class Check(Struct, frozen=True, kw_only=True):
    """One thing that was to be proved."""

    name: str
    ok: bool
    said: str  # in Chinese, with its figures


class Report(Struct, frozen=True, kw_only=True):
    """The file gate.json."""

    format: int
    made_at: str
    passed: bool
    current: str | None  # sha256 of what was compared; None = a first release
    candidate: str
    recipe_sha256: str  # of the candidate
    model_sha256: str | None
    set_sha256: str
    split: str
    rules: Rules
    checks: list[Check]


def gate(candidate: Evaluation, current: Evaluation | None, rules: Rules) -> Report:
    """Judge a change.

    Args:
        current: of the release that runs; None = there is none.

    Raises:
        DataSetError: the two did not look at the same parts.
    """
    checks = [_licence(candidate), _unlearned(candidate), *_judged(candidate)]
    if current is None:
        checks += _first(candidate)
    else:
        _same_parts(candidate, current)
        _known(rules, current)
        checks += [
            _recall(candidate, current, rules.recall_margin),
            _overkill(candidate, current, rules.overkill_margin),
            *_classes(candidate, current, rules),
        ]
    checks.append(_escape(candidate, rules.escape))
    return Report(
        format=1,
        made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        passed=all(check.ok for check in checks),
        current=None if current is None else digest_of(current),
        candidate=digest_of(candidate),
        recipe_sha256=candidate.recipe_sha256,
        model_sha256=candidate.model_sha256,
        set_sha256=candidate.set_sha256,
        split=candidate.split,
        rules=rules,
        checks=checks,
    )


def digest_of(evaluation: Evaluation) -> str:
    """Names an evaluation in a report."""
    return hashlib.sha256(msgspec.json.encode(evaluation, order="sorted")).hexdigest()


def _same_parts(candidate: Evaluation, current: Evaluation) -> None:
    wrong = []
    for what in ("set_sha256", "split", "camera", "mm_per_px"):
        ours, theirs = getattr(candidate, what), getattr(current, what)
        if ours != theirs:
            wrong.append(f"{what}: {theirs} of the running release, {ours} of the candidate")
    if [part.part for part in candidate.parts] != [part.part for part in current.parts]:
        wrong.append("they did not judge the same parts")
    if wrong:
        told = "Evaluate both on the same split of the same set."
        raise DataSetError("the two evaluations", wrong, told)


def _known(rules: Rules, current: Evaluation) -> None:
    wrong = [
        f"no class {label!r}; there are {', '.join(current.labels)}"
        for label in rules.borne
        if label not in current.labels
    ]
    if wrong:
        raise DataSetError("--borne", wrong, "Correct the name.")


def _unlearned(candidate: Evaluation) -> Check:
    ok = candidate.split == "test"
    told = f"验收用的是 {candidate.split} 部分" + ("" if ok else "：模型可能学过，只有 test 算数")
    return Check(name="split", ok=ok, said=told)


def _licence(candidate: Evaluation) -> Check:
    ok = not for_research_only(candidate.licence)
    told = f"数据许可 {candidate.licence}" + ("" if ok else "：只可研究，不得用于生产")
    return Check(name="licence", ok=ok, said=told)


def _judged(candidate: Evaluation) -> list[Check]:
    faults = [part for part in candidate.parts if part.fault]
    if not faults:
        return []
    told = f"{len(faults)} 件无法判定，例如 {faults[0].part}：{faults[0].fault}"
    return [Check(name="judged", ok=False, said=told)]


def _recall(candidate: Evaluation, current: Evaluation, margin: float) -> Check:
    pairs = [(old, new) for old, new in _pairs(candidate, current) if old.has]
    lost = [new.part for old, new in pairs if new.passed and not old.passed]
    won = sum(old.passed and not new.passed for old, new in pairs)
    moved = f"原来剔除、现在放过 {len(lost)} 件，原来放过、现在剔除 {won} 件"
    told = f"有缺陷 {len(pairs)} 件：{moved}；漏检"
    return _no_worse("recall", told, lost, won, len(pairs), margin)


def _overkill(candidate: Evaluation, current: Evaluation, margin: float) -> Check:
    pairs = [(old, new) for old, new in _pairs(candidate, current) if not old.has]
    lost = [new.part for old, new in pairs if old.passed and not new.passed]
    won = sum(new.passed and not old.passed for old, new in pairs)
    moved = f"原来放过、现在剔除 {len(lost)} 件，原来剔除、现在放过 {won} 件"
    told = f"合格 {len(pairs)} 件：{moved}；过检"
    return _no_worse("overkill", told, lost, won, len(pairs), margin)


def _no_worse(
    name: str, told: str, lost: Sequence[str], won: int, pairs: int, margin: float
) -> Check:
    """Lost: parts that the running release alone had right; won: how many the candidate alone."""
    sure = no_worse(len(lost), won, pairs, margin)
    told += f"增加不超过 {margin:.1%} 的把握 {sure:.1%}，要求 {SURE:.0%}{_named(lost)}"
    return Check(name=name, ok=sure >= SURE, said=told)


def _classes(candidate: Evaluation, current: Evaluation, rules: Rules) -> list[Check]:
    checks = []
    for label in sorted({label for part in current.parts for label in part.has}):
        pairs = [(old, new) for old, new in _pairs(candidate, current) if label in old.has]
        lost = [new.part for old, new in pairs if label in old.seen and label not in new.seen]
        won = sum(label in new.seen and label not in old.seen for old, new in pairs)
        if label in rules.borne:
            ok = no_worse(len(lost), won, len(pairs), rules.recall_margin) >= SURE
        else:
            ok = len(lost) <= won
        told = (
            f"{label}：{len(pairs)} 件中，原来看到、现在看不到 {len(lost)} 件，"
            f"反过来 {won} 件{_named(lost)}"
        )
        if not ok:
            told = f"忘记了 {told}"
        checks.append(Check(name=f"class {label}", ok=ok, said=told))
    return checks


def _first(candidate: Evaluation) -> list[Check]:
    there = {label for part in candidate.parts for label in part.has}
    absent = sorted(set(candidate.labels) - there)
    told = "首个版本，没有可比的在用版本"
    told += f"；验收集里没有这些类别：{'、'.join(absent)}" if absent else "；每个类别都有"
    return [Check(name="first", ok=not absent, said=told)]


def _escape(candidate: Evaluation, claim: float) -> Check:
    bad = [part for part in candidate.parts if part.has]
    passed = [part.part for part in bad if part.passed]
    bound = at_most(len(passed), len(bad))
    told = f"漏检 {len(bad)} 件中 {len(passed)} 件：最多 {bound:.2%}（95 % 把握），声明 {claim:.2%}"
    if bound > claim:
        needed = trials_needed(claim, len(passed))
        told += f"；同样漏 {len(passed)} 件，要 {needed} 件有缺陷的才能证明{_named(passed)}"
    return Check(name="escape", ok=bound <= claim, said=told)


def _pairs(candidate: Evaluation, current: Evaluation) -> list[tuple[Outcome, Outcome]]:
    return list(zip(current.parts, candidate.parts, strict=True))


def _named(parts: Sequence[str]) -> str:
    """The first of them, so that a person can look."""
    if not parts:
        return ""
    more = f" 等 {len(parts)} 件" if len(parts) > 5 else ""
    return f"（{'、'.join(parts[:5])}{more}）"
