"""What a planned table can see: the known table of one run, simulation, and what would see more."""

import numpy as np
import pandas as pd
import pytest

from cwpo.statistics.planning import planned_detectable, seeds_needed
from cwpo.statistics.simultaneous import Gap, together


def points_of(**plan: float) -> float:
    found = planned_detectable(**plan)  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize(("prompts", "points"), [(935, 0.05), (2609, 0.03), (5879, 0.02), (23540, 0.01)])
def test_one_run_is_the_known_table(prompts: int, points: float) -> None:
    """Prompts for 80 % power at 30 % discordant pairs."""
    assert points_of(prompts=prompts, seeds=1, seed_sd=0.0) == pytest.approx(points, rel=0.01)


@pytest.mark.parametrize(("seeds", "sd"), [(2, 0.01), (4, 0.03)])
def test_the_planned_effect_is_found_four_times_in_five(seeds: int, sd: float) -> None:
    effect = points_of(prompts=300, seeds=seeds, seed_sd=sd)
    rng, found = np.random.default_rng(0), 0
    for _ in range(250):
        up = 0.15 + (effect + rng.normal(0, sd, (seeds, 1))) / 2
        draw = rng.random((seeds, 300))
        gap = np.where(draw < up, 1.0, np.where(draw < 0.3, -1.0, 0.0))
        (row,) = together([Gap(first="a", second="b", cells=pd.DataFrame(gap))])
        found += row.p_corrected < 0.05
    assert 0.70 < found / 250 < 0.90


def test_more_of_anything_but_spread_and_comparisons_sees_less() -> None:
    plan = {"prompts": 400, "seeds": 4, "seed_sd": 0.03}
    base = points_of(**plan)
    assert points_of(**(plan | {"seeds": 8})) < base
    assert points_of(**(plan | {"prompts": 1600})) < base
    assert points_of(**plan, samples=4) < base
    assert points_of(**(plan | {"seed_sd": 0.06})) > base
    assert points_of(**plan, comparisons=6) > base


def test_the_seeds_needed_are_the_fewest() -> None:
    plan = {"prompts": 400, "seed_sd": 0.03, "comparisons": 2}
    need = seeds_needed(0.04, **plan)  # type: ignore[arg-type]
    assert need is not None
    assert points_of(**plan, seeds=need) <= 0.04 < points_of(**plan, seeds=need - 1)
    assert seeds_needed(0.001, **plan) is None  # type: ignore[arg-type]
