"""Outcomes of two settings, or of two differences, side by side: under the same seeds, on the same prompts. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cwpo.compare.configured_run import NO_COMMON_PROMPT, NO_COMMON_SEED, ONE_SEED, ComparedRun, why_unpaired
from cwpo.data.related.outcomes import clusters_at
from cwpo.statistics import intervals
from cwpo.statistics.simultaneous import Gap


def wide_of(outcomes: pd.DataFrame, column: str) -> pd.DataFrame:
    """Runs × prompts of one column, NaN where a run did not answer a prompt."""
    return outcomes.pivot(index="run_id", columns="prompt_id", values=column)


def seeds_by_prompts(group: Sequence[ComparedRun], wide: pd.DataFrame) -> pd.DataFrame:
    """Seeds × prompts of a group; two runs of one seed are averaged, never counted as two seeds."""
    rows = wide.loc[[run.id for run in group]].set_axis([run.seed for run in group], axis="index")
    if not rows.index.is_unique:
        rows = rows.groupby(level=0).mean()
    return rows.dropna(axis="columns", how="all")


def paired(
    groups: Sequence[Sequence[ComparedRun]], won: pd.DataFrame, drift: pd.DataFrame, related: Mapping[str, str]
) -> dict[str, Any]:
    """What one difference is computed from, or the reason why there is none: first − second, or of four settings
    first − second − (third − fourth)."""
    seeds = sorted(set.intersection(*({run.seed for run in group} for group in groups)))
    if not seeds:
        return {"reason": NO_COMMON_SEED}
    chosen = [[run for run in group if run.seed in seeds] for group in groups]
    reason = next(filter(None, (why_unpaired(chosen[0], other) for other in chosen[1:])), None)
    if reason:
        return {"reason": reason}
    tables = [seeds_by_prompts(group, won) for group in chosen]
    gap = _combined(tables).dropna(axis="columns")  # prompts that all have under every seed
    if gap.shape[1] == 0:
        return {"reason": NO_COMMON_PROMPT}
    left_out = len(set().union(*(table.columns for table in tables))) - gap.shape[1]
    notes = [ONE_SEED] if len(seeds) == 1 else []
    notes += [f"{left_out:,} prompts left out that not every run answered"] if left_out else []
    kl = _combined([seeds_by_prompts(group, drift) for group in chosen])
    first, second, *less = (group[0].group_key for group in groups)
    return {
        "gap": Gap(first=first, second=second, cells=gap, clusters=related, less=(less[0], less[1]) if less else None),
        "note": "; ".join(notes),
        **_kl_difference(kl.dropna(axis="columns"), related),
    }


def _combined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The difference of two tables, or of two differences."""
    gap = tables[0].sub(tables[1])
    return gap if len(tables) == 2 else gap.sub(tables[2].sub(tables[3]))


def _kl_difference(gap: pd.DataFrame, related: Mapping[str, str]) -> dict[str, float]:
    """Mean paired difference of the log-ratios with its interval; nothing where they were not measured."""
    values = gap.to_numpy(dtype=np.float64)
    if values.size == 0:
        return {}
    if np.ptp(values) == 0:
        same = float(values.flat[0])
        return {"kl_estimate": same, "kl_low": same, "kl_high": same}
    found = intervals.crossed(values, clusters_at(related, gap.columns), bounds=(-np.inf, np.inf))
    return {"kl_estimate": found.estimate, "kl_low": found.low, "kl_high": found.high}
