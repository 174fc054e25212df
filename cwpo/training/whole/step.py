"""Means over all pairs of a step, found before it learns: no packing and no number of ranks moves them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cwpo.models.tokenization import Encoded, PackedBatch
from cwpo.stages.context import StageContext
from cwpo.training.loop import Filler, micro_batches
from cwpo.training.root import Reading

_KEPT = 0.9  # of the running mean, as the authors' code has it
_RUNNING = "gap_mean"  # in a checkpoint: the running mean so far


def mean_over(
    rows: Sequence[Encoded],
    chosen: NDArray[np.int64],
    values: Callable[[PackedBatch], Tensor],
    model: nn.Module,
    ctx: StageContext[Any],
    reading: Reading[Tensor],
) -> Tensor:
    """Mean of `values`, (B,) of a packed batch, over the rows `chosen` of a step on all ranks: () float64, no gradient.

    The model reads without dropout, which draws no random number.
    """
    micros = micro_batches(rows, chosen, ctx, share=1 / len(chosen))

    def work() -> Tensor:
        total = torch.zeros((), dtype=torch.float64, device=ctx.device)
        model.eval()
        with torch.no_grad():
            for micro in micros:  # a filler is read like the others, so that all ranks meet as often
                item = micro.item if isinstance(micro, Filler) else micro
                found = values(item.batch.to(ctx.device)).double().sum()
                total += found * (0.0 if isinstance(micro, Filler) else item.share)
        model.train()
        return total

    total = reading(work)
    return ctx.execution.ranks.sum(total) if ctx.execution.ranks.size > 1 else total


def above_usual(mean: Tensor, kept: dict[str, Any]) -> Tensor:
    """How far a step's mean lies above its running mean, which takes a tenth of it first (β-DPO); it begins at 0.

    kept: values that survive a kill, in which the running mean stands.
    """
    usual = _KEPT * float(kept.get(_RUNNING, 0.0)) + (1 - _KEPT) * float(mean)
    kept[_RUNNING] = usual
    return mean - usual
