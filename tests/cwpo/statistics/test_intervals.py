"""Intervals: against scipy and statsmodels, against ANOVA by hand, and by what they cover in small simulations."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint

from cwpo.statistics import intervals, judge_error

COVERAGE = Path(__file__).resolve().parents[3] / "benchmarks" / "coverage.py"


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    """The simulations of benchmarks/coverage.py, here with few tables."""
    spec = importlib.util.spec_from_file_location("coverage_benchmark", COVERAGE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table_of(seeds: int = 4, prompts: int = 60, *, seed: int = 0, seed_sd: float = 0.05) -> np.ndarray:
    rng = np.random.default_rng(seed)
    chances = 0.5 + rng.normal(0, seed_sd, (seeds, 1)) + rng.uniform(-0.3, 0.3, prompts)
    return (rng.random((seeds, prompts)) < chances).astype(float)


# ---- one run ------------------------------------------------------------------------------------------------------


def test_gra_counts_a_tie_as_half() -> None:
    """3 wins, 2 ties, 1 loss: (3 + 1)/6, strictly 3/6, without ties 3/4."""
    tally = intervals.gra([1, 1, 1, 0.5, 0.5, 0])
    assert (tally.wins, tally.ties, tally.losses) == (3, 2, 1)
    assert (tally.gra, tally.strict, tally.ties_dropped) == pytest.approx((4 / 6, 3 / 6, 3 / 4))


def test_gra_of_several_samples_is_their_mean_and_the_majority_wins() -> None:
    tally = intervals.gra([0.75, 0.25, 0.5, 1.0])
    assert (tally.wins, tally.ties, tally.losses, tally.gra) == (2, 1, 1, 0.625)


def test_gra_of_a_model_against_itself_is_one_half_with_an_interval() -> None:
    tally = intervals.gra([0.5] * 80)
    interval = intervals.single_run_interval([0.5] * 80)
    assert (tally.gra, tally.strict, tally.ties_dropped) == (0.5, 0.0, None)
    assert 0.45 < interval.low < 0.5 < interval.high < 0.55


@pytest.mark.parametrize("bad", [[], [1.2], [-0.1], [float("nan")]])
def test_outcomes_outside_zero_and_one_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="outcome"):
        intervals.gra(bad)


@pytest.mark.parametrize(("wins", "total"), [(0, 50), (31, 50), (50, 50), (420, 700)])
def test_wins_and_losses_alone_have_the_wilson_interval_of_statsmodels(wins: int, total: int) -> None:
    found = intervals.single_run_interval([1.0] * wins + [0.0] * (total - wins))
    assert (found.low, found.high) == pytest.approx(proportion_confint(wins, total, method="wilson"), abs=1e-12)
    assert found.method == "Wilson"


def test_outcomes_with_ties_have_the_interval_of_a_bootstrap() -> None:
    outcomes = np.r_[table_of(1, 300)[0], 0.5, 0.5]
    found = intervals.single_run_interval(outcomes)
    plain = stats.bootstrap((outcomes,), np.mean, n_resamples=9_999, method="percentile", rng=1).confidence_interval
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=0.004)


def test_copies_of_an_outcome_carry_no_more_than_one() -> None:
    """Four copies of each outcome, named as clusters, and taken for prompts."""
    once = np.r_[table_of(1, 100)[0], 0.5]
    copies, clusters = np.repeat(once, 4), np.repeat(np.arange(101), 4)
    alone = intervals.single_run_interval(once)
    found = intervals.single_run_interval(copies, clusters)
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))
    naive = intervals.single_run_interval(copies)
    assert naive.high - naive.low < 0.6 * (alone.high - alone.low)


def test_one_prompt_says_nothing() -> None:
    found = intervals.single_run_interval([0.5, 1.0], ["a", "a"])
    assert (found.low, found.high) == (0, 1)


def test_every_prompt_agreeing_is_the_exact_rule_of_three() -> None:
    """All 100 win with a tie's worth of doubt: Clopper–Pearson's lower end for 100 of 100, .025^(1/100)."""
    found = intervals.crossed(np.ones((3, 100)))
    exact = stats.binomtest(100, 100).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, 1.0))


# ---- seeds × prompts ------------------------------------------------------------------------------------------------


def test_balanced_tables_equal_the_two_way_anova_by_hand() -> None:
    """SE² = (A + B − E)/N with A, B, E the mean squares of seeds, prompts and residual; df after Satterthwaite."""
    table = table_of(4, 60, seed_sd=0.1)
    k, n = table.shape
    rows, columns, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    a = n * ((rows - mean) ** 2).sum() / (k - 1)
    b = k * ((columns - mean) ** 2).sum() / (n - 1)
    e = ((table - rows[:, None] - columns + mean) ** 2).sum() / ((k - 1) * (n - 1))
    assert a > e < b  # else a variance would be negative and count as 0
    df = (a + b - e) ** 2 / (a**2 / (k - 1) + b**2 / (n - 1) + e**2 / ((k - 1) * (n - 1)))
    found = intervals.crossed(table)
    assert (found.estimate, found.se, found.df) == pytest.approx((mean, np.sqrt((a + b - e) / table.size), df))
    half = stats.t.isf(0.025, df) * np.sqrt((a + b - e) / table.size)
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half))
    assert found.seed_sd == pytest.approx(np.sqrt((a - e) / n))
    assert (found.seeds, found.prompts, found.clusters) == (4, 60, 60)


def test_components_agree_with_a_mixed_model_on_a_table_with_gaps() -> None:
    """Moments against the REML of statsmodels, crossed effects as variance components of one group."""
    rng = np.random.default_rng(5)
    full = 0.5 + rng.normal(0, 0.2, (12, 1)) + rng.normal(0, 0.3, 80) + rng.normal(0, 0.3, (12, 80))
    table = np.where(rng.random(full.shape) < 0.1, np.nan, full)
    long = (
        pd.DataFrame(table)
        .melt(ignore_index=False, var_name="prompt", value_name="y")
        .reset_index(names="seed")
        .dropna()
    )
    model = MixedLM.from_formula(
        "y ~ 1", long.assign(all=1), groups="all", vc_formula={"seed": "0 + C(seed)", "prompt": "0 + C(prompt)"}
    ).fit()
    found = intervals.crossed(table, bounds=(-10, 10))
    assert found.seed_sd == pytest.approx(np.sqrt(dict(zip(model.model.exog_vc.names, model.vcomp))["seed"]), rel=0.02)
    assert found.se == pytest.approx(float(model.bse["Intercept"]), rel=0.03)
    assert found.estimate == pytest.approx(float(model.params["Intercept"]), abs=0.01)


def test_a_table_without_gaps_gains_nothing_from_the_general_formula() -> None:
    table = table_of()
    gap = np.column_stack([table, np.full(4, np.nan)])  # a prompt that no seed answered
    assert intervals.crossed(gap) == intervals.crossed(table)


def test_seeds_that_agree_by_chance_do_not_narrow_the_interval() -> None:
    """Equal seed means: a negative seed variance counts as 0, so SE² = B/N, that of prompts and noise alone."""
    table = table_of(4, 60)
    table[:] = np.array([np.roll(table[0], 7 * i) for i in range(4)])
    k, n = table.shape
    b = k * ((table.mean(axis=0) - table.mean()) ** 2).sum() / (n - 1)
    e = table.var(axis=0).sum() * k / ((k - 1) * (n - 1))
    found = intervals.crossed(table)
    assert found.se == pytest.approx(np.sqrt(max(b, e) / table.size))
    assert (found.seed_sd, found.df > n / 2) == (0.0, True)  # not k − 1 = 3


def test_seeds_widen_the_interval_beyond_one_binomial() -> None:
    table = table_of(3, 500, seed_sd=0.03)
    found = intervals.crossed(table)
    pooled = proportion_confint(table.sum(), table.size, method="wilson")
    assert found.high - found.low > 1.3 * (pooled[1] - pooled[0])


def test_clusters_of_copies_carry_no_more_than_one_prompt() -> None:
    table = table_of(4, 60)
    copies = np.repeat(table, 3, axis=1)
    found = intervals.crossed(copies, np.repeat(np.arange(60), 3))
    alone = intervals.crossed(table)
    assert (found.estimate, found.se, found.df) == pytest.approx((alone.estimate, alone.se, alone.df))
    assert (found.prompts, found.clusters) == (180, 60)


def test_unequal_clusters_keep_the_mean_over_prompts() -> None:
    table = table_of(3, 6)
    found = intervals.crossed(table, ["a", "a", "a", "b", "c", "c"])
    assert found.estimate == pytest.approx(table.mean())


def test_one_seed_is_the_t_interval_of_scipy() -> None:
    values = table_of(1, 80)[0]
    found = intervals.crossed(values)
    wanted = stats.ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert found.seed_sd is None


def test_two_seeds_are_allowed_and_wide() -> None:
    table = np.vstack([np.r_[np.ones(70), np.zeros(30)], np.r_[np.ones(40), np.zeros(60)]])
    found = intervals.crossed(table)
    assert found.high - found.low > 0.5
    assert 0 <= found.low <= found.high <= 1


@pytest.mark.parametrize("table", [np.ones((1, 1)), np.zeros((2, 1)), np.array([[1.0, 0.0]]), np.array([[1.0], [0.0]])])
def test_tiny_tables_give_an_interval(table: np.ndarray) -> None:
    found = intervals.crossed(table)
    assert 0 <= found.low <= found.estimate <= found.high <= 1


def test_seeds_without_a_common_prompt_are_refused() -> None:
    with pytest.raises(ValueError, match="no prompt was answered under two seeds"):
        intervals.crossed([[1.0, np.nan, 0.0, np.nan], [np.nan, 0.0, np.nan, 1.0]])
    with pytest.raises(ValueError, match="share no prompt"):
        intervals.shared_prompts(pd.DataFrame([[1.0, np.nan], [np.nan, 0.0]]))


def test_shared_prompts_counts_what_it_leaves_out() -> None:
    kept, dropped = intervals.shared_prompts(pd.DataFrame({"p1": [1.0, 0.0], "p2": [1.0, np.nan], "p3": [0.5, 0.5]}))
    assert (list(kept.columns), dropped) == (["p1", "p3"], 1)


def test_a_wrong_number_of_clusters_is_refused() -> None:
    with pytest.raises(ValueError, match="2 clusters were given for 60 prompts"):
        intervals.crossed(table_of(), [1, 2])


# ---- differences ----------------------------------------------------------------------------------------------------


def test_a_difference_of_equal_tables_is_zero_and_does_not_crash() -> None:
    table = table_of()
    found = intervals.paired_difference(table, table)
    assert (found.estimate, found.p, found.covers_zero) == (0.0, 1.0, True)
    assert -0.1 < found.low < 0 < found.high < 0.1
    everywhere = intervals.paired_difference(np.ones((3, 50)), np.zeros((3, 50)))
    assert (everywhere.estimate, everywhere.covers_zero) == (1.0, False)
    assert everywhere.p < 1e-9


def test_pairing_removes_what_prompts_share() -> None:
    easy = np.random.default_rng(0).random(400)
    rng = np.random.default_rng(1)
    first = (easy + 0.1 * rng.random((1, 400)) > 0.45).astype(float)
    second = (easy + 0.1 * rng.random((1, 400)) > 0.5).astype(float)
    paired = intervals.paired_difference(first, second)
    apart = np.sqrt(intervals.crossed(first).se ** 2 + intervals.crossed(second).se ** 2)
    assert paired.se < 0.6 * apart


def test_one_seed_difference_has_the_p_of_the_paired_t_test() -> None:
    first, second = table_of(1, 200, seed=1), table_of(1, 200, seed=2)
    wanted = stats.ttest_rel(first[0], second[0])
    found = intervals.paired_difference(first, second)
    assert found.p == pytest.approx(wanted.pvalue)
    assert found.covers_zero == (wanted.pvalue > 0.05)


def test_with_several_seeds_p_is_never_below_that_of_the_t_interval() -> None:
    for seed in range(20):
        found = intervals.paired_difference(table_of(3, 100, seed=seed), table_of(3, 100, seed=seed + 50))
        t = 2 * stats.t.sf(abs(found.estimate) / found.se, found.df)
        assert found.p >= t - 1e-12


def test_tables_of_different_shape_are_not_paired() -> None:
    with pytest.raises(ValueError, match="same seeds and prompts"):
        intervals.paired_difference(table_of(3), table_of(4))


def test_holm_equals_statsmodels() -> None:
    p = [0.01, 0.04, 0.03, 0.005, 0.9, 0.04]
    assert intervals.holm(p) == pytest.approx(multipletests(p, method="holm")[1].tolist())
    assert intervals.holm([]) == []


@pytest.mark.parametrize("df", [2, 4, 30, 499])
def test_detectable_effect_has_80_percent_power_by_statsmodels(df: int) -> None:
    """Power of a one-sample t test with df + 1 values of SD 1: SE = 1/√(df + 1)."""
    se = 1 / np.sqrt(df + 1)
    effect = intervals.detectable_effect(se, df)
    power = TTestPower().power(effect, df + 1, 0.05, alternative="two-sided")
    assert power == pytest.approx(0.80, abs=0.002)


def test_detectable_effect_shrinks_to_the_normal_one() -> None:
    assert intervals.detectable_effect(1.0, 1e7) == pytest.approx(1.959964 + 0.841621, abs=1e-5)
    assert intervals.detectable_effect(np.inf, 1) == 1.0


# ---- what intervals cover (figures of the full study: benchmarks/results/coverage.json) -----------------------------

TABLES = 400
ERROR = 3 * np.sqrt(0.05 * 0.95 / TABLES)  # Monte Carlo


@pytest.mark.parametrize("per_cluster", [1, 4])
@pytest.mark.parametrize("ties", [0.0, 0.1])
def test_one_run_covers_95_percent(coverage: ModuleType, per_cluster: int, ties: float) -> None:
    found = coverage.single_run_coverage(prompts=200, per_cluster=per_cluster, ties=ties, tables=TABLES)
    assert 0.93 - ERROR < found < 0.97 + ERROR


@pytest.mark.parametrize("per_cluster", [1, 4])
@pytest.mark.parametrize("seed_sd", [0.005, 0.03])
def test_five_seeds_cover_95_percent(coverage: ModuleType, per_cluster: int, seed_sd: float) -> None:
    found = coverage.crossed_coverage(prompts=500, per_cluster=per_cluster, seeds=5, seed_sd=seed_sd, tables=TABLES)
    assert 0.93 - ERROR < found["coverage"] < 0.97 + ERROR


@pytest.mark.parametrize("per_cluster", [1, 4])
def test_three_seeds_cover_at_least_91_percent(coverage: ModuleType, per_cluster: int) -> None:
    found = coverage.crossed_coverage(prompts=1000, per_cluster=per_cluster, seeds=3, seed_sd=0.03, tables=TABLES)
    assert found["coverage"] > 0.91 - ERROR


def test_quantiles_are_those_of_scipy_stats_to_the_last_bit() -> None:
    """Which takes long to load; what was stored with its numbers is found again."""
    for count in (2, 3, 5, 8, 41):
        half = float(stats.t.ppf(0.975, count - 1)) / count**0.5
        assert intervals.of_mean(0.0, 1.0, count) == (-half, half)
        assert np.array_equal(intervals._chi_squared(count), stats.chi2.ppf((np.arange(2000) + 0.5) / 2000, count))
    spread = intervals._Spread(variance=0.0016, df=4.7, seeds=1, seed_part=0.0, seed_sd=None, method="")
    assert intervals._p_value(-0.1, spread) == 2 * float(stats.t.sf(0.1 / np.sqrt(0.0016), 4.7))
    assert float(stats.norm.isf(0.025)) == judge_error.Z
