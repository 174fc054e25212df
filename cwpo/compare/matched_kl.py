"""GRA at matched KL: frontiers of methods over β, and paired differences where both reach. Pure: rows in, rows out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cwpo.compare.configured_run import (
    NO_COMMON_PROMPT,
    NO_COMMON_SEED,
    ONE_SEED,
    ComparedRun,
    Configs,
    by_setting,
    in_order,
    why_unpaired,
)
from cwpo.compare.gra import PLANNED, setting_key
from cwpo.compare.setting_names import setting_labels
from cwpo.config.dotted import without
from cwpo.config.run import RunConfig
from cwpo.data.related.outcomes import clusters_at, clusters_in
from cwpo.statistics import intervals
from cwpo.statistics.frontier import Curve, SeedFrontier, covered, frontier, matched_difference
from cwpo.statistics.simultaneous import Gap, together, told

NO_OVERLAP = "no overlap: there is no KL that every seed of both methods reaches"
NO_RANGE = "its seeds reach no KL in common"


@dataclass(frozen=True, kw_only=True)
class Knot:
    """One β of a frontier, averaged over its seeds."""

    beta: float
    kl: float
    gra: float


@dataclass(frozen=True, kw_only=True)
class FrontierRow:
    """One method over β; `curve` is None where `reason` says why."""

    key: str
    label: str
    method: str
    objective: str
    knots: tuple[Knot, ...]
    n_seeds: int
    n_prompts: int
    curve: Curve | None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class MatchedRow:
    """first − second at the same KL, averaged over the range both cover; `reason` says why there is no figure."""

    label: str
    first_label: str
    second_label: str
    first_method: str
    second_method: str
    objective: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_corrected: float | None = None
    comparisons: int = 0
    detectable: float | None = None  # smallest true difference found 4 times in 5
    kl_low: float | None = None
    kl_high: float | None = None
    n_prompts: int = 0
    n_seeds: int = 0
    note: str = ""
    reason: str | None = None
    curve: Curve | None = None

    @property
    def covers_zero(self) -> bool:
        """True without figures too: what is not known is not emphasised."""
        return intervals.covers(self.low, self.high)

    @property
    def is_real(self) -> bool:
        """The interval, which holds for all of the table at once, leaves out 0: what may be emphasised."""
        return intervals.is_real(self.low, self.high, self.p_corrected)

    @property
    def told(self) -> str:
        """Different, smaller than what matters, both, or neither."""
        return told(self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """Runs that differ in β and seed alone, with their outcomes: runs by seed, the nearest first."""

    key: str
    place: str  # the same for frontiers that differ in method alone
    config: RunConfig  # of a run; its β is one of several
    runs: Mapping[int, Sequence[ComparedRun]]
    betas: Mapping[int, float]  # by run
    kl: Mapping[int, float]
    outcomes: pd.DataFrame  # runs × prompts that every run answered
    related: Mapping[str, str]  # prompt -> cluster, of those that share one

    @property
    def first(self) -> ComparedRun:
        """A run that stands for its method and objective."""
        return next(iter(self.runs.values()))[0]

    def has(self, group_key: str) -> bool:
        """Whether the setting of that key is one of its β."""
        return any(run.group_key == group_key for runs in self.runs.values() for run in runs)


def frontiers(runs: Sequence[ComparedRun], outcomes: pd.DataFrame, configs: Configs) -> list[Frontier]:
    """Methods that the table holds at several β; seeds with one β say nothing about a curve and are left out."""
    kl = outcomes.groupby("run_id")["logratio"].mean().dropna()
    known = [run for run in in_order(runs) if run.id in kl.index and run.id in configs]
    groups = by_setting(known, key=lambda run: _frontier_key(configs[run.id]))
    found = (_frontier(key, group, outcomes, configs, kl) for key, group in groups.items())
    return [one for one in found if one is not None]


def frontier_rows(found: Sequence[Frontier]) -> list[FrontierRow]:
    """What the chart draws: one curve per method."""
    labels = frontier_labels(found)
    rows = []
    for one in found:
        seeds = _seed_frontiers(one, list(one.runs), one.outcomes.columns)
        curve = frontier(seeds, clusters_at(one.related, one.outcomes.columns))
        rows.append(
            FrontierRow(
                key=one.key,
                label=labels[one.key],
                method=one.first.method,
                objective=one.first.objective,
                knots=_knots(one),
                n_seeds=len(seeds),
                n_prompts=one.outcomes.shape[1],
                curve=curve,
                reason=None if curve else NO_RANGE,
            )
        )
    return rows


def matched_differences(found: Sequence[Frontier], *, reference: str = "") -> list[MatchedRow]:
    """cw − weak and cw − human, or with the group key of a `reference` all others − its frontier, with
    intervals that hold for all of them at once."""
    labels = frontier_labels(found)
    rows = [
        _about(first, second, labels) | _figures(first, second, labels)
        for first, second in frontier_pairs(found, reference=reference)
    ]
    tested = [row for row in rows if "gap" in row]
    for row, found_row in zip(tested, together([row.pop("gap") for row in tested]), strict=True):
        row.update(found_row.figures)
    return [MatchedRow(**row) for row in rows]


def frontier_labels(found: Sequence[Frontier]) -> dict[str, str]:
    """What frontiers are called beside each other, by their keys."""
    return setting_labels(
        {one.key: [one.first] for one in found}, {one.first.id: _at_one_beta(one.config) for one in found}
    )


def _at_one_beta(config: RunConfig) -> RunConfig:
    """β tells no frontier from another, so that no name says it."""
    return config.model_copy(update={"align": config.align.model_copy(update={"beta": 1.0})})


def _frontier_key(config: RunConfig) -> str:
    """The same for runs that differ in β, seed and name alone."""
    return repr(sorted(without(config.canonical(), ("align.beta", "seed", "name", "execution")).items()))


def _frontier(
    key: str,
    group: Sequence[ComparedRun],
    outcomes: pd.DataFrame,
    configs: Configs,
    kl: "pd.Series[float]",
) -> Frontier | None:
    betas = {run.id: configs[run.id].align.beta for run in group}
    by_seed: dict[int, list[ComparedRun]] = {}
    for run in group:
        by_seed.setdefault(run.seed, []).append(run)
    kept = {seed: own for seed, own in by_seed.items() if len({betas[run.id] for run in own}) > 1}
    if not kept:
        return None
    ids = [run.id for own in kept.values() for run in own]
    wide = outcomes[outcomes["run_id"].isin(ids)].pivot(index="run_id", columns="prompt_id", values="outcome")
    wide = wide.dropna(axis="columns")
    if wide.empty:
        return None
    config = configs[group[0].id]
    return Frontier(
        key=key,
        place=setting_key(config, "align.beta"),
        config=config,
        runs={seed: sorted(own, key=lambda run: float(kl[run.id])) for seed, own in kept.items()},
        betas=betas,
        kl={run_id: float(kl[run_id]) for run_id in ids},
        outcomes=wide,
        related=clusters_in(outcomes),
    )


def _seed_frontiers(one: Frontier, seeds: Sequence[int], prompts: "pd.Index[str]") -> list[SeedFrontier]:
    return [
        SeedFrontier(
            kl=np.array([one.kl[run.id] for run in one.runs[seed]]),
            outcomes=one.outcomes.loc[[run.id for run in one.runs[seed]], prompts].to_numpy(dtype=np.float64),
        )
        for seed in seeds
    ]


def _knots(one: Frontier) -> tuple[Knot, ...]:
    """β by β, largest first: the run that moved least stands on the left."""
    ids = list(one.kl)
    gra = one.outcomes.mean(axis=1)
    return tuple(
        Knot(
            beta=beta,
            kl=float(np.mean([one.kl[i] for i in ids if one.betas[i] == beta])),
            gra=float(np.mean([gra[i] for i in ids if one.betas[i] == beta])),
        )
        for beta in sorted({one.betas[i] for i in ids}, reverse=True)
    )


def frontier_pairs(found: Sequence[Frontier], *, reference: str) -> list[tuple[Frontier, Frontier]]:
    """Within one place; where a method has several frontiers there, no pair is guessed."""
    pinned = [one for one in found if reference and one.has(reference)]
    if pinned:
        return [(one, pinned[0]) for one in found if one is not pinned[0] and one.place == pinned[0].place]
    places: dict[str, dict[str, list[Frontier]]] = {}
    for one in found:
        places.setdefault(one.place, {}).setdefault(one.first.method, []).append(one)
    return [
        (place[first][0], place[second][0])
        for place in places.values()
        for first, second in PLANNED
        if len(place.get(first, [])) == 1 and len(place.get(second, [])) == 1
    ]


def _about(first: Frontier, second: Frontier, labels: Mapping[str, str]) -> dict[str, Any]:
    one, other = labels[first.key], labels[second.key]
    return {
        "label": f"{one} − {other}",
        "first_label": one,
        "second_label": other,
        "first_method": first.first.method,
        "second_method": second.first.method,
        "objective": first.first.objective,
    }


def _figures(first: Frontier, second: Frontier, labels: Mapping[str, str]) -> dict[str, Any]:
    """What the difference at matched KL is computed from, or the reason why there is none."""
    seeds = sorted(set(first.runs) & set(second.runs))
    if not seeds:
        return {"reason": NO_COMMON_SEED}
    one, other = ([run for seed in seeds for run in side.runs[seed]] for side in (first, second))
    reason = why_unpaired(one, other)
    if reason:
        return {"reason": reason}
    prompts = first.outcomes.columns.intersection(second.outcomes.columns)
    if prompts.empty:
        return {"reason": NO_COMMON_PROMPT}
    found = matched_difference(
        _seed_frontiers(first, seeds, prompts),
        _seed_frontiers(second, seeds, prompts),
        clusters_at(first.related, prompts),
    )
    if found is None:
        return {"reason": NO_OVERLAP + _reached(first, second, seeds, labels)}
    cells = pd.DataFrame(found.gaps, index=seeds, columns=prompts)
    return {
        "gap": Gap(first=first.key, second=second.key, cells=cells, clusters=first.related),
        "kl_low": found.kl_low,
        "kl_high": found.kl_high,
        "note": ONE_SEED if len(seeds) == 1 else "",
        "curve": found.curve,
    }


def _reached(first: Frontier, second: Frontier, seeds: Sequence[int], labels: Mapping[str, str]) -> str:
    """Where each method stands, so that another β can be chosen."""
    spans = [covered(_seed_frontiers(one, seeds, one.outcomes.columns)) for one in (first, second)]
    return "".join(
        f"; {labels[one.key]} {span[0]:.2f} to {span[1]:.2f} nats"
        for one, span in zip((first, second), spans, strict=True)
        if span is not None
    )
