"""Whether a training stage uses gradient checkpointing: as configured, else as the memory estimate says."""

from typing import Any

from cwpo.models import memory_estimate
from cwpo.models.memory import free_memory
from cwpo.models.memory_estimate import SAFE, Need
from cwpo.models.shape import shape_of
from cwpo.stages.context import StageContext
from cwpo.training.root import is_laid_out, splits_model


def uses_gradient_checkpointing(model: Any, ctx: StageContext[Any]) -> bool:
    """`execution.gradient_checkpointing` where it is set; else true only if memory needs it, with the reason logged.

    Call it on every rank, with the model or its parts on their device, or before a model that was read whole is split,
    and before the optimizer or anything else of the training takes memory. Ranks decide alike, by the one that has
    least free.
    """
    if ctx.execution.gradient_checkpointing is not None:
        return ctx.execution.gradient_checkpointing
    settings = getattr(model, "config", None)
    if settings is None:
        return False
    need = need_of(model, ctx)
    if need is None:
        ctx.reporter.log(
            f"How much memory {settings.model_type} needs is not known here: gradient checkpointing stays off unless "
            "execution.gradient_checkpointing turns it on."
        )
        return False
    free = min(ctx.execution.ranks.gather(free_memory(ctx.device)))
    to_come = splits_model(ctx) and not is_laid_out(model)
    ctx.reporter.log(reason(need, free, to_come=to_come))
    return exceeds(need, free, to_come=to_come)


def need_of(model: Any, ctx: StageContext[Any]) -> Need | None:
    """The estimate for a loaded model; None for a family whose sizes are not known."""
    shape = shape_of(model.config.to_dict())
    if shape is None:
        return None
    return memory_estimate.training(
        shape,
        tokens=ctx.execution.tokens_per_batch,
        precision=memory_estimate.precision_of(ctx.settings),
        lora=memory_estimate.lora_of(ctx.settings),
        scalar=getattr(model, "score", None) is not None,
        kept=memory_estimate.kept_of(ctx.settings),
        cards=ctx.execution.ranks.size if splits_model(ctx) else 1,
    )


def exceeds(need: Need, free: int, *, to_come: bool = False) -> bool:
    """Whether what comes on top of the loaded weights, or with weights to come too, fills the free memory too far."""
    return need.total - _there(need, to_come) > SAFE * free


def reason(need: Need, free: int, *, to_come: bool = False) -> str:
    """What was decided and why, in one sentence."""
    beside = "on each card" if to_come else "beside the weights"
    asked = f"Training needs about {_size(need.total - _there(need, to_come))} {beside}, {_size(free)} are free"
    if not exceeds(need, free, to_come=to_come):
        return f"{asked}: activations are kept, without gradient checkpointing."
    left = need.total_checkpointed - _there(need, to_come)
    words = f"{asked}: activations are made again (gradient checkpointing), which leaves about {_size(left)}"
    if left > SAFE * free:
        return (
            f"{words}; that may still be too much, then set model.lora, choose a smaller model or, "
            "without dropout, lower execution.tokens_per_batch."
        )
    return f"{words}."


def _there(need: Need, to_come: bool) -> int:
    """Bytes that are taken already: `to_come`: of a model that is yet to be split nothing is on its card."""
    return 0 if to_come else need.weights


def _size(number_of_bytes: int) -> str:
    """GB with one decimal, MB below one."""
    return f"{number_of_bytes / 1e9:,.1f} GB" if number_of_bytes >= 1e9 else f"{number_of_bytes / 1e6:.0f} MB"
