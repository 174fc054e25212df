"""What each setting costs: human labels, seconds of computing, and money per point of GRA over one half. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cwpo.compare import human_labels as counting
from cwpo.compare.configured_run import Configs
from cwpo.compare.gra import GraRow
from cwpo.config import catalog
from cwpo.config.run import RunConfig
from cwpo.stages.graph import build

HOUR = 3_600.0
EVALUATING = frozenset(
    {
        "prompts",
        "baseline_sft",
        "samples",
        "baseline_samples",
        "gold",
        "scores",
        "baseline_scores",
        "evaluation",
        "along",
        "best_of",
    }
)  # slots that measure a method instead of being it
PRETRAINING = "base"  # kind of the sandbox's base models: given, as a downloaded model is


@dataclass(frozen=True, kw_only=True)
class Prices:
    """In any currency; None: not set."""

    label: float | None = None  # one human label
    hour: float | None = None  # one hour of a GPU (or CPU worker)


@dataclass(frozen=True, kw_only=True)
class CostRow:
    """One setting, averaged over its seeds, as if it were run alone."""

    group_key: str
    label: str
    method: str
    human_labels: float | None
    training_seconds: float
    evaluation_seconds: float
    estimate: float
    cost: float | None  # of labels and training; None without both prices
    per_point: float | None  # cost per point of GRA over 50 %; None where the interval reaches 50 %
    per_point_low: float | None
    per_point_high: float | None
    note: str


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """Seconds of one kind of stage over the table: each stage once, and as if every run were alone."""

    kind: str
    device: str
    stages: int
    runs: int
    seconds: float
    seconds_alone: float


def cost_table(
    rows: Sequence[GraRow],
    configs: Configs,
    seconds: pd.DataFrame,
    summaries: Mapping[str, Mapping[int, Mapping[str, Any]]],
    prices: Prices,
    sets: Mapping[str, int] = counting.NO_SETS,
) -> list[CostRow]:
    """One row per GRA row. `seconds`: queries.stage_seconds; `summaries`: of the slot data, by run; `sets`: how many
    pairs people decided in sets of labels, by fingerprint."""
    return [_row(row, configs, seconds, summaries, prices, sets) for row in rows]


def stage_costs(seconds: pd.DataFrame) -> list[StageCost]:
    """By kind and device, dearest first: what sharing saved stands between the two columns."""
    found = [
        StageCost(
            kind=str(kind),
            device=str(device),
            stages=int(own["stage_id"].nunique()),
            runs=int(own["run_id"].nunique()),
            seconds=float(own.drop_duplicates("stage_id")["seconds"].sum()),
            seconds_alone=float(own["seconds"].sum()),
        )
        for (kind, device), own in seconds.groupby(["kind", "device"])
    ]
    return sorted(found, key=lambda one: -one.seconds)


def human_labels(config: RunConfig, pairs: int, sets: Mapping[str, int] = counting.NO_SETS) -> int | None:
    """Human labels that SFT, annotator or alignment learn from, counted as the plan of the run does."""
    graph = build(config)
    return counting.human_labels([(config, graph)], {graph["data"].fingerprint: pairs}, sets)


def _row(
    row: GraRow,
    configs: Configs,
    seconds: pd.DataFrame,
    summaries: Mapping[str, Mapping[int, Mapping[str, Any]]],
    prices: Prices,
    sets: Mapping[str, int],
) -> CostRow:
    labels = [count for run in row.run_ids if (count := _labels_of(run, configs, summaries, sets)) is not None]
    own = seconds[seconds["run_id"].isin(row.run_ids) & (seconds["kind"] != PRETRAINING)]
    own = own[~own["slot"].str.contains("@")]
    evaluating = own["slot"].isin(EVALUATING)
    training, evaluation = (
        float(part["seconds"].sum()) / len(row.run_ids) for part in (own[~evaluating], own[evaluating])
    )
    used = float(np.mean(labels)) if labels else None
    cost = None
    if used is not None and prices.label is not None and prices.hour is not None:
        cost = used * prices.label + training / HOUR * prices.hour
    above = cost is not None and row.low > 0.5
    return CostRow(
        group_key=row.group_key,
        label=row.label,
        method=row.method,
        human_labels=used,
        training_seconds=training,
        evaluation_seconds=evaluation,
        estimate=row.estimate,
        cost=cost,
        per_point=cost / (100 * (row.estimate - 0.5)) if above and cost is not None else None,
        per_point_low=cost / (100 * (row.high - 0.5)) if above and cost is not None else None,
        per_point_high=cost / (100 * (row.low - 0.5)) if above and cost is not None else None,
        note=_note(row, configs),
    )


def _labels_of(
    run: int, configs: Configs, summaries: Mapping[str, Mapping[int, Mapping[str, Any]]], sets: Mapping[str, int]
) -> int | None:
    data = summaries["data"].get(run)
    if run not in configs or data is None or "train_pairs" not in data:
        return None
    return human_labels(configs[run], int(data["train_pairs"]), sets)


def _note(row: GraRow, configs: Configs) -> str:
    notes = ["true labels, which no human gave"] if row.method in catalog.METHODS and _is_true(row.method) else []
    notes += (
        ["without what its existing annotator cost"]
        if any(_uses_another(configs[run]) for run in row.run_ids if run in configs)
        else []
    )
    notes += ["no cost per point, because the interval of GRA reaches 50 %"] if row.low <= 0.5 else []
    return "; ".join(notes)


def _uses_another(config: RunConfig) -> bool:
    """Whether an annotator that another run trained labels for this one."""
    return bool(config.annotator.use) and catalog.METHODS[config.method].labels == "weak"


def _is_true(method: str) -> bool:
    return catalog.METHODS[method].labels == "true"
