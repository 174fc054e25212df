"""The verdict on one published number: consistent, not, or underpowered. Pure.

The rule. The gap is ours − the paper's. The paper's number is of one run, so its 95 % half-width joins that of our mean
to the result of one more seed, of the spread that our seeds show, with the paper's standard error, which it does not
print: √(p(1−p)/n) of one run on n prompts, or the SD over three test subsets / √3 where that is larger.
"not consistent": the gap exceeds its half-width. "underpowered": it does not, but the half-width exceeds 5 points, or
we have one seed, which says nothing of another. "consistent": everything else.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cwpo.paper.published import Number
from cwpo.statistics.shares import of_shares, wilson

VerdictName = Literal["consistent", "not consistent", "underpowered"]
MARGIN = 0.05  # half-width up to which agreement says something: about the largest gain the paper claims
Z = 1.959964  # two-sided 95 %
SAMPLED = ("gra", "accuracy", "win_rate", "head_to_head")  # shares of prompts or pairs, so with an implied error
SUBSETS = 3  # of Table 20
OF_CONFIDENCE = ("mean_confidence", "median_confidence", "below_0.1", "below_0.5", "above_0.9")
# Why a figure of ours stands beside the paper's and gets no verdict, by metric.
UNJUDGED: Mapping[str, str] = {
    "seconds": "Seconds depend on the machine, and the paper names neither its own nor the models and data that were "
    "timed: ours stand beside them without a verdict.",
    **dict.fromkeys(
        OF_CONFIDENCE,
        "The paper's figures of C are integrated off smoothed outlines: ours stand beside them without a verdict.",
    ),
}
UNPRINTED: Mapping[str, int] = {"gra": 700, "accuracy": 24_411}  # n where the paper names none: its usual or smallest


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A figure of ours, with its 95 % interval where it has one; shares in [0, 1], differences in [−1, 1]."""

    estimate: float
    low: float | None
    high: float | None
    n_prompts: int  # or pairs; 0 where neither was counted
    n_seeds: int
    kl: float | None = None  # nats per answer; of a difference the paired difference
    length_ratio: float | None = None  # mean tokens of the answers over the baseline's
    about: str = ""  # what was measured, where the number leaves that open
    another: float | None = None  # half-width of the 95 % interval around it for the result of one more seed

    @property
    def half_width(self) -> float:
        """Of the interval; infinite without one, so that nothing is concluded from it."""
        return math.inf if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def half_width_of_another(self) -> float:
        """That of the interval for one more seed, where the seeds say something of it."""
        return self.half_width if self.another is None else self.another


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the rule says, the gap (ours − the paper's) and its 95 % half-width."""

    name: VerdictName
    gap: float
    half_width: float


@dataclass(frozen=True, kw_only=True)
class PaperDifference:
    """Two numbers of one table that differ in one thing."""

    first: Number
    second: Number

    @property
    def estimate(self) -> float:
        return self.first.value - self.second.value

    @property
    def error(self) -> float:
        """As of two separate runs: per-prompt results, which would narrow it, are not published."""
        return math.hypot(standard_error(self.first), standard_error(self.second))


def standard_error(number: Number) -> float:
    """Of a published share: one run on n prompts, or the spread over subsets where that says more."""
    n = number.n or UNPRINTED.get(number.metric, UNPRINTED["gra"])
    sampling = math.sqrt(number.value * (1 - number.value) / n)
    return max(sampling, (number.sd or 0.0) / math.sqrt(SUBSETS))


def verdict(ours: Measured, value: float, error: float) -> Verdict:
    """The rule of this file for a published value and its standard error."""
    gap = ours.estimate - value
    half_width = math.hypot(ours.half_width_of_another, Z * error)
    name: VerdictName = "consistent"
    if ours.n_seeds < 2:
        name = "underpowered"
    elif abs(gap) > half_width:
        name = "not consistent"
    elif half_width > MARGIN:
        name = "underpowered"
    return Verdict(name=name, gap=gap, half_width=half_width)


def unpaired(first: Measured, second: Measured) -> Measured:
    """The difference of two columns with different baselines, as the paper prints it; nothing shared is taken off."""
    gap = first.estimate - second.estimate
    half = math.hypot(first.half_width, second.half_width)
    another = math.hypot(first.half_width_of_another, second.half_width_of_another)
    return Measured(
        estimate=gap,
        low=gap - half,
        high=gap + half,
        n_prompts=min(first.n_prompts, second.n_prompts),
        n_seeds=min(first.n_seeds, second.n_seeds),
        another=another,
    )


def over_seeds(shares: Sequence[float], n: int, effective: float | None = None) -> Measured:
    """Mean of one share of n pairs per seed, over seeds and pairs; with one seed Wilson's over the pairs. `effective`:
    the number of independent pairs that they are worth, where they are not that themselves."""
    mean, worth = sum(shares) / len(shares), n if effective is None else effective
    if len(shares) == 1:
        low, high = wilson(mean, worth)
        return Measured(estimate=mean, low=low, high=high, n_prompts=n, n_seeds=1)
    found = of_shares(shares, worth)
    return Measured(
        estimate=mean, low=found.low, high=found.high, n_prompts=n, n_seeds=len(shares), another=found.another
    )
