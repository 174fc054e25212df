"""Tables of outcomes as statistics read them: seeds × prompts, related prompts as one cell. Free of torch."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
LEVEL = 0.95


def unseen_share(count: int) -> float:
    """Of all prompts, the share that can differ from `count` that all agree: the exact "rule of three", two-sided."""
    return float(1.0 - ((1 - LEVEL) / 2) ** (1 / count))


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
