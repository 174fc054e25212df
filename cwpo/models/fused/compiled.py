"""FlexAttention as one compiled function for all lengths; it never runs unfused."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from cwpo.errors import ModelError

MOST_VARIANTS = 64  # torch gives up after 8: models of a stage, precisions, with and without gradients
_UNFUSED = (
    "Attention on the GPU would run unfused, with every (T, T) score in memory: torch compiled it "
    f"{MOST_VARIANTS} times and gave up, or could not compile it; set model.precision to fp32 or use another torch."
)
_logger = logging.getLogger(__name__)
_logged = 0


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Any, *, scale: float | None, softcap: float | None
) -> Tensor:
    """Attention of (1, heads, T, size) under a block mask; key and value may have fewer heads.

    Raises ModelError where torch would run it unfused.
    """
    device = query.device.type
    grouped = query.shape[1] != key.shape[1]
    key, query = key.to(value.dtype), query.to(value.dtype)
    try:
        with torch.autocast(device, enabled=False):
            mixed: Tensor = _compiled(device)(query, key, value, mask, scale, softcap, grouped)
    except torch._dynamo.exc.FailOnRecompileLimitHit as error:
        raise ModelError(_UNFUSED) from error
    _log_variants()
    return mixed


def variants() -> int:
    """How often the function was compiled in this process."""
    from torch._dynamo.eval_frame import _debug_get_cache_entry_list

    return len(_debug_get_cache_entry_list(_fused.__code__))


def _log_variants() -> None:
    global _logged
    found = variants()
    if found > _logged:
        _logged = found
        _logger.info("FlexAttention was compiled for the %d. time, at most %d are kept.", found, MOST_VARIANTS)


@cache
def _compiled(device: str) -> Callable[..., Tensor]:
    """The compiled function. Without CUDA the graph is traced in the same way and run as it is."""
    settings: Any = torch._dynamo.config
    settings.recompile_limit = max(settings.recompile_limit, MOST_VARIANTS)
    settings.specialize_float = True  # scale and softcap are constants of a model
    backend = "inductor" if device == "cuda" else "eager"
    return torch.compile(_fused, dynamic=True, fullgraph=True, backend=backend)


def _fused(
    query: Tensor, key: Tensor, value: Tensor, mask: Any, scale: float | None, softcap: float | None, grouped: bool
) -> Tensor:
    if not torch.compiler.is_dynamo_compiling():  # the compiler gave up and runs this as plain Python
        raise ModelError(_UNFUSED)

    def capped(score: Tensor, _batch: Tensor, _head: Tensor, _query: Tensor, _key: Tensor) -> Tensor:
        return score if softcap is None else softcap * torch.tanh(score / softcap)

    mixed: Tensor = flex_attention(
        query, key, value, score_mod=None if softcap is None else capped, block_mask=mask, scale=scale,
        enable_gqa=grouped,
    )  # fmt: skip
    return mixed
