"""Intervals over prompts and seeds, paired differences, correction for many comparisons, detectable effects.

Sources: Miller 2024 (arXiv 2411.00640) for standard errors on evaluations: paired differences on the same prompts,
standard errors clustered by prompt, power before the run. Seeds and prompts are crossed (every seed answers the same
prompts), so outcome = mean + seed effect + prompt effect + residual, all random; the components come from the method
of moments of Gao & Owen 2017 (arXiv 1610.08088), which is the two-way ANOVA where no cell is missing. Prompts of
several seeds are never pooled into one binomial: 3 seeds of 500 prompts are not 1,500 prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from cwpo.statistics import shares
from cwpo.statistics.cells import cells_of, outcomes_of, unseen_share

LEVEL = 0.95
POWER = 0.80
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A 95 % interval and how it was made."""

    low: float
    high: float
    method: str


@dataclass(frozen=True, kw_only=True)
class Tally:
    """GRA = (wins + ½ ties) / prompts, with ties as losses (`strict`) and left out (`ties_dropped`) beside it."""

    wins: int
    ties: int
    losses: int
    gra: float
    strict: float
    ties_dropped: float | None  # None when every prompt ties


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds × prompts with its interval; `p` tests a mean of 0 and belongs to differences."""

    estimate: float
    low: float
    high: float
    se: float
    df: float
    p: float
    method: str
    seeds: int
    prompts: int
    clusters: int
    seed_sd: float | None  # SD between seeds beyond what prompts and noise explain; None with one seed

    @property
    def covers_zero(self) -> bool:
        return covers(self.low, self.high)


def covers(low: float | None, high: float | None, value: float = 0.0) -> bool:
    """Whether an interval holds a value; true without an interval too: what is not known tells nothing apart."""
    return low is None or high is None or low <= value <= high


def is_real(low: float | None, high: float | None, p: float | None, value: float = 0.0) -> bool:
    """The interval leaves the value out and the (corrected) test agrees: the only results that may be emphasised."""
    return not covers(low, high, value) and p is not None and p < 0.05


def gra(outcomes: ArrayLike) -> Tally:
    """Tally of outcomes in [0, 1]: 1 win, .5 tie, 0 loss; the mean of several samples counts by its side of .5."""
    values = outcomes_of(outcomes)
    wins, losses = int((values > 0.5).sum()), int((values < 0.5).sum())
    return Tally(
        wins=wins,
        ties=values.size - wins - losses,
        losses=losses,
        gra=float(values.mean()),
        strict=wins / values.size,
        ties_dropped=wins / (wins + losses) if wins + losses else None,
    )


def single_run_interval(outcomes: ArrayLike, clusters: ArrayLike | None = None) -> Interval:
    """Prompt uncertainty of one run: the Wilson interval, with ties, samples or clusters at its effective number of
    prompts (`shares.share`)."""
    found = shares.share(outcomes_of(outcomes)[None], clusters)
    return Interval(low=found.low, high=found.high, method=found.method)


def of_mean(mean: float | None, sd: float | None, count: int) -> tuple[float | None, float | None]:
    """The t interval of a mean over `count` runs; nothing where their spread is not known."""
    if mean is None or sd is None or count < 2:
        return None, None
    half = float(special.stdtrit(count - 1, (1 + LEVEL) / 2)) * sd / count**0.5
    return mean - half, mean + half


def shared_prompts(table: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The prompts (columns) that every seed (row) has, and how many others were left out: a table must say so."""
    kept = table.dropna(axis="columns")
    if kept.shape[1] == 0:
        raise ValueError("these seeds share no prompt: evaluate them with the same evaluation.seed and test_prompts.")
    return kept, table.shape[1] - kept.shape[1]


def crossed(
    table: ArrayLike, clusters: ArrayLike | None = None, *, bounds: tuple[float, float] = (0.0, 1.0)
) -> Estimate:
    """Mean of a seeds × prompts table (NaN where a cell is missing) with a Satterthwaite t interval.

    With mean squares A (seeds), B (prompts), E (residual) of N cells, SE² = (A + B − E)/N and, after Satterthwaite
    1946, df = (A + B − E)² / [A²/(k−1) + B²/(n−1) + E²/((k−1)(n−1))]. A negative variance component counts as 0,
    so that SE² is never below what prompts and noise explain; without a seed component A falls out of df too (keeping
    it there makes 95 % intervals cover 98 to 100 %: benchmarks/coverage.py). One seed leaves the prompt variance alone.
    Clusters become one cell, weighted by size.
    """
    cells, prompts = cells_of(np.atleast_2d(np.asarray(table, dtype=np.float64)), clusters)
    mean, spread = float(np.nanmean(cells)), _spread(cells)
    if spread.variance > 0:
        half = float(-special.stdtrit(spread.df, (1 - LEVEL) / 2) * np.sqrt(spread.variance))
        interval = Interval(low=max(mean - half, bounds[0]), high=min(mean + half, bounds[1]), method=spread.method)
        p = _p_value(mean, spread)
    else:
        interval = _no_variation(mean, cells.shape[1], bounds)
        p = 1.0 if mean == 0 else 2 * 0.5 ** cells.shape[1]  # the sign test of prompts that all agree
    return Estimate(
        estimate=mean,
        low=interval.low,
        high=interval.high,
        se=float(np.sqrt(spread.variance)),
        df=spread.df,
        p=min(p, 1.0),
        method=interval.method,
        seeds=cells.shape[0],
        prompts=prompts,
        clusters=cells.shape[1],
        seed_sd=spread.seed_sd,
    )


def paired_difference(first: ArrayLike, second: ArrayLike, clusters: ArrayLike | None = None) -> Estimate:
    """Mean of first − second, cell by cell over the same seeds and prompts; what both share cancels."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"paired tables must have the same seeds and prompts, not {a.shape} and {b.shape}.")
    return crossed(a - b, clusters, bounds=(-1.0, 1.0))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: the chance of any false positive in the whole table stays at 5 % (Holm 1979).

    As statsmodels' multipletests, which forces a garbage collection of 50 ms and more at every call.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values)
    steps = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(steps, 1.0)
    return [float(p) for p in adjusted]


def detectable_effect(se: float, df: float) -> float:
    """The smallest true difference that a two-sided 5 % t test with this standard error finds 4 times in 5."""
    from scipy import optimize, stats  # slow to load, and for nothing else

    if not np.isfinite(se):
        return 1.0
    critical = stats.t.isf((1 - LEVEL) / 2, df)
    if df > 1e5:
        return float((critical + stats.norm.ppf(POWER)) * se)

    def missing_power(shift: float) -> float:
        return float(stats.nct.sf(critical, df, shift)) - POWER

    return float(optimize.brentq(missing_power, 0.0, 3.0 * critical + 5.0) * se)


@dataclass(frozen=True, kw_only=True)
class _Spread:
    """Variance of a mean, its degrees of freedom, and the part of it that only the seeds can tell."""

    variance: float
    df: float
    seed_part: float
    seeds: int
    seed_sd: float | None
    method: str


def _spread(cells: FloatArray) -> _Spread:
    seeds, count = cells.shape
    if seeds == 1 or count == 1:
        along = cells.ravel()
        if along.size < 2:
            return _Spread(variance=0.0, df=1.0, seed_part=0.0, seeds=seeds, seed_sd=None, method="")
        variance = float(along.var(ddof=1) / along.size)
        method = "t over prompts" if seeds == 1 else "t over seeds"
        return _Spread(variance=variance, df=along.size - 1.0, seed_part=0.0, seeds=1, seed_sd=None, method=method)
    return _crossed_spread(cells)


def _crossed_spread(cells: FloatArray) -> _Spread:
    """Variance of the grand mean from moment estimates of the components; equals the ANOVA without gaps."""
    seen = ~np.isnan(cells)
    per_seed, per_prompt, total = seen.sum(axis=1), seen.sum(axis=0), int(seen.sum())
    seeds, count = cells.shape
    if total in (count, seeds):
        raise ValueError("seeds and prompts cannot be told apart: no prompt was answered under two seeds.")
    prompt_noise = np.nansum((cells - np.nanmean(cells, axis=1, keepdims=True)) ** 2) / (total - seeds)
    seed_noise = np.nansum((cells - np.nanmean(cells, axis=0, keepdims=True)) ** 2) / (total - count)
    seed_share, prompt_share = (per_seed**2).sum() / total, (per_prompt**2).sum() / total
    squares = np.nansum((cells - np.nanmean(cells)) ** 2)
    residual = ((total - seed_share) * seed_noise + (total - prompt_share) * prompt_noise - squares) / (
        total + 1 - seed_share - prompt_share
    )
    residual = max(float(residual), 0.0)
    seed_variance, prompt_variance = max(float(seed_noise) - residual, 0.0), max(float(prompt_noise) - residual, 0.0)
    noise = residual / total
    by_seed, by_prompt = seed_variance * seed_share / total + noise, prompt_variance * prompt_share / total + noise
    variance = by_seed + by_prompt - noise
    squared = by_prompt**2 / (count - 1) + noise**2 / ((seeds - 1) * (count - 1))
    if seed_variance > 0:
        squared += by_seed**2 / (seeds - 1)
    return _Spread(
        variance=float(variance),
        df=float(variance**2 / squared) if squared > 0 else count - 1.0,
        seed_part=float(by_seed),
        seeds=seeds,
        seed_sd=float(np.sqrt(seed_variance)),
        method="seeds × prompts, Satterthwaite t",
    )


def _p_value(mean: float, spread: _Spread) -> float:
    """Two-sided p of a mean of 0: the larger one of the t test and, with several seeds, the Behrens–Fisher test.

    With 2 or 3 seeds Satterthwaite's tails are fine at 5 % but 3 to 4 times too thin at the 0.5 % that a correction
    for ten comparisons looks at, and a seed variance of 0 may be chance; averaging over what it may be repairs that.
    """
    p = 2 * float(special.stdtr(spread.df, -abs(mean) / np.sqrt(spread.variance)))
    if spread.seeds == 1:
        return p
    rest = max(spread.variance - spread.seed_part, 0.0)
    scales = np.sqrt(spread.seed_part * (spread.seeds - 1) / _chi_squared(spread.seeds - 1) + rest)
    return max(p, 2 * float(special.ndtr(-abs(mean) / scales).mean()))


@lru_cache(maxsize=64)
def _chi_squared(df: int) -> FloatArray:
    """Equally likely values of a chi-squared variable, for averages over it."""
    return np.asarray(2 * special.gammaincinv(df / 2, (np.arange(2000) + 0.5) / 2000))


def _no_variation(value: float, count: int, bounds: tuple[float, float]) -> Interval:
    """All prompts agree: at most a share q of all prompts can differ unseen (exact rule of three)."""
    unseen = unseen_share(count)
    low, high = value - unseen * (value - bounds[0]), value + unseen * (bounds[1] - value)
    return Interval(low=low, high=high, method="rule of three: every prompt agrees")
