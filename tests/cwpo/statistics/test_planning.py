"""What a planned table can see: the known table of one run, simulation, and what would see more."""

import numpy as np
import pandas as pd
import pytest

from cwpo.statistics.planning import MOST_SEEDS, fewest, planned_detectable, planned_half_width
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

    def needed(effect: float) -> int | None:
        return fewest(lambda seeds: points_of(**plan, seeds=seeds), effect, low=1, high=MOST_SEEDS, near=8)

    need = needed(0.04)
    assert need is not None
    assert points_of(**plan, seeds=need) <= 0.04 < points_of(**plan, seeds=need - 1)
    assert needed(0.001) is None


def test_the_fewest_are_found_in_few_tries() -> None:
    """√(.0001 + .09 / n) is .02 at 300, .04 at 60, and never .01; √(9 / n³) is .03 at ∛10,000 = 21.5."""
    tried: list[int] = []

    def least(count: int) -> float:
        tried.append(count)
        return float((0.0001 + 0.09 / count) ** 0.5)

    for effect, count in ((0.02, 300), (0.04, 60)):
        tried.clear()
        assert fewest(least, effect, low=1, high=100_000, near=800) == count
        assert len(tried) <= 6
    assert fewest(least, 0.01, low=1, high=100_000, near=800) is None
    about = fewest(least, 0.02, low=1, high=100_000, near=20, within=0.02)
    assert about is not None
    assert 300 <= about <= 306
    assert fewest(lambda count: (9 / count**3) ** 0.5, 0.03, low=1, high=99, near=8) == 22
    assert fewest(lambda count: None if count < 7 else 0.01, 0.02, low=1, high=99, near=8) == 7
    assert fewest(lambda count: 0.01, 0.02, low=1, high=99, near=8) == 2


def test_the_half_width_of_one_seed_is_that_of_its_prompts() -> None:
    """1.96 · √(.3 / 400) = 5.4 points, where nothing differs; 2 answers to each average what does not last."""
    plan = {"prompts": 400, "seeds": 1, "seed_sd": 0.03, "comparisons": 1}
    assert planned_half_width(**plan, samples=1) == pytest.approx(1.96 * (0.3 / 400) ** 0.5, rel=0.01)
    assert planned_half_width(**plan, samples=2) == pytest.approx(1.96 * (0.1525 / 400) ** 0.5, rel=0.01)


def test_related_prompts_are_worth_what_they_are_said_to_be() -> None:
    """2,000 clusters that are each worth two prompts see as much as 4,000 prompts, and no less than 2,000."""
    plan = {"seeds": 4, "seed_sd": 0.01}
    pairs = points_of(**plan, prompts=2000, worth=2.0)
    assert pairs == pytest.approx(points_of(**plan, prompts=4000), rel=0.01)
    assert pairs < points_of(**plan, prompts=2000)
