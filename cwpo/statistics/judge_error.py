"""What a judge's own errors do to a win rate, and what is left of it when they are counted.

If a judge calls the better answer with probability q, whichever it is, a true win rate g is seen as
p = q·g + (1 − q)(1 − g), so that g = (p + q − 1)/(2q − 1): the estimator of Rogan & Gladen 1978 (doi
10.1093/oxfordjournals.aje.a112510) for a test whose sensitivity and specificity are both q. Its interval is Fieller's
(1954): all g for which p + q − 1 − g(2q − 1) is no further from 0 than its standard error allows. It carries the error
of q, and is honest where q is close to a coin's ½, where the delta method is not.

All of it holds for errors that are independent of which model answered. A judge that a model was tuned to please, or
that likes what one of them always does, has other errors, and no number of pairs shows that: only an estimate outside
of [0, 1] does.
"""

import math
from dataclasses import dataclass

from scipy import special

Z = float(-special.ndtri(0.025))


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """A win rate with the judge's errors taken out; the interval is within [0, 1].

    raw: the estimate before it was cut to [0, 1]. impossible: not even the interval reaches [0, 1]. silent: q cannot
    be told from a coin, so that nothing is known.
    """

    estimate: float
    low: float
    high: float
    raw: float
    impossible: bool = False
    silent: bool = False

    @property
    def outside(self) -> bool:
        """The estimate itself leaves [0, 1]."""
        return not 0 <= self.raw <= 1


def corrected(rate: float, rate_se: float, q: float, q_se: float) -> Corrected:
    """The win rate g behind a `rate` seen through a judge that is right with probability q; both with their standard
    errors, which are of different pairs and so independent."""
    above, slope = rate + q - 1, 2 * q - 1
    raw = above / slope if slope else math.copysign(math.inf, above) if above else 0.5
    steep = slope**2 - (2 * Z * q_se) ** 2
    if steep <= 0 or slope <= 0:
        return Corrected(estimate=min(max(raw, 0.0), 1.0), low=0.0, high=1.0, raw=raw, silent=True)
    half = above * slope - 2 * (Z * q_se) ** 2
    rest = above**2 - Z**2 * (rate_se**2 + q_se**2)
    root = math.sqrt(max(half**2 - steep * rest, 0.0))
    low, high = (half - root) / steep, (half + root) / steep
    impossible = low > 1 or high < 0
    return Corrected(
        estimate=min(max(raw, 0.0), 1.0),
        low=min(max(low, 0.0), 1.0),
        high=min(max(high, 0.0), 1.0),
        raw=raw,
        impossible=impossible,
    )


def error_of(low: float, high: float) -> float:
    """The standard error that a 95 % interval stands for."""
    return (high - low) / (2 * Z)
