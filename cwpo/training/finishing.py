"""How a training ends: weights that are not finite are never stored, a split model is put together, one rank writes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cwpo.errors import DivergedError
from cwpo.models.load import Form, save_model
from cwpo.stages.context import StageContext
from cwpo.training.root import local, put_together, trained


def check_finite(model: nn.Module, ctx: StageContext[Any]) -> None:
    """Raise DivergedError where a trained weight is infinite or not a number, on every rank if on any."""
    flags = [(name, torch.isfinite(local(parameter.detach())).all()) for name, parameter in trained(model)]
    fine = torch.stack([flag.cpu() for _, flag in flags]).tolist() if flags else []
    bad = [name for (name, _), one in zip(flags, fine, strict=True) if not one]
    if ctx.execution.ranks.any(bool(bad)):
        where = f" ({bad[0]}{f' and {len(bad) - 1} more' if len(bad) > 1 else ''})" if bad else ""
        raise diverged(ctx, f"The trained weights are not finite{where}")


def diverged(ctx: StageContext[Any], what: str) -> DivergedError:
    """The error of a training, with the next step."""
    return DivergedError(
        f"{what}: lower the learning rate ({ctx.kind}.lr) or raise align.beta, then submit the run again; "
        "finished stages are kept."
    )


def save_trained(
    model: nn.Module,
    tokenizer: Any,
    ctx: StageContext[Any],
    *,
    form: Form,
    parent: Mapping[str, Any] | None,
    also: Callable[[Path], None],
) -> None:
    """Write the trained model, and what else `also` writes there, to the stage's folder, once for all ranks.

    They go on when it is there.
    """
    ranks = ctx.execution.ranks
    check_finite(model, ctx)
    put_together(model, keep=ranks.is_first())
    if ranks.is_first():
        save_model(model, tokenizer, ctx.out, form=form, parent=parent)
        also(ctx.out)
    ranks.barrier()
