"""How far people agree who vote on the same pairs: percent, Cohen's kappa, Krippendorff's alpha, nominal categories.

Intervals are percentiles of a bootstrap over pairs. Free of torch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Votes = Mapping[str, str]  # of one pair: person -> category
RESAMPLES = 2_000
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Figure:
    """An estimate and its interval, which is None where too few resamples have a value."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class RaterAgreement:
    """Of pairs with at least two votes; None where it is not defined, as kappa and alpha are with one category."""

    pairs: int
    people: int
    percent: Figure | None
    alpha: Figure | None


def rater_agreement(units: Sequence[Votes], *, seed: int = 0, resamples: int = RESAMPLES) -> RaterAgreement:
    """Percent agreement and alpha over everybody."""
    several = [votes for votes in units if len(votes) > 1]
    counts = _counts(several)
    return RaterAgreement(
        pairs=len(several),
        people=len({person for votes in several for person in votes}),
        percent=_figure(_percent, _pairwise(counts), seed, resamples) if several else None,
        alpha=_figure(_alpha, _coincidences(counts), seed, resamples) if several else None,
    )


def kappa_of(
    units: Sequence[Votes], first: str, second: str, *, seed: int = 0, resamples: int = RESAMPLES
) -> Figure | None:
    """Cohen's kappa of two people on the pairs that both have voted on; None without one."""
    both = [(votes[first], votes[second]) for votes in units if first in votes and second in votes]
    if not both:
        return None
    names = sorted({name for pair in both for name in pair})
    cells = np.zeros((len(both), len(names) ** 2))
    for place, (one, other) in enumerate(both):
        cells[place, names.index(one) * len(names) + names.index(other)] = 1.0
    return _figure(_kappa, cells, seed, resamples)


def percent_agreement(units: Sequence[Votes]) -> float | None:
    """Of all pairs of votes on the same pair, the share that agrees."""
    return _value(_percent, _pairwise(_counts([votes for votes in units if len(votes) > 1])))


def krippendorff_alpha(units: Sequence[Votes]) -> float | None:
    """Alpha of nominal votes; pairs with one vote say nothing and are left out."""
    return _value(_alpha, _coincidences(_counts([votes for votes in units if len(votes) > 1])))


def _counts(units: Sequence[Votes]) -> FloatArray:
    """Pairs × categories: how many people said it."""
    names = sorted({name for votes in units for name in votes.values()})
    counts = np.zeros((len(units), max(len(names), 1)))
    for place, votes in enumerate(units):
        for name in votes.values():
            counts[place, names.index(name)] += 1
    return counts


def _pairwise(counts: FloatArray) -> FloatArray:
    """Per pair: how many pairs of votes agree, and how many there are."""
    votes = counts.sum(axis=1)
    return np.stack([(counts * (counts - 1)).sum(axis=1) / 2, votes * (votes - 1) / 2], axis=1)


def _coincidences(counts: FloatArray) -> FloatArray:
    """Per pair: its part of the diagonal of the coincidence matrix, then of the sums of its rows."""
    votes = counts.sum(axis=1)
    agreeing = (counts * (counts - 1)).sum(axis=1) / np.maximum(votes - 1, 1)
    return np.concatenate([agreeing[:, None], counts], axis=1)


def _percent(sums: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[:, 0] / sums[:, 1])


def _alpha(sums: FloatArray) -> FloatArray:
    """1 − observed / expected disagreement (Krippendorff 2011), from sums over pairs."""
    agreeing, of_category = sums[:, 0], sums[:, 1:]
    total = of_category.sum(axis=1)
    by_chance = (of_category * (of_category - 1)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - (total - 1) * (total - agreeing) / (total * (total - 1) - by_chance))


def _kappa(sums: FloatArray) -> FloatArray:
    """(observed − chance) / (1 − chance), from the cells of the table summed over pairs."""
    size = round(sums.shape[1] ** 0.5)
    table = sums.reshape(len(sums), size, size)
    total = table.sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = np.trace(table, axis1=1, axis2=2) / total
        chance = (table.sum(axis=1) * table.sum(axis=2)).sum(axis=1) / total**2
        return np.asarray((observed - chance) / (1 - chance))


def _value(statistic: Callable[[FloatArray], FloatArray], parts: FloatArray) -> float | None:
    found = float(statistic(parts.sum(axis=0, keepdims=True))[0]) if len(parts) else float("nan")
    return found if np.isfinite(found) else None


def _figure(
    statistic: Callable[[FloatArray], FloatArray], parts: FloatArray, seed: int, resamples: int
) -> Figure | None:
    """The statistic of sums over pairs, and percentiles of it where pairs are drawn with replacement."""
    value = _value(statistic, parts)
    if value is None:
        return None
    dice, drawn = np.random.default_rng(seed), list[FloatArray]()
    even = np.full(len(parts), 1 / len(parts))
    for start in range(0, resamples, 200):  # 200 × pairs numbers at once
        weights = dice.multinomial(len(parts), even, size=min(200, resamples - start))
        drawn.append(statistic(weights @ parts))
    known = np.concatenate(drawn)
    known = known[np.isfinite(known)]
    if len(known) < resamples / 2:
        return Figure(value=value, low=None, high=None)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(known, [tail, 100 - tail])
    return Figure(value=value, low=float(low), high=float(high))
