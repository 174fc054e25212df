"""What a judge's errors leave of a win rate: the truth and an interval that holds it, or that nothing is known."""

import os

import numpy as np
import pytest

from benchmarks.judge_error import World, coverage
from cwpo.statistics.judge_error import corrected

WORLDS = int(os.environ.get("CWPO_JUDGE_WORLDS", "400"))


@pytest.mark.parametrize("true", [0.5, 0.65, 0.9])
@pytest.mark.parametrize("q", [0.6, 0.75, 0.95])
def test_without_chance_the_true_rate_comes_back(true: float, q: float) -> None:
    seen = q * true + (1 - q) * (1 - true)
    found = corrected(seen, 0.0, q, 0.0)
    assert found.estimate == pytest.approx(true)
    assert (found.low, found.high) == (pytest.approx(true), pytest.approx(true))


def test_a_judge_without_errors_changes_nothing() -> None:
    found = corrected(0.62, 0.02, 1.0, 0.0)
    ends = (0.62, 0.62 - 1.96 * 0.02, 0.62 + 1.96 * 0.02)
    assert (found.estimate, found.low, found.high) == pytest.approx(ends, abs=1e-4)


def test_the_interval_is_wider_by_the_error_of_q_and_by_every_error_of_the_judge() -> None:
    widths = [
        (found := corrected(0.6, 0.02, q, error)).high - found.low
        for q, error in ((1.0, 0.0), (0.8, 0.0), (0.8, 0.02), (0.7, 0.02))
    ]
    assert widths == sorted(widths)
    assert len(set(widths)) == 4


def test_more_than_all_is_impossible_and_a_coin_says_nothing() -> None:
    far = corrected(0.9, 0.02, 0.7, 0.02)
    assert far.outside
    assert far.impossible
    near = corrected(0.78, 0.02, 0.75, 0.02)
    assert near.outside
    assert not near.impossible
    coin = corrected(0.7, 0.02, 0.52, 0.02)
    assert coin.silent
    assert (coin.low, coin.high) == (0.0, 1.0)


def test_the_interval_holds_the_truth_where_errors_are_independent_and_not_where_they_favour_one_model() -> None:
    """95 % within what 400 worlds can tell; a judge that is wrong more often in one model's favour hides it in all."""
    fair = coverage(World(true=0.6, q=0.75, prompts=400, pairs=1000), worlds=WORLDS, seed=0)
    assert abs(fair.covered - 0.95) < 3.5 * np.sqrt(0.95 * 0.05 / WORLDS)
    assert abs(fair.bias) < 0.02
    favoured = coverage(World(true=0.6, q=0.75, prompts=400, pairs=1000, favour=0.15), worlds=WORLDS, seed=0)
    assert favoured.covered < 0.5
    assert favoured.bias > 0.1
