"""What a table of differences can see before it is run: the rule of `simultaneous`, with the spread that is expected.

Free of torch.
"""

from functools import lru_cache, partial

import numpy as np

from cwpo.statistics.cells import difference_variance, hidden_variance
from cwpo.statistics.seed_spread import Design, detectable, errors
from cwpo.statistics.simultaneous import OTHERS, factor_of, largest_errors

DISCORDANT = 0.3  # share of prompts that change their winner between two methods
LASTING = 0.005  # of which this much is the same under every seed and sample; the median of docs/study.md is 0.003
MOST_SEEDS = 99
ALIKE = 0.5  # correlation of two differences from one reference


@lru_cache(maxsize=512)
def planned_detectable(
    *,
    prompts: int,
    seeds: int,
    seed_sd: float,
    samples: int = 1,
    comparisons: int = 1,
    discordant: float = DISCORDANT,
) -> float | None:
    """The smallest true difference that one of `comparisons` with a common reference finds 4 times in 5, in shares;
    None where that is more than there can be.

    `seed_sd` is the SD of a difference between seeds (0.02 = 2 points); `samples` per prompt average the noise that
    does not last. One seed is taken as it is: what another one would change is not in it.
    """
    lasting = min(LASTING, discordant)
    noise = (discordant - lasting) / samples / prompts
    rest = lasting / prompts + noise / seeds
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
    design = Design(
        noise=np.array([noise / discordant]),
        rest=np.array([rest / discordant]),
        least=np.atleast_1d(hidden_variance(prompts, (1 - discordant) ** (seeds * samples))),
        rest_df=np.array([prompts - 1.0]),
        seeds=np.array([float(seeds)]),
        df=np.array([df]),
        factor=factor,
        variance=partial(difference_variance, differing=discordant),
    )
    found = detectable(design, np.array([seed_sd]))
    return float(found[0]) if found[0] < 1 else None


def seeds_needed(
    effect: float, *, prompts: int, seed_sd: float, samples: int = 1, comparisons: int = 1, most: int = MOST_SEEDS
) -> int | None:
    """The fewest seeds, two at least, that find `effect` 4 times in 5; None where not even `most` do."""

    def finds(seeds: int) -> bool:
        least = planned_detectable(
            prompts=prompts, seeds=seeds, seed_sd=seed_sd, samples=samples, comparisons=comparisons
        )
        return least is not None and least <= effect

    if not finds(most):
        return None
    low, high = 1, most  # low does not find it, or is one seed
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if finds(middle) else (middle, high)
    return high
