"""Two judges over the same answers: hand-counted tables, and a reference implementation."""

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa

from cwpo.statistics.agreement import agreement


def test_hand_counted() -> None:
    """20 both won, 5 and 10 only one, 15 both lost: observed .7, by chance .5, kappa .4."""
    first = [[1.0] * 25 + [0.0] * 25]
    second = [[1.0] * 20 + [0.0] * 5 + [1.0] * 10 + [0.0] * 15]
    found = agreement(first, second)
    assert found.share.estimate == pytest.approx(0.7)
    assert found.kappa is not None
    assert found.kappa.estimate == pytest.approx(0.4)


def test_kappa_of_three_sides_equals_statsmodels() -> None:
    """Estimate to 1e-9 and standard error but for n − 1 in place of n."""
    rng = np.random.default_rng(0)
    one = rng.choice([0.0, 0.5, 1.0], 400, p=[0.3, 0.1, 0.6])
    other = np.where(rng.random(400) < 0.6, one, rng.choice([0.0, 0.5, 1.0], 400))
    counts = np.array([[((one == a) & (other == b)).sum() for b in (0, 0.5, 1)] for a in (0, 0.5, 1)])
    wanted = cohens_kappa(counts)
    found = agreement(one[None], other[None]).kappa
    assert found is not None
    assert found.estimate == pytest.approx(wanted.kappa, abs=1e-9)
    assert found.se * np.sqrt(399 / 400) == pytest.approx(np.sqrt(wanted.var_kappa), rel=1e-9)


def test_means_of_several_samples_count_by_their_side() -> None:
    assert agreement([[0.75, 0.25, 0.5]], [[1.0, 0.0, 0.5]]).share.estimate == 1.0


def test_judges_that_call_one_side_only_have_no_kappa() -> None:
    found = agreement([[1.0] * 10], [[1.0] * 10])
    assert found.kappa is None
    assert found.share.estimate == 1.0
