"""Statistics of counts, in pure Python; edge, hub and models share it."""

from __future__ import annotations

import math


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson score interval of a share: (low, high), each 0..1; (0, 1) for no trials.

    `z` is the normal quantile; the default gives 95 %. Source: E. B. Wilson, JASA 22 (1927)
    209-212.

    Raises:
        ValueError: a negative count, or more successes than trials.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is not a share")
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    scale = 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    reach = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    low = 0.0 if successes == 0 else max(0.0, middle - reach)
    high = 1.0 if successes == trials else min(1.0, middle + reach)
    return low, high


def at_most(successes: int, trials: int, sure: float = 0.95) -> float:
    """The exact one-sided upper bound of a share (Clopper-Pearson), 0..1; 1 for no trials.

    With this many successes seen, the share is no larger with a certainty of `sure`: 0 of 300 is at
    most 1.0 %. Source: C. J. Clopper, E. S. Pearson, Biometrika 26 (1934) 404-413.

    Raises:
        ValueError: a negative count, more successes than trials, or `sure` not between 0 and 1.
    """
    if not 0 <= successes <= trials or not 0 < sure < 1:
        raise ValueError(f"{successes} of {trials}, {sure} sure, is not a share")
    if successes == trials:
        return 1.0
    low, high = successes / trials, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        if _no_more_than(successes, trials, middle) > 1 - sure:
            low = middle
        else:
            high = middle
    return high


def trials_needed(share: float, successes: int = 0, sure: float = 0.95) -> int:
    """Fewest trials that prove a share of at most `share`, with so many successes among them.

    Raises:
        ValueError: a share or certainty not between 0 and 1, or a negative count.
    """
    if not 0 < share < 1 or not 0 < sure < 1 or successes < 0:
        raise ValueError(f"at most {share} with {successes}, {sure} sure, cannot be proved")
    low, high = successes, successes + 1
    while _no_more_than(successes, high, share) > 1 - sure:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if _no_more_than(successes, middle, share) > 1 - sure:
            low = middle
        else:
            high = middle
    return high


def _no_more_than(successes: int, trials: int, share: float) -> float:
    """Chance of so many successes or fewer."""
    if share <= 0:
        return 1.0
    if share >= 1:
        return float(successes >= trials)
    log, other = math.log(share), math.log1p(-share)
    whole = math.lgamma(trials + 1)
    terms = (
        whole - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * log + (trials - k) * other
        for k in range(min(successes, trials) + 1)
    )
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def no_worse(only_old: int, only_new: int, pairs: int, margin: float) -> float:
    """How sure the new one's share of right answers is no more than `margin` below the old one's.

    Both answered the same `pairs`; `only_old` were right by the old one alone, `only_new` by the
    new one alone. Returned is 1 - p of the score test, 0..1: from 0.95 on the new one is no worse,
    with a mistake in at most about 5 % of trials at the margin itself. 0 for no pairs.
    Source: T. Tango, Statistics in Medicine 17 (1998) 891-908.

    Raises:
        ValueError: a negative count, more answers than pairs, or a margin not between 0 and 1.
    """
    if min(only_old, only_new) < 0 or only_old + only_new > pairs or not 0 < margin < 1:
        raise ValueError(f"{only_old} and {only_new} of {pairs} pairs, margin {margin}, are none")
    if pairs == 0:
        return 0.0
    # by how much the old one is better under the hypothesis: p(only_old) = q + margin
    two_a = 4 * pairs
    b = -only_old - only_new + (2 * pairs - only_old + only_new) * margin
    c = -only_new * margin * (1 - margin)
    q = (math.sqrt(b * b - 2 * two_a * c) - b) / two_a
    spread = pairs * (2 * q + margin * (1 - margin))
    if spread <= 0:
        return 0.0
    z = (pairs * margin - (only_old - only_new)) / math.sqrt(spread)
    return 0.5 * math.erfc(-z / math.sqrt(2))


def kappa(table: tuple[tuple[int, int], tuple[int, int]]) -> float | None:
    """Cohen's kappa of two judges and two words: agreement beyond chance, -1..1; 1 = they agree.

    `table[i][j]` counts what the first called i and the second j. None where chance alone agrees
    always: no count, or both used one word only. Source: J. Cohen, Educ. Psychol. Meas. 20 (1960)
    37-46.

    Raises:
        ValueError: a negative count.
    """
    (a, b), (c, d) = table
    if min(a, b, c, d) < 0:
        raise ValueError(f"{table} holds a negative count")
    total = a + b + c + d
    chance = (a + b) * (a + c) + (c + d) * (b + d)  # x total^2
    if chance == total * total:
        return None
    return ((a + d) * total - chance) / (total * total - chance)
