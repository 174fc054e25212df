"""The interval of a share over seeds × prompts: Wilson's, at the number of independent prompts that the table is worth.

Wilson's interval inverts |p̂ − μ| ≤ z √(μ(1 − μ)/n), so it keeps its level near 0 and 1, where p̂ ± z·SE does not. Here
n is the effective number μ(1 − μ)/SE², SE² = prompts' part + seeds' part: as many single prompts as carry what the
table carries (Korn & Graubard 1998). Where nearly all prompts agree a table cannot tell its own SE: z²/2 prompts that
are won and z²/2 that are lost under every seed are added to it there (Agresti & Coull 1998), so that a lost prompt
never makes an interval narrower than none. The seeds' part is that of `seed_spread`. Free of torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from cwpo.statistics.cells import LEVEL, cells_of
from cwpo.statistics.seed_spread import POWER, Design, Errors, errors, stated

FloatArray = NDArray[np.float64]
Z = float(special.ndtri((1 + LEVEL) / 2))
ADDED = Z**2 / 2


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share with its 95 % interval; `p` tests a share of one half and agrees with the interval. `detectable`: the
    smallest true distance from one half that such a table finds 4 times in 5; None where it is 0.5 or more."""

    estimate: float
    low: float
    high: float
    p: float
    detectable: float | None
    effective: float  # number of independent prompts that carry as much
    method: str
    seeds: int
    prompts: int
    clusters: int
    seed_sd: float | None  # SD between seeds beyond what prompts and noise explain; None with one seed
    another: float | None  # half-width of the 95 % interval around this share for that of one more seed


def share(table: ArrayLike, clusters: ArrayLike | None = None, *, detect: bool = True) -> Share:
    """Of outcomes in [0, 1], seeds × prompts without gaps; `clusters` names the prompts that belong together. `detect`:
    whether `detectable` is asked for, which takes most of the time."""
    raw = np.atleast_2d(np.asarray(table, dtype=np.float64))
    if raw.size == 0 or np.isnan(raw).any():
        raise ValueError("a share needs outcomes, that of every seed on every prompt: leave the other prompts out.")
    cells, prompts = cells_of(raw, clusters)
    seeds, count = cells.shape
    estimate = float(raw.mean())
    wins_alone = seeds == 1 and count == prompts and bool(np.isin(raw, (0.0, 1.0)).all())
    worth = _alone(count) if wins_alone else _worth(cells, detect)
    effective = worth.effective if count > 1 else 0.0
    low, high = wilson(estimate, effective)
    return Share(
        estimate=estimate,
        low=low,
        high=high,
        p=float(2 * special.ndtr(-abs(estimate - 0.5) * 2 * np.sqrt(effective))),
        detectable=worth.detectable if count > 1 and worth.detectable < 0.5 else None,
        effective=effective,
        method=_method(seeds, count, wins_alone),
        seeds=seeds,
        prompts=prompts,
        clusters=count,
        seed_sd=worth.seed_sd,
        another=worth.another,
    )


def wilson(estimate: float, effective: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share at a number of prompts that need not be whole."""
    if effective <= 0:
        return 0.0, 1.0
    centre = (estimate + ADDED / effective) / (1 + 2 * ADDED / effective)
    inner = estimate * (1 - estimate) / effective + ADDED / (2 * effective**2)
    half = Z * float(np.sqrt(max(inner, 0.0))) / (1 + 2 * ADDED / effective)
    low = 0.0 if estimate <= 0 else max(centre - half, 0.0)
    return low, 1.0 if estimate >= 1 else min(centre + half, 1.0)


def _method(seeds: int, count: int, wins_alone: bool) -> str:
    if count < 2:
        return "one prompt says nothing"
    if wins_alone:
        return "Wilson"
    return "Wilson, effective prompts" if seeds == 1 else "Wilson, seeds × prompts"


def worth_of(estimate: float, low: float, high: float) -> float | None:
    """The number of independent prompts or pairs of which this is Wilson's interval; None where it tells none. An end
    μ of it solves |estimate − μ| = z √(μ(1 − μ)/n)."""
    end = low if 0 < low < estimate else high
    return Z**2 * end * (1 - end) / (estimate - end) ** 2 if 0 < end < 1 and end != estimate else None


@dataclass(frozen=True, kw_only=True)
class _Worth:
    """What a table is worth: see `Share`."""

    effective: float
    detectable: float
    seed_sd: float | None = None
    another: float | None = None


def _alone(count: float) -> _Worth:
    """Independent wins and losses of one seed: the test of one half has a known variance, the truth a smaller one."""
    error = (1 / count) ** 0.5
    least = Z * error / 2
    for _ in range(20):
        least = Z * error / 2 + float(special.ndtri(POWER)) * error * max(0.25 - least**2, 0.0) ** 0.5
    return _Worth(effective=float(count), detectable=float(least))


def _added(count: int, mean: float) -> float:
    """Prompts of either kind that are added: fewer as more prompts of the rarer kind are seen."""
    return ADDED / (1 + count * max(min(mean, 1 - mean), 0.0) / 2)


def _worth(cells: FloatArray, detect: bool) -> _Worth:
    seeds, count = cells.shape
    by_prompt, mean = cells.mean(axis=0), float(cells.mean())
    few = _added(count, mean)
    added = count + 2 * few
    middle = (count * mean + few) / added
    squares = float(((by_prompt - middle) ** 2).sum()) + few * (middle**2 + (1 - middle) ** 2)
    alone = middle * (1 - middle)
    rest = squares / (count * added)  # variance of the mean without the seeds' part; alone / count for wins and losses
    if seeds == 1:
        return _alone(alone / rest)
    by_seed = cells.mean(axis=1)
    residual = cells - by_seed[:, None] - by_prompt + mean
    noise = float((residual**2).sum()) / max((seeds - 1) * (count - 1), 1) / count
    between = float(((by_seed - mean) ** 2).sum())
    unit = 4 * alone  # near 0 and 1 seeds have less room to move a share: the prior of their spread shrinks
    least_noise = max(noise, 1 / count**2)  # as if a prompt differed: that none does may be chance
    law = errors(
        between / unit,
        seeds - 1,
        noise=least_noise / unit,
        rest=rest / unit,
        rest_df=max(count - 1, 1),
        seeds=seeds,
    )
    half, another = float(law.half_widths()[0]), float(law.of_one_more().half_widths()[0])
    least = 1.0
    if detect:
        least = _least(law, between / unit, noise=least_noise / unit, rest=rest / unit, count=count, seeds=seeds)
    return _Worth(
        effective=alone / unit * (Z / half) ** 2,
        detectable=least,
        seed_sd=float(np.sqrt(max(between / (seeds - 1) - noise, 0.0))),
        another=float(another * np.sqrt(unit)),
    )


def _least(law: Errors, squares: float, *, noise: float, rest: float, count: int, seeds: int) -> float:
    """The distance from one half that such tables find 4 times in 5; all in units of 4 μ(1 − μ)."""
    design = Design(
        noise=np.array([noise]),
        rest=np.array([rest]),
        least=np.zeros(1),
        rest_df=np.array([max(count - 1.0, 1.0)]),
        seeds=np.array([float(seeds)]),
        df=np.array([seeds - 1.0]),
        factor=1.0,
        variance=lambda effects: 1 - 4 * np.minimum(effects, 0.25) ** 2,  # of a share of one half
    )
    return float(stated(design, law.half_widths(), np.zeros(1), np.array([squares]))[0])


def of_shares(shares: Sequence[float], n: float) -> Share:
    """Of one share of about `n` independent pairs under each of several seeds, of which no more is known."""
    seeds, mean = len(shares), float(np.mean(shares))
    middle = (n * mean + ADDED) / (n + 2 * ADDED)
    alone = middle * (1 - middle)
    unit = 4 * alone
    sampling = alone / n  # may be the same pairs under every seed
    between = float(((np.asarray(shares) - mean) ** 2).sum())
    law = errors(
        between / unit, seeds - 1, noise=1 / n**2 / unit, rest=sampling / unit, rest_df=max(n - 1, 1), seeds=seeds
    )
    half, another = float(law.half_widths()[0]), float(law.of_one_more().half_widths()[0])
    effective = alone / unit * (Z / half) ** 2
    low, high = wilson(mean, effective)
    return Share(
        estimate=mean,
        low=low,
        high=high,
        p=float(2 * special.ndtr(-abs(mean - 0.5) * 2 * np.sqrt(effective))),
        detectable=None,
        effective=effective,
        method="Wilson, seeds × pairs",
        seeds=seeds,
        prompts=round(n),
        clusters=round(n),
        seed_sd=float(np.std(shares, ddof=1)),
        another=float(another * np.sqrt(unit)),
    )
