"""Prompts that are nearly the same: sets of three words in a row, compared by MinHash, then exactly. Torch-free.

Two prompts are near-duplicates where the sets share at least THRESHOLD of what either has (Jaccard). Bands of hashes
only propose pairs; each is then measured on the sets themselves, so none is reported that is not one.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.8
WORDS = 3  # in a row
MOST_CHARACTERS = 100_000  # of one text; what is behind them is not compared
BANDS, ROWS = 16, 4  # at 0.8 a pair is missed 2 times in 10,000
MOST_CANDIDATES = 40  # measured of one band for one prompt
_MOST_KNOWN = 1_000_000  # words remembered
# Scripts without spaces give single characters; elsewhere a word is letters and digits.
_WORD = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+")
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)
_RANDOM = np.random.default_rng(20_240_601)
_FACTORS = _RANDOM.integers(0, 2**64, BANDS * ROWS, dtype=np.uint64) | np.uint64(1)
_SHIFTS = _RANDOM.integers(0, 2**64, BANDS * ROWS, dtype=np.uint64)

Shingles = NDArray[np.uint32]


@dataclass(frozen=True, kw_only=True)
class Near:
    """A prompt and the one most like it on the other side."""

    query: int
    other: int
    similarity: float


@dataclass
class Shingler:
    """Texts to sets of hashed word triples; the same on every machine."""

    known: dict[str, int] = field(default_factory=dict)

    def of(self, text: str) -> Shingles:
        """The set, in order; a text of fewer than three words is one piece."""
        words = _WORD.findall(text[:MOST_CHARACTERS].lower())
        ids = np.fromiter((self._id(word) for word in words), dtype=np.uint64, count=len(words))
        if len(ids) < WORDS:
            return _folded(np.array([self._id(" ".join(words) or text.strip())], dtype=np.uint64))
        count = len(ids) - WORDS + 1
        mixed = np.zeros(count, dtype=np.uint64)
        for place in range(WORDS):
            mixed = (mixed ^ ids[place : place + count]) * _MIX[place]
        return _folded(mixed)

    def _id(self, word: str) -> int:
        found = self.known.get(word)
        if found is None:
            if len(self.known) >= _MOST_KNOWN:
                self.known.clear()
            digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            found = self.known[word] = int.from_bytes(digest, "little")
        return found


def _folded(values: NDArray[np.uint64]) -> Shingles:
    return np.unique((values ^ (values >> np.uint64(29))).astype(np.uint32))


def jaccard(one: Shingles, other: Shingles) -> float:
    """What both have over what either has."""
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / (len(one) + len(other) - both)


def signatures(sets: Sequence[Shingles]) -> NDArray[np.uint64]:
    """(N, BANDS): one number for the smallest hashes of each band."""
    found = np.empty((len(sets), BANDS), dtype=np.uint64)
    for place, one in enumerate(sets):
        hashes = (one.astype(np.uint64)[:, None] * _FACTORS + _SHIFTS) >> np.uint64(32)
        smallest = hashes.min(axis=0).reshape(BANDS, ROWS)
        band = np.zeros(BANDS, dtype=np.uint64)
        for row in range(ROWS):
            band = (band ^ smallest[:, row]) * _MIX[row % len(_MIX)]
        found[place] = band
    return found


def near_duplicates(
    queries: Sequence[Shingles],
    others: Sequence[Shingles],
    of_queries: NDArray[np.uint64],
    of_others: NDArray[np.uint64],
    *,
    threshold: float = THRESHOLD,
) -> Iterator[Near]:
    """For each query that has a near-duplicate among the others, the one most like it."""
    proposed: dict[int, set[int]] = {}
    for band in range(BANDS):
        order = np.argsort(of_others[:, band], kind="stable")
        keys = of_others[order, band]
        first = np.searchsorted(keys, of_queries[:, band], side="left")
        last = np.searchsorted(keys, of_queries[:, band], side="right")
        for query in np.flatnonzero(last > first).tolist():
            end = min(int(last[query]), int(first[query]) + MOST_CANDIDATES)
            proposed.setdefault(query, set()).update(order[first[query] : end].tolist())
    for query in sorted(proposed):
        measured = ((jaccard(queries[query], others[other]), -other) for other in proposed[query])
        similarity, other = max(measured)
        if similarity >= threshold:
            yield Near(query=query, other=-other, similarity=similarity)
