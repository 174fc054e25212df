"""Keys and values of a batch of answers, allocated once: rows are filled in parts, and finished ones leave in place."""

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class PlacedLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values in a tensor of their final size; what is read is a view of its filled part."""

    def __init__(self, rows: int, width: int, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.rows, self.width, self.kept = rows, width, dtype
        self.first, self.stop = 0, rows  # the rows at work
        self.length = 0  # filled positions, the same in all rows

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Of the sizes that the first keys and values have."""
        self.dtype, self.device = self.kept or key_states.dtype, key_states.device
        self.keys, self.values = (
            torch.zeros((self.rows, states.shape[1], self.width, states.shape[3]), dtype=self.dtype, device=self.device)
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write behind what the rows at work hold; views of these rows up to there."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[2]
        if end > self.width:
            raise RuntimeError(f"{end} positions do not fit a cache of {self.width}")
        at_work = slice(self.first, self.stop)
        self.keys[at_work, :, self.length : end] = key_states
        self.values[at_work, :, self.length : end] = value_states
        if self.stop == self.rows:  # the last part of the rows
            self.length = end
        return self.keys[at_work, :, :end], self.values[at_work, :, :end]

    def get_seq_length(self) -> int:
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def batch_select_indices(self, indices: Tensor) -> None:
        """Rows that stay, in rising order, move to the front; the memory of the others is not given back."""
        self.rows = len(indices)
        self.first, self.stop = 0, self.rows
        if self.is_initialized:
            filled = slice(0, self.length)
            self.keys[: self.rows, :, filled] = self.keys[indices, :, filled]
            self.values[: self.rows, :, filled] = self.values[indices, :, filled]


class PlacedCache(DynamicCache):  # type: ignore[misc]
    """A cache of placed layers, whose rows can be read into it in parts."""

    def __init__(self, config: Any, rows: int, width: int, dtype: torch.dtype | None) -> None:
        super().__init__(config=config)
        self.layers = [PlacedLayer(rows, width, dtype) for _ in self.layers]

    def work_on(self, first: int, stop: int) -> None:
        """The rows of which the next forward pass is; parts come in order, and the last one ends at the last row."""
        for layer in self.layers:
            layer.first, layer.stop = first, stop


def is_placeable(config: Any) -> bool:
    """Whether every layer keeps all that it has read; sliding windows and recurrent states need caches of their own."""
    layers = DynamicCache(config=config).layers
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)
