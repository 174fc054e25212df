"""GRA at matched KL: how far each method gets for the distance it moves, from a sweep over β.

In each seed a method's runs, ordered by their KL estimate, are the knots of a curve: between two of them the outcome of
every prompt is interpolated linearly in √KL, the distance in which Gao et al. 2023 (arXiv 2210.10760) describe gold
reward; beyond them nothing is said. Two methods are compared where every seed of both has a curve. The KL of a knot is
taken as known: its own error is not in the bands. Free of torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cwpo.statistics.intervals import crossed

GRID = 33  # points of a curve
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SeedFrontier:
    """One seed of one method: KL of each run in nats, (runs,), and outcomes, (runs, prompts)."""

    kl: FloatArray
    outcomes: FloatArray


@dataclass(frozen=True, kw_only=True)
class Curve:
    """GRA (or a difference) at each KL with its 95 % band, point by point."""

    kl: tuple[float, ...]
    estimate: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Matched:
    """first − second at the same KL: averaged over the range that both cover, and along it."""

    kl_low: float
    kl_high: float
    gaps: FloatArray  # seeds × prompts, averaged over the range
    curve: Curve


def covered(seeds: Sequence[SeedFrontier]) -> tuple[float, float] | None:
    """The KL range of which every seed has a curve; None where there is none."""
    lows, highs = zip(*((_distance(seed.kl).min(), _distance(seed.kl).max()) for seed in seeds), strict=True)
    low, high = float(max(lows)) ** 2, float(min(highs)) ** 2
    return (low, high) if low < high else None


def frontier(seeds: Sequence[SeedFrontier], clusters: ArrayLike | None = None) -> Curve | None:
    """GRA along the KL range that every seed covers, banded over seeds × prompts. clusters: of the prompts."""
    span = covered(seeds)
    if span is None:
        return None
    grid = _grid(*span)
    return _curve(grid, np.array([at_kl(seed, grid) for seed in seeds]), clusters, (0.0, 1.0))


def matched_difference(
    first: Sequence[SeedFrontier], second: Sequence[SeedFrontier], clusters: ArrayLike | None = None
) -> Matched | None:
    """first − second seed by seed and prompt by prompt at the same KL; None where their ranges do not overlap."""
    span = covered([*first, *second])
    if span is None:
        return None
    grid = _grid(*span)
    gaps = np.array([at_kl(a, grid) - at_kl(b, grid) for a, b in zip(first, second, strict=True)])
    return Matched(
        kl_low=span[0],
        kl_high=span[1],
        gaps=gaps.mean(axis=1),
        curve=_curve(grid, gaps, clusters, (-1.0, 1.0)),
    )


def at_kl(seed: SeedFrontier, kl: FloatArray) -> FloatArray:
    """Outcomes of every prompt at the given KL, (KL, prompts); runs of the same KL are averaged."""
    knots, place = np.unique(_distance(seed.kl), return_inverse=True)
    share = np.eye(knots.size)[place] / np.bincount(place)[place][:, None]  # (runs, knots)
    wanted = _distance(np.asarray(kl, dtype=np.float64))
    hats = np.array([np.interp(wanted, knots, one) for one in np.eye(knots.size)])  # (knots, KL)
    return np.asarray(hats.T @ (share.T @ seed.outcomes))


def _distance(kl: FloatArray) -> FloatArray:
    """√KL; an estimate below 0 is the noise of a model that has not moved."""
    return np.sqrt(np.maximum(np.asarray(kl, dtype=np.float64), 0.0))


def _grid(low: float, high: float) -> FloatArray:
    return np.linspace(low, high, GRID)


def _curve(grid: FloatArray, tables: FloatArray, clusters: ArrayLike | None, bounds: tuple[float, float]) -> Curve:
    """`tables`: seeds × KL × prompts."""
    points = [crossed(tables[:, place], clusters, bounds=bounds) for place in range(grid.size)]
    return Curve(
        kl=tuple(map(float, grid)),
        estimate=tuple(point.estimate for point in points),
        low=tuple(point.low for point in points),
        high=tuple(point.high for point in points),
    )
