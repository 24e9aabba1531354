"""Statistics of counts against figures computed by hand or published."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.stats import at_most, kappa, no_worse, trials_needed, wilson


def test_the_interval_equals_the_textbook_example() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3: 81 of 263 and 15 of 148
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_no_failure_in_n_still_leaves_an_upper_limit() -> None:
    low, high = wilson(0, 1000)
    assert low == 0
    assert high == pytest.approx(0.003827, abs=1e-6)


def test_no_trials_say_nothing() -> None:
    assert wilson(0, 0) == (0, 1)


@given(st.integers(0, 2000), st.integers(1, 2000))
def test_the_share_lies_inside_and_the_mirror_image_mirrors(successes: int, trials: int) -> None:
    successes = min(successes, trials)
    low, high = wilson(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    assert wilson(trials - successes, trials) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(("successes", "trials"), [(-1, 4), (5, 4)])
def test_a_count_that_is_no_share_is_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="is not a share"):
        wilson(successes, trials)


def test_kappa_of_known_counts() -> None:
    # the usual textbook example of two readers and 50 grants; 0.4 by hand
    assert kappa(((20, 5), (10, 15))) == pytest.approx(0.4)
    assert kappa(((10, 0), (0, 10))) == 1.0
    assert kappa(((0, 10), (10, 0))) == -1.0
    assert kappa(((10, 0), (0, 0))) is None
    with pytest.raises(ValueError, match="negative"):
        kappa(((1, -1), (0, 0)))


counts = st.integers(0, 1000)


@given(counts, counts, counts, counts)
def test_kappa_lies_between_minus_one_and_one_and_knows_no_order(
    a: int, b: int, c: int, d: int
) -> None:
    found = kappa(((a, b), (c, d)))
    assert found == kappa(((a, c), (b, d)))
    assert found is None or -1 <= found <= 1


@pytest.mark.parametrize(
    ("share", "needed"),
    [
        (0.01, [299, 473, 628, 773, 1049]),
        (0.005, [598, 947, 1258, 1549, 2100]),
        (0.002, [1497, 2371, 3146, 3875, 5254]),
        (0.001, [2995, 4742, 6294, 7752, 10511]),
    ],
)
def test_the_parts_that_prove_an_escape_rate_are_those_of_the_tables(
    share: float, needed: list[int]
) -> None:
    for escapes, parts in zip((0, 1, 2, 3, 5), needed, strict=True):
        assert trials_needed(share, escapes) == parts
        assert at_most(escapes, parts) <= share < at_most(escapes, parts - 1)


def test_the_bound_is_exact_where_it_can_be_written_down() -> None:
    assert at_most(0, 300) == pytest.approx(1 - 0.05 ** (1 / 300))
    assert at_most(9, 10) == pytest.approx(0.95 ** (1 / 10))
    assert at_most(5, 5) == 1.0
    assert at_most(0, 0) == 1.0


@pytest.mark.parametrize("share", [0.002, 0.02, 0.3])
def test_the_bound_holds_as_often_as_it_says(share: float) -> None:
    """Summed over every outcome, not drawn."""
    n = 400
    missed = sum(
        math.comb(n, k) * share**k * (1 - share) ** (n - k)
        for k in range(n + 1)
        if k < 80 + 2 * n * share and at_most(k, n) < share
    )
    assert missed <= 0.05


def test_what_is_no_count_is_refused() -> None:
    for wrong in ((-1, 4), (5, 4)):
        with pytest.raises(ValueError, match="not a share"):
            at_most(*wrong)
    with pytest.raises(ValueError, match="cannot be proved"):
        trials_needed(0.0)
    with pytest.raises(ValueError, match="are none"):
        no_worse(3, 3, 5, 0.01)


# -- the paired test -------------------------------------------------------------------------------


def test_the_paired_test_equals_the_published_example() -> None:
    # Tango (1998), lens care: 43 of 44 by both, one by the old alone, margin 0.1: z = 1.709
    assert 1 - no_worse(1, 0, 44, 0.1) == pytest.approx(
        math.erfc(1.709 / math.sqrt(2)) / 2, abs=2e-4
    )


@given(st.integers(1, 60), st.integers(0, 60), st.integers(60, 4000), st.floats(0.002, 0.2))
def test_more_lost_is_less_sure_and_a_wider_margin_is_surer(
    lost: int, won: int, pairs: int, margin: float
) -> None:
    if lost + won + 1 > pairs:
        return
    sure = no_worse(lost, won, pairs, margin)
    assert 0 <= sure <= 1
    assert no_worse(lost - 1, won, pairs, margin) >= sure - 1e-12
    assert no_worse(lost, won, pairs, margin * 1.5) >= sure - 1e-12


@pytest.mark.parametrize(("pairs", "moved"), [(200, 0.06), (500, 0.03), (2000, 0.012)])
def test_at_the_margin_a_worse_one_passes_in_about_five_of_a_hundred(
    pairs: int, moved: float
) -> None:
    """`moved`: parts that only one of the two answers right."""
    margin, count = 0.01, 4000
    lost, won = (moved + margin) / 2, (moved - margin) / 2
    drawn = np.random.default_rng(5).multinomial(pairs, [lost, won, 1 - lost - won], count)
    passed = sum(no_worse(int(b), int(c), pairs, margin) >= 0.95 for b, c, _ in drawn)
    assert passed / count <= 0.064
    assert passed / count >= 0.02, "and it is not merely timid"
