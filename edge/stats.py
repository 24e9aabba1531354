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
