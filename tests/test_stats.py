"""Statistics of counts against figures computed by hand or published."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.stats import kappa, wilson


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
