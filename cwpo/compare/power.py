"""What a planned comparison can see, with the spread between seeds as measured before, and what would see more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cwpo.compare.configured_run import ComparedRun, by_setting, why_unpaired
from cwpo.config.dotted import without
from cwpo.config.run import RunConfig
from cwpo.data.related.outcomes import clusters_at, clusters_in
from cwpo.statistics.intervals import paired_difference
from cwpo.statistics.planning import planned_detectable, seeds_needed

SEED_SD = 0.03  # SD of a difference between seeds: the median over 78 differences of docs/study.md
EFFECTS = (0.01, 0.02, 0.04)  # differences that a plan says the need of
MORE_PROMPTS = 4  # times as many as planned
MOST_SEEDS = 99
MOST_COMPARISONS = 50  # beyond it the rule hardly changes
NO_SETTING = ("seed", "name", "execution")
LEAST_DF = 3  # with fewer degrees of freedom a measured SD may be anything


@dataclass(frozen=True, kw_only=True)
class SeedSpread:
    """SD of a difference between two methods from seed to seed; `comparisons`: it was measured in, 0 = assumed."""

    sd: float = SEED_SD
    comparisons: int = 0


@dataclass(frozen=True, kw_only=True)
class Power:
    """A difference of `detectable` between two methods is found four times in five, by the rule of the table that it
    stands in; None where only larger ones than there can be are. `needs`: what would find 1, 2 and 4 points."""

    prompts: int
    seeds: int
    samples: int
    comparisons: int  # differences of the table: every setting but one against that one
    detectable: float | None
    spread: SeedSpread
    needs: tuple["Need", ...] = ()


@dataclass(frozen=True, kw_only=True)
class Need:
    """The fewest seeds that find `effect` on the planned prompts and on more; None where `MOST_SEEDS` do not."""

    effect: float
    seeds: int | None
    more_prompts: int
    seeds_then: int | None


def planned(configs: Sequence[RunConfig], spread: SeedSpread) -> Power:
    """Of two methods of these runs, over the fewest prompts that any of them answers."""
    seeds = len({config.seed for config in configs})
    prompts = min(config.data.test_prompts for config in configs)
    samples = min(config.evaluation.samples for config in configs)
    settings = {repr(sorted(without(config.canonical(), NO_SETTING).items())) for config in configs}
    comparisons = max(len(settings) - 1, 1)
    table = {"seed_sd": round(spread.sd, 4), "samples": samples, "comparisons": min(comparisons, MOST_COMPARISONS)}
    return Power(
        prompts=prompts,
        seeds=seeds,
        samples=samples,
        comparisons=comparisons,
        detectable=planned_detectable(prompts=prompts, seeds=seeds, **table),
        spread=spread,
        needs=tuple(_need(effect, prompts, table) for effect in EFFECTS),
    )


def _need(effect: float, prompts: int, table: Mapping[str, Any]) -> Need:
    more = MORE_PROMPTS * prompts
    seeds, then = (seeds_needed(effect, prompts=count, most=MOST_SEEDS, **table) for count in (prompts, more))
    return Need(effect=effect, seeds=seeds, more_prompts=more, seeds_then=then)


def measured_spread(runs: Sequence[ComparedRun], outcomes: pd.DataFrame) -> SeedSpread:
    """Pooled over paired differences: each setting against the first one before it with the same objective and, under
    two seeds or more, the same baseline and judge. Too few of them say nothing."""
    answered = set(outcomes["run_id"])
    groups = by_setting(run for run in runs if run.id in answered)
    settings = [{run.seed: run for run in reversed(group)} for group in groups.values()]  # of one seed the first run
    wide = outcomes.pivot_table(index="run_id", columns="prompt_id", values="outcome")
    clusters = clusters_in(outcomes)
    found: list[tuple[float, int]] = []
    earlier: list[dict[int, ComparedRun]] = []
    for mine in settings:
        pairs = next((pairs for its in earlier if len(pairs := _comparable(mine, its)) > 1), [])
        earlier.append(mine)
        if not pairs:
            continue
        sd = _seed_sd(wide, [one.id for one, _ in pairs], [other.id for _, other in pairs], clusters)
        if sd is not None:
            found.append((sd, len(pairs) - 1))
    if sum(df for _, df in found) < LEAST_DF:
        return SeedSpread()
    pooled = sum(df * sd**2 for sd, df in found) / sum(df for _, df in found)
    return SeedSpread(sd=float(np.sqrt(pooled)), comparisons=len(found))


def _comparable(
    mine: Mapping[int, ComparedRun], its: Mapping[int, ComparedRun]
) -> list[tuple[ComparedRun, ComparedRun]]:
    """The runs of both settings under the seeds that both have, where objective, baseline and judge are the same."""
    return [
        (mine[seed], its[seed])
        for seed in sorted(mine.keys() & its.keys())
        if mine[seed].objective == its[seed].objective and why_unpaired([mine[seed]], [its[seed]]) is None
    ]


def _seed_sd(wide: pd.DataFrame, mine: Sequence[int], its: Sequence[int], clusters: Mapping[str, str]) -> float | None:
    """SD between seeds of one paired difference, on the prompts that all of these runs answered."""
    shared = wide.loc[[*mine, *its]].dropna(axis="columns")
    if shared.shape[1] < 2:
        return None
    together = clusters_at(clusters, shared.columns)
    return paired_difference(shared.loc[list(mine)], shared.loc[list(its)], together).seed_sd
