"""The smallest difference that a planned comparison can see, with the spread between seeds as measured before."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cwpo.config import RunConfig
from cwpo.statistics import paired_difference, planned_detectable
from workers.comparison import ComparedRun

SEED_SD = 0.015  # SD of a difference between seeds, as seen in the sandbox and in the literature


@dataclass(frozen=True, kw_only=True)
class SeedSpread:
    """SD of a difference between two methods from seed to seed; `comparisons`: it was measured in, 0 = assumed."""

    sd: float = SEED_SD
    comparisons: int = 0


@dataclass(frozen=True, kw_only=True)
class Power:
    """A difference of `detectable` between two methods is found four times in five."""

    prompts: int
    seeds: int
    detectable: float
    spread: SeedSpread


def planned(configs: Sequence[RunConfig], spread: SeedSpread) -> Power:
    """Of two methods of these runs, over the fewest prompts that any of them answers."""
    seeds = len({config.seed for config in configs})
    prompts = min(config.data.test_prompts for config in configs)
    found = planned_detectable(prompts=prompts, seeds=seeds, seed_sd=spread.sd)
    return Power(prompts=prompts, seeds=seeds, detectable=found, spread=spread)


def measured_spread(runs: Sequence[ComparedRun], outcomes: pd.DataFrame) -> SeedSpread:
    """Pooled over the paired differences of settings that share an objective and at least two seeds."""
    answered = set(outcomes["run_id"])
    settings: dict[str, dict[int, int]] = {}
    objective: dict[str, str] = {}
    for run in runs:
        if run.id in answered:
            settings.setdefault(run.group_key, {}).setdefault(run.seed, run.id)
            objective[run.group_key] = run.objective
    wide = outcomes.pivot_table(index="run_id", columns="prompt_id", values="outcome")
    found: list[tuple[float, int]] = []
    first: dict[str, str] = {}
    for key, seeds in settings.items():
        against = first.setdefault(objective[key], key)
        both = sorted(seeds.keys() & settings[against].keys())
        if against == key or len(both) < 2:
            continue
        sd = _seed_sd(wide, [seeds[seed] for seed in both], [settings[against][seed] for seed in both])
        if sd is not None:
            found.append((sd, len(both) - 1))
    if not found:
        return SeedSpread()
    pooled = sum(df * sd**2 for sd, df in found) / sum(df for _, df in found)
    return SeedSpread(sd=float(np.sqrt(pooled)), comparisons=len(found))


def _seed_sd(wide: pd.DataFrame, mine: Sequence[int], its: Sequence[int]) -> float | None:
    """SD between seeds of one paired difference, on the prompts that all of these runs answered."""
    shared = wide.loc[[*mine, *its]].dropna(axis="columns")
    if shared.shape[1] < 2:
        return None
    return paired_difference(shared.loc[list(mine)], shared.loc[list(its)]).seed_sd
