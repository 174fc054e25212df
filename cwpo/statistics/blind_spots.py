"""Where a policy is confident and wrong, by how sure the annotator was whose labels it learned from.

A strong model that learns from a weak one is dangerous where the weak one is unsure and the strong one is not, and
wrong: nothing in its training says so. Free of torch.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cwpo.statistics import calibration

FloatArray = NDArray[np.float64]
CONFIDENT = 0.75  # of sigma(|beta h|): as sure as an annotator with C = 1/2
PARTS = 10


def blind_spots(
    confidence: FloatArray,
    *,
    weak: FloatArray,
    human: FloatArray,
    policy: FloatArray,
    reference: FloatArray,
    clusters: Sequence[str],
) -> dict[str, Any]:
    """Shares by tenths of confidence, the least sure first, of the pairs with a human label.

    confidence: C of the weak label, (N,). weak, human: 1 for answer a, 0 for b, NaN without a label. policy: implicit
    reward beta h of a less that of b, in nats. reference: mean log-probability by token of a less that of b before
    alignment. clusters: of which prompt, or related prompts, a pair is. Wrong: the other answer than the human's.
    """
    known = ~np.isnan(human)
    sides = np.where(human == 1, 1.0, -1.0)
    wrong = sides * policy < 0
    confident = 1 / (1 + np.exp(-np.abs(policy))) >= CONFIDENT
    marks = {
        "weak_wrong": weak != human,
        "reference_wrong": sides * reference < 0,
        "policy_wrong": wrong,
        "confident": confident,
        "blind": wrong & confident,
    }
    places = np.flatnonzero(known)
    order = places[np.argsort(confidence[known], kind="stable")]
    names = np.unique(np.asarray(clusters, dtype=object).astype(str), return_inverse=True)[1]
    parts = [part for part in np.array_split(order, PARTS) if part.size]
    return {
        "confident": CONFIDENT,
        "pairs": int(known.sum()),
        "parts": [_part(part, confidence, marks, names) for part in parts],
        "all": _part(order, confidence, marks, names) if order.size else None,
    }


def _part(
    rows: NDArray[np.intp], confidence: FloatArray, marks: dict[str, NDArray[np.bool_]], names: NDArray[np.intp]
) -> dict[str, Any]:
    """One part of the pairs; `blind` with its interval over prompts."""
    spots = calibration.accuracy(marks["blind"][rows], names[rows])
    return {
        "n": int(rows.size),
        "mean_confidence": float(confidence[rows].mean()),
        **{name: float(mark[rows].mean()) for name, mark in marks.items()},
        "blind_low": spots.low,
        "blind_high": spots.high,
    }
