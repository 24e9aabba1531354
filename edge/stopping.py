"""When sorting is not enough and the line must stop: the [stop] rules of a recipe. Pure.

Only parts judged OK or NG count; an undecided one is passed over: it neither breaks a row of NG
parts nor makes their share smaller. Another recipe is another product and begins anew.
"""

from dataclasses import dataclass

from edge.limits import Stop
from edge.terms import Code


@dataclass(frozen=True, slots=True)
class Run:
    """What the rules remember of the parts judged since they began."""

    recipe: int = 0  # number of the recipe they were judged by
    ng_in_a_row: int = 0
    recent: tuple[bool, ...] = ()  # of the last `of_parts`, oldest first: was it NG?


def follow(run: Run, recipe: int, code: Code, rules: Stop) -> Run:
    """One more judged part."""
    if recipe != run.recipe:
        run = Run(recipe)
    if code not in (Code.OK, Code.NG):
        return run
    is_ng = code is Code.NG
    recent = (*run.recent, is_ng)[-rules.of_parts :]
    return Run(recipe, run.ng_in_a_row + 1 if is_ng else 0, recent)


def reason(run: Run, rules: Stop) -> str | None:
    """Why the line must be stopped; None = it need not be.

    The share is one of `of_parts` also while fewer were judged: so many NG are too many already.
    """
    if rules.consecutive_ng is not None and run.ng_in_a_row >= rules.consecutive_ng:
        return f"{run.ng_in_a_row} NG parts one after the other, limit {rules.consecutive_ng}"
    ng = sum(run.recent)
    if rules.ng_share is not None and ng >= rules.ng_share * rules.of_parts:
        return f"{ng} NG among the last {len(run.recent)} parts, limit {rules.ng_share:g}"
    return None
