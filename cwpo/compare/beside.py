"""What stands beside a GRA besides its outcomes: β, the log-ratios at the end of alignment, length. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from cwpo.statistics.length_control import length_controlled

END_METRICS = ("rewards/chosen", "rewards/rejected")


@dataclass(frozen=True, kw_only=True)
class Beside:
    """β of a run, the mean log-ratios of its training pairs over the last tenth of the steps, nats a response, and its
    configuration, from which it has its name."""

    beta: float
    chosen: float | None = None
    rejected: float | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Length:
    """GRA at equal length with its interval, and mean tokens of the answers over the baseline's; None: not known."""

    ratio: float | None = None
    gra: float | None = None
    low: float | None = None
    high: float | None = None


def beside(configs: Mapping[int, Mapping[str, Any]], ends: pd.DataFrame) -> dict[int, Beside]:
    """By run; `ends` holds run_id, name, value of END_METRICS, which are β times the log-ratios."""
    known = ends.dropna(subset="value")
    keys = zip(known["run_id"].tolist(), known["name"].tolist(), strict=True)
    rewards = dict(zip(keys, known["value"].tolist(), strict=True))
    found = {}
    for run_id, config in configs.items():
        beta = float(config["align"]["beta"])
        chosen, rejected = (rewards.get((run_id, name)) for name in END_METRICS)
        found[run_id] = Beside(
            beta=beta,
            chosen=None if chosen is None else chosen / beta,
            rejected=None if rejected is None else rejected / beta,
            config=config,
        )
    return found


def configs_in(known: Mapping[int, Beside]) -> dict[int, Mapping[str, Any]]:
    """The configurations by run."""
    return {run_id: one.config for run_id, one in known.items()}


def mean_of(name: str, run_ids: Sequence[int], known: Mapping[int, Beside]) -> float | None:
    """Mean over the runs that have it."""
    values = [getattr(known[run_id], name) for run_id in run_ids if run_id in known]
    values = [value for value in values if value is not None]
    return float(np.mean(values)) if values else None


def length_of(outcomes: pd.DataFrame, tokens: pd.DataFrame, baseline_tokens: pd.DataFrame) -> Length:
    """Length beside the outcomes; all three are seeds × prompts of one setting, aligned."""
    longer = tokens.sub(baseline_tokens)
    if longer.empty or longer.isna().to_numpy().any() or outcomes.shape != longer.shape:
        return Length()
    found = length_controlled(outcomes.to_numpy(dtype=np.float64), longer.to_numpy(dtype=np.float64))
    opponent = float(baseline_tokens.to_numpy().mean())
    return Length(
        ratio=float(tokens.to_numpy().mean()) / opponent if opponent > 0 else None,
        gra=found.estimate,
        low=found.low,
        high=found.high,
    )
