"""What the labels stage says of its annotator: accuracies, length-only baseline, confidence histogram and deciles."""

from collections.abc import Iterable
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
from cwpo.records import CandidatePair

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
        "effective_sample_size": calibration.effective_sample_size(confidence),
        "histogram": asdict(calibration.histogram(confidence, agrees == 1.0)),
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


def _deciles(confidence: Floats, agrees: Floats, correct: Floats) -> list[dict[str, object]]:
    """Tenths by confidence of the pairs that have a human label."""
    known = ~np.isnan(agrees)
    if not known.any():
        return []
    truth = correct[known] == 1.0 if not np.isnan(correct[known]).any() else None
    return calibration.deciles(confidence[known], agrees[known] == 1.0, truth)
