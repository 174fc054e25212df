"""What stands beside a GRA and is not its outcomes: log-ratios at the end of alignment, length. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cwpo.compare.configured_run import Configs
from cwpo.statistics.length_control import length_controlled

END_METRICS = ("rewards/chosen", "rewards/rejected")


@dataclass(frozen=True, kw_only=True)
class AlignmentEnd:
    """Mean log-ratios of a run's training pairs over the last tenth of alignment, nats a response; None: not known."""

    chosen: float | None = None
    rejected: float | None = None


@dataclass(frozen=True, kw_only=True)
class Length:
    """GRA at equal length with its interval, and mean tokens of the answers over the baseline's; None: not known."""

    ratio: float | None = None
    gra: float | None = None
    low: float | None = None
    high: float | None = None


def alignment_ends(configs: Configs, metrics: pd.DataFrame) -> dict[int, AlignmentEnd]:
    """By run; `metrics` holds run_id, name, value of END_METRICS, which are β times the log-ratios."""
    known = metrics.dropna(subset="value")
    keys = zip(known["run_id"].tolist(), known["name"].tolist(), strict=True)
    rewards = dict(zip(keys, known["value"].tolist(), strict=True))
    found = {}
    for run_id, config in configs.items():
        beta = config.align.beta
        chosen, rejected = (rewards.get((run_id, name)) for name in END_METRICS)
        found[run_id] = AlignmentEnd(
            chosen=None if chosen is None else chosen / beta,
            rejected=None if rejected is None else rejected / beta,
        )
    return found


def mean_known(values: Iterable[float | None]) -> float | None:
    """Mean over the runs that have one."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def length_of(
    outcomes: pd.DataFrame,
    tokens: pd.DataFrame,
    baseline_tokens: pd.DataFrame,
    clusters: Sequence[str] | None = None,
) -> Length:
    """Length beside the outcomes; all three are seeds × prompts of one setting, aligned. clusters: of the prompts."""
    longer = tokens.sub(baseline_tokens)
    if longer.empty or longer.isna().to_numpy().any() or outcomes.shape != longer.shape:
        return Length()
    found = length_controlled(outcomes.to_numpy(dtype=np.float64), longer.to_numpy(dtype=np.float64), clusters)
    baseline = float(baseline_tokens.to_numpy().mean())
    return Length(
        ratio=float(tokens.to_numpy().mean()) / baseline if baseline > 0 else None,
        gra=found.estimate,
        low=found.low,
        high=found.high,
    )
