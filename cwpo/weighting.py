"""Margins to weights. A weighting decides which pairs stay and what multiplies their losses; no gradient passes.

loss = mean over the kept pairs of (w * l(chosen, rejected) + w_swapped * l(rejected, chosen))
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cwpo import calibration

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


def top(margins: Floats, *, percent: float) -> Weights:
    """The `percent` of pairs with the largest margins count 1, the rest is dropped; earlier rows win ties."""
    count = max(1, round(len(margins) * percent / 100)) if len(margins) else 0
    kept = np.sort(np.argsort(-np.asarray(margins), kind="stable")[:count])
    return Weights(kept=kept, w=np.ones(count), w_swapped=np.zeros(count))


def _all(w: Floats) -> Weights:
    return Weights(kept=np.arange(len(w)), w=w, w_swapped=np.zeros(len(w)))


WEIGHTINGS: Mapping[str, Callable[..., Weights]] = {"uniform": uniform, "confidence": confidence, "top": top}


def weigh(settings: Mapping[str, Any], margins: Floats) -> Weights:
    """Apply the weighting of {"name": …, its own settings}; settings that are None do not apply."""
    name = settings["name"]
    if name not in WEIGHTINGS:
        raise KeyError(f"unknown weighting {name!r}; choose one of {', '.join(WEIGHTINGS)}")
    return WEIGHTINGS[name](
        margins, **{key: value for key, value in settings.items() if key != "name" and value is not None}
    )


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
