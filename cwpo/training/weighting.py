"""Margins to weights. A weighting decides which pairs stay and what multiplies their losses; no gradient passes.

loss = mean over the kept pairs of (w * l(chosen, rejected) + w_swapped * l(rejected, chosen))
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cwpo import seeded
from cwpo.config.catalog import WEIGHTINGS as WEIGHTING_ROWS
from cwpo.stages.settings import WeightingSettings
from cwpo.statistics import calibration

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What a weighting says of N pairs: the K rows that stay and their weights, (K,) float64 each."""

    kept: NDArray[np.int64]
    w: Floats
    w_swapped: Floats


def uniform(margins: Floats) -> Weights:
    """Every pair counts 1: the unweighted loss. Margins may be missing (NaN)."""
    return _all(np.ones(len(margins)))


def confidence(margins: Floats) -> Weights:
    """Every pair counts its confidence C = 2 (sigma(margin) - 1/2) = tanh(margin / 2) (eq. 7 and 8)."""
    return _all(calibration.confidence(margins))


def sigma(margins: Floats) -> Weights:
    """sigma(margin), in [1/2, 1]: C2 of Table 5."""
    return _all(special.expit(margins))


def clipped(margins: Floats, *, slope: float) -> Weights:
    """min(slope * margin, 1): C3 (slope 1) and C4 (slope 0.2) of Table 5."""
    return _all(np.minimum(slope * np.asarray(margins), 1.0))


def power(margins: Floats, *, gamma: float) -> Weights:
    """C^gamma: harsher on unsure pairs than C where gamma > 1."""
    return _all(calibration.confidence(margins) ** gamma)


def temperature(margins: Floats, *, temperature: float) -> Weights:
    """tanh(margin / 2T): C of the margin that temperature scaling would give (Guo et al. 2017)."""
    return _all(calibration.confidence(np.asarray(margins) / temperature))


def uncertainty(margins: Floats, *, spread: Floats) -> Weights:
    """C of the margin divided by sqrt(1 + pi s^2 / 8), s the SD of a pair's margin over annotators or passes.

    The mean of sigma over a normal margin, approximated as MacKay (1992) does: an annotator that disagrees with itself
    is less sure, whatever its mean margin.
    """
    return _all(calibration.confidence(np.asarray(margins) / np.sqrt(1 + np.pi * np.asarray(spread) ** 2 / 8)))


def top(margins: Floats, *, percent: float) -> Weights:
    """The `percent` of pairs with the largest margins count 1, the rest is dropped; earlier rows win ties."""
    return _first(-np.asarray(margins), percent)


def bottom(margins: Floats, *, percent: float) -> Weights:
    """The `percent` of pairs with the smallest margins alone: what the least confident labels teach."""
    return _first(np.asarray(margins), percent)


def random(margins: Floats, *, percent: float, keys: Floats) -> Weights:
    """`percent` of the pairs by chance: the control for `top` with the same number of pairs."""
    return _first(keys, percent)


def threshold(margins: Floats, *, threshold: float) -> Weights:
    """Pairs with C >= threshold count 1, the rest is dropped; the surest pair always stays."""
    sure = calibration.confidence(margins)
    return _kept(np.flatnonzero(sure >= min(threshold, sure.max(initial=0.0))))


def shuffled(margins: Floats, *, keys: Floats) -> Weights:
    """The confidences of the pool, randomly permuted over its pairs: the same mean weight, no information."""
    weights = np.empty(len(margins))
    weights[np.argsort(keys, kind="stable")] = calibration.confidence(margins)
    return _all(weights)


def normalised(margins: Floats) -> Weights:
    """C / mean C over the pool: confidence without the smaller loss."""
    sure = calibration.confidence(margins)
    mean = float(sure.mean()) if len(sure) else 1.0
    return _all(sure / mean if mean > 0 else sure)


def soft(margins: Floats) -> Weights:
    """(p, 1 - p) with p = sigma(margin): each pair both ways, as often as the annotator believes in each."""
    p = special.expit(margins)
    return Weights(kept=np.arange(len(p)), w=p, w_swapped=1 - p)


def unbiased(margins: Floats) -> Weights:
    """(p, p - 1) with p = sigma(margin): the loss whose mean over flips at rate 1 - p is the clean one, times C.

    rDPO (eq. 11) of e = 1 - p is [p l(y+, y-) - (1 - p) l(y-, y+)] / C; times C nothing is divided (Natarajan et al.
    2013, Lemma 1). At the start DPO pulls every pair alike, whatever p; C decides where it would stop.
    """
    p = special.expit(margins)
    return Weights(kept=np.arange(len(p)), w=p, w_swapped=p - 1)


def committee(margins: Floats, *, agreement: Floats) -> Weights:
    """Pairs for whose label all annotators (or passes) vote count 1, the rest is dropped.

    agreement: (N,), the share of votes for the label. Where no pair has them all, those with the most stay.
    """
    votes = np.asarray(agreement)
    return _kept(np.flatnonzero(votes >= votes.max(initial=0.0)))


_MADPO_MOST, _MADPO_LEAST, _MADPO_RATE, _MADPO_CENTRE = 2.0, 0.5, 1.0, float(special.logit(0.999))


def madpo(margins: Floats) -> Weights:
    """sigma(c margin) / sigma(margin), c falling from 2 to 1/2 and 1 at a margin of logit(0.999) = 6.9 (Rho 2025).

    Constants of the author's code. The effective target of DPO is c times the margin: amplified where it is small.
    """
    sizes = np.asarray(margins)
    ratio = (_MADPO_MOST - 1) / (1 - _MADPO_LEAST)
    falling = special.expit(_MADPO_RATE * (_MADPO_CENTRE - sizes) - np.log(ratio))
    factor = _MADPO_LEAST + (_MADPO_MOST - _MADPO_LEAST) * falling
    return _all(special.expit(factor * sizes) / special.expit(sizes))


def correct(margins: Floats, *, right: Floats) -> Weights:
    """Pairs whose label is the true one (right: 1 or 0) count 1, the rest is dropped: what no filter can exceed."""
    return _kept(np.flatnonzero(np.asarray(right) == 1))


def top_true(margins: Floats, *, percent: float, gap: Floats) -> Weights:
    """The `percent` of pairs with the largest gap |U(a) - U(b)| of true utilities count 1, the rest is dropped."""
    return _first(-np.asarray(gap), percent)


def _all(w: Floats) -> Weights:
    return Weights(kept=np.arange(len(w)), w=np.asarray(w, dtype=np.float64), w_swapped=np.zeros(len(w)))


def _kept(rows: NDArray[np.int64]) -> Weights:
    return Weights(kept=rows, w=np.ones(len(rows)), w_swapped=np.zeros(len(rows)))


def _first(order: Floats, percent: float) -> Weights:
    """The `percent` of rows that come first by `order`, in stored order; at least one."""
    count = max(1, round(len(order) * percent / 100)) if len(order) else 0
    return _kept(np.sort(np.argsort(order, kind="stable")[:count]))


WEIGHTINGS: Mapping[str, Callable[..., Weights]] = {
    "uniform": uniform,
    "confidence": confidence,
    "top": top,
    "bottom": bottom,
    "random": random,
    "threshold": threshold,
    "sigma": sigma,
    "clipped": clipped,
    "power": power,
    "temperature": temperature,
    "uncertainty": uncertainty,
    "shuffled": shuffled,
    "normalised": normalised,
    "soft": soft,
    "unbiased": unbiased,
    "committee": committee,
    "madpo": madpo,
    "correct": correct,
    "top_true": top_true,
}


def weigh(
    settings: WeightingSettings,
    margins: Floats,
    *,
    ids: Sequence[str] = (),
    spread: Floats | None = None,
    agreement: Floats | None = None,
    right: Floats | None = None,
    gap: Floats | None = None,
) -> Weights:
    """Apply the weighting of these settings; options that are None do not apply.

    margins: (N,), >= 0, NaN where unknown; spread: (N,), the SD of each margin; agreement: (N,), the share of votes for
    each label; right: (N,), 1 where the label is the true one; gap: (N,), the gap of the true utilities. ids: the N
    pair ids, for weightings that draw by chance from the settings' seed. Raises KeyError for an unknown name.
    """
    name = settings.name
    if name not in WEIGHTINGS:
        raise KeyError(f"unknown weighting {name!r}; choose one of {', '.join(WEIGHTINGS)}")
    options: dict[str, Any] = {key: value for key, value in settings.options.items() if value is not None}
    if "keys" in WEIGHTING_ROWS[name].reads:
        options["keys"] = np.array([_chance(settings.seed, pair_id) for pair_id in ids])
    given = {"spread": spread, "agreement": agreement, "right": right, "gap": gap}
    options |= {key: values for key, values in given.items() if key in WEIGHTING_ROWS[name].reads}
    return WEIGHTINGS[name](margins, **options)


def _chance(seed: int | None, pair_id: str) -> float:
    """A number in [0, 1) that belongs to a pair, whatever stands beside it."""
    return seeded.chance(f"{seed}:{pair_id}:weighting")


def keep_probabilities(w: Floats, response_tokens: Floats, tokens: Floats) -> Floats:
    """How often a step computes a pair, (N,) in [0, 1]: in proportion to w sqrt(response tokens / packed tokens).

    The norm of a pair's gradient grows like w times the root of its response tokens, its cost like its packed tokens:
    this share has the least variance for the compute. The largest is 1; a pair without weight is never computed.
    """
    worth = w * np.sqrt(response_tokens / tokens)
    largest = worth.max(initial=0.0)
    return worth / largest if largest > 0 else np.ones(len(w))


def systematic_sample(probabilities: Floats, start: float) -> NDArray[np.int64]:
    """Positions that are kept: i with exactly its own probability, and in all their sum, rounded up or down.

    `start` is uniform in [0, 1): a comb of width 1 laid over the running sum of the probabilities.
    """
    marks = np.floor(np.concatenate([[0.0], np.cumsum(probabilities)]) + start)
    return np.flatnonzero(np.diff(marks) > 0)
