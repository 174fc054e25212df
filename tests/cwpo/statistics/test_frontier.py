"""GRA at matched KL on synthetic frontiers whose answer is known."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest

from cwpo.statistics.frontier import SeedFrontier, at_kl, covered, frontier, matched_difference
from cwpo.statistics.intervals import paired_difference
from cwpo.statistics.simultaneous import Gap, together

PROMPTS = 200
NEAR, FAR = (0.2, 0.5, 1.1, 1.9), (0.3, 0.8, 1.7, 2.9)  # KL at four β: the second method moves 1.5 times as far


def exact(kl: Sequence[float], gain: Callable[[np.ndarray], np.ndarray]) -> SeedFrontier:
    """Outcomes without noise: every prompt has the same expected outcome."""
    return SeedFrontier(kl=np.array(kl), outcomes=np.tile(gain(np.array(kl))[:, None], PROMPTS))


def drawn(kl: Sequence[float], gain: Callable[[np.ndarray], np.ndarray], seed: int, method: int) -> SeedFrontier:
    """Wins and losses around an easiness per prompt that both methods and all seeds share."""
    easiness = np.random.default_rng(7).uniform(-0.2, 0.2, PROMPTS)
    rng = np.random.default_rng([seed, method])
    moved = np.array(kl) * rng.uniform(0.95, 1.05)
    chance = gain(moved)[:, None] + easiness
    return SeedFrontier(kl=moved, outcomes=(rng.random(chance.shape) < chance).astype(float))


def one_curve(kl: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 + 0.1 * np.sqrt(kl))


def better(kl: np.ndarray) -> np.ndarray:
    return np.asarray(0.55 + 0.1 * np.sqrt(kl))


def test_two_methods_on_one_curve_differ_at_equal_beta_and_not_at_equal_kl() -> None:
    first, second = [exact(FAR, one_curve)] * 2, [exact(NEAR, one_curve)] * 2
    at_beta = paired_difference([one.outcomes[2] for one in first], [one.outcomes[2] for one in second])
    assert at_beta.estimate == pytest.approx(0.1 * (1.7**0.5 - 1.1**0.5))
    found = matched_difference(first, second)
    assert found is not None
    assert (found.kl_low, found.kl_high) == pytest.approx((0.3, 1.9))
    assert found.gaps.mean() == pytest.approx(0.0, abs=1e-12)
    assert found.curve.estimate == pytest.approx([0.0] * len(found.curve.kl), abs=1e-12)


def test_a_direction_that_is_better_at_every_distance_is_found() -> None:
    found = matched_difference([exact(FAR, better)] * 3, [exact(NEAR, one_curve)] * 3)
    assert found is not None
    assert found.gaps.mean() == pytest.approx(0.05, abs=1e-12)
    assert found.curve.estimate == pytest.approx([0.05] * len(found.curve.kl), abs=1e-12)


def test_the_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    """200 tables of 4 seeds with noise: nominal 95 %."""
    hits = 0
    for table in range(200):
        first = [drawn(FAR, better, 10 * table + seed, 1) for seed in range(4)]
        second = [drawn(NEAR, one_curve, 10 * table + seed, 2) for seed in range(4)]
        found = matched_difference(first, second)
        assert found is not None
        (row,) = together([Gap(first="a", second="b", cells=pd.DataFrame(found.gaps))])
        hits += row.low <= 0.05 <= row.high
    assert hits / 200 >= 0.91


def test_a_curve_passes_through_its_runs_and_is_silent_beyond_them() -> None:
    seed = exact(NEAR, one_curve)
    assert at_kl(seed, np.array(NEAR)).mean(axis=1) == pytest.approx(one_curve(np.array(NEAR)))
    curve = frontier([seed, exact(FAR, one_curve)])
    assert curve is not None
    assert (curve.kl[0], curve.kl[-1]) == pytest.approx((0.3, 1.9))
    assert curve.estimate == pytest.approx(one_curve(np.array(curve.kl)), abs=1e-12)


def test_runs_of_one_kl_are_averaged_and_order_does_not_matter() -> None:
    outcomes = np.array([[1.0], [0.0], [0.5]])
    seed = SeedFrontier(kl=np.array([4.0, 1.0, 4.0]), outcomes=outcomes)
    assert at_kl(seed, np.array([1.0, 2.25, 4.0])).ravel() == pytest.approx([0.0, 0.375, 0.75])


def test_methods_that_do_not_overlap_are_not_compared() -> None:
    assert matched_difference([exact((0.1, 0.2), one_curve)], [exact((0.5, 0.9), one_curve)]) is None
    assert covered([exact((0.7,), one_curve)]) is None


def test_a_negative_kl_estimate_is_no_distance() -> None:
    assert covered(
        [exact((0.0, 1.0), one_curve), SeedFrontier(kl=np.array([-0.02, 0.8]), outcomes=np.zeros((2, 3)))]
    ) == (pytest.approx((0.0, 0.8)))
