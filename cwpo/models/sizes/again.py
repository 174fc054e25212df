"""A stage of a command in this process that ran out of memory: computed once more with less, then a sentence."""

import gc
import shutil
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from cwpo.config.parts import ExecutionConfig
from cwpo.errors import OutOfMemory, is_out_of_memory
from cwpo.models.shape import Shape, known_config, shape_of
from cwpo.models.sizes import smaller
from cwpo.models.sizes.machine import whole_memory
from cwpo.stages.context import StageContext
from cwpo.stages.execute import Compute, Computed
from cwpo.stages.plain import model_of
from cwpo.stages.settings import Settings


def once_smaller(compute: Compute, *, cards: int = 1) -> Compute:
    """The same computation; where memory runs out, once more with half the tokens at once and what else can be less.

    cards: that a model which trains whole is split over."""

    def tried(context: StageContext[Any]) -> Computed:
        try:
            return compute(context)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            less, failed = _less(context, error, cards)
        if less is None:
            raise failed
        try:
            return compute(less)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(_sentence(context, less, cards=cards)) from error

    return tried


def shape_of_stage(settings: Settings, home: Path) -> Shape | None:
    """Of the model that a stage names, where it is known here."""
    name = model_of(settings)
    config = None if name is None else known_config(name, getattr(settings, "revision", None), home)
    return None if config is None else shape_of(config)


def _less(context: StageContext[Any], error: Exception, cards: int) -> tuple[StageContext[Any] | None, OutOfMemory]:
    """What is tried next, and what is raised where nothing can be less. The memory of the failed try is given back."""
    traceback.clear_frames(error.__traceback__)
    gc.collect()
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    failed = OutOfMemory(_sentence(context, cards=cards))
    failed.__cause__ = error.with_traceback(None)
    shape = shape_of_stage(context.settings, context.store.root.parent)
    less = smaller.smaller(context.settings, _config(context), shape)
    if less is None:
        return None, failed
    for path in context.out.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    words = smaller.words(context.settings, less, shape)
    context.reporter.noted(f"Out of memory: {context.kind} is tried once more with {words}.")
    execution = replace(
        context.execution, tokens_per_batch=less.tokens_per_batch, gradient_checkpointing=less.gradient_checkpointing
    )
    return replace(context, execution=execution), failed


def _sentence(*tried: StageContext[Any], cards: int) -> str:
    """With what it was tried, and what would fit."""
    last = tried[-1]
    shape = shape_of_stage(last.settings, last.store.root.parent)
    words = (smaller.words(one.settings, _config(one), shape) for one in tried)
    with_what = ", and again with ".join(word for word in words if word)
    remedy = smaller.what_would_fit(last.settings, _config(last), shape, whole_memory(last.device), cards=cards)
    return f"Out of memory{f' with {with_what}' if with_what else ''}; {remedy}, then retry; finished stages are kept."


def _config(context: StageContext[Any]) -> ExecutionConfig:
    execution = context.execution
    return ExecutionConfig(
        tokens_per_batch=execution.tokens_per_batch, gradient_checkpointing=execution.gradient_checkpointing
    )
