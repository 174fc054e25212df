"""Run a model over rows batch by batch without gradient, with cancellation and progress reports.

Several ranks share the batches, and each of them gets what all of them found: the same batches in the same order give
the numbers that one process would.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cwpo.errors import ModelError
from cwpo.models.tokenization import Encoded, PackedBatch, pack
from cwpo.stages.context import WorkContext

Batch = TypeVar("Batch")
WHOLE = (0.0, 1.0)  # a reading that is all of a stage's work


def read(
    ctx: WorkContext,
    rows: Sequence[Encoded],
    values: Callable[[PackedBatch], Tensor],
    *,
    stopped: str,
    tokens: int | None = None,
    unit: str = "",
    part: tuple[float, float] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """(indices of rows, their values in float64 on the CPU) of one batch after the other.

    stopped: message of the Cancelled that is raised on request. tokens: budget of a batch, by default the execution's.
    unit: what progress reports count; empty for no reports. part: the share of the stage's work before and after this
    reading, which grows with the tokens that are read; None where nobody is told.
    """
    done = read_tokens = 0
    batches = pack(rows, tokens or ctx.execution.tokens_per_batch)
    all_tokens = sum(batch.tokens for batch in batches)
    if part is not None:
        ctx.reporter.share(part[0])
    for batch, found in shared(ctx, batches, lambda batch: values(batch.to(ctx.device)), stopped=stopped):
        yield batch.indices, found
        done += len(batch.indices)
        read_tokens += batch.tokens
        if part is not None:
            ctx.reporter.share(part[0] + (part[1] - part[0]) * read_tokens / all_tokens)
        if unit:
            ctx.reporter.progress(done, len(rows), unit)


def shared(
    ctx: WorkContext, batches: Sequence[Batch], values: Callable[[Batch], Tensor], *, stopped: str
) -> Iterator[tuple[Batch, Tensor]]:
    """Each batch with its values in float64 on the CPU, in order and on every rank; one rank computes each."""
    ranks = ctx.execution.ranks
    for start in range(0, len(batches), ranks.size):
        together = batches[start : start + ranks.size]
        ctx.stop_together(stopped)
        with _without_gradient(ctx):
            own = [values(batch).double().cpu() for batch in ranks.share(together)]
        if ranks.size > 1:  # as text, which holds a float64 exactly
            told = ranks.gather([one.tolist() for one in own])
            own = [torch.tensor(one, dtype=torch.float64) for part in told for one in part]
        yield from zip(together, own, strict=True)


def _without_gradient(ctx: WorkContext) -> AbstractContextManager[None]:
    """Where ranks split models: without inference mode, in which FSDP2 would make the buffers of its first all-gather
    as inference tensors and keep them, so that no later step could train on them."""
    return torch.no_grad() if ctx.execution.shard else torch.inference_mode()


def values_of(
    ctx: WorkContext,
    rows: Sequence[Encoded],
    values: Callable[[PackedBatch], Tensor],
    *,
    stopped: str,
    columns: int,
    tokens: int | None = None,
    unit: str = "",
    part: tuple[float, float] | None = None,
) -> NDArray[np.float64]:
    """The values of all rows in their order, (N, columns) float64, all finite: one column per response of a row."""
    found = torch.zeros((len(rows), columns), dtype=torch.float64)
    for indices, own in read(ctx, rows, values, stopped=stopped, tokens=tokens, unit=unit, part=part):
        found[indices] = own.view(-1, columns)
    lost = int((~found.isfinite()).any(dim=1).sum())
    if lost:
        raise ModelError(
            f"The model gave no finite number for {lost} of {len(rows)} rows: use precision fp32 or another model, "
            "then submit the run again."
        )
    every: NDArray[np.float64] = found.numpy()
    return every
