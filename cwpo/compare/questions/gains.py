"""What weighting by C gains over uniform weak labels, beside the calibration of the annotator whose labels they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cwpo.compare.alignment_end import mean_known
from cwpo.compare.configured_run import ComparedRun, Configs, by_setting
from cwpo.compare.gra import DifferenceRow, differences, planned_pairs, setting_keys
from cwpo.statistics.intervals import is_real
from cwpo.statistics.simultaneous import told

WEIGHTED, ALIKE = "cw", "weak"
FEWEST = 5  # annotators that a rank correlation is said of


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What is known of an annotator on the pairs that it labeled, against human labels; C as it weighs."""

    accuracy: float | None
    ece: float | None
    auroc: float | None  # of C against right labels
    mean_confidence: float | None = None


@dataclass(frozen=True, kw_only=True)
class GainRow:
    """CW − weak labels of one annotator (its seeds pooled), with its quality as the mean over those seeds."""

    label: str
    method: str
    objective: str
    estimate: float | None
    low: float | None
    high: float | None
    p_corrected: float | None
    comparisons: int
    n_prompts: int
    n_seeds: int
    accuracy: float | None
    ece: float | None
    auroc: float | None
    mean_confidence: float | None
    note: str = ""
    reason: str | None = None

    @property
    def is_real(self) -> bool:
        """The interval, which holds for all of the table at once, leaves out 0."""
        return is_real(self.low, self.high, self.p_corrected)

    @property
    def told(self) -> str:
        """Different, smaller than what matters, both, or neither."""
        return told(self.low, self.high)


def gains(
    runs: Sequence[ComparedRun],
    outcomes: pd.DataFrame,
    configs: Configs,
    quality: Mapping[int, Quality],
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> list[GainRow]:
    """A row for every setting in which both weights were run (or for `pairs` of group keys), the least ECE first;
    `quality`: by run. Intervals hold for all rows at once."""
    methods = {key: group[0].method for key, group in by_setting(runs).items()}
    if pairs is None:
        planned = planned_pairs(runs, settings=setting_keys(runs, configs))
        pairs = [pair for pair in planned if tuple(methods[key] for key in pair) == (WEIGHTED, ALIKE)]
    members = by_setting(runs)
    rows = [
        _row(row, [quality[run.id] for run in members[row.first] if run.id in quality])
        for row in differences(runs, outcomes, pairs=pairs, configs=configs)
    ]
    return sorted(rows, key=lambda row: (row.ece is None, row.ece or 0.0, row.label))


def _row(row: DifferenceRow, known: Sequence[Quality]) -> GainRow:
    def mean(name: str) -> float | None:
        values = [getattr(one, name) for one in known]
        return mean_known(value for value in values if value is not None)

    return GainRow(
        label=row.first_label,
        method=row.first_method,
        objective=row.objective,
        estimate=row.estimate,
        low=row.low,
        high=row.high,
        p_corrected=row.p_corrected,
        comparisons=row.comparisons,
        n_prompts=row.n_prompts,
        n_seeds=row.n_seeds,
        accuracy=mean("accuracy"),
        ece=mean("ece"),
        auroc=mean("auroc"),
        mean_confidence=mean("mean_confidence"),
        note=row.note,
        reason=row.reason,
    )


def rank_correlation(rows: Sequence[GainRow], name: str) -> float | None:
    """Spearman's ρ of the gain and `name` (ece, auroc or accuracy) over annotators; None with fewer than five. The
    error of the gains is not in it."""
    from scipy import stats  # slow to load, and most pages need none of it

    known = [(row.estimate, getattr(row, name)) for row in rows]
    table = np.array([(gain, value) for gain, value in known if gain is not None and value is not None])
    if len(table) < FEWEST or (np.ptp(table, axis=0) == 0).any():
        return None
    return float(stats.spearmanr(table[:, 0], table[:, 1]).statistic)
