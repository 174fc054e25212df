"""GRA of many settings for a list: the figures of `gra_table` that a line shows, without the rest of its rows, which
would take a list twenty times as long."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cwpo.compare.configured_run import ComparedRun, in_order
from cwpo.data.related.outcomes import clusters_at, clusters_in
from cwpo.statistics.shares import share


@dataclass(frozen=True, kw_only=True)
class SettingResult:
    """GRA of a setting over its seeds with its interval, and how far it moved, in nats an answer."""

    estimate: float
    low: float
    high: float
    kl: float | None


@dataclass(frozen=True)
class _Answered:
    """The outcomes of one run: numbers of prompts, in the order of their ids."""

    prompts: np.ndarray
    outcome: np.ndarray
    logratio: np.ndarray


def setting_results(groups: Mapping[str, Sequence[ComparedRun]], outcomes: pd.DataFrame) -> dict[str, SettingResult]:
    """The result of each setting that has a run with outcomes, by the setting's key."""
    answered, clusters = _by_run(outcomes), _clusters(outcomes)
    found = {}
    for key, runs in groups.items():
        known = [run for run in in_order(runs) if run.id in answered]
        if known:
            found[key] = _result(known, answered, clusters)
    return found


def _by_run(outcomes: pd.DataFrame) -> dict[int, _Answered]:
    prompts, _ = pd.factorize(outcomes["prompt_id"], sort=True)
    ids = outcomes["run_id"].to_numpy(dtype=np.int64)
    order = np.lexsort((prompts, ids))
    starts = np.flatnonzero(np.diff(ids[order], prepend=-1))
    told = [np.asarray(outcomes[name], dtype=np.float64)[order] for name in ("outcome", "logratio")]
    parts = (np.split(values, starts[1:]) for values in (prompts[order], *told))
    return {int(run): _Answered(*its) for run, *its in zip(ids[order][starts], *parts, strict=True)} if len(ids) else {}


def _clusters(outcomes: pd.DataFrame) -> np.ndarray | None:
    """The cluster of each prompt, by its number; None where every prompt is its own."""
    found = clusters_at(clusters_in(outcomes), pd.factorize(outcomes["prompt_id"], sort=True)[1])
    return None if found is None else np.asarray(pd.factorize(np.asarray(found, dtype=object))[0])


def _result(
    runs: Sequence[ComparedRun], answered: Mapping[int, _Answered], clusters: np.ndarray | None
) -> SettingResult:
    """As `gra_table` has it: over the prompts that every seed answered, else of the first seed alone."""
    prompts = np.unique(np.concatenate([answered[run.id].prompts for run in runs]))
    by_seed: dict[int, list[np.ndarray]] = {}
    for run in runs:
        row = np.full(len(prompts), np.nan)
        row[np.searchsorted(prompts, answered[run.id].prompts)] = answered[run.id].outcome
        by_seed.setdefault(run.seed, []).append(row)
    table = np.vstack([rows[0] if len(rows) == 1 else _mean(np.vstack(rows)) for rows in by_seed.values()])
    seeds, kept = list(by_seed), ~np.isnan(table).any(axis=0)
    if not kept.any():
        table, seeds, kept = table[:1], seeds[:1], ~np.isnan(table[0])
    shared, related = table[:, kept], None if clusters is None else clusters[prompts[kept]]
    moved = [_mean(answered[run.id].logratio[:, None])[0] for run in runs if run.seed in seeds]
    moved = [value for value in moved if not np.isnan(value)]
    kl = float(np.mean(moved)) if moved else None
    whole = share(shared, related)
    return SettingResult(estimate=whole.estimate, low=whole.low, high=whole.high, kl=kl)


def _mean(rows: np.ndarray) -> np.ndarray:
    """Of each column over the rows that have it; NaN where none has."""
    known = ~np.isnan(rows)
    total = np.where(known, rows, 0.0).sum(axis=0)
    return np.divide(total, known.sum(axis=0), out=np.full(rows.shape[1], np.nan), where=known.any(axis=0))
