"""How far seeds move a result, from few of them: what the seed variance may be, and the error that a mean then has.

Two to eight seeds say little about their own spread, and a plain t interval pays for that with quantiles of 12.7 (two
seeds) and 4.3 (three). What is known besides is used here: training noise moves GRA by points, not by tens of them, so
the seed SD τ has a half-t prior (Gelman 2006) of 4 degrees of freedom and scale 8 points, which keeps the level over
the simulated grid of docs/statistics.md, up to an SD of 6 points. The likelihood is that of a variance of seed means,
(τ² + noise) χ²/df, on a grid of τ; the error of a mean is a mixture over τ of normals (of t where few prompts tell
their own part). Free of torch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

FloatArray = NDArray[np.float64]
SCALE, TAIL_DF = 0.08, 4.0  # of the prior of τ, in shares: 8 points
POINTS = 64
_STEPS = (np.arange(POINTS) + 0.5) / POINTS
TAUS: FloatArray = np.asarray(0.5 * _STEPS**2)  # finer near 0; 50 points is all that a seed can do
_PRIOR = _STEPS * (1 + (TAUS / SCALE) ** 2 / TAIL_DF) ** (-(TAIL_DF + 1) / 2)  # density × width of a step
LEVEL, POWER = 0.95, 0.80
_WORLDS = 9  # equally likely sums of squares, for the power of a table
_ROUNDS = 3
_NEWTON_STEPS = 8
_FAR = 1e6  # degrees of freedom that count as known variance
_NEARLY_NORMAL = 30.0


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Of several means, one row each: weights of every τ, and standard error and degrees of freedom given it."""

    weights: FloatArray  # means × τ, rows sum to 1
    scales: FloatArray
    df: FloatArray

    def beyond(self, distance: ArrayLike) -> FloatArray:
        """Chance that a mean is off by more than this, to either side: the two-sided p of a true value of 0."""
        z = np.abs(np.asarray(distance, dtype=np.float64))[:, None] / self.scales
        return np.asarray(2 * (self.weights * _tail(z, self.df)).sum(axis=1))

    def half_widths(self, level: float = LEVEL) -> FloatArray:
        """Of intervals of this level: where `beyond` is 1 − level. Newton on the logarithm of the chance, in log m."""
        z = special.ndtri((1 + level) / 2)
        found = z * np.sqrt((self.weights * self.scales**2).sum(axis=1))
        for _ in range(_NEWTON_STEPS):
            ratio = found[:, None] / self.scales
            chance = 2 * (self.weights * _tail(ratio, self.df)).sum(axis=1)
            slope = 2 * (self.weights * _density(ratio, self.df) * ratio).sum(axis=1)
            step = np.log(chance / (1 - level)) * chance / np.maximum(slope, 1e-300)
            found = found * np.exp(np.clip(step, -0.7, 0.7))
        return np.asarray(found)

    def drawn(self, chances: FloatArray) -> FloatArray:
        """τ of each mean at these chances (means × draws): its quantiles."""
        sums = np.cumsum(self.weights, axis=1)
        places = [np.searchsorted(row, at) for row, at in zip(sums, chances, strict=True)]
        return np.array([TAUS[np.minimum(place, POINTS - 1)] for place in places])

    def of_one_more(self) -> "Errors":
        """Of the distance between a mean and the same under one more seed."""
        return Errors(weights=self.weights, scales=np.sqrt(self.scales**2 + TAUS**2), df=self.df)


def errors(
    squares: ArrayLike, df: ArrayLike, *, noise: ArrayLike, rest: ArrayLike, rest_df: ArrayLike, seeds: ArrayLike
) -> Errors:
    """`squares`: sums of squares of seed means with `df`, of which `noise` is what residuals add to their variance;
    `rest`: variance of the mean without the seeds' part; `rest_df`: its degrees of freedom. One seed has no part of τ.
    """
    ss, k, floor, other, other_df, count = (
        np.atleast_1d(np.asarray(value, dtype=np.float64))[:, None]
        for value in (squares, df, noise, rest, rest_df, seeds)
    )
    between = TAUS**2 + np.maximum(floor, 1e-12)
    logs = np.log(_PRIOR) - k / 2 * np.log(between) - ss / (2 * between)
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    weights = np.where(count > 1, weights, np.arange(POINTS) == 0)
    weights /= weights.sum(axis=1, keepdims=True)
    part = np.where(count > 1, TAUS**2 / count, 0.0)
    variance = other + part
    known = np.minimum(other_df * (variance / np.maximum(other, 1e-300)) ** 2, _FAR)
    return Errors(weights=weights, scales=np.sqrt(variance), df=known)


@dataclass(frozen=True, kw_only=True)
class Design:
    """Of several means, what their power follows from, one number each. `noise`, `rest`: as in `errors`, for outcomes
    of variance 1; `variance`: that of one outcome by the true mean; `least`: variance of the mean, without the seeds'
    part, that half-widths have at least; `factor`: of the table."""

    noise: FloatArray
    rest: FloatArray
    least: FloatArray
    rest_df: FloatArray
    seeds: FloatArray
    df: FloatArray
    factor: float
    variance: Callable[[FloatArray], FloatArray]

    def noise_at(self, means: FloatArray) -> FloatArray:
        """What residuals add to the variance of a seed's mean where the true means are these."""
        return self.noise * self.variance(means)

    def halves(self, taus: FloatArray, means: FloatArray) -> FloatArray:
        """Half-widths (means × worlds) of tables whose seeds spread by `taus`: equally likely sums of squares."""
        chances = (np.arange(_WORLDS) + 0.5) / _WORLDS
        drawn = 2 * special.gammaincinv(np.maximum(self.df, 1.0)[:, None] / 2, chances)
        noise = self.noise_at(means)
        squares = (taus**2 + noise)[:, None] * np.where(self.seeds[:, None] > 1, drawn, 0.0)
        values = (self.df, noise, np.maximum(self.rest * self.variance(means), self.least), self.rest_df, self.seeds)
        df, noise, rest, rest_df, seeds = (np.repeat(value, _WORLDS) for value in values)
        law = errors(squares.ravel(), df, noise=noise, rest=rest, rest_df=rest_df, seeds=seeds)
        return self.factor * law.half_widths().reshape(squares.shape)

    def error(self, taus: FloatArray, means: FloatArray) -> FloatArray:
        """Standard errors of the means."""
        return np.sqrt(self.rest * self.variance(means) + np.where(self.seeds > 1, taus**2 / self.seeds, 0.0))


def detectable(design: Design, taus: FloatArray) -> FloatArray:
    """The smallest true means that tables of this design, whose seeds spread by `taus`, tell from 0 4 times in 5: the
    chance that a mean is off 0 by more than its half-width is averaged over what half-widths such tables have."""
    found = (special.ndtri((1 + LEVEL) / 2) + special.ndtri(POWER)) * design.error(taus, np.zeros_like(taus))
    found = np.maximum(found, np.sqrt(design.least))
    for _ in range(_ROUNDS):  # the variance is that at the mean which is looked for
        at, halves, error = found, design.halves(taus, found), design.error(taus, found)
        found = _found_at(halves, error)
        multiple = found / np.sqrt(design.variance(at))
        for _ in range(2 * _ROUNDS):
            found = multiple * np.sqrt(design.variance(found))
    return np.asarray(found)


def stated(design: Design, halves: FloatArray, means: FloatArray, squares: FloatArray) -> FloatArray:
    """What tables of these half-widths, means and sums of squares say is detectable: as far beyond the half-width as
    `detectable` lies beyond the mean half-width of tables whose seeds spread as these seem to."""
    seen = squares / np.maximum(design.df, 1.0) - design.noise_at(means)
    taus = np.sqrt(np.maximum(seen, 0.0))
    return np.asarray(halves + detectable(design, taus) - design.halves(taus, means).mean(axis=1))


def _found_at(halves: FloatArray, error: FloatArray) -> FloatArray:
    """True means that leave their half-widths (means × worlds) behind 4 times in 5, by bisection."""
    low, high = halves.min(axis=1) * 0.5, halves.max(axis=1) + 3 * error
    for _ in range(30):
        middle = (low + high) / 2
        power = special.ndtr((middle[:, None] - halves) / np.maximum(error, 1e-12)[:, None]).mean(axis=1)
        low, high = np.where(power < POWER, middle, low), np.where(power < POWER, high, middle)
    return np.asarray(high)


def _tail(z: FloatArray, df: FloatArray) -> FloatArray:
    """Upper tail of t; from 30 degrees of freedom on by the normal one at a transformed z (Abramowitz & Stegun 26.7.8),
    which is ten times faster and off by less than 1e-5."""
    if df.min() < _NEARLY_NORMAL:
        return np.asarray(special.stdtr(df, -z))
    return np.asarray(special.ndtr(-z * (1 - 0.25 / df) / np.sqrt(1 + z**2 / (2 * df))))


def _density(z: FloatArray, df: FloatArray) -> FloatArray:
    """Minus the slope of `_tail`, nearly."""
    if df.min() < _NEARLY_NORMAL:
        logs = special.gammaln((df + 1) / 2) - special.gammaln(df / 2) - np.log(df * np.pi) / 2
        return np.asarray(np.exp(logs - (df + 1) / 2 * np.log1p(z**2 / df)))
    stretch = 1 + z**2 / (2 * df)
    return np.asarray(np.exp(-(z**2) / (2 * stretch)) / np.sqrt(2 * np.pi * stretch**3))
