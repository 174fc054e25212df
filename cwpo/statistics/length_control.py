"""Length-controlled GRA: the win rate that a model of outcome on length difference predicts at equal length.

The idea is AlpacaEval 2's (Dubois et al. 2024, arXiv 2404.04475), without its terms per model and instruction: in each
seed logit P(win) = a + b · tanh(d / s), with d = tokens of the aligned answer − tokens of the baseline answer of a
prompt and s the root mean square of d over the table. A weak normal prior on b (SD 10) keeps it finite where length
decides every prompt. The figure is σ(a). Free of torch.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from cwpo.statistics.intervals import Estimate, crossed

SLOPE_SD = 10.0
_MOST_STEPS = 100
FloatArray = NDArray[np.float64]


def length_controlled(outcomes: ArrayLike, differences: ArrayLike, clusters: ArrayLike | None = None) -> Estimate:
    """GRA at equal length over a seeds × prompts table, with an interval over both (delta method, then `crossed`).

    Each cell becomes its seed's σ(a) plus the influence of that prompt on it, so that the mean of a row is σ(a) and
    the spread over prompts is that of the sandwich variance.
    """
    won, longer = (np.atleast_2d(np.asarray(table, dtype=np.float64)) for table in (outcomes, differences))
    if won.shape != longer.shape or np.isnan(won).any() or np.isnan(longer).any():
        raise ValueError("length control needs outcome and length difference of every seed and prompt.")
    scale = float(np.sqrt((longer**2).mean()))
    lengths = np.tanh(longer / scale) if scale > 0 else np.zeros_like(longer)
    return crossed(np.array([_cells(y, x) for y, x in zip(won, lengths, strict=True)]), clusters)


def _cells(won: FloatArray, lengths: FloatArray) -> FloatArray:
    """σ(a) of one seed plus each prompt's influence; a seed that wins or loses everything has no slope to control."""
    if won.min() == won.max() and won[0] in (0.0, 1.0):
        return won
    design = np.column_stack([np.ones_like(lengths), lengths])
    prior = np.diag([0.0, 1 / SLOPE_SD**2])
    weights = _fit(won, design, prior)
    chance = expit(design @ weights)
    information = (design * (chance * (1 - chance))[:, None]).T @ design + prior
    scores = design * (won - chance)[:, None] - prior @ weights / won.size
    at_zero = float(expit(weights[0]))
    influence = scores @ np.linalg.solve(information, [1.0, 0.0]) * at_zero * (1 - at_zero) * won.size
    return np.asarray(at_zero + influence)


def _fit(won: FloatArray, design: FloatArray, prior: FloatArray) -> FloatArray:
    """Newton's method with halved steps where a full one would not climb."""
    weights = np.zeros(2)
    for _ in range(_MOST_STEPS):
        chance = expit(design @ weights)
        gradient = design.T @ (won - chance) - prior @ weights
        information = (design * (chance * (1 - chance))[:, None]).T @ design + prior
        step = np.linalg.solve(information, gradient)
        before, size = _likelihood(weights, won, design, prior), 1.0
        while size > 1e-6 and _likelihood(weights + size * step, won, design, prior) < before:
            size /= 2
        weights = weights + size * step
        if np.abs(size * step).max() < 1e-10:
            break
    return weights


def _likelihood(weights: FloatArray, won: FloatArray, design: FloatArray, prior: FloatArray) -> float:
    logits = design @ weights
    return float(won @ logits - np.logaddexp(0, logits).sum() - weights @ prior @ weights / 2)
