"""What a table of differences can see before it is run: the rule of `simultaneous`, with the spread that is expected.

Free of torch.
"""

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np

from cwpo.statistics.cells import difference_variance, hidden_variance
from cwpo.statistics.seed_spread import Design, detectable, errors
from cwpo.statistics.simultaneous import OTHERS, factor_of, largest_errors

DISCORDANT = 0.3  # share of prompts that change their winner between two methods
LASTING = 0.005  # of which this much is the same under every seed and sample; the median of docs/study.md is 0.003
MOST_SEEDS = 99
MOST_PROMPTS = 100_000
CLOSE = 0.02  # a number of prompts that is looked for is found to this share
ALIKE = 0.5  # correlation of two differences from one reference


@lru_cache(maxsize=2048)
def planned_detectable(
    *,
    prompts: int,
    seeds: int,
    seed_sd: float,
    samples: int = 1,
    comparisons: int = 1,
    discordant: float = DISCORDANT,
    worth: float = 1.0,
) -> float | None:
    """The smallest true difference that one of `comparisons` with a common reference finds 4 times in 5, in shares;
    None where that is more than there can be.

    `prompts` counts related ones as one, as tables do, and each of these is `worth` so many independent prompts.
    `seed_sd` is the SD of a difference between seeds (0.02 = 2 points); `samples` per prompt average the noise that
    does not last. One seed is taken as it is: what another one would change is not in it. Fewer `discordant` prompts
    than `LASTING` count as that many.
    """
    design = _design(prompts, seeds, seed_sd, samples, comparisons, max(discordant, LASTING), worth)
    found = detectable(design, np.array([seed_sd]))
    return float(found[0]) if found[0] < 1 else None


@lru_cache(maxsize=512)
def planned_half_width(*, prompts: int, seeds: int, seed_sd: float, samples: int, comparisons: int) -> float:
    """Of the intervals of such a table, on average over what seeds may be drawn, where nothing differs; in shares."""
    design = _design(prompts, seeds, seed_sd, samples, comparisons, DISCORDANT, 1.0)
    return float(design.halves(np.array([seed_sd]), np.zeros(1)).mean())


def _design(
    prompts: int, seeds: int, seed_sd: float, samples: int, comparisons: int, discordant: float, worth: float
) -> Design:
    """What the power of such a table follows from."""
    noise = (discordant - LASTING) / samples / (prompts * worth)
    rest = LASTING / (prompts * worth) + noise / seeds
    df = float(seeds - 1) + min(float(seeds - 1) * (comparisons - 1), OTHERS)
    law = errors(
        np.full(comparisons, (seed_sd**2 + noise) * df),
        df,
        noise=noise,
        rest=rest,
        rest_df=prompts - 1,
        seeds=seeds,
    )
    factor = 1.0
    if comparisons > 1:
        alike = ALIKE + (1 - ALIKE) * np.eye(comparisons)
        largest = largest_errors(
            law,
            law.half_widths(),
            prompt_covariance=rest * alike,
            seed_correlation=alike,
            seeds=np.full(comparisons, float(seeds)),
            df=np.full(comparisons, df),
            prompts=prompts,
        )
        factor = factor_of(largest)
    return Design(
        noise=np.array([noise / discordant]),
        rest=np.array([rest / discordant]),
        least=np.atleast_1d(hidden_variance(prompts, (1 - discordant) ** (seeds * samples))),
        rest_df=np.array([prompts - 1.0]),
        seeds=np.array([float(seeds)]),
        df=np.array([df]),
        factor=factor,
        variance=partial(difference_variance, differing=discordant),
    )


def fewest(
    least: Callable[[int], float | None], effect: float, *, low: int, high: int, near: int, within: float = 0.0
) -> int | None:
    """The smallest count above `low`, up to `high`, at which `least`, the effect that is found, is no more than
    `effect`, or one above it by the share `within` at most; None where not even `high` is enough. Its square is nearly
    a + b / count, so the next count to try is where a line through the last two, `near` at first, meets the square."""

    def square(count: int) -> float:
        found = least(count)
        return 1.0 if found is None else found**2

    wanted, points = effect**2, [(high, square(high))]
    if points[0][1] > wanted:
        return None
    tried = near
    while high - low > max(1.0, within * low):
        tried = min(max(tried, low + 1), high - 1)
        points.append((tried, square(tried)))
        low, high = (low, tried) if points[-1][1] <= wanted else (tried, high)
        (one, first), (other, second) = points[-2:]
        middle = 2 / (1 / max(low, 1) + 1 / high)
        if len(points) > 6 or first == second:
            tried = round(middle)
            continue
        inverse = 1 / other + (wanted - second) * (1 / one - 1 / other) / (first - second)
        met = 1 / inverse if inverse > 0 else high
        tried = round(met * (1 - within / 2) if points[-1][1] <= wanted else met * (1 + within / 2))
    return high
