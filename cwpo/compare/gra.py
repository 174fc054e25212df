"""From per-prompt outcomes of runs to GRA rows over seeds and paired differences. Pure: rows in, rows out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cwpo.compare.alignment_end import AlignmentEnd, Length, length_of, mean_known
from cwpo.compare.configured_run import (
    ONE_SEED,
    ComparedRun,
    Configs,
    by_setting,
    config_of,
    in_order,
)
from cwpo.compare.paired import paired, seeds_by_prompts, wide_of
from cwpo.compare.setting_names import setting_labels
from cwpo.config import catalog
from cwpo.config.dotted import without
from cwpo.config.run import RunConfig, digest
from cwpo.data.related.outcomes import clusters_at, clusters_in
from cwpo.statistics import intervals
from cwpo.statistics.shares import share
from cwpo.statistics.simultaneous import together, told

NOT_EVALUATED = "not evaluated yet"
PLANNED = (("cw", "weak"), ("cw", "human"))
# Differences that a method was made for, planned where a table has both; and the one of two of them.
QUESTIONS = (*PLANNED, ("human_cw", "human"), ("correct", "weak"), ("top_true", "top"))
INTERACTION = ("human_cw", "human", "cw", "weak")
OF_A_RUN = ("method", "top_percent", "seed", "name", "execution")  # no setting of what is compared


@dataclass(frozen=True, kw_only=True)
class GraRow:
    """One setting over its seeds. Shares in [0, 1]; tokens per answer; kl in nats per answer."""

    group_key: str
    label: str
    method: str
    method_label: str
    objective: str
    top_percent: float | None
    run_ids: tuple[int, ...]
    seeds: tuple[int, ...]
    estimate: float
    low: float
    high: float
    interval_method: str
    n_prompts: int
    n_seeds: int
    wins: int  # over all seeds, as ties and losses
    ties: int
    losses: int
    strict: float
    ties_dropped: float | None
    seed_sd: float | None
    kl: float | None
    tokens: float | None
    baseline_tokens: float | None
    ungrammatical: float | None
    baseline_ungrammatical: float | None
    note: str  # "" or what must stand beside the interval
    beta: float | None = None
    chosen_logratio: float | None = None  # end of alignment, nats per response of the training pairs
    rejected_logratio: float | None = None
    length_ratio: float | None = None  # mean tokens over the baseline's
    length_controlled: float | None = None  # GRA at equal length
    length_low: float | None = None
    length_high: float | None = None
    place: str = ""  # the same for settings that differ in method and align.steps alone
    steps: str = ""  # align.steps, where it is known
    another: float | None = None  # half-width of the 95 % interval around this GRA for that of one more seed


@dataclass(frozen=True, kw_only=True)
class DifferenceRow:
    """first − second on the same seeds and prompts; `reason` says why there are no figures."""

    first: str  # group key
    second: str
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
    comparisons: int = 0  # how many differences the correction counts
    detectable: float | None = None  # smallest true difference that this table finds 4 times in 5
    another: float | None = None  # half-width of the 95 % interval for this difference under one more seed
    interval_method: str = ""
    n_prompts: int = 0
    n_seeds: int = 0
    kl_estimate: float | None = None  # paired difference of the log-ratios, nats per answer
    kl_low: float | None = None
    kl_high: float | None = None
    note: str = ""
    reason: str | None = None
    less_first: str = ""  # of an interaction, which is first − second − (less_first − less_second); group keys
    less_second: str = ""

    @property
    def is_interaction(self) -> bool:
        """Whether it is a difference of two differences."""
        return bool(self.less_first)

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


def gra_table(
    runs: Sequence[ComparedRun],
    outcomes: pd.DataFrame,
    *,
    configs: Configs | None = None,
    ends: Mapping[int, AlignmentEnd] | None = None,
) -> list[GraRow]:
    """One row per setting that has an evaluated run, in the order of the catalog; `configs` and `ends` by run, where
    they are known."""
    groups = _groups(runs, outcomes)
    labels = labels_of(runs, configs or {})
    wide = {name: wide_of(outcomes, name) for name in ("outcome", "tokens", "baseline_tokens")}
    related = clusters_in(outcomes)
    rows = [
        _gra_row(group, labels[key], outcomes, wide, configs or {}, ends or {}, related)
        for key, group in groups.items()
    ]
    return sorted(rows, key=_order)


def differences(
    runs: Sequence[ComparedRun],
    outcomes: pd.DataFrame,
    *,
    pairs: Sequence[tuple[str, ...]] | None = None,
    settings: Mapping[str, str] | None = None,
    configs: Configs | None = None,
) -> list[DifferenceRow]:
    """Paired differences of two settings each, or interactions of four (group keys; default: `planned_pairs` and
    `planned_interactions`), with intervals and tests that hold for all of them at once."""
    groups = _groups(runs, outcomes)
    every = _groups(runs, None)
    labels = setting_labels(every, configs or {})
    planned = (*planned_pairs(runs, settings=settings), *planned_interactions(runs, settings=settings))
    chosen: Sequence[tuple[str, ...]] = planned if pairs is None else pairs
    won, drift = wide_of(outcomes, "outcome"), wide_of(outcomes, "logratio")
    related = clusters_in(outcomes)
    rows = []
    for keys in chosen:
        about = _about([every[key] for key in keys], labels)
        missing = any(key not in groups for key in keys)
        figures = {"reason": NOT_EVALUATED} if missing else paired([groups[key] for key in keys], won, drift, related)
        rows.append(about | figures)
    tested = [row for row in rows if "gap" in row]
    for row, found in zip(tested, together([row.pop("gap") for row in tested]), strict=True):
        row.update(found.figures, interval_method=found.method, another=found.another)
    return [DifferenceRow(**row) for row in rows]


def planned_pairs(runs: Sequence[ComparedRun], *, settings: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """cw − weak, cw − human and what else methods were made for, within one objective and, given `settings` by group
    key, within one setting.

    Where a method has several rows left there, no pair is guessed: choose with `pairs`.
    """
    return [(place[first], place[second]) for place in _places(runs, settings)
            for first, second in QUESTIONS if {first, second} <= place.keys()]  # fmt: skip


def planned_interactions(
    runs: Sequence[ComparedRun], *, settings: Mapping[str, str] | None = None
) -> list[tuple[str, str, str, str]]:
    """What C adds to human labels less what it adds to weak ones, where a setting has all four."""
    a, b, c, d = INTERACTION
    return [(place[a], place[b], place[c], place[d]) for place in _places(runs, settings)
            if set(INTERACTION) <= place.keys()]  # fmt: skip


def _places(runs: Sequence[ComparedRun], settings: Mapping[str, str] | None) -> list[dict[str, str]]:
    """By objective and setting: method -> group key, of methods that stand there once."""
    places: dict[tuple[str, str], dict[str, list[str]]] = {}
    for key, group in _groups(runs, None).items():
        place = places.setdefault((group[0].objective, (settings or {}).get(key, "")), {})
        place.setdefault(group[0].method, []).append(key)
    return [{method: keys[0] for method, keys in place.items() if len(keys) == 1} for place in places.values()]


def pairs_against(runs: Sequence[ComparedRun], reference: str) -> list[tuple[str, str]]:
    """Every other setting − the pinned one."""
    return [(key, reference) for key in _groups(runs, None) if key != reference]


def setting_key(config: RunConfig, *apart: str) -> str:
    """The same for runs that differ in method, seed and name alone, and in fields set `apart` by their dotted names:
    what `planned_pairs` may pair."""
    return repr(sorted(without(config.canonical(), (*OF_A_RUN, *apart)).items()))


def setting_keys(runs: Sequence[ComparedRun], configs: Configs) -> dict[str, str]:
    """By group key; a setting whose configuration is not known is like no other."""
    found = {key: config_of(group, configs) for key, group in by_setting(runs).items()}
    return {key: setting_key(config) if config else key for key, config in found.items()}


def _groups(runs: Sequence[ComparedRun], outcomes: pd.DataFrame | None) -> dict[str, list[ComparedRun]]:
    """Runs by setting, ordered by seed; with outcomes, only runs that have some."""
    evaluated = None if outcomes is None else set(outcomes["run_id"].unique().tolist())
    return by_setting(run for run in in_order(runs) if evaluated is None or run.id in evaluated)


def labels_of(runs: Sequence[ComparedRun], configs: Configs) -> dict[str, str]:
    """What the settings of these runs are called beside each other, by group key."""
    return setting_labels(_groups(runs, None), configs)


def _order(row: GraRow) -> tuple[int, int, float, float, str]:
    objectives, methods = list(catalog.OBJECTIVES), list(catalog.METHODS)
    return (
        objectives.index(row.objective) if row.objective in objectives else len(objectives),
        methods.index(row.method) if row.method in methods else len(methods),
        row.top_percent or 0.0,
        row.beta or 0.0,
        row.label,
    )


def _shared(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The prompts of all seeds, and a note on what that left out; without any, the first seed alone."""
    if not table.notna().all(axis=0).any():
        first = table.index[0]
        return table.loc[[first]].dropna(axis="columns"), f"the seeds share no prompt: only seed {first} is shown"
    kept, dropped = intervals.shared_prompts(table)
    return kept, f"{dropped:,} prompts left out that not every seed answered" if dropped else ""


def _gra_row(
    group: Sequence[ComparedRun],
    label: str,
    outcomes: pd.DataFrame,
    wide: Mapping[str, pd.DataFrame],
    configs: Configs,
    ends: Mapping[int, AlignmentEnd],
    related: Mapping[str, str],
) -> GraRow:
    table, note = _shared(seeds_by_prompts(group, wide["outcome"]))
    values, clusters = table.to_numpy(dtype=np.float64), clusters_at(related, table.columns)
    used = [run for run in group if run.seed in table.index]
    tallies = [intervals.gra(row) for row in values]
    dropped = [tally.ties_dropped for tally in tallies if tally.ties_dropped is not None]
    found = share(values, clusters)
    if len(values) == 1:
        note = "; ".join(filter(None, (ONE_SEED, note)))
    run_ids = tuple(run.id for run in used)
    mean = _means(outcomes[outcomes["run_id"].isin(run_ids)])
    length = _length(used, table, wide, clusters)
    return GraRow(
        group_key=group[0].group_key,
        label=label,
        method=group[0].method,
        method_label=group[0].method_label,
        objective=group[0].objective,
        top_percent=_share_kept(config_of(group, configs)),
        run_ids=run_ids,
        seeds=tuple(int(seed) for seed in table.index),
        estimate=found.estimate,
        low=found.low,
        high=found.high,
        interval_method=found.method,
        n_prompts=values.shape[1],
        n_seeds=len(values),
        wins=sum(tally.wins for tally in tallies),
        ties=sum(tally.ties for tally in tallies),
        losses=sum(tally.losses for tally in tallies),
        strict=float(np.mean([tally.strict for tally in tallies])),
        ties_dropped=float(np.mean(dropped)) if dropped else None,
        seed_sd=found.seed_sd,
        another=found.another,
        kl=mean["logratio"],
        tokens=mean["tokens"],
        baseline_tokens=mean["baseline_tokens"],
        ungrammatical=mean["ungrammatical"],
        baseline_ungrammatical=mean["baseline_ungrammatical"],
        note=note,
        beta=mean_known(configs[run].align.beta for run in run_ids if run in configs),
        chosen_logratio=mean_known(ends[run].chosen for run in run_ids if run in ends),
        rejected_logratio=mean_known(ends[run].rejected for run in run_ids if run in ends),
        length_ratio=length.ratio,
        length_controlled=length.gra,
        length_low=length.low,
        length_high=length.high,
        **_place(config_of(group, configs)),
    )


def _length(
    runs: Sequence[ComparedRun], table: pd.DataFrame, wide: Mapping[str, pd.DataFrame], clusters: Sequence[str] | None
) -> Length:
    tokens, baseline = (
        seeds_by_prompts(runs, wide[name]).reindex_like(table) for name in ("tokens", "baseline_tokens")
    )
    return length_of(table, tokens, baseline, clusters)


def _place(config: RunConfig | None) -> dict[str, str]:
    """Where lines over the share of pairs kept are drawn; nothing without a configuration."""
    if config is None:
        return {}
    return {"place": digest(setting_key(config, "align.steps")), "steps": config.align.steps}


def _means(rows: pd.DataFrame) -> dict[str, float | None]:
    """Mean over runs of the mean over prompts; None for what no run has."""
    found: dict[str, float | None] = {}
    for name in ("logratio", "tokens", "baseline_tokens", "ungrammatical", "baseline_ungrammatical"):
        by_run = rows.groupby("run_id")[name].mean().dropna() if name in rows else pd.Series(dtype=float)
        found[name] = float(by_run.mean()) if len(by_run) else None
    return found


def _share_kept(config: RunConfig | None) -> float | None:
    """N of whatever weighting keeps N % of the pairs; None for all others, and without a configuration."""
    return None if config is None else config.top_percent


def _about(groups: Sequence[Sequence[ComparedRun]], labels: Mapping[str, str]) -> dict[str, Any]:
    a, b, *less = (group[0] for group in groups)
    one, other, *further = (labels[group[0].group_key] for group in groups)
    found = {
        "first": a.group_key,
        "second": b.group_key,
        "label": f"{one} − {other}",
        "first_label": one,
        "second_label": other,
        "first_method": a.method,
        "second_method": b.method,
        "objective": a.objective,
    }
    if not less:
        return found
    first, second = f"({one} − {other})", f"({' − '.join(further)})"
    return found | {
        "label": f"{first} − {second}",
        "first_label": first,
        "second_label": second,
        "second_method": less[0].method,
        "less_first": less[0].group_key,
        "less_second": less[1].group_key,
    }
