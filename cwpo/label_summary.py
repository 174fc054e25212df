"""What the labels stage says of its annotator: accuracy, calibration, rivals that cannot read, groups of pairs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cwpo import calibration
from cwpo.errors import DataError
from cwpo.label_attributes import LabelAttributes
from cwpo.records import CandidatePair

CURVE_POINTS = 100
_BATCH = 65_536  # rows of the file in memory at once; of a pair, thirty-odd bytes stay
_NUMBERS: Mapping[str, DTypeLike] = {
    "confidence": np.float64, "margin": np.float64, "spread": np.float64, "chars_a": np.int32, "chars_b": np.int32,
}  # fmt: skip
_LABELS = ("label", "human_label", "true_label")
Floats = NDArray[np.float64]
Marks = NDArray[np.float32]  # 1, ½, 0, or NaN for unknown: all exact in four bytes
Clusters = NDArray[np.uint64] | None  # rows with the same number are of one prompt; None: each its own


def summarise(file: Path, labeled: Iterable[list[CandidatePair]], seen: LabelAttributes) -> dict[str, Any]:
    """The summary of annotations.parquet; `labeled` streams the labeled part, on which the length rule is chosen, and
    `seen` has gathered what only the texts tell."""
    table = _read(file)
    confidence, prompts = table["confidence"], _clusters(seen.prompts)
    if not confidence.size:
        raise DataError("No unlabeled pair is left to label: lower data.label_fraction or choose more data.")
    says_a, human, truth = (table[name] for name in _LABELS)
    agrees, correct = _match(says_a, human), _match(says_a, truth)
    chars_a, chars_b = table["chars_a"], table["chars_b"]
    shorter_rule = _prefers_shorter(labeled)
    longer = _flipped(_length_votes(chars_a, chars_b, human), shorter_rule)
    words = _right_votes(seen.votes_for_a, human)
    return {
        "n": confidence.size,
        "accuracy_human": _mean(agrees),
        "accuracy_truth": _mean(correct),
        "human_accuracy_truth": _mean(_match(human, truth)),
        "length_only_accuracy": _mean(longer),
        "bag_of_words_accuracy": _mean(words),
        "mean_confidence": float(confidence.mean()),
        "effective_sample_size": calibration.effective_sample_size(confidence),
        "histogram": asdict(calibration.histogram(confidence, agrees == 1.0)),
        "deciles": _deciles(confidence, agrees, correct),
        "human": judged(confidence, agrees, prompts),
        "truth": judged(confidence, correct, prompts),
        "rivals": [
            *_rival("length", longer, agrees, prompts),
            *_rival("bag of words", words, agrees, prompts),
        ],
        "lengths": _slices(_terciles(np.abs(chars_a - chars_b)), confidence, agrees, prompts),
        "sources": _slices(seen.sources, confidence, agrees, prompts),
        "attributes": seen.result(),
        "unsure": _unsure(table["margin"], table["spread"], agrees, prompts),
    }


def judged(confidence: Floats, right: Floats, prompts: Clusters = None) -> dict[str, Any] | None:
    """Accuracy and calibration against one judge (1 right, 0 wrong, NaN unknown); None where it says nothing.

    `gap` is mean C − (2·accuracy − 1): above 0 the annotator overstates what it knows.
    """
    known = ~np.isnan(right)
    if not known.any():
        return None
    sure, hits = confidence[known], right[known] == 1.0
    clusters = _of(prompts, known)
    curve, null = calibration.risk_coverage(sure, hits), calibration.ece_null(sure)
    return {
        "n": int(known.sum()),
        "accuracy": asdict(calibration.accuracy(hits, clusters)),
        "mean_confidence": asdict(calibration.mean(sure, clusters)),
        "gap": asdict(calibration.mean(sure - 2.0 * hits + 1.0, clusters)),
        "bins": [asdict(one) for one in calibration.equal_mass_bins(sure, hits)],
        "ece": calibration.ece(sure, hits),
        "ece_null": null.mean,
        "ece_null_high": null.high,
        "brier": calibration.brier(sure, hits),
        "log_loss": calibration.log_loss(sure, hits),
        "auroc": calibration.auroc(sure, hits),
        "aurc": curve.aurc,
        "augrc": curve.augrc,
        "coverage": _thinned(curve.coverage),
        "risk": _thinned(curve.risk),
    }


def _read(file: Path) -> dict[str, NDArray[Any]]:
    """The columns of annotations.parquet that a summary needs; labels as marks: 1 for "a", 0 for "b", NaN for none."""
    with pq.ParquetFile(file) as table:
        rows, begin = table.metadata.num_rows, 0
        columns: dict[str, NDArray[Any]] = {name: np.empty(rows, dtype) for name, dtype in _NUMBERS.items()}
        columns |= {name: np.empty(rows, np.float32) for name in _LABELS}
        for batch in table.iter_batches(batch_size=_BATCH, columns=list(columns)):
            for name, column in columns.items():
                values = pc.equal(batch[name], "a").cast(pa.float32()) if name in _LABELS else batch[name]
                column[begin : begin + batch.num_rows] = values.to_numpy(zero_copy_only=False)
            begin += batch.num_rows
    return columns


def _clusters(prompts: Clusters) -> Clusters:
    return None if np.unique(prompts).size == prompts.size else prompts


def _of(prompts: Clusters, part: NDArray[np.bool_]) -> Clusters:
    return None if prompts is None else prompts[part]


def _match(first: Floats, second: Floats) -> Floats:
    """1 where two labels agree, 0 where they do not, NaN where one is missing."""
    return np.where(np.isnan(first) | np.isnan(second), np.nan, first == second).astype(np.float32)


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _length_votes(a: NDArray[np.int64], b: NDArray[np.int64], human: Floats) -> Floats:
    """1 where the human preferred the longer response, 0 the shorter, 1/2 at equal length, NaN without a label."""
    votes = np.where(a == b, 0.5, ((a > b) == (human == 1.0)).astype(float))
    return np.where(np.isnan(human), np.nan, votes)


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


def _flipped(votes: Floats, flip: bool) -> Floats:
    return 1 - votes if flip else votes


def _right_votes(for_a: Floats | None, human: Floats) -> Floats:
    """1 where a vote for a (1), b (0) or neither (½) is what the human chose, ½ for neither, NaN without either."""
    if for_a is None:
        return np.full(human.shape, np.nan)
    return np.where(np.isnan(human), np.nan, np.where(human == 1.0, for_a, 1 - for_a))


def _rival(name: str, right: Floats, agrees: Floats, prompts: Clusters) -> Iterator[dict[str, Any]]:
    """A rival's accuracy on the hidden human labels, and what the annotator has over it on the same pairs."""
    known = ~np.isnan(right) & ~np.isnan(agrees)
    if known.any():
        lead = calibration.mean((agrees - right)[known], _of(prompts, known))
        yield {"name": name, "accuracy": asdict(calibration.mean(right[known], _of(prompts, known))), "lead": asdict(lead)}


def _terciles(difference: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    """Thirds by how much the two answers differ in characters; equal differences stay together."""
    cuts = np.quantile(difference, [1 / 3, 2 / 3], method="lower")
    third = np.searchsorted(cuts, difference, side="left")
    parts = (third == place for place in range(3))
    return {f"{difference[part].min():,}–{difference[part].max():,}": part for part in parts if part.any()}


def _slices(
    parts: Mapping[str, NDArray[np.bool_]], confidence: Floats, agrees: Floats, prompts: Clusters
) -> list[dict[str, Any]]:
    """Accuracy and calibration of parts of the pairs against the human labels; parts without one are left out."""
    rows = []
    for name, part in parts.items():
        known = part & ~np.isnan(agrees)
        if not known.any():
            continue
        sure, hits = confidence[known], agrees[known] == 1.0
        rows.append(
            {
                "name": name,
                "n": int(known.sum()),
                "accuracy": asdict(calibration.accuracy(hits, prompts[known])),
                "mean_confidence": float(sure.mean()),
                "weight_share": float(confidence[part].sum() / max(confidence.sum(), 1e-300)),
                "ece": calibration.ece(sure, hits),
                "ece_null_high": calibration.ece_null(sure).high,
            }
        )
    return rows


def _unsure(margin: Floats, spread: Floats, agrees: Floats, prompts: Clusters) -> dict[str, Any] | None:
    """Accuracy by margin and by disagreement among annotators or passes: thirds of the margin, each cut at its own
    median of the spread, so that the two are told apart. None with one annotator and one pass."""
    spread = spread.astype(np.float64)
    known = ~np.isnan(spread) & ~np.isnan(agrees)
    if not known.any():
        return None
    margin, spread, hits, prompts = margin[known], spread[known], agrees[known] == 1.0, prompts[known]
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
                        "accuracy": asdict(calibration.accuracy(hits[part], prompts[part])),
                    }
                )
    sorts = {"auroc_spread": calibration.auroc(-spread, hits), "auroc_confidence": calibration.auroc(margin, hits)}
    return {**sorts, "cells": cells}


def _thinned(values: Floats) -> list[float]:
    """At most 100 of the points, both ends among them, to six decimals."""
    kept = np.unique(np.linspace(0, values.size - 1, min(CURVE_POINTS, values.size)).astype(int))
    return values[kept].round(6).tolist()


def _deciles(confidence: Floats, agrees: Floats, correct: Floats) -> list[dict[str, object]]:
    """Tenths by confidence of the pairs that have a human label."""
    known = ~np.isnan(agrees)
    if not known.any():
        return []
    truth = correct[known] == 1.0 if not np.isnan(correct[known]).any() else None
    return calibration.deciles(confidence[known], agrees[known] == 1.0, truth)
