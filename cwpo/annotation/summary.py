"""What the labels stage says of its annotator: accuracy, calibration, rivals that cannot read, groups of pairs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import DTypeLike, NDArray

from cwpo.annotation.attributes import OTHER_SOURCES, SOURCE, LabelAttributes
from cwpo.errors import DataError
from cwpo.records import CandidatePair
from cwpo.statistics import calibration

CURVE_POINTS = 100
FEWEST_PROMPTS = 10  # of a group, among the judged ones, to say how alike pairs of one prompt are
_BATCH = 65_536  # rows of the file in memory at once; of a pair, thirty-odd bytes stay
_NUMBERS: Mapping[str, DTypeLike] = {
    "confidence": np.float64, "margin": np.float64, "spread": np.float64, "chars_a": np.int32, "chars_b": np.int32,
}  # fmt: skip
_LABELS = ("label", "human_label", "true_label")
Floats = NDArray[np.float64]
Marks = NDArray[np.float32]  # 1, ½, 0, or NaN for unknown: all exact in four bytes
Clusters = NDArray[np.uint64] | None  # rows with the same number are of one prompt; None: each its own


@dataclass
class _Totals:
    """What is summed over every row of annotations.parquet."""

    n: int = 0
    confidence: float = 0.0
    squares: float = 0.0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(calibration.HISTOGRAM_BINS, np.int64))
    agree_counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(calibration.HISTOGRAM_BINS, np.int64))
    right: dict[str, float] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)

    def add(self, confidence: Floats, says_a: Marks, human: Marks, truth: Marks, unseen: NDArray[np.bool_]) -> None:
        """unseen: the rows that say something of the annotator; weights are of all rows."""
        self.n += confidence.size
        self.confidence += float(confidence.sum())
        self.squares += float((confidence**2).sum())
        confidence = confidence[unseen]
        says_a, human, truth = (marks[unseen] for marks in (says_a, human, truth))
        agrees = _match(says_a, human)
        found = calibration.histogram(confidence, agrees == 1.0)
        self.counts += found.counts
        self.agree_counts += found.agree_counts or 0
        marks = {"human": agrees, "truth": _match(says_a, truth), "human_truth": _match(human, truth)}
        for name, values in marks.items():
            self.right[name] = self.right.get(name, 0.0) + float(np.nansum(values, dtype=np.float64))
            self.known[name] = self.known.get(name, 0) + int((~np.isnan(values)).sum())

    def accuracy(self, name: str) -> float | None:
        return self.right[name] / self.known[name] if self.known[name] else None

    def as_summary(self) -> dict[str, Any]:
        edges = calibration.histogram([]).edges
        return {
            "n": self.n,
            "accuracy_human": self.accuracy("human"),
            "accuracy_truth": self.accuracy("truth"),
            "human_accuracy_truth": self.accuracy("human_truth"),
            "mean_confidence": self.confidence / self.n,
            "effective_sample_size": self.confidence**2 / self.squares if self.squares > 0 else 0.0,
            "histogram": {
                "edges": edges,
                "counts": tuple(self.counts.tolist()),
                "agree_counts": tuple(self.agree_counts.tolist()),
            },
        }


def summarise(file: Path, labeled: Iterable[list[CandidatePair]], seen: LabelAttributes) -> dict[str, Any]:
    """The summary of annotations.parquet; `labeled` streams the labeled part, on which the length rule is chosen, and
    `seen` has gathered what only the texts tell. Sums are of all pairs; accuracy with its interval, calibration, rivals
    and slices are of the pairs that `seen` chose to be judged (`judged` of `n`: all of them, unless there are many)."""
    table, totals = _read(file, seen.chosen, seen.unseen)
    if not totals.n:
        raise DataError("No unlabeled pair is left to label: lower data.label_fraction or choose more data.")
    confidence, prompts = table["confidence"], _clusters(seen.prompts)
    says_a, human, truth = (table[name] for name in _LABELS)
    agrees, correct = _match(says_a, human), _match(says_a, truth)
    chars_a, chars_b = table["chars_a"], table["chars_b"]
    shorter_rule = _prefers_shorter(labeled)
    longer = _flipped(_length_votes(chars_a, chars_b, human), shorter_rule)
    words = _right_votes(seen.votes_for_a, human)
    return {
        **totals.as_summary(),
        "judged": confidence.size,
        **seen.apart_summary(),
        "length_only_accuracy": _mean(longer),
        "bag_of_words_accuracy": _mean(words),
        "deciles": _deciles(confidence, agrees, correct),
        "human": judged(confidence, agrees, prompts, whole=seen.by_cluster),
        "truth": judged(confidence, correct, prompts, whole=seen.by_cluster),
        "rivals": [
            *_rival("length", longer, agrees, prompts),
            *_rival("bag of words", words, agrees, prompts),
        ],
        "lengths": _slices(_terciles(np.abs(chars_a - chars_b)), confidence, agrees, prompts, seen.by_cluster),
        "sources": _slices(seen.sources, confidence, agrees, prompts, seen.by_cluster),
        "attributes": _groups(seen, agrees, correct, prompts),
        "unsure": _unsure(table["margin"], table["spread"], agrees, prompts),
    }


def judged(
    confidence: Floats, right: Marks | Floats, prompts: Clusters = None, *, whole: bool = True
) -> dict[str, Any] | None:
    """Accuracy and calibration against one judge (1 right, 0 wrong, NaN unknown); None where it says nothing.

    `gap` is mean C − (2·accuracy − 1): above 0 the annotator overstates what it knows. whole: the null of ECE draws
    whole prompts; labels that were stored before it did are summarised as they were.
    """
    known = ~np.isnan(right)
    if not known.any():
        return None
    sure, hits = confidence[known], right[known] == 1.0
    clusters = _of(prompts, known)
    curve, null = _curve(sure, hits), _ece_null(sure, hits, clusters if whole else None)
    return {
        "n": int(known.sum()),
        "accuracy": asdict(calibration.accuracy(hits, clusters)),
        "mean_confidence": asdict(calibration.mean(sure, clusters, bounds=(0.0, 1.0))),
        "gap": asdict(calibration.mean(sure - 2.0 * hits + 1.0, clusters, bounds=(-1.0, 2.0))),
        "bins": [asdict(one) for one in calibration.equal_mass_bins(sure, hits)],
        "ece": calibration.ece(sure, hits),
        "ece_null": null.mean,
        "ece_null_high": null.high,
        "brier": calibration.brier(sure, hits),
        "log_loss": calibration.log_loss(sure, hits),
        **_auroc("auroc", sure, hits, clusters),
        **curve,
    }


def _ece_null(sure: Floats, hits: NDArray[np.bool_], clusters: Clusters) -> calibration.EceNull:
    if clusters is None:
        return calibration.ece_null(sure)
    return calibration.ece_null(sure, clusters, together=calibration.togetherness(sure, hits, clusters))


def _auroc(name: str, values: Floats, hits: NDArray[np.bool_], prompts: Clusters) -> dict[str, float | None]:
    """How well the values sort right labels from wrong ones, with an interval where there is one."""
    low, high = calibration.auroc_interval(values, hits, prompts) or (None, None)
    return {name: calibration.auroc(values, hits), f"{name}_low": low, f"{name}_high": high}


def _groups(seen: LabelAttributes, agrees: Marks, correct: Marks, prompts: Clusters) -> list[dict[str, Any]]:
    """Sums over the pairs of each group, and by how much pairs of one prompt count for less in it; None where only a
    part is judged and hardly a prompt of the group is in it."""
    rows = seen.result()
    told = [row["value"] for row in rows if row["family"] == SOURCE and row["value"] != OTHER_SOURCES]
    for row in rows:
        if prompts is None:
            row |= {"human_effect": 1.0, "truth_effect": 1.0}
            continue
        part = seen.members(row["family"], row["value"], told)
        for name, right in (("human_effect", agrees), ("truth_effect", correct)):
            known = part & ~np.isnan(right)
            few = seen.share < 1 and np.unique(prompts[known]).size < FEWEST_PROMPTS
            effect = calibration.design_effect(right[known], prompts[known]) if known.any() else 1.0
            row[name] = None if few else effect
    return rows


def _curve(confidence: Floats, right: NDArray[np.bool_]) -> dict[str, Any]:
    """Risk and coverage, thinned for a chart."""
    curve = calibration.risk_coverage(confidence, right)
    return {
        "aurc": curve.aurc,
        "augrc": curve.augrc,
        "coverage": _thinned(curve.coverage),
        "risk": _thinned(curve.risk),
    }


def _read(file: Path, chosen: NDArray[np.bool_], unseen: NDArray[np.bool_]) -> tuple[dict[str, NDArray[Any]], _Totals]:
    """The columns of the chosen rows; labels as marks: 1 for "a", 0 for "b", NaN for none. And sums over all rows."""
    totals, begin, end = _Totals(), 0, 0
    columns: dict[str, NDArray[Any]] = {name: np.empty(int(chosen.sum()), dtype) for name, dtype in _NUMBERS.items()}
    columns |= {name: np.empty(int(chosen.sum()), np.float32) for name in _LABELS}
    with pq.ParquetFile(file) as table:
        for batch in table.iter_batches(batch_size=_BATCH, columns=list(columns)):
            marks = {name: pc.equal(batch[name], "a").cast(pa.float32()) for name in _LABELS}
            rows = {name: marks.get(name, batch[name]).to_numpy(zero_copy_only=False) for name in columns}
            here = slice(totals.n, totals.n + batch.num_rows)
            says_a, human, truth = (rows[name] for name in _LABELS)
            totals.add(rows["confidence"], says_a, human, truth, unseen[here])
            mine = chosen[here]
            begin, end = end, end + int(mine.sum())
            for name, column in columns.items():
                column[begin:end] = rows[name][mine]
    return columns, totals


def _clusters(prompts: NDArray[np.uint64]) -> Clusters:
    return None if np.unique(prompts).size == prompts.size else prompts


def _of(prompts: Clusters, part: NDArray[np.bool_]) -> Clusters:
    return None if prompts is None else prompts[part]


def _match(first: Marks, second: Marks) -> Marks:
    """1 where two labels agree, 0 where they do not, NaN where one is missing."""
    return np.where(np.isnan(first) | np.isnan(second), np.nan, first == second).astype(np.float32)


def _mean(values: Marks) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean(dtype=np.float64)) if known.size else None


def _length_votes(a: NDArray[np.integer[Any]], b: NDArray[np.integer[Any]], human: Marks | Floats) -> Marks:
    """1 where the human preferred the longer response, 0 the shorter, 1/2 at equal length, NaN without a label."""
    votes = np.where(a == b, np.float32(0.5), (a > b) == (human == 1.0))
    votes[np.isnan(human)] = np.nan
    return votes


def _prefers_shorter(labeled: Iterable[list[CandidatePair]]) -> bool:
    """Which length rule the labeled part prefers: the longer wins, or the shorter."""
    longer = total = 0.0
    for window in labeled:
        known = [pair for pair in window if pair.human_label is not None]
        a = np.array([len(pair.response_a) for pair in known])
        b = np.array([len(pair.response_b) for pair in known])
        wins = _length_votes(a, b, np.array([float(pair.human_label == "a") for pair in known]))
        longer, total = longer + float(wins.sum()), total + len(known)
    return longer < total / 2


def _flipped(votes: Marks, flip: bool) -> Marks:
    return 1 - votes if flip else votes


def _right_votes(for_a: Marks | None, human: Marks) -> Marks:
    """1 where a vote for a (1), b (0) or neither (½) is what the human chose, ½ for neither, NaN without either."""
    if for_a is None:
        return np.full(human.shape, np.nan, dtype=np.float32)
    votes = np.where(human == 1.0, for_a, 1 - for_a)
    votes[np.isnan(human)] = np.nan
    return votes


def _rival(name: str, right: Marks, agrees: Marks, prompts: Clusters) -> Iterator[dict[str, Any]]:
    """A rival's accuracy on the hidden human labels, and what the annotator has over it on the same pairs."""
    known = ~np.isnan(right) & ~np.isnan(agrees)
    if known.any():
        lead = calibration.mean((agrees - right)[known], _of(prompts, known), bounds=(-1.0, 1.0))
        yield {
            "name": name,
            "accuracy": asdict(calibration.mean(right[known], _of(prompts, known), bounds=(0.0, 1.0))),
            "lead": asdict(lead),
        }


def _terciles(difference: NDArray[np.integer[Any]]) -> dict[str, NDArray[np.bool_]]:
    """Thirds by how much the two answers differ in characters; equal differences stay together."""
    if not difference.size:
        return {}
    cuts = np.quantile(difference, [1 / 3, 2 / 3], method="lower")
    third = np.searchsorted(cuts, difference, side="left")
    parts = (third == place for place in range(3))
    return {f"{difference[part].min():,}–{difference[part].max():,}": part for part in parts if part.any()}


def _slices(
    parts: Mapping[str, NDArray[np.bool_]], confidence: Floats, agrees: Marks, prompts: Clusters, whole: bool
) -> list[dict[str, Any]]:
    """Accuracy and calibration of parts of the pairs against the human labels; parts without one are left out."""
    rows = []
    for name, part in parts.items():
        known = part & ~np.isnan(agrees)
        if not known.any():
            continue
        sure, hits, clusters = confidence[known], agrees[known] == 1.0, _of(prompts, known)
        rows.append(
            {
                "name": name,
                "n": int(known.sum()),
                "accuracy": asdict(calibration.accuracy(hits, clusters)),
                "mean_confidence": float(sure.mean()),
                "weight_share": float(confidence[part].sum() / max(confidence.sum(), 1e-300)),
                "ece": calibration.ece(sure, hits),
                "ece_null_high": _ece_null(sure, hits, clusters if whole else None).high,
            }
        )
    return rows


def _unsure(margin: Floats, spread: Floats, agrees: Marks, prompts: Clusters) -> dict[str, Any] | None:
    """Accuracy by margin and by disagreement among annotators or passes: thirds of the margin, each cut at its own
    median of the spread, so that the two are told apart. None with one annotator and one pass."""
    known = ~np.isnan(spread) & ~np.isnan(agrees)
    if not known.any():
        return None
    margin, spread, hits, prompts = margin[known], spread[known], agrees[known] == 1.0, _of(prompts, known)
    third = np.searchsorted(np.quantile(margin, [1 / 3, 2 / 3]), margin, side="right")
    cells = []
    for place in range(3):
        mine = third == place
        above = spread > np.median(spread[mine]) if mine.any() else mine
        for unsure, part in ((False, mine & ~above), (True, mine & above)):
            if part.any():
                cells.append(
                    {
                        "third": place,
                        "unsure": unsure,
                        "n": int(part.sum()),
                        "margin": float(margin[part].mean()),
                        "spread": float(spread[part].mean()),
                        "accuracy": asdict(calibration.accuracy(hits[part], _of(prompts, part))),
                    }
                )
    by_spread = _auroc("auroc_spread", -spread, hits, prompts)
    return {**by_spread, **_auroc("auroc_confidence", margin, hits, prompts), "cells": cells}


def _thinned(values: Floats) -> list[float]:
    """At most 100 of the points, both ends among them, to six decimals."""
    kept = np.unique(np.linspace(0, values.size - 1, min(CURVE_POINTS, values.size)).astype(int))
    return values[kept].round(6).tolist()


def _deciles(confidence: Floats, agrees: Marks, correct: Marks) -> list[dict[str, object]]:
    """Tenths by confidence of the pairs that have a human label."""
    known = ~np.isnan(agrees)
    if not known.any():
        return []
    truth = correct[known] == 1.0 if not np.isnan(correct[known]).any() else None
    return calibration.deciles(confidence[known], agrees[known] == 1.0, truth)
