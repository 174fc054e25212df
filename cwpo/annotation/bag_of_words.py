"""A simple rival of the annotator: logistic regression on word counts, fitted on the labeled part. Torch-free.

A pair is the difference of its responses' word counts, so there is no intercept: swapping a and b swaps the label.
"""

import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cwpo.records import CandidatePair

Floats = NDArray[np.float64]
MOST_WORDS = 5_000  # the most frequent ones of the labeled part
MOST_PAIRS = 20_000  # the first labeled pairs in stored order
PENALTY = 1.0  # weight of the data against ½|w|², scikit-learn's default C
_WORD = re.compile(r"\b\w\w+\b")


@dataclass(frozen=True, kw_only=True)
class BagOfWords:
    """A slope for each word; the response with the larger sum wins."""

    columns: Mapping[str, int]
    slopes: Floats
    pairs: int  # that it was fitted on


def words_of(text: str) -> list[str]:
    """Lower-case words of two letters or digits and more."""
    return _WORD.findall(text.lower())


def fit(labeled: Iterable[Sequence[CandidatePair]]) -> BagOfWords | None:
    """Fit on windows of labeled pairs; None without a label. Texts are not kept, only the numbers of their words."""
    numbers: dict[str, int] = {}
    rows, ids, signs, wins = array("i"), array("i"), array("b"), array("b")
    known = (pair for pair in chain.from_iterable(labeled) if pair.human_label is not None)
    for row, pair in enumerate(islice(known, MOST_PAIRS)):
        wins.append(1 if pair.human_label == "a" else -1)
        for text, sign in ((pair.response_a, 1), (pair.response_b, -1)):
            for word in words_of(text):
                rows.append(row)
                ids.append(numbers.setdefault(word, len(numbers)))
                signs.append(sign)
    if not wins:
        return None
    columns = _most_frequent(numbers, np.asarray(ids, dtype=np.int64))
    place = np.full(len(numbers), -1)
    for word, column in columns.items():
        place[numbers[word]] = column
    found = _matrix(
        np.asarray(rows), place[np.asarray(ids, dtype=np.int64)], np.asarray(signs), len(wins), len(columns)
    )
    return BagOfWords(columns=columns, slopes=slopes(found, np.asarray(wins, dtype=np.float64)), pairs=len(wins))


def slopes(differences: sparse.csr_array, wins: Floats) -> Floats:
    """argmin ½|w|² + C Σ log(1 + exp(−y·xw)), y in {−1, 1}: the logistic regression of scikit-learn."""
    from scipy import optimize  # slow to load, and pages need none of it

    transposed = differences.T.tocsr()

    def loss(w: Floats) -> tuple[float, Floats]:
        margins = wins * (differences @ w)
        pull = -wins / (1 + np.exp(np.minimum(margins, 700)))
        value = 0.5 * w @ w + PENALTY * np.logaddexp(0, -margins).sum()
        return float(value), w + PENALTY * (transposed @ pull)

    start = np.zeros(differences.shape[1])
    options = {"maxiter": 2_000, "maxfun": 4_000, "ftol": 1e-15, "gtol": 1e-8, "maxcor": 30}
    found: Floats = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    return found


def votes(model: BagOfWords, pairs: Sequence[CandidatePair]) -> Floats:
    """1 where response a wins, 0 where b does, ½ where no known word tells them apart."""
    rows, ids, signs = array("i"), array("i"), array("b")
    for row, pair in enumerate(pairs):
        for text, sign in ((pair.response_a, 1), (pair.response_b, -1)):
            for word in words_of(text):
                if (column := model.columns.get(word)) is not None:
                    rows.append(row)
                    ids.append(column)
                    signs.append(sign)
    found = _matrix(np.asarray(rows), np.asarray(ids), np.asarray(signs), len(pairs), len(model.columns))
    result: Floats = (np.sign(found @ model.slopes) + 1) / 2
    return result


def _most_frequent(numbers: Mapping[str, int], ids: NDArray[np.int64]) -> dict[str, int]:
    """Column of each kept word; equally frequent words in alphabetical order."""
    counts = np.bincount(ids, minlength=len(numbers))
    kept = sorted(numbers, key=lambda word: (-int(counts[numbers[word]]), word))[:MOST_WORDS]
    return {word: column for column, word in enumerate(kept)}


def _matrix(
    rows: NDArray[np.int_], columns: NDArray[np.int_], signs: NDArray[np.int_], height: int, width: int
) -> sparse.csr_array:
    """(pairs, words) differences of counts; words without a column are left out."""
    kept = columns >= 0
    entries = (signs[kept].astype(np.float64), (rows[kept], columns[kept]))
    matrix = sparse.coo_array(entries, shape=(height, width)).tocsr()
    matrix.sum_duplicates()
    return matrix
