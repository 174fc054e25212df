"""Ranks over torch.distributed's default group, which must serve tensors on the CPU too ("gloo", "cpu:gloo,cuda:nccl").

What is agreed on the CPU never waits for a card. Nothing is pickled: rows go as bytes, values as JSON.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from cwpo.parallel.ranks import ALONE, Ranks, placed

__all__ = ["ALONE", "Group", "Ranks"]


@dataclass(frozen=True, kw_only=True)
class Group(Ranks):
    """Rank `rank` of `size` in the default process group, which was initialised before."""

    @classmethod
    def current(cls) -> Ranks:
        """This process in the default group; ALONE without one."""
        if not distributed.is_initialized():
            return ALONE
        return cls(rank=distributed.get_rank(), size=distributed.get_world_size())

    def any(self, flag: bool) -> bool:
        return self.any_of(flag)[0]

    def any_of(self, *flags: bool) -> tuple[bool, ...]:
        said = torch.tensor([int(flag) for flag in flags], dtype=torch.int32)
        distributed.all_reduce(said, op=distributed.ReduceOp.MAX)
        return tuple(bool(one) for one in said.tolist())

    def sum(self, tensor: Tensor) -> Tensor:
        distributed.all_reduce(tensor)
        return tensor

    def gather_rows(
        self, array: NDArray[Any], total: int, indices: Sequence[NDArray[np.int64]] | None = None
    ) -> NDArray[Any]:
        places = indices or [np.arange(total)[rank :: self.size] for rank in range(self.size)]
        parts = self._gather_bytes(np.ascontiguousarray(array).tobytes())
        shape = (-1, *array.shape[1:])
        return placed([np.frombuffer(part, dtype=array.dtype).reshape(shape) for part in parts], places, total)

    def gather(self, value: Any) -> list[Any]:
        return [json.loads(part) for part in self._gather_bytes(json.dumps(value).encode())]

    def barrier(self) -> None:
        self.any(False)

    def _gather_bytes(self, own: bytes) -> list[bytes]:
        """The bytes of each rank, by rank."""
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        distributed.all_gather(lengths, torch.tensor([len(own)], dtype=torch.int64))
        longest = max(1, *(int(length) for length in lengths))
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(own)] = torch.frombuffer(bytearray(own), dtype=torch.uint8) if own else padded[:0]
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        distributed.all_gather(parts, padded)
        return [part[: int(length)].numpy().tobytes() for part, length in zip(parts, lengths, strict=True)]
