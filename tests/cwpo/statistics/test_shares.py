"""The interval of a share: Wilson's at the number of prompts that a table is worth."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from benchmarks.rule import Single, single_row
from cwpo.statistics.shares import of_shares, share, wilson


@pytest.mark.parametrize(("wins", "total"), [(0, 50), (31, 50), (50, 50), (97, 100)])
def test_one_seed_of_wins_and_losses_is_wilsons_interval(wins: int, total: int) -> None:
    found = share(np.r_[np.ones(wins), np.zeros(total - wins)])
    assert (found.low, found.high) == pytest.approx(proportion_confint(wins, total, method="wilson"), abs=1e-9)
    assert (found.method, found.effective) == ("Wilson", pytest.approx(total))


@pytest.mark.parametrize("seeds", [1, 2, 3, 8])
def test_a_worse_result_never_has_a_higher_end_or_a_narrower_interval(seeds: int) -> None:
    """Losses one after the other on 100 prompts, dealt to the seeds in turn, until one prompt in ten is lost."""
    table = np.ones((seeds, 100))
    found = [share(table)]
    for lost in range(10 * seeds):
        table[lost % seeds, lost // seeds if lost % 2 else 50 + lost // seeds] = 0.0
        found.append(share(table))
    lows, highs = (np.array([getattr(one, end) for one in found]) for end in ("low", "high"))
    assert (np.diff(lows) < 1e-12).all()
    assert (np.diff(highs) < 1e-12).all()
    assert (np.diff(highs - lows) > -1e-4).all()  # 0.01 points


def test_the_interval_leaves_out_one_half_where_the_test_does() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        found = share(rng.random((int(rng.integers(1, 4)), 60)) < rng.uniform(0.3, 0.7))
        assert (found.p < 0.05) == (not found.low <= 0.5 <= found.high)


def test_seeds_of_the_same_prompts_are_not_more_prompts() -> None:
    table = np.tile(np.r_[np.ones(60), np.zeros(40)], (5, 1))
    found = share(table)
    assert found.effective < 101
    drawn = share(np.random.default_rng(0).random((5, 100)) < 0.6)
    assert 100 < drawn.effective < 500


def test_copies_named_as_clusters_change_nothing() -> None:
    table = (np.random.default_rng(1).random((3, 80)) < 0.7).astype(float)
    alone, found = share(table), share(np.repeat(table, 2, axis=1), np.repeat(np.arange(80), 2))
    assert (found.low, found.high, found.clusters) == pytest.approx((alone.low, alone.high, 80))


def test_all_that_ties_is_one_half_give_or_take() -> None:
    found = share(np.full((1, 80), 0.5))
    assert 0.45 < found.low < 0.5 < found.high < 0.55


def test_nothing_is_known_from_one_prompt_and_gaps_are_refused() -> None:
    assert (share([[1.0]]).low, share([[1.0]]).high, share([[1.0]]).p) == (0.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="every seed on every prompt"):
        share([[1.0, np.nan]])


def test_shares_of_seeds_alone_are_wider_than_their_pairs() -> None:
    found = of_shares([0.62, 0.64, 0.66], 1000)
    low, high = wilson(0.64, 1000)
    assert found.low < low < found.estimate < high < found.high
    assert found.another is not None
    assert found.another > found.high - found.estimate


@pytest.mark.parametrize(
    "cell",
    [
        Single(mean=0.7, seeds=2, prompts=100, seed_sd=0.06),
        Single(mean=0.9, seeds=3, prompts=100, seed_sd=0.03),
        Single(mean=0.97, seeds=8, prompts=100, seed_sd=0.0),
        Single(mean=0.9, seeds=1, prompts=100, seed_sd=0.0, samples=4),
        Single(mean=0.7, seeds=3, prompts=200, seed_sd=0.03, per_cluster=4),
    ],
)
def test_the_true_share_is_covered(cell: Single) -> None:
    """300 tables each; the full grid: python -m benchmarks rule."""
    assert single_row(cell, 300, rules=("after",))["after_coverage"] > 0.93 - 3 * np.sqrt(0.05 * 0.95 / 300)
