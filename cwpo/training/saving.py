"""When checkpoints are written, and by whom: the state is copied to host memory at a step, a thread writes it.

The interval is `execution.checkpoint_seconds`, or longer where checkpoints would cost more than 3 % of the time.
"""

import contextvars
import threading
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cwpo.full_disk import seconds_waited
from cwpo.models.memory import free_memory
from cwpo.stages.context import StageContext
from cwpo.training.checkpoints import Training, rest_of, write_checkpoint, write_parts

SHARE = 0.03  # of elapsed time that checkpoints may cost
_ROOM = 1.25  # a copy is made where this many times its size is free in host memory


class Saver:
    """The checkpoints of one training; `close` it before the checkpoints' folder goes away."""

    def __init__(self, training: Training, ctx: StageContext[Any]) -> None:
        self._training, self._directory = training, ctx.checkpoints
        self.seconds, self._on_cpu = ctx.execution.checkpoint_seconds, ctx.device == "cpu"
        self._split = training.parts is not None
        self.interval, self._saved = self.seconds, time.monotonic()
        self._buffers: dict[str, Tensor] = {}
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._blocked = 0.0
        self._room: bool | None = None  # not known before the first checkpoint

    def due(self) -> bool:
        """Whether the first rank's clock asks for one; while the last is being written only at an interval of 0."""
        if not self._training.ranks.is_first() or (self._writing() and self.seconds):
            return False
        return time.monotonic() - self._saved >= self.interval

    def owed(self, what: str) -> None:
        """The next checkpoint says that this is still to be done."""
        self._training.extra.values[what] = True

    def save(self, step: int, *, whole: bool) -> None:
        """Copy the state after `step` steps and write it, behind the training or, with `whole`, before this returns."""
        began, waited = time.monotonic(), seconds_waited()
        self.close()
        rest = rest_of(self._training, step)
        tensors = self._training.tensors() if self._split or self._training.ranks.is_first() else {}
        behind = self._has_room(tensors) and not whole
        copies = self._copied(tensors) if behind or self._buffers else _on_host(tensors)
        if behind:
            self._blocked = time.monotonic() - began
            context = contextvars.copy_context()  # its patience with a full disk
            self._thread = threading.Thread(
                target=context.run, args=(self._write, copies, rest), name="checkpoint", daemon=True
            )
            self._thread.start()
        else:
            self._write(copies, rest)
            self._cost(time.monotonic() - began - (seconds_waited() - waited))  # a full disk is no cost of checkpoints
            self.close()
            self._training.ranks.barrier()
        self._saved = time.monotonic()

    def close(self) -> None:
        """Wait until the last checkpoint is written; raise what went wrong."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _writing(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _write(self, tensors: Mapping[str, Tensor], rest: Any) -> None:
        """Write, keep an error for the training, learn what it cost; on a CPU writing takes a core's time too."""
        began = time.thread_time()
        try:
            small, header = rest
            first, parts = self._training.ranks.is_first(), self._training.parts
            if parts is not None:
                write_parts(self._directory, parts, tensors, small, header, first=first)
            elif first:
                write_checkpoint(self._directory, {**small, **tensors}, header)
        except BaseException as error:  # raised by `close` in the thread that trains
            self._error = error
        self._cost(self._blocked + (time.thread_time() - began if self._on_cpu else 0.0))

    def _cost(self, seconds: float) -> None:
        if self.seconds:
            self.interval = max(self.seconds, seconds / SHARE)

    def _has_room(self, tensors: Mapping[str, Tensor]) -> bool:
        """Whether all ranks' copies fit in host memory, pinned ones with what is rounded up; they are made once and
        used again."""
        if self._room is None:
            ranks = self._training.ranks
            copies = ranks.size if self._split else 1
            needed = copies * sum(taken(tensor.nbytes, pinned=tensor.is_cuda) for tensor in tensors.values())
            self._room = not ranks.any(_ROOM * needed > free_memory("cpu"))
        return self._room

    def _copied(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Copies in this saver's own memory, pinned where they come from a card."""
        cards = [tensor.device for tensor in tensors.values() if tensor.device.type == "cuda"]
        for name, tensor in tensors.items():
            if name not in self._buffers:
                self._buffers[name] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
            self._buffers[name].copy_(tensor, non_blocking=True)
        if cards:
            torch.cuda.current_stream(cards[0]).synchronize()
        return {name: self._buffers[name] for name in tensors}


def taken(number_of_bytes: int, *, pinned: bool) -> int:
    """Bytes of host memory that a copy takes: torch gives pinned memory in blocks of a power of two."""
    return 1 << (number_of_bytes - 1).bit_length() if pinned and number_of_bytes else number_of_bytes


def _on_host(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
