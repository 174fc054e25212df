"""Seeded draws, the same in every process, Python and NumPy: raw PCG64 words, whose stream NumPy guarantees."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Dice:
    """Seeded draws from raw PCG64 words."""

    def __init__(self, *key: int) -> None:
        self._words = np.random.PCG64(np.random.SeedSequence(key))

    def random(self) -> float:
        """Uniform in [0, 1)."""
        return (int(self._words.random_raw()) >> 11) * 2.0**-53

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return self.random() < probability

    def pick(self, values: Sequence[T]) -> T:
        """One of the values."""
        return values[int(self.random() * len(values))]

    def sample(self, values: Sequence[T], count: int) -> list[T]:
        """`count` different places of `values`, in random order."""
        left = list(values)
        return [left.pop(int(self.random() * len(left))) for _ in range(count)]
