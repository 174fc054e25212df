"""Is confidence right? Confidence from the margin, reliability, calibration errors, selective labelling.

An annotator with margin Δ says that its label is right with probability p = σ(Δ) = (1 + C)/2, C = 2(σ(Δ) − ½).
Throughout, `confidence` is C in [0, 1] and `correct` says whether the label agrees with the judge it is held against.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

FloatArray = NDArray[np.float64]
HISTOGRAM_BINS = 50
MOST_TEMPERATURE = 1e3
NULL_DRAWS, MOST_NULL_COINS = 1000, 50_000_000  # the second limits draws × pairs, so that a million pairs take seconds
_COINS_AT_ONCE = 500_000
_NOTHING_VARIES = 1e-18  # a variance of shares below this is rounding error


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Pairs by confidence in equal steps of [0, 1], and how many of each step agree (None without a judge)."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    agree_counts: tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Pairs of similar confidence: what p = (1 + C)/2 says (`stated`) and what happened, with its Wilson interval."""

    lo: float
    hi: float
    n: int
    mean_confidence: float
    accuracy: float
    ci_low: float
    ci_high: float

    @property
    def stated(self) -> float:
        return (1 + self.mean_confidence) / 2


@dataclass(frozen=True, kw_only=True)
class EceNull:
    """ECE of an annotator that is perfectly calibrated, at this n and these confidences."""

    mean: float
    high: float  # 95 % of the simulated values are below


@dataclass(frozen=True, kw_only=True)
class RiskCoverage:
    """Error rate among the most confident share `coverage` of the pairs; ties count as one step."""

    coverage: FloatArray
    risk: FloatArray
    aurc: float
    augrc: float


def confidence(margin: ArrayLike) -> FloatArray:
    """C = 2(σ(Δ) − ½) = tanh(Δ/2) for margins Δ ≥ 0 (CW-PO eq. 8)."""
    return np.tanh(np.asarray(margin, dtype=np.float64) / 2)


def histogram(values: ArrayLike, correct: ArrayLike | None = None, *, bins: int = HISTOGRAM_BINS) -> Histogram:
    """Counts of confidence in equal steps; the last step includes 1."""
    sure = np.asarray(values, dtype=np.float64)
    edges = np.linspace(0.0, 1.0, bins + 1)
    counts = np.histogram(sure, edges)[0]
    agree = None if correct is None else np.histogram(sure[np.asarray(correct, dtype=bool)], edges)[0]
    return Histogram(
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        agree_counts=None if agree is None else tuple(agree.tolist()),
    )


def equal_mass_bins(values: ArrayLike, correct: ArrayLike, *, bins: int = 10) -> list[ReliabilityBin]:
    """Bins of equal size, least confident first; equal mass is less biased than equal width (arXiv 2012.08668)."""
    sure, right = _checked(values, correct)
    return [_bin(sure[part], right[part]) for part in _parts(sure, bins)]


def deciles(values: ArrayLike, agree_human: ArrayLike, agree_truth: ArrayLike | None = None) -> list[dict[str, object]]:
    """Tenths by confidence as a labels stage stores them; the interval is that of agreement with the humans."""
    sure, human = _checked(values, agree_human)
    truth = None if agree_truth is None else np.asarray(agree_truth, dtype=bool)
    rows: list[dict[str, object]] = []
    for part in _parts(sure, 10):
        found = _bin(sure[part], human[part])
        rows.append(
            {
                "lo": found.lo,
                "hi": found.hi,
                "n": found.n,
                "mean_confidence": found.mean_confidence,
                "agree_human": found.accuracy,
                "agree_truth": None if truth is None else float(truth[part].mean()),
                "ci_low": found.ci_low,
                "ci_high": found.ci_high,
            }
        )
    return rows


def wilson(successes: int, total: int, effect: float = 1.0) -> tuple[float, float]:
    """95 % Wilson interval of a share; `effect`: the design effect by which the pairs count for fewer."""
    from scipy import stats  # slow to load, and pages need none of it

    if effect != 1.0:
        return _wilson(successes / total, total / effect)
    interval = stats.binomtest(successes, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean with its 95 % interval."""

    estimate: float
    low: float
    high: float


def accuracy(correct: ArrayLike, clusters: ArrayLike | None = None) -> Mean:
    """Share of right labels, Wilson interval. Pairs of one prompt (`clusters`) count for less than as many prompts:
    n is divided by the design effect, the variance over prompts relative to that of single pairs, at least 1."""
    right = np.asarray(correct, dtype=np.float64).ravel()
    low, high = _wilson(float(right.mean()), right.size / design_effect(right, clusters))
    return Mean(estimate=float(right.mean()), low=low, high=high)


def design_effect(correct: ArrayLike, clusters: ArrayLike | None = None) -> float:
    """By how much the variance of a share over prompts exceeds that of as many single pairs, at least 1 and at most the
    number of pairs, which it is for one prompt alone. Where all are right or all wrong, pairs of one prompt are taken
    for copies: the outcomes cannot say otherwise."""
    right = np.asarray(correct, dtype=np.float64).ravel()
    share, variance = float(right.mean()), _mean_variance(right, clusters)
    if np.isinf(variance):
        return float(right.size)
    alone = share * (1 - share) / max(right.size - 1, 1)
    if alone > 0:
        return max(1.0, min(variance / alone, right.size))
    sizes = np.ones(1) if clusters is None else np.unique(np.asarray(clusters), return_counts=True)[1]
    return float((sizes**2).sum() / sizes.sum())


def mean(
    values: ArrayLike, clusters: ArrayLike | None = None, *, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> Mean:
    """Mean with its normal 95 % interval, the variance taken over prompts where `clusters` names them. One prompt alone
    says nothing of others: its interval is `bounds`, between which the values lie."""
    found = np.asarray(values, dtype=np.float64).ravel()
    centre, half = float(found.mean()), float(special.ndtri(0.975)) * float(np.sqrt(_mean_variance(found, clusters)))
    return Mean(estimate=centre, low=max(centre - half, bounds[0]), high=min(centre + half, bounds[1]))


def ece(values: ArrayLike, correct: ArrayLike, *, bins: int = 15) -> float:
    """Expected calibration error over equal-mass bins: Σ n_b/n · |accuracy_b − mean p_b|; read it beside `ece_null`."""
    sure, right = _checked(values, correct)
    return float(_ece_of(_parts(sure, bins), (1 + sure) / 2, right.astype(np.float64)[None])[0])


def ece_null(
    values: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    together: float = 1.0,
    bins: int = 15,
    draws: int = NULL_DRAWS,
    seed: int = 0,
) -> EceNull:
    """What `ece` would say if every p were right: with few pairs that is far from 0. Many pairs take fewer draws.

    clusters: pairs of one prompt are drawn together with the chance `together` (`togetherness`), all right that are
    likelier than one common number, and apart else; each pair is right with its own p in any case.
    """
    sure = np.asarray(values, dtype=np.float64)
    stated, parts = (1 + sure) / 2, _parts(sure, bins)
    groups = None if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    draws = min(draws, max(50, MOST_NULL_COINS // max(sure.size, 1)))
    rng = np.random.default_rng(seed)
    chunk = max(1, _COINS_AT_ONCE // max(sure.size, 1))
    simulated = [
        _ece_of(parts, stated, _right_at(stated, groups, together, min(chunk, draws - start), rng))
        for start in range(0, draws, chunk)
    ]
    found = np.concatenate(simulated)
    return EceNull(mean=float(found.mean()), high=float(np.quantile(found, 0.95)))


def togetherness(values: ArrayLike, correct: ArrayLike, clusters: ArrayLike) -> float:
    """How far labels of one prompt are right and wrong together, in [0, 1]: 0 as if they were of different prompts, 1
    as if one number decided them all.

    Products of right − p over pairs of labels of one prompt, against the covariance min(p, p') − p·p' that they have
    where one number decides. Where p is wrong this is somewhat too large, and the null of ECE rather too wide.
    """
    sure, right = _checked(values, correct)
    groups = np.unique(np.asarray(clusters), return_inverse=True)[1]
    stated = (1 + sure) / 2
    order = np.lexsort((stated, groups))
    rank = np.arange(sure.size) - np.searchsorted(groups[order], groups[order])  # within a prompt, least likely first
    others = np.bincount(groups)[groups[order]] - 1 - rank  # labels of the prompt that are likelier
    most = float((stated[order] * others).sum() - _products(stated, groups))
    return float(np.clip(_products(right - stated, groups) / most, 0.0, 1.0)) if most > _NOTHING_VARIES else 0.0


def _products(values: FloatArray, groups: NDArray[np.intp]) -> float:
    """Σ over pairs of different values of one group of their product."""
    return float((np.bincount(groups, weights=values) ** 2).sum() - (values**2).sum()) / 2


def _right_at(
    stated: FloatArray, groups: NDArray[np.intp] | None, together: float, draws: int, rng: np.random.Generator
) -> FloatArray:
    """(draws, n) labels that are right (1) with their p; with `groups` whole prompts are drawn."""
    levels = rng.random((draws, stated.size))
    if groups is not None:
        prompts = int(groups.max(initial=-1)) + 1
        common, joined = rng.random((draws, prompts)), rng.random((draws, prompts)) < together
        levels = np.where(joined[:, groups], common[:, groups], levels)
    return (levels < stated).astype(np.float64)


def brier(values: ArrayLike, correct: ArrayLike) -> float:
    """Mean squared error of p = (1 + C)/2."""
    sure, right = _checked(values, correct)
    return float((((1 + sure) / 2 - right) ** 2).mean())


def log_loss(values: ArrayLike, correct: ArrayLike) -> float:
    """Mean negative log-likelihood of p = (1 + C)/2, in nats; p is kept one rounding step away from 1."""
    sure, right = _checked(values, correct)
    stated = np.clip((1 + sure) / 2, np.finfo(np.float64).eps, 1 - np.finfo(np.float64).eps)
    return float(-np.log(np.where(right, stated, 1 - stated)).mean())


def auroc(values: ArrayLike, correct: ArrayLike) -> float | None:
    """Chance that a right label is more confident than a wrong one, ties as half; None when all are right or wrong."""
    sure, right = _checked(values, correct)
    placed = _placements(sure, right)
    return None if placed is None else float(placed[right].mean())


def auroc_interval(
    values: ArrayLike, correct: ArrayLike, clusters: ArrayLike | None = None
) -> tuple[float, float] | None:
    """95 % interval of `auroc`: variance of the placements (DeLong 1988), summed over prompts where `clusters` names
    them (Obuchowski 1997), on the logit scale, with Student's quantile for the prompts of the rarer kind of label. None
    where nothing varies: a perfect order, or fewer than two prompts of either kind."""
    sure, right = _checked(values, correct)
    placed = _placements(sure, right)
    if placed is None:
        return None
    found = float(placed[right].mean())
    groups = np.arange(right.size) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    total = int(groups.max()) + 1
    parts = [_placement_sums(placed[part] - found, groups[part], total) for part in (right, ~right)]
    fewest = min(prompts for _, _, prompts in parts)
    if fewest < 2 or not 0 < found < 1:
        return None
    variance = sum(float((sums**2).sum()) * prompts / (prompts - 1) / n**2 for sums, n, prompts in parts)
    (first, m, _), (second, n, _) = parts
    variance += 2 * float((first * second).sum()) * total / (total - 1) / (m * n)
    if variance <= _NOTHING_VARIES:
        return None
    middle = float(special.logit(found))
    half = float(special.stdtrit(fewest - 1, 0.975)) * float(np.sqrt(variance)) / (found * (1 - found))
    return float(special.expit(middle - half)), float(special.expit(middle + half))


def effective_sample_size(weights: ArrayLike) -> float:
    """(Σw)²/Σw²: how many equally weighted pairs carry as much; 0 when every weight is 0."""
    values = np.asarray(weights, dtype=np.float64)
    squares = float((values**2).sum())
    return float(values.sum() ** 2 / squares) if squares > 0 else 0.0


def risk_coverage(values: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    """Keep the most confident first. AURC: mean risk over all coverages; AUGRC: area under errors/n (arXiv 2407.01032).

    Ties are kept in random order, in expectation, so that the order of the rows says nothing.
    """
    sure, right = _checked(values, correct)
    order = np.argsort(-sure, kind="stable")
    ranked = sure[order]
    steps = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), sure.size - 1) + 1  # behind each group of ties
    size = np.diff(steps, prepend=0)
    wrong = np.add.reduceat(~right[order], steps - size, dtype=np.float64)
    del order, ranked
    errors = np.repeat(wrong / size, size)
    np.cumsum(errors, out=errors)
    kept = np.arange(1, sure.size + 1)
    return RiskCoverage(
        coverage=steps / sure.size,
        risk=errors[steps - 1] / steps,
        aurc=float((errors / kept).mean()),
        augrc=float(np.trapezoid(np.r_[0.0, errors]) / sure.size**2),
    )


def fit_temperature(margins: ArrayLike, correct: ArrayLike) -> float:
    """T > 0 that minimises the negative log-likelihood of σ(Δ/T) on held-out pairs (Guo et al. 2017); at most 1000."""
    from scipy import optimize  # slow to load, and pages need none of it

    margin, right = _checked(margins, correct)
    signed = np.where(right, margin, -margin)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0.0, -signed * np.exp(-log_temperature)).mean())

    limit = np.log(MOST_TEMPERATURE)
    found = optimize.minimize_scalar(loss, bounds=(-limit, limit), method="bounded", options={"xatol": 1e-10})
    return float(np.exp(found.x))


def _placements(sure: FloatArray, right: NDArray[np.bool_]) -> FloatArray | None:
    """Of each right label the share of wrong ones it is above, of each wrong one the share of right ones above it."""
    from scipy import stats  # slow to load, and pages need none of it

    positives = int(right.sum())
    negatives = right.size - positives
    if positives == 0 or negatives == 0:
        return None
    placed, ranks = np.empty(right.size), stats.rankdata(sure)
    placed[right] = (ranks[right] - stats.rankdata(sure[right])) / negatives
    placed[~right] = 1 - (ranks[~right] - stats.rankdata(sure[~right])) / positives
    return placed


def _placement_sums(deviations: FloatArray, groups: NDArray[np.intp], total: int) -> tuple[FloatArray, int, int]:
    """Sums over prompts, how many labels, and of how many prompts they are."""
    sums = np.bincount(groups, weights=deviations, minlength=total).astype(np.float64)
    return sums, deviations.size, np.unique(groups).size


def _wilson(share: float, n: float) -> tuple[float, float]:
    """The 95 % interval at a number of pairs that need not be whole."""
    z2 = float(special.ndtri(0.975)) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = float(np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2)))) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def _mean_variance(values: FloatArray, clusters: ArrayLike | None) -> float:
    """Variance of the mean of independent clusters of any size (a linearised ratio); each value alone without them.
    Infinite for a single one."""
    deviations = values - values.mean()
    if clusters is not None:
        deviations = np.bincount(np.unique(np.asarray(clusters), return_inverse=True)[1], weights=deviations)
    groups = deviations.size
    return float((deviations**2).sum() * groups / (groups - 1) / values.size**2) if groups > 1 else float("inf")


def _checked(values: ArrayLike, correct: ArrayLike) -> tuple[FloatArray, NDArray[np.bool_]]:
    sure, right = np.asarray(values, dtype=np.float64).ravel(), np.asarray(correct, dtype=bool).ravel()
    if sure.size == 0:
        raise ValueError("no labels to judge: calibration needs at least one pair with a known label.")
    if sure.size != right.size:
        raise ValueError(f"{sure.size} confidences were given for {right.size} labels.")
    return sure, right


def _parts(sure: FloatArray, bins: int) -> list[NDArray[np.intp]]:
    """Positions of equal-sized groups, least confident first; never more groups than pairs."""
    return np.array_split(np.argsort(sure, kind="stable"), max(1, min(bins, sure.size)))


def _bin(sure: FloatArray, right: NDArray[np.bool_]) -> ReliabilityBin:
    low, high = wilson(int(right.sum()), right.size)
    return ReliabilityBin(
        lo=float(sure.min()),
        hi=float(sure.max()),
        n=right.size,
        mean_confidence=float(sure.mean()),
        accuracy=float(right.mean()),
        ci_low=low,
        ci_high=high,
    )


def _ece_of(parts: Sequence[NDArray[np.intp]], stated: FloatArray, right: FloatArray) -> FloatArray:
    """(draws,) ECE of each row of `right` (draws, n)."""
    starts = np.cumsum([0, *(part.size for part in parts[:-1])])
    gaps = (right - stated)[:, np.concatenate(parts)]
    return np.abs(np.add.reduceat(gaps, starts, axis=1)).sum(axis=1) / stated.size
