"""This process is rank `rank` of `size` that compute one stage; alone it agrees with itself. Knows no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """One process alone: every method gives back what it was given. `cwpo.parallel.group.Group` is several."""

    rank: int = 0
    size: int = 1

    def is_first(self) -> bool:
        """Whether this rank is the one that writes files, reports and logs."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """What of `items` this rank computes: items rank, rank + size, …"""
        return items[self.rank :: self.size]

    def any(self, flag: bool) -> bool:
        """True on every rank if any rank says True; every rank has to ask."""
        return flag

    def any_of(self, *flags: bool) -> tuple[bool, ...]:
        """Several questions of `any` at once."""
        return flags

    def sum(self, tensor: Any) -> Any:
        """The sum of the ranks' tensors, in place, on every rank."""
        return tensor

    def gather_rows(
        self, array: NDArray[Any], total: int, indices: Sequence[NDArray[np.int64]] | None = None
    ) -> NDArray[Any]:
        """All `total` rows in order on every rank, (total, …); this rank gives its own rows rank::size.

        indices: by rank, which rows each one gives, where they are others.
        """
        if indices is None:
            return array
        return placed([array], indices, total)

    def gather(self, value: Any) -> list[Any]:
        """What each rank gives, by rank, on every rank: a value that JSON can hold."""
        return [value]

    def barrier(self) -> None:
        """Wait for all ranks."""


ALONE = Ranks()


def placed(parts: Sequence[NDArray[Any]], indices: Sequence[NDArray[np.int64]], total: int) -> NDArray[Any]:
    """Rows of several ranks in their places."""
    every = np.empty((total, *parts[0].shape[1:]), dtype=parts[0].dtype)
    for part, places in zip(parts, indices, strict=True):
        every[places] = part
    return every
