"""What a planned comparison can see, with the spread between seeds as measured before, and what would see more."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from cwpo.compare.configured_run import ComparedRun, by_setting, why_unpaired
from cwpo.config.dotted import without
from cwpo.config.run import RunConfig
from cwpo.data.related.clusters import task_of
from cwpo.data.related.outcomes import CLUSTER, clusters_at, clusters_in
from cwpo.sandbox import world
from cwpo.statistics.intervals import paired_difference
from cwpo.statistics.planning import (
    CLOSE,
    DISCORDANT,
    LASTING,
    MOST_PROMPTS,
    MOST_SEEDS,
    fewest,
    planned_detectable,
    planned_half_width,
)
from cwpo.statistics.simultaneous import EQUIVALENT

SEED_SD = 0.03  # SD of a difference between seeds: the median over 78 differences of docs/study.md
EFFECTS = (0.01, 0.02, 0.04)  # differences that a plan says the need of
MORE_PROMPTS = 4  # times as many as planned
FEWEST_PROMPTS = 20
RELATED = 0.02  # correlation of what two related prompts say of a difference: the median of docs/study.md
NEAR = 8  # seeds and times as many prompts as planned that are tried first
MOST_COMPARISONS = 50  # beyond it the rule hardly changes
NO_SETTING = ("seed", "name", "execution")
LEAST_DF = 3  # with fewer degrees of freedom a measured SD may be anything


@dataclass(frozen=True, kw_only=True)
class SeedSpread:
    """SD of a difference between two methods from seed to seed, and the share of prompts that change their winner
    between these under one seed with one answer each (mean squared difference), None where it is not known.
    `comparisons`: they were measured in, 0 = assumed; `looked`: whether earlier runs were asked for it. Of the prompts
    that those answered: the share that is left where related ones count as one, and how likely two are related."""

    sd: float = SEED_SD
    discordant: float | None = None
    comparisons: int = 0
    looked: bool = True
    unrelated: float | None = None
    same: float = 0.0

    @property
    def changed(self) -> float:
        """The share of prompts that a plan takes to change their winner: as measured, else as assumed."""
        return DISCORDANT if self.discordant is None else self.discordant


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """Planned prompts, and how many they are where related ones count as one, as in tables; None where only the data
    tell. `same`: how likely two of them are related."""

    count: int
    unrelated: int | None = None
    same: float = 0.0
    most: int = MOST_PROMPTS  # that there are

    def times(self, factor: float) -> int:
        """So many times as many, as far as there are."""
        return min(round(factor * self.count), self.most)

    def as_many(self, count: int) -> dict[str, Any]:
        """What `planned_detectable` asks of `count` prompts that are related as often as these."""
        unrelated = round(count * (1.0 if self.unrelated is None else self.unrelated / self.count))
        independent = count / (1 + RELATED * self.same * (count - 1))
        return {"prompts": max(unrelated, 1), "worth": independent / max(unrelated, 1)}


@dataclass(frozen=True, kw_only=True)
class Power:
    """A difference of `detectable` between two methods is found four times in five, by the rule of the table that it
    stands in; None where only larger ones than there can be are. `needs`: what would find 1, 2 and 4 points."""

    prompts: Prompts
    seeds: int
    samples: int
    comparisons: int  # differences of the table: every setting but one against that one
    detectable: float | None
    spread: SeedSpread
    needs: tuple["Need", ...] = ()


@dataclass(frozen=True, kw_only=True)
class Need:
    """What finds `effect`: the fewest seeds on the planned prompts and on more, the fewest prompts under the planned
    seeds; None where `MOST_SEEDS` do not, or no number of prompts that there is."""

    effect: float
    seeds: int | None
    prompts: int | None
    more_prompts: int
    seeds_then: int | None


def planned(configs: Sequence[RunConfig], spread: SeedSpread) -> Power:
    """Of two methods of these runs, over the fewest prompts that any of them answers."""
    seeds = len({config.seed for config in configs})
    prompts = _prompts(min(configs, key=lambda config: config.data.test_prompts), spread)
    samples = min(config.evaluation.samples for config in configs)
    settings = {repr(sorted(without(config.canonical(), NO_SETTING).items())) for config in configs}
    comparisons = max(len(settings) - 1, 1)
    table = {
        "seed_sd": round(spread.sd, 4), "discordant": round(spread.changed, 3), "samples": samples,
        "comparisons": min(comparisons, MOST_COMPARISONS),
    }  # fmt: skip
    return Power(
        prompts=prompts,
        seeds=seeds,
        samples=samples,
        comparisons=comparisons,
        detectable=planned_detectable(seeds=seeds, **prompts.as_many(prompts.count), **table),
        spread=spread,
        needs=tuple(_need(effect, prompts, seeds, table) for effect in EFFECTS),
    )


@lru_cache(maxsize=64)
def prompts_for_equivalence(*, samples: int, comparisons: int) -> int | None:
    """From how many unrelated prompts on the intervals of a table of methods that do not differ can lie within ±1.5
    points at all, that is under the most seeds; None where no number is enough."""

    def half(prompts: int) -> float:
        return planned_half_width(
            prompts=prompts, seeds=MOST_SEEDS, seed_sd=SEED_SD, samples=samples,
            comparisons=min(comparisons, MOST_COMPARISONS),
        )  # fmt: skip

    return fewest(half, EQUIVALENT, low=FEWEST_PROMPTS - 1, high=MOST_PROMPTS, near=200, within=CLOSE)


def _need(effect: float, prompts: Prompts, seeds: int, table: Mapping[str, Any]) -> Need:
    def by_prompts(count: int) -> float | None:
        return planned_detectable(seeds=seeds, **prompts.as_many(count), **table)

    def by_seeds(count: int) -> int | None:
        given = {**prompts.as_many(count), **table}
        return fewest(lambda many: planned_detectable(seeds=many, **given), effect, low=1, high=MOST_SEEDS, near=NEAR)

    more = prompts.times(MORE_PROMPTS)
    return Need(
        effect=effect,
        seeds=by_seeds(prompts.count),
        prompts=fewest(
            by_prompts, effect, low=FEWEST_PROMPTS - 1, high=prompts.most, near=prompts.times(NEAR), within=CLOSE
        ),
        more_prompts=more,
        seeds_then=by_seeds(more),
    )


def _prompts(config: RunConfig, spread: SeedSpread) -> Prompts:
    """Those of the sandbox follow from the settings; of a file earlier runs tell how many prompts are related."""
    count = config.data.test_prompts
    if config.is_sandbox and count <= world.MAX_TEST_PROMPTS:
        sizes = _tasks(count, config.evaluation.seed)
        return Prompts(count=count, unrelated=len(sizes), same=_same(sizes), most=world.MAX_TEST_PROMPTS)
    known = None if spread.unrelated is None else round(spread.unrelated * count)
    return Prompts(count=count, unrelated=known, same=spread.same)


def _same(sizes: Collection[int]) -> float:
    """How likely two prompts are in one of the clusters of these sizes."""
    count = sum(sizes)
    return sum(size * (size - 1) for size in sizes) / max(count * (count - 1), 1)


@lru_cache(maxsize=64)
def _tasks(count: int, seed: int) -> tuple[int, ...]:
    """How many of the sandbox's held-out prompts each task has."""
    return tuple(Counter(map(task_of, world.make_test_prompts(count, seed))).values())


def measured_spread(runs: Sequence[ComparedRun], outcomes: pd.DataFrame, samples: Mapping[int, int]) -> SeedSpread:
    """Pooled over paired differences: each setting against the first one before it with the same objective and, under
    two seeds or more, the same baseline and judge. Too few of them say nothing of it. `samples`: answers to each prompt
    by run; an outcome is their mean."""
    answered = set(outcomes["run_id"])
    groups = by_setting(run for run in runs if run.id in answered)
    settings = [{run.seed: run for run in reversed(group)} for group in groups.values()]  # of one seed the first run
    wide = outcomes.pivot_table(index="run_id", columns="prompt_id", values="outcome")
    clusters = clusters_in(outcomes)
    found: list[_Moved] = []
    earlier: list[dict[int, ComparedRun]] = []
    for mine in settings:
        pairs = next((pairs for its in earlier if len(pairs := _comparable(mine, its)) > 1), [])
        earlier.append(mine)
        ids = [one.id for one, _ in pairs], [other.id for _, other in pairs]
        moved = _moved(wide, *ids, clusters, {samples.get(run) for run in chain(*ids)})
        if moved is not None:
            found.append(moved)
    if sum(moved.df for moved in found) < LEAST_DF:
        return SeedSpread(**_relations(outcomes))
    shares = [moved.discordant for moved in found if moved.discordant is not None]
    return SeedSpread(
        sd=float(np.sqrt(np.average([moved.sd**2 for moved in found], weights=[moved.df for moved in found]))),
        discordant=float(np.mean(shares)) if len(shares) == len(found) else None,
        comparisons=len(found),
        **_relations(outcomes),
    )


def _relations(outcomes: pd.DataFrame) -> dict[str, Any]:
    if CLUSTER not in outcomes or outcomes.empty:
        return {}
    sizes = Counter(outcomes.drop_duplicates("prompt_id")[CLUSTER]).values()
    return {"unrelated": len(sizes) / sum(sizes), "same": _same(sizes)}


def _comparable(
    mine: Mapping[int, ComparedRun], its: Mapping[int, ComparedRun]
) -> list[tuple[ComparedRun, ComparedRun]]:
    """The runs of both settings under the seeds that both have, where objective, baseline and judge are the same."""
    return [
        (mine[seed], its[seed])
        for seed in sorted(mine.keys() & its.keys())
        if mine[seed].objective == its[seed].objective and why_unpaired([mine[seed]], [its[seed]]) is None
    ]


@dataclass(frozen=True, kw_only=True)
class _Moved:
    """One paired difference under several seeds: its SD between them with its degrees of freedom, and the mean square
    of what a prompt's difference would be with one answer, where all runs have as many."""

    sd: float
    df: int
    discordant: float | None


def _moved(
    wide: pd.DataFrame, mine: Sequence[int], its: Sequence[int], clusters: Mapping[str, str], samples: Set[int | None]
) -> _Moved | None:
    """On the prompts that all of these runs answered; None where fewer than two are, or one seed."""
    if len(mine) < 2:
        return None
    shared = wide.loc[[*mine, *its]].dropna(axis="columns")
    if shared.shape[1] < 2:
        return None
    first, second = shared.loc[list(mine)].to_numpy(), shared.loc[list(its)].to_numpy()
    sd = paired_difference(first, second, clusters_at(clusters, shared.columns)).seed_sd
    if sd is None:
        return None
    answers = next(iter(samples)) if len(samples) == 1 else None
    square = float(((first - second) ** 2).mean())
    return _Moved(sd=sd, df=len(mine) - 1, discordant=None if answers is None else _of_one_answer(square, answers))


def _of_one_answer(square: float, answers: int) -> float:
    """What the mean square of a difference between means of so many answers would be with one: all but what lasts is
    averaged, as `planned_detectable` takes it."""
    return min(LASTING + answers * (square - LASTING), 1.0) if square > LASTING else square
