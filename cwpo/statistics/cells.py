"""Tables of outcomes as statistics read them: seeds × prompts, related prompts as one cell. Free of torch."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

FloatArray = NDArray[np.float64]
LEVEL = 0.95
Z = float(special.ndtri((1 + LEVEL) / 2))


def unseen_share(count: int) -> float:
    """Of all prompts, the share that can differ from `count` that all agree: the exact "rule of three", two-sided."""
    return float(1.0 - ((1 - LEVEL) / 2) ** (1 / count))


def hidden_variance(count: int, alike: ArrayLike) -> FloatArray:
    """Least variance of a mean difference over `count` prompts, of which a share `alike` differs in the same way, most
    often not at all: behind these, others may be unseen. Where they are less than half, it falls with their share."""
    return np.asarray((unseen_share(count) / Z) ** 2 * np.minimum(2 * np.asarray(alike, dtype=np.float64), 1.0))


def alike(table: FloatArray, clusters: Sequence[str] | None = None) -> float:
    """The largest share of prompts, or clusters, that have the same differences under every seed (seeds × prompts)."""
    columns = pd.DataFrame(table.T)
    rows = columns if clusters is None else columns.groupby(list(clusters)).mean()
    return float(rows.round(9).value_counts(normalize=True).iloc[0])


def differing_at(effect: ArrayLike, *, differing: ArrayLike, mean: ArrayLike = 0.0) -> FloatArray:
    """By how much two outcomes differ on average (win against loss: the share D of prompts on which they do) where the
    true difference is `effect` and it is `differing` where the true difference is `mean`; all in shares.

    Two settings that move apart, by as much on the scale of log-odds (Rasch 1960), leave the product of the odds of
    either one winning alone as it is: (D² − d²)/(1 − D)² stays. So at least d of the prompts differ, which near 0 and
    100 % is far more than did before.
    """
    d, m = np.minimum(np.abs(effect), 1.0), np.abs(mean)
    now = np.clip(differing, np.minimum(m, 1.0 - 1e-6), 1.0 - 1e-6)
    odds = np.maximum(now**2 - m**2, 0.0) / (1.0 - now) ** 2
    below = odds + np.sqrt(np.maximum(odds + (1.0 - odds) * d**2, 0.0))
    return np.asarray((odds + d**2) / np.maximum(below, 1e-300))


def difference_variance(effect: ArrayLike, *, differing: ArrayLike, mean: ArrayLike = 0.0) -> FloatArray:
    """Variance D − d² of a difference of two outcomes at a true difference d, see `differing_at`; at least that without
    a difference, and beyond a half that at a half: no effect is counted as seen because all prompts would be won."""
    known, d = {"differing": differing, "mean": mean}, np.minimum(np.abs(effect), 0.5)
    return np.asarray(np.maximum(differing_at(d, **known) - d**2, differing_at(0.0, **known)))


def outcomes_of(outcomes: ArrayLike) -> FloatArray:
    values = np.asarray(outcomes, dtype=np.float64).ravel()
    if values.size == 0:
        raise ValueError("no outcomes: the evaluation answered no prompt.")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("outcomes must lie between 0 (loss) and 1 (win), with .5 for a tie.")
    return values


def cells_of(table: FloatArray, clusters: ArrayLike | None) -> tuple[FloatArray, int]:
    """Seeds × clusters values whose mean is the mean over prompts: mean + (cluster size / mean size) · deviation."""
    seen = ~np.isnan(table)
    table = table[:, seen.any(axis=0)]
    if table.size == 0 or not seen.any(axis=1).all():
        raise ValueError("no outcomes: a seed of this table answered no prompt.")
    if clusters is None:
        return table, table.shape[1]
    named = np.asarray(clusters)
    if named.size != seen.shape[1]:
        raise ValueError(f"{named.size} clusters were given for {seen.shape[1]} prompts.")
    codes = pd.factorize(named[seen.any(axis=0)])[0]
    sums = np.array([np.bincount(codes, weights=np.nan_to_num(row)) for row in table])
    sizes = np.array([np.bincount(codes, weights=~np.isnan(row)) for row in table])
    mean = sums.sum() / sizes.sum()
    average = sizes.sum() / (sizes > 0).sum()
    with np.errstate(invalid="ignore"):
        scaled = mean + (sums - sizes * mean) / average
    return np.where(sizes > 0, scaled, np.nan), table.shape[1]
