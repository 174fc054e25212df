"""LoRA's product under bfloat16 autocast in few kernels.

peft widens the input to float32, autocast rounds it again, and products, scaling and sum are rounded one by one. Here
the input stays as it is, and scaling and sum are part of the second product, which is rounded once. An adapter with
B = 0 leaves the output of the layer as it is, to the bit. float32 is computed by peft as ever.
"""

from collections.abc import Iterable
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn


def fuse(model: nn.Module) -> None:
    """Let the LoRA layers of a model compute so; doing it again changes nothing."""
    from peft.tuners.lora.layer import Linear

    layers: Iterable[Any] = (layer for layer in model.modules() if isinstance(layer, Linear))
    for layer in layers:
        if isinstance(layer.base_layer, nn.Linear) and "forward" not in vars(layer):
            vars(layer)["forward"] = MethodType(_forward, layer)


def _forward(layer: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The layer and its active adapters, lowest first; peft's own forward where it is not plain bfloat16 LoRA."""
    plain = not (layer.merged or layer.disable_adapters or layer.lora_variant or args or kwargs)
    if not plain or not _rounds_to_bfloat16(x.device.type):
        result: Tensor = type(layer).forward(layer, x, *args, **kwargs)
        return result
    result = layer.base_layer(x)
    for name in layer.active_adapters:
        if name in layer.lora_A:
            down, up = layer.lora_A[name].weight, layer.lora_B[name].weight
            rows = layer.lora_dropout[name](x).to(torch.bfloat16)
            result = _LowRank.apply(result, rows, down, up, layer.scaling[name])
    return result


def _rounds_to_bfloat16(device: str) -> bool:
    return torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.bfloat16


class _LowRank(torch.autograd.Function):
    """base + scaling * x @ down.T @ up.T, for (..., features) of bfloat16 and float32 adapters."""

    @staticmethod
    def forward(ctx: Any, base: Tensor, x: Tensor, down: Tensor, up: Tensor, scaling: float) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        small = [weight.to(torch.bfloat16) for weight in (down, up)]
        inner = rows @ small[0].T
        ctx.save_for_backward(rows, inner, *small)
        ctx.scaling, ctx.shape, ctx.dtype = scaling, x.shape, down.dtype
        summed = torch.addmm(base.reshape(-1, base.shape[-1]), inner, small[1].T, alpha=scaling)
        return summed.view(base.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows, inner, down, up = ctx.saved_tensors
        slopes = grads[0].reshape(-1, grads[0].shape[-1])
        passed = torch.mm(slopes, up).mul_(ctx.scaling)
        of_x = (passed @ down).view(ctx.shape) if ctx.needs_input_grad[1] else None
        of_down = (passed.T @ rows).to(ctx.dtype) if ctx.needs_input_grad[2] else None
        of_up = (slopes.T @ inner).to(ctx.dtype).mul_(ctx.scaling) if ctx.needs_input_grad[3] else None
        return grads[0], of_x, of_down, of_up, None
