"""Our figures for the paper's metrics: GRA, what labels say of their annotator, seconds, head to head. Pure."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from cwpo.compare.gra import DifferenceRow, GraRow
from cwpo.compare.head_to_head import HeadToHead
from cwpo.paper.verdict import Measured, over_seeds
from cwpo.report.labels.label_records import Histogram, LabelSummary
from cwpo.statistics.shares import worth_of

Ours = Mapping[tuple[str, str], Measured]  # by group key and metric; head to head by the key of the first
TRAINING = "annotator"  # slots of what trains an annotator begin with it
SHARES = ("below_0.1", "below_0.5", "above_0.9")  # of pairs, read off the stored histogram


def of_gra(rows: Iterable[GraRow], metric: str = "gra", about: str = "") -> dict[tuple[str, str], Measured]:
    """GRA rows with the distance and the length that stand beside them; or win rates, `about` a judge model."""
    return {
        (row.group_key, metric): Measured(
            estimate=row.estimate,
            low=row.low,
            high=row.high,
            n_prompts=row.n_prompts,
            n_seeds=row.n_seeds,
            kl=row.kl,
            another=row.another,
            length_ratio=row.length_ratio,
            about=about,
        )
        for row in rows
    }


def of_difference(row: DifferenceRow) -> Measured | None:
    """A paired difference, where it has figures."""
    if row.estimate is None or row.low is None or row.high is None:
        return None
    return Measured(
        estimate=row.estimate,
        low=row.low,
        high=row.high,
        n_prompts=row.n_prompts,
        n_seeds=row.n_seeds,
        kl=row.kl_estimate,
        another=row.another,
    )


def of_pair(found: HeadToHead) -> Measured | None:
    """Share of prompts that the first setting wins; nothing where the two cannot be compared."""
    if found.share is None:
        return None
    return Measured(
        estimate=found.share,
        low=found.low,
        high=found.high,
        n_prompts=found.n_prompts,
        n_seeds=found.n_seeds,
        another=found.another,
    )


def of_labels(metric: str, summaries: Sequence[LabelSummary]) -> Measured | None:
    """Accuracy or a figure of C over the labels of several seeds; with one seed shares still have an interval."""
    found = [value for summary in summaries if (value := _figure(metric, summary)) is not None]
    if not found:
        return None
    pairs = min(summary.n for summary in summaries)
    if metric == "accuracy":
        counted = [one for summary in summaries if (one := _counted(summary)) is not None]
        return over_seeds(found, min(n for n, _ in counted), min(worth for _, worth in counted))
    if len(found) > 1 or metric in SHARES:
        return over_seeds(found, pairs)
    stated = summaries[0].human.mean_confidence if summaries[0].human and metric == "mean_confidence" else None
    ends = (stated.low, stated.high) if stated else (None, None)
    return Measured(estimate=found[0], low=ends[0], high=ends[1], n_prompts=pairs, n_seeds=1)


def of_seconds(seconds: pd.DataFrame, about: str) -> Measured | None:
    """Mean time of training an annotator; `seconds`: queries.stage_seconds of one setting's runs. Stages that several
    runs share count once, and what is timed on one machine has no interval for another."""
    training = seconds[seconds["slot"].str.startswith(TRAINING)]
    if training.empty:
        return None
    alone = training.groupby("run_id").agg(stages=("stage_id", frozenset), seconds=("seconds", "sum"))
    once = alone.drop_duplicates("stages")["seconds"]
    devices = ", ".join(sorted({str(device) for device in training["device"]} - {""}))
    return Measured(
        estimate=float(once.mean()),
        low=None,
        high=None,
        n_prompts=0,
        n_seeds=len(once),
        about=" · ".join(filter(None, (about, devices))),
    )


def _figure(metric: str, summary: LabelSummary) -> float | None:
    """One figure of one labels stage."""
    if metric == "accuracy":
        return summary.accuracy_human
    if metric == "mean_confidence":
        return summary.mean_confidence
    if metric == "median_confidence":
        return _median(summary.histogram)
    side, _, edge = metric.partition("_")
    below = _share_below(summary.histogram, float(edge))
    return None if below is None else below if side == "below" else 1 - below


def _counted(summary: LabelSummary) -> tuple[int, float] | None:
    """How many pairs with a human label the accuracy is of, and how many independent ones they are worth: pairs of one
    prompt are right or wrong together. Labels of before say neither and count pair by pair."""
    if summary.accuracy_human is None:
        return None
    if summary.human is None:
        return summary.n, summary.n
    stated = summary.human.accuracy
    return summary.human.n, worth_of(stated.estimate, stated.low, stated.high) or summary.human.n


def _share_below(histogram: Histogram, edge: float) -> float | None:
    """Share of pairs with a C below an edge; bins are even inside, and 0.1, 0.5 and 0.9 are edges."""
    counts = np.concatenate([[0], np.cumsum(histogram.counts)])
    return float(np.interp(edge, histogram.edges, counts) / counts[-1]) if counts[-1] else None


def _median(histogram: Histogram) -> float | None:
    """To within a bin."""
    counts = np.cumsum(histogram.counts)
    if not counts.size or not counts[-1]:
        return None
    place = int(np.searchsorted(counts, counts[-1] / 2))
    before = counts[place] - histogram.counts[place]
    low, high = histogram.edges[place : place + 2]
    return float(low + (high - low) * (counts[-1] / 2 - before) / histogram.counts[place])
