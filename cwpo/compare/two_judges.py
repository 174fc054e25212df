"""Two gold rewards over the same answers: GRA under each, agreement, and what alignment does to it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cwpo.compare.configured_run import ONE_SEED, ComparedRun, Configs, by_setting, in_order
from cwpo.compare.setting_names import setting_labels
from cwpo.data.related.outcomes import clusters_at, clusters_in
from cwpo.statistics.agreement import agreement
from cwpo.statistics.shares import share


@dataclass(frozen=True, kw_only=True)
class GoldRow:
    """One setting under its own gold reward and under a further one, on the prompts and seeds that both judged."""

    group_key: str
    label: str
    method: str
    estimate: float
    low: float
    high: float
    further: float  # GRA under the further gold reward
    further_low: float
    further_high: float
    same_side: float  # share of prompts that both call won, lost or tied
    same_low: float
    same_high: float
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None
    gain: float | None  # mean score over the baseline's, in SD of the baseline's scores
    further_gain: float | None
    rank_baseline: float | None  # Spearman correlation of the two scores over prompts
    rank_aligned: float | None
    n_prompts: int
    n_seeds: int
    note: str


def gold_table(
    runs: Sequence[ComparedRun],
    own: pd.DataFrame,
    further: pd.DataFrame,
    *,
    configs: Configs | None = None,
) -> list[GoldRow]:
    """One row per setting with runs that both judged; `own` and `further`: outcomes by prompt with their clusters."""
    both = own.merge(further, on=["run_id", "prompt_id"], suffixes=("", "_further"))
    judged = set(both["run_id"].unique().tolist())
    groups = by_setting(in_order(runs))
    labels = setting_labels(groups, configs or {})
    kept = {key: [run for run in group if run.id in judged] for key, group in groups.items()}
    related = clusters_in(both)
    return [_row(group, labels[key], both, related) for key, group in kept.items() if group]


def _row(group: Sequence[ComparedRun], label: str, both: pd.DataFrame, related: Mapping[str, str]) -> GoldRow:
    seeds = {run.id: run.seed for run in group}
    mine = both[both["run_id"].isin(seeds)].assign(seed=lambda rows: rows["run_id"].map(seeds))
    tables = {name: _table(mine, name) for name in ("outcome", "outcome_further")}
    clusters = clusters_at(related, tables["outcome"].columns)
    won, lost = tables["outcome"], tables["outcome_further"]
    one, other, agreed = share(won, clusters), share(lost, clusters), agreement(won, lost, clusters)
    kappa = agreed.kappa
    return GoldRow(
        group_key=group[0].group_key,
        label=label,
        method=group[0].method,
        estimate=one.estimate,
        low=one.low,
        high=one.high,
        further=other.estimate,
        further_low=other.low,
        further_high=other.high,
        same_side=agreed.share.estimate,
        same_low=agreed.share.low,
        same_high=agreed.share.high,
        kappa=kappa.estimate if kappa else None,
        kappa_low=kappa.low if kappa else None,
        kappa_high=kappa.high if kappa else None,
        gain=_gain(mine, ""),
        further_gain=_gain(mine, "_further"),
        rank_baseline=_rank(mine, "baseline_score"),
        rank_aligned=_rank(mine, "score"),
        n_prompts=one.prompts,
        n_seeds=one.seeds,
        note=ONE_SEED if one.seeds == 1 else "",
    )


def _table(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Seeds × prompts that every seed has; two runs of one seed are averaged."""
    wide = rows.pivot_table(index="seed", columns="prompt_id", values=column, aggfunc="mean")
    shared = wide.dropna(axis="columns")
    return wide.iloc[:1].dropna(axis="columns") if shared.empty else shared


def _gain(rows: pd.DataFrame, suffix: str) -> float | None:
    """Scores of two judges have no common unit; the spread of the baseline's scores is one."""
    aligned, baseline = rows[f"score{suffix}"], rows[f"baseline_score{suffix}"]
    spread = float(baseline.std())
    return float((aligned - baseline).mean()) / spread if np.isfinite(spread) and spread > 0 else None


def _rank(rows: pd.DataFrame, column: str) -> float | None:
    """Spearman's ρ of the two judges' scores over prompts, averaged over runs."""
    from scipy import stats  # slow to load, and most pages need none of it

    found = []
    for _, run in rows.groupby("run_id"):
        one, other = run[column], run[f"{column}_further"]
        if one.nunique() > 1 and other.nunique() > 1:
            found.append(float(stats.spearmanr(one, other).statistic))
    return float(np.mean(found)) if found else None
