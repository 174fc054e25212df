"""Do two judges call the same prompts won and lost? Share of agreement and Cohen's kappa over seeds × prompts.

Free of torch.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cwpo.statistics.intervals import Estimate, crossed
from cwpo.statistics.shares import Share, share

SIDES = (-1.0, 0.0, 1.0)  # loss, tie, win
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Share of prompts on the same side, and kappa; kappa is None where a judge calls one side only."""

    share: Share
    kappa: Estimate | None


def agreement(first: ArrayLike, second: ArrayLike, clusters: ArrayLike | None = None) -> Agreement:
    """Of two seeds × prompts tables of outcomes: a prompt is won above ½, lost below it, tied at it. clusters: of the
    prompts, where some are related.

    Kappa's interval is that of the delta method (Fleiss, Cohen & Everitt 1969) prompt by prompt, then `crossed`.
    """
    one, other = (np.sign(np.atleast_2d(np.asarray(table, dtype=np.float64)) - 0.5) for table in (first, second))
    if one.shape != other.shape or np.isnan(one).any() or np.isnan(other).any():
        raise ValueError("agreement needs the outcome of both judges for every seed and prompt.")
    cells = [_kappa_cells(a, b) for a, b in zip(one, other, strict=True)]
    known = [row for row in cells if row is not None]
    return Agreement(
        share=share((one == other).astype(np.float64), clusters),
        kappa=crossed(np.array(known), clusters, bounds=(-1.0, 1.0)) if len(known) == len(cells) else None,
    )


def _kappa_cells(one: FloatArray, other: FloatArray) -> FloatArray | None:
    """Kappa of one seed plus each prompt's influence on it."""
    same = (one == other).astype(np.float64)
    ours, theirs = ([float((table == side).mean()) for side in SIDES] for table in (one, other))
    observed, chance = float(same.mean()), float(np.dot(ours, theirs))
    if chance >= 1.0:
        return None
    expected = sum((one == side) * theirs[place] + (other == side) * ours[place] for place, side in enumerate(SIDES))
    slope = (1 - chance) * (same - observed) - (1 - observed) * (expected - 2 * chance)
    return np.asarray((observed - chance) / (1 - chance) + slope / (1 - chance) ** 2)
