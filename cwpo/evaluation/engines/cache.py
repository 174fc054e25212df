"""Keys and values of a batch of answers, allocated once: rows are filled in parts, and finished ones leave in place."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class PlacedLayer(DynamicLayer):
    """One layer's keys and values in a tensor of their final size; what is read is a view of its filled part."""

    def __init__(self, rows: int, width: int, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.rows, self.width, self.kept = rows, width, dtype
        self.first, self.stop = 0, rows  # the rows at work
        self.length = 0  # filled positions, the same in all rows
        self.at: Tensor | None = None  # the position that is written, where sizes are fixed
        self.read_to = width  # positions that are read then

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Of the sizes that the first keys and values have."""
        self.dtype, self.device = self.kept or key_states.dtype, key_states.device
        self.keys, self.values = self._empty(key_states), self._empty(value_states)
        self.is_initialized = True

    def _empty(self, states: Tensor) -> Tensor:
        size = (self.rows, states.shape[1], self.width, states.shape[3])
        return torch.zeros(size, dtype=self.dtype, device=self.device)

    def _storage(self) -> tuple[Tensor, Tensor]:
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write behind what the rows at work hold; views of these rows up to there."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        if self.at is not None:
            return self._update_at(self.at, key_states, value_states)
        end = self.length + key_states.shape[2]
        if end > self.width:
            raise RuntimeError(f"{end} positions do not fit a cache of {self.width}")
        at_work, (keys, values) = slice(self.first, self.stop), self._storage()
        keys[at_work, :, self.length : end] = key_states
        values[at_work, :, self.length : end] = value_states
        if self.stop == self.rows:  # the last part of the rows
            self.length = end
        return keys[at_work, :, :end], values[at_work, :, :end]

    def _update_at(self, at: Tensor, key_states: Tensor, value_states: Tensor) -> tuple[Tensor, Tensor]:
        """Write one position of every row; views of fixed size, whatever of them is filled."""
        keys, values = (stored[: self.rows] for stored in self._storage())
        keys.index_copy_(2, at, key_states.to(keys.dtype))
        values.index_copy_(2, at, value_states.to(values.dtype))
        return keys[:, :, : self.read_to], values[:, :, : self.read_to]

    def get_seq_length(self) -> int:
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def batch_select_indices(self, indices: Tensor) -> None:
        """Rows that stay, in rising order, move to the front; the memory of the others is not given back."""
        self.rows = len(indices)
        self.first, self.stop = 0, self.rows
        if self.is_initialized:
            for stored in self._storage():
                stored[: self.rows, :, : self.length] = stored[indices, :, : self.length]


class PlacedCache(DynamicCache):
    """A cache of placed layers, whose rows can be read into it in parts."""

    def __init__(self, config: Any, rows: int, width: int, dtype: torch.dtype | None) -> None:
        super().__init__(config=config)
        self.placed = [PlacedLayer(rows, width, dtype) for _ in self.layers]
        self.layers = list(self.placed)

    def work_on(self, first: int, stop: int) -> None:
        """The rows of which the next forward pass is; parts come in order, and the last one ends at the last row."""
        for layer in self.placed:
            layer.first, layer.stop = first, stop

    @contextmanager
    def writing_at(self, at: Tensor, read_to: int) -> Iterator[None]:
        """Forward passes of one token write at the position that `at` (1,) holds, and read the first `read_to`."""
        for layer in self.placed:
            layer.at, layer.read_to = at, read_to
        try:
            yield
        finally:
            for layer in self.placed:
                layer.at = None

    def filled(self, positions: int) -> None:
        """So many positions are filled now in every row."""
        for layer in self.placed:
            layer.length = positions


def is_placeable(config: Any) -> bool:
    """Whether every layer keeps all that it has read; sliding windows and recurrent states need caches of their own."""
    layers = DynamicCache(config=config).layers
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)
