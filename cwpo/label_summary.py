"""What the labels stage says of its annotator: accuracies, length-only baseline, confidence histogram and deciles."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import stats

from cwpo.errors import DataError
from cwpo.records import CandidatePair

_BINS = 20
_COLUMNS = ["label", "confidence", "human_label", "true_label", "chars_a", "chars_b"]
Floats = NDArray[np.float64]


def summarise(file: Path, labeled: Iterable[list[CandidatePair]]) -> dict[str, Any]:
    """The summary of annotations.parquet; `labeled` streams the labeled part, on which the length rule is chosen."""
    table = pq.read_table(file, columns=_COLUMNS)
    if not table.num_rows:
        raise DataError("No unlabeled pair is left to label: lower data.label_fraction or choose more data.")
    confidence = table["confidence"].to_numpy()
    says_a, human, truth = (_codes(table[name]) for name in ("label", "human_label", "true_label"))
    agrees, correct = _match(says_a, human), _match(says_a, truth)
    longer = _length_votes(table["chars_a"].to_numpy(), table["chars_b"].to_numpy(), human)
    return {
        "n": table.num_rows,
        "accuracy_human": _mean(agrees),
        "accuracy_truth": _mean(correct),
        "human_accuracy_truth": _mean(_match(human, truth)),
        "length_only_accuracy": _length_only(labeled, longer),
        "mean_confidence": float(confidence.mean()),
        "effective_sample_size": _effective_sample_size(confidence),
        "histogram": _histogram(confidence, agrees),
        "deciles": _deciles(confidence, agrees, correct),
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


def _effective_sample_size(confidence: Floats) -> float:
    squares = float((confidence**2).sum())
    return float(confidence.sum()) ** 2 / squares if squares else 0.0


def _length_votes(a: NDArray[np.int64], b: NDArray[np.int64], human: Floats) -> Floats:
    """1 where the human preferred the longer response, 0 the shorter, 1/2 at equal length, NaN without a label."""
    votes = np.where(a == b, 0.5, ((a > b) == (human == 1.0)).astype(float))
    return np.where(np.isnan(human), np.nan, votes)


def _length_only(labeled: Iterable[list[CandidatePair]], longer: Floats) -> float | None:
    """Accuracy of "the longer wins" or "the shorter wins", whichever the labeled part prefers."""
    votes = [0.0, 0.0]
    for window in labeled:
        known = [pair for pair in window if pair.human_label is not None]
        a = np.array([len(pair.response_a) for pair in known])
        b = np.array([len(pair.response_b) for pair in known])
        wins = _length_votes(a, b, np.array([float(pair.human_label == "a") for pair in known]))
        votes = [votes[0] + float(wins.sum()), votes[1] + len(known)]
    accuracy = _mean(longer)
    if accuracy is None:
        return None
    return accuracy if votes[0] >= votes[1] / 2 else 1 - accuracy


def _histogram(confidence: Floats, agrees: Floats) -> dict[str, list[float]]:
    edges = np.linspace(0.0, 1.0, _BINS + 1)
    counts, _ = np.histogram(confidence, edges)
    agreeing, _ = np.histogram(confidence[agrees == 1.0], edges)
    return {"edges": edges.tolist(), "counts": counts.tolist(), "agree_counts": agreeing.tolist()}


def _deciles(confidence: Floats, agrees: Floats, correct: Floats) -> list[dict[str, Any]]:
    """Ten groups of equal size by confidence, lowest first, with Wilson intervals of the agreement with humans."""
    groups = [group for group in np.array_split(np.argsort(confidence, kind="stable"), 10) if group.size]
    return [_decile(confidence[group], agrees[group], correct[group]) for group in groups]


def _decile(confidence: Floats, agrees: Floats, correct: Floats) -> dict[str, Any]:
    known = agrees[~np.isnan(agrees)]
    interval = stats.binomtest(int(known.sum()), known.size).proportion_ci(method="wilson") if known.size else None
    return {
        "lo": float(confidence[0]),
        "hi": float(confidence[-1]),
        "n": int(confidence.size),
        "mean_confidence": float(confidence.mean()),
        "agree_human": _mean(agrees),
        "agree_truth": _mean(correct),
        "ci_low": float(interval.low) if interval else None,
        "ci_high": float(interval.high) if interval else None,
    }
