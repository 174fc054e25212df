"""The differences of one table together: 95 % intervals that all hold at once, and the tests that they are.

Single-step max-T (Westfall & Young 1993): every interval is as wide as its own 95 % interval times one factor, such
that the chance that any true difference lies outside of its interval is 5 %. A difference is found when its interval
leaves out 0, so picture and test cannot disagree. The joint law of the errors has three parts:

- prompts: the covariance of the differences over the prompts that they share, as measured;
- seeds: the spread τ of a difference between seeds as `seed_spread` has it, from the seeds of the difference itself
  and, as two degrees of freedom, from the mean over the table, pooled over its settings (Smyth 2004: spreads of the
  differences of docs/study.md vary as if around a common one with 1.8 degrees of freedom, because methods with one
  annotator move together and others do not); differences that share a setting are correlated as the contrasts are (½
  for two with one reference);
- with one seed the prompts' part alone, which says nothing of another seed.

The factor comes from 9,999 draws with a fixed seed. Free of torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from cwpo.statistics.cells import LEVEL, alike, cells_of, difference_variance, differing_at, hidden_variance
from cwpo.statistics.seed_spread import Design, Errors, errors, stated

FloatArray = NDArray[np.float64]
DRAWS = 9_999
OTHERS = 2.0  # degrees of freedom that the seeds of the other differences count for at most
METHOD = "seeds × prompts, simultaneous"
METHOD_ONE_SEED = "prompts, simultaneous"
EQUIVALENT = 0.015  # a difference of fewer points than 1.5 either way counts as none that matters
_SIGNS = (1, -1, -1, 1)  # of the settings of a difference, and of the one that is subtracted from it
FEW = 14.0  # prompts that differ at an effect: with fewer its exact power, that of two Poisson counts, is above 85 %
_NONE = 1e-9  # variance of outcomes that counts as none
NEEDS = "a difference needs the outcome of every seed on every prompt, and one prompt at least."
DIFFERENT, SMALL, UNTOLD = "different", "smaller than ±1.5", "cannot be told"


@dataclass(frozen=True, kw_only=True)
class Gap:
    """first − second cell by cell: seeds (index) × prompts (columns) without gaps; the names say which differences
    share a setting, `clusters` which prompts belong together, by prompt. `less`: an interaction, first − second −
    (its first − its second)."""

    first: str
    second: str
    cells: pd.DataFrame
    clusters: Mapping[str, str] | None = None
    less: tuple[str, str] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Its settings, with the signs +, −, and of an interaction −, +."""
        return (self.first, self.second, *(self.less or ()))

    @property
    def reach(self) -> int:
        """How many differences it is made of, and so by how much more it may be, at most and between seeds."""
        return 1 if self.less is None else 2


@dataclass(frozen=True, kw_only=True)
class Found:
    """One difference of a table. `p` is that of the difference alone, `p_corrected` corrected for all of the table and
    below .05 exactly where the interval leaves out 0. `detectable`: the smallest true difference that this table finds
    4 times in 5; None where that is more than there can be, or too few prompts would differ to tell."""

    estimate: float
    low: float
    high: float
    p: float
    p_corrected: float
    detectable: float | None
    method: str
    seeds: int
    prompts: int
    comparisons: int
    seed_sd: float | None  # SD of the difference between seeds, beyond prompts and noise; None with one seed
    another: float | None  # half-width of the 95 % interval around this difference for that of one more seed

    @property
    def turned(self) -> "Found":
        """second − first."""
        return replace(self, estimate=-self.estimate, low=-self.high, high=-self.low)

    @property
    def figures(self) -> dict[str, Any]:
        """What a row of a table has of it."""
        return {
            "estimate": self.estimate,
            "low": self.low,
            "high": self.high,
            "p": self.p,
            "p_corrected": self.p_corrected,
            "comparisons": self.comparisons,
            "detectable": self.detectable,
            "n_prompts": self.prompts,
            "n_seeds": self.seeds,
        }


@dataclass(frozen=True, kw_only=True)
class _Moments:
    """Of one difference: deviations of prompts (or clusters) and of seeds from the mean, and the residual noise."""

    mean: float
    differing: float  # of outcomes, on average
    reach: int
    prompts: int
    prompt_names: "pd.Index[str]"
    by_prompt: FloatArray  # divided so that its sum of squares is the variance of the mean over prompts
    hidden: float  # least variance of the mean over prompts: see `hidden_variance`
    seed_names: "pd.Index[int]"
    by_seed: FloatArray
    noise: float  # variance that residuals add to the mean of a seed

    @property
    def seeds(self) -> int:
        return self.by_seed.size

    @property
    def prompt_variance(self) -> float:
        return max(float(self.by_prompt @ self.by_prompt), self.hidden)

    @property
    def squares(self) -> float:
        return float(self.by_seed @ self.by_seed)

    @property
    def seed_sd(self) -> float | None:
        if self.seeds == 1:
            return None
        return float(np.sqrt(max(self.squares / (self.seeds - 1) - self.noise, 0.0)))


def told(low: float | None, high: float | None) -> str:
    """What an interval of a difference says: different, too small to matter, both, or neither; "" without one."""
    if low is None or high is None:
        return ""
    small = low > -EQUIVALENT and high < EQUIVALENT
    if low <= 0 <= high:
        return SMALL if small else UNTOLD
    return f"{DIFFERENT}, {SMALL}" if small else DIFFERENT


def together(gaps: Sequence[Gap], *, bounds: tuple[float, float] = (-1.0, 1.0), detect: bool = True) -> list[Found]:
    """Every difference of a table, in the order given; neither that, nor which side stands first, nor what the settings
    are called changes a width. `detect`: whether `detectable` is asked for, which takes about half of the time."""
    if any(gap.cells.size == 0 for gap in gaps):
        raise ValueError(NEEDS)
    signs = [_sign(gap) for gap in gaps]
    straight = [gap if sign > 0 else _turned(gap) for gap, sign in zip(gaps, signs, strict=True)]
    order = sorted(range(len(gaps)), key=lambda place: _place(straight[place]))
    found = dict(zip(order, _together([straight[place] for place in order], bounds, detect), strict=True))
    return [found[place] if sign > 0 else found[place].turned for place, sign in enumerate(signs)]


def _sign(gap: Gap) -> int:
    """The side that is ahead stands first; where neither is, by the names."""
    mean = round(float(gap.cells.to_numpy(dtype=np.float64).mean()), 12)
    return 1 if mean > 0 or (mean == 0 and gap.first <= gap.second) else -1


def _place(gap: Gap) -> tuple[float, float, str, str]:
    """In a table: by the outcomes, and by the names where those are alike."""
    cells = gap.cells.to_numpy(dtype=np.float64)
    return round(float(cells.mean()), 12), round(float(cells.mean(axis=0).var()), 12), gap.first, gap.second


def _turned(gap: Gap) -> Gap:
    less = None if gap.less is None else (gap.less[1], gap.less[0])
    return Gap(first=gap.second, second=gap.first, cells=-gap.cells, clusters=gap.clusters, less=less)


def _together(gaps: Sequence[Gap], bounds: tuple[float, float], detect: bool) -> list[Found]:
    if not gaps:
        return []
    parts = [_moments(gap) for gap in gaps]
    shared = contrasts([gap.names for gap in gaps])
    squares, df = _pooled(parts, shared)
    law = _law(parts, squares, df)
    widths = law.half_widths()
    means = np.array([part.mean for part in parts])
    alone = law.beyond(means)
    factor, corrected = (1.0, alone) if len(parts) == 1 else _at_once(parts, shared, law, df, means, alone)
    least = _least(parts, squares, df, factor * widths, factor) if detect else np.full(len(parts), np.inf)
    return [
        Found(
            estimate=part.mean,
            low=max(float(part.mean - factor * width), part.reach * bounds[0]),
            high=min(float(part.mean + factor * width), part.reach * bounds[1]),
            p=float(p),
            p_corrected=float(p_corrected),
            detectable=float(effect) if effect < part.reach * bounds[1] else None,
            method=METHOD if part.seeds > 1 else METHOD_ONE_SEED,
            seeds=part.seeds,
            prompts=part.prompts,
            comparisons=len(parts),
            seed_sd=part.seed_sd,
            another=None if part.seeds == 1 else float(further),
        )
        for part, width, p, p_corrected, effect, further in zip(
            parts, widths, alone, corrected, least, law.of_one_more().half_widths(), strict=True
        )
    ]


def _at_once(
    parts: Sequence[_Moments], shared: FloatArray, law: Errors, df: FloatArray, means: FloatArray, alone: FloatArray
) -> tuple[float, FloatArray]:
    """The factor of all intervals, and p of each difference in a table of several."""
    widths = law.half_widths()
    largest = largest_errors(
        law,
        widths,
        prompt_covariance=_prompt_covariance(parts),
        seed_correlation=shared * _seeds_in_common(parts),
        seeds=np.array([float(part.seeds) for part in parts]),
        df=df,
        prompts=min(part.by_prompt.size for part in parts),
    )
    above = DRAWS - np.searchsorted(largest, np.abs(means) / widths, side="left")
    return factor_of(largest), np.maximum((1 + above) / (DRAWS + 1), alone)


def _moments(gap: Gap) -> _Moments:
    table, names, clusters = gap.cells.to_numpy(dtype=np.float64), gap.cells.columns, None
    if table.size == 0 or np.isnan(table).any():
        raise ValueError(NEEDS)
    if gap.clusters:
        clusters = [gap.clusters.get(name, name) for name in names]
        names = pd.Index(list(dict.fromkeys(clusters)))
    cells, prompts = cells_of(table, clusters)
    mean, (seeds, count) = float(cells.mean()), cells.shape
    by_prompt, by_seed = cells.mean(axis=0) - mean, cells.mean(axis=1) - mean
    residual = cells - mean - by_prompt - by_seed[:, None]
    scaled = by_prompt / np.sqrt(count * max(count - 1, 1))
    return _Moments(
        mean=mean,
        differing=float(np.abs(table).mean()),
        reach=gap.reach,
        prompts=prompts,
        prompt_names=names,
        by_prompt=scaled,
        hidden=float(gap.reach**2 * hidden_variance(count, alike(table, clusters))),
        seed_names=gap.cells.index,
        by_seed=by_seed,
        noise=float((residual**2).sum()) / max((seeds - 1) * (count - 1), 1) / count,
    )


def contrasts(gaps: Sequence[tuple[str, ...]]) -> FloatArray:
    """How the seeds' parts of differences are correlated by the settings that they share: ½, −½, 1, or 0; of an
    interaction, which has four settings, ±√½ with each of its two differences."""
    names = sorted({name for gap in gaps for name in gap})
    signs = np.zeros((len(gaps), len(names)))
    for row, gap in enumerate(gaps):
        for name, sign in zip(gap, _SIGNS, strict=False):
            signs[row, names.index(name)] += sign
    sizes = np.sqrt(np.maximum((signs**2).sum(axis=1), 1e-12))
    return np.asarray((signs @ signs.T) / np.outer(sizes, sizes))


def _pooled(parts: Sequence[_Moments], shared: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sum of squares of each difference and its degrees of freedom, with `OTHERS` of them from all of the table.

    Differences under the same seeds are pooled over their settings, Σ yᵀ R⁻¹ y with R their correlation, which has a
    degree of freedom for each independent contrast and seed but one. An interaction counts as the two differences that
    it is made of: divided by √2 there, and what is lent to it doubled.
    """
    total, df = 0.0, 0.0
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, part in enumerate(parts):
        if part.seeds > 1:
            groups.setdefault(tuple(part.seed_names), []).append(place)
    for places in groups.values():
        seeds = np.array([parts[place].by_seed / np.sqrt(parts[place].reach) for place in places])
        inside = shared[np.ix_(places, places)]
        inverse = np.linalg.pinv(inside, rcond=1e-8, hermitian=True)
        total += float(np.einsum("gs,gh,hs->", seeds, inverse, seeds))
        df += float(np.linalg.matrix_rank(inside, tol=1e-8, hermitian=True)) * (seeds.shape[1] - 1)
    own, own_df = np.array([part.squares for part in parts]), np.array([part.seeds - 1.0 for part in parts])
    lent = np.where(own_df > 0, np.clip(df - own_df, 0.0, OTHERS), 0.0)
    reach = np.array([float(part.reach) for part in parts])
    return own + lent * reach * total / max(df, 1.0), own_df + lent


def _law(parts: Sequence[_Moments], squares: FloatArray, df: FloatArray) -> Errors:
    return errors(
        squares,
        df,
        noise=[part.noise for part in parts],
        rest=[part.prompt_variance for part in parts],
        rest_df=[max(part.by_prompt.size - 1, 1) for part in parts],
        seeds=[part.seeds for part in parts],
    )


def _least(
    parts: Sequence[_Moments], squares: FloatArray, df: FloatArray, halves: FloatArray, factor: float
) -> FloatArray:
    """The smallest true differences that such tables find 4 times in 5; ∞ where too few prompts would differ."""
    count = np.array([float(part.by_prompt.size) for part in parts])
    reach = np.array([float(part.reach) for part in parts])
    means, differing = (np.array(values) for values in zip(*((one.mean, one.differing) for one in parts), strict=True))
    known = {"differing": differing / reach, "mean": means / reach}

    def variance(effects: FloatArray) -> FloatArray:
        return reach**2 * difference_variance(effects / reach, **known)

    one = variance(means)
    rest = np.array([part.by_prompt @ part.by_prompt for part in parts])
    design = Design(
        noise=np.array([part.noise for part in parts]) / np.maximum(one, _NONE),
        rest=np.where(rest > _NONE**2, rest / np.maximum(one, _NONE), 1 / count),  # all alike: each for itself
        least=np.array([part.hidden for part in parts]),
        rest_df=np.maximum(count - 1, 1.0),
        seeds=np.array([float(part.seeds) for part in parts]),
        df=df,
        factor=factor,
        variance=variance,
    )
    effects = stated(design, halves, means, squares)
    differ = differing_at(effects / reach, **known) / np.maximum(design.rest, 1e-12)
    return np.where(differ < FEW, np.inf, effects)


def largest_errors(
    law: Errors,
    widths: FloatArray,
    *,
    prompt_covariance: FloatArray,
    seed_correlation: FloatArray,
    seeds: FloatArray,
    df: FloatArray,
    prompts: int,
) -> FloatArray:
    """Sorted: of every draw of the errors the largest, in widths of the differences' own intervals. `seed_correlation`
    is that of means over `seeds` (one number each); `df`: what is known of their spreads, of which the part that is
    lent by the table is the same for all; `prompts`: the fewest of any."""
    rng = np.random.default_rng(0)
    known = max(prompts - 1, 1)
    error = _root(prompt_covariance) @ rng.standard_normal((len(widths), DRAWS))
    error *= np.sqrt(known / rng.chisquare(known, DRAWS))
    if (seeds > 1).any():
        lent = np.maximum(1 - (seeds - 1) / np.maximum(df, 1.0), 0.0)[:, None]
        luck = np.sqrt(1 - lent) * rng.standard_normal((len(widths), DRAWS))
        luck += np.sqrt(lent) * rng.standard_normal(DRAWS)
        moved = law.drawn(special.ndtr(luck)) * np.where(seeds > 1, seeds**-0.5, 0.0)[:, None]
        error += moved * (_root(seed_correlation) @ rng.standard_normal((len(widths), DRAWS)))
    return np.sort((np.abs(error) / widths[:, None]).max(axis=0))


def factor_of(largest: FloatArray) -> float:
    """By how much all intervals are widened so that they hold at once: p < .05 where fewer errors are as large."""
    return max(float(largest[-(round((1 - LEVEL) * (DRAWS + 1)) - 1)]), 1.0)


def _prompt_covariance(parts: Sequence[_Moments]) -> FloatArray:
    table = _aligned([(part.prompt_names, part.by_prompt) for part in parts])
    found = table @ table.T
    np.fill_diagonal(found, [part.prompt_variance for part in parts])
    return np.asarray(found)


def _seeds_in_common(parts: Sequence[_Moments]) -> FloatArray:
    """Correlation of means over seeds: how many two differences share, over the root of the product of both."""
    table = _aligned([(part.seed_names, np.ones(part.seeds)) for part in parts])
    unit = table / np.sqrt(table.sum(axis=1, keepdims=True))
    return np.asarray(unit @ unit.T)


def _aligned(rows: Sequence[tuple["pd.Index[Any]", FloatArray]]) -> FloatArray:
    """One row each over all names that any has, 0 where it has none."""
    first = rows[0][0]
    if all(names is first or names.equals(first) for names, _ in rows):
        return np.array([values for _, values in rows])
    every = pd.Index(list(dict.fromkeys(name for names, _ in rows for name in names)))
    found = np.zeros((len(rows), len(every)))
    for row, (names, values) in zip(found, rows, strict=True):
        row[every.get_indexer(names)] = values
    return found


def _root(covariance: FloatArray) -> FloatArray:
    """The symmetric one, which does not depend on how eigenvectors are chosen."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)
