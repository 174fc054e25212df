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

_COLUMNS = ["label", "confidence", "human_label", "true_label", "margin", "spread", "chars_a", "chars_b"]
CURVE_POINTS = 100
Floats = NDArray[np.float64]


def summarise(file: Path, labeled: Iterable[list[CandidatePair]], seen: LabelAttributes) -> dict[str, Any]:
    """The summary of annotations.parquet; `labeled` streams the labeled part, on which the length rule is chosen, and
    `seen` has gathered what only the texts tell."""
    table = pq.read_table(file, columns=_COLUMNS)
    if not table.num_rows:
        raise DataError("No unlabeled pair is left to label: lower data.label_fraction or choose more data.")
    confidence, prompts = table["confidence"].to_numpy(), seen.prompts
    says_a, human, truth = (_codes(table[name]) for name in ("label", "human_label", "true_label"))
    agrees, correct = _match(says_a, human), _match(says_a, truth)
    chars_a, chars_b = table["chars_a"].to_numpy(), table["chars_b"].to_numpy()
    shorter_rule = _prefers_shorter(labeled)
    longer = _flipped(_length_votes(chars_a, chars_b, human), shorter_rule)
    words = _right_votes(seen.votes_for_a, human)
    return {
        "n": table.num_rows,
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
        "unsure": _unsure(table["margin"].to_numpy(), table["spread"].to_numpy(), agrees, prompts),
    }


def judged(confidence: Floats, right: Floats, prompts: NDArray[np.uint64] | None = None) -> dict[str, Any] | None:
    """Accuracy and calibration against one judge (1 right, 0 wrong, NaN unknown); None where it says nothing.

    `gap` is mean C − (2·accuracy − 1): above 0 the annotator overstates what it knows.
    """
    known = ~np.isnan(right)
    if not known.any():
        return None
    sure, hits = confidence[known], right[known] == 1.0
    clusters = None if prompts is None else prompts[known]
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


def _codes(labels: pa.ChunkedArray) -> Floats:
    """1 for "a", 0 for "b", NaN where there is no label."""
    codes: Floats = pc.equal(labels, "a").cast(pa.float64()).to_numpy()
    return codes


def _match(first: Floats, second: Floats) -> Floats:
    """1 where two labels agree, 0 where they do not, NaN where one is missing."""
    return np.where(np.isnan(first) | np.isnan(second), np.nan, (first == second).astype(float))


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


def _rival(name: str, right: Floats, agrees: Floats, prompts: NDArray[np.uint64]) -> Iterator[dict[str, Any]]:
    """A rival's accuracy on the hidden human labels, and what the annotator has over it on the same pairs."""
    known = ~np.isnan(right) & ~np.isnan(agrees)
    if known.any():
        lead = calibration.mean((agrees - right)[known], prompts[known])
        yield {"name": name, "accuracy": asdict(calibration.mean(right[known], prompts[known])), "lead": asdict(lead)}


def _terciles(difference: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    """Thirds by how much the two answers differ in characters; equal differences stay together."""
    cuts = np.quantile(difference, [1 / 3, 2 / 3], method="lower")
    third = np.searchsorted(cuts, difference, side="left")
    parts = (third == place for place in range(3))
    return {f"{difference[part].min():,}–{difference[part].max():,}": part for part in parts if part.any()}


def _slices(
    parts: Mapping[str, NDArray[np.bool_]], confidence: Floats, agrees: Floats, prompts: NDArray[np.uint64]
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


def _unsure(margin: Floats, spread: Floats, agrees: Floats, prompts: NDArray[np.uint64]) -> dict[str, Any] | None:
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
