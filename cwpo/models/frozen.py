"""Frozen weights at half their size: the matrices of linear layers in bf16, all other weights in float32.

Under autocast a linear layer rounds its weights to bf16 at every call. Here they are rounded once, when they are read.
So what is computed is, to the bit, what autocast computes over float32 weights, with half the memory and traffic.

Of a model that is in bf16 altogether, what makes the last numbers still computes in float32: a score of 10 rounded to
bf16 is one of steps of 0.06, on which answers tie that do not.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from cwpo.errors import ModelError

_SCALAR_HEAD = "score"  # computed outside autocast, in its own dtype
_INDEX = re.compile(r"(?<=\.)\d+(?=\.)")


def halved_class(kind: type[PreTrainedModel], config: Any) -> type[PreTrainedModel]:
    """The same class, whose `from_pretrained(dtype=torch.bfloat16)` keeps what is no matrix in float32."""
    with torch.device("meta"):
        outline = kind(config)
    matrices = set(_matrices(outline))
    plan = _float32(name for name, _ in outline.named_parameters() if name not in matrices)
    return type(kind.__name__, (kind,), {"_get_dtype_plan": lambda self, dtype: plan, "__module__": kind.__module__})


def headed_class(kind: type[PreTrainedModel], config: Any, dtype: torch.dtype) -> type[PreTrainedModel]:
    """The same class, whose `from_pretrained(dtype=torch.bfloat16)` reads its head in float32: what lies outside its
    body. The class itself in another dtype, and of a model whose parts have no common body."""
    if dtype != torch.bfloat16:
        return kind
    with torch.device("meta"):
        outline = kind(config)
    if _body(outline) is None:
        return kind
    body = f"{outline.base_model_prefix}."
    plan = _float32(name for name, _ in outline.named_parameters() if not name.startswith(body))

    def planned(self: Any, dtype: torch.dtype) -> dict[str, torch.dtype]:
        return {**kind._get_dtype_plan(self, dtype), **plan}

    return type(kind.__name__, (kind,), {"_get_dtype_plan": planned, "__module__": kind.__module__})


def widen(model: Any) -> None:
    """Let the head compute in float32, also under autocast: all that lies outside the body. In float32 nothing
    changes."""
    body = _body(model)
    for part in model.children():
        if part is not body:
            part.float()
            part.forward = _in_float32(part.forward)


def widen_logits(model: Any) -> None:
    """Let the output layer give float32 logits, also under autocast; its weights stay as they are."""
    head = model.get_output_embeddings()
    head.forward = partial(wide_logits, head)


def wide_logits(head: nn.Linear, rows: Tensor, chosen: Sequence[int] | slice = slice(None)) -> Tensor:
    """The chosen logits of an output layer, (..., chosen) float32, of hidden states (..., H) in any dtype."""
    at = chosen if isinstance(chosen, slice) else list(chosen)
    bias = None if head.bias is None else head.bias[at].float()
    with torch.autocast(rows.device.type, enabled=False):
        return linear(rows.float(), head.weight[at].float(), bias)


def _in_float32(forward: Callable[..., Any]) -> Callable[..., Any]:
    """The same forward of a module in float32, whatever the dtype of the tensors that it is given."""

    @wraps(forward)
    def wide(*given: Any, **named: Any) -> Any:
        device = next(value.device.type for value in (*given, *named.values()) if isinstance(value, Tensor))
        with torch.autocast(device, enabled=False):
            return forward(*map(_float, given), **{name: _float(value) for name, value in named.items()})

    return wide


def _float(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value


def _body(model: Any) -> Any:
    """The part that a head reads; None of a model whose parts stand side by side, as a T5 that writes text."""
    return getattr(model, model.base_model_prefix, None)


def _float32(names: Iterable[str]) -> dict[str, torch.dtype]:
    """A plan for the weights of these names, the same in every layer."""
    return dict.fromkeys(sorted({_INDEX.sub("*", name) for name in names}), torch.float32)


def halve(model: nn.Module) -> None:
    """Put the matrices into bf16 in place, one after the other; an output layer tied to the embedding gets its own."""
    for name in list(_matrices(model)):
        parameter = model.get_parameter(name)
        parameter.data = parameter.data.to(torch.bfloat16)
    untie(model)


def untie(model: Any) -> None:
    """A bf16 copy of an embedding that is the output layer too: else every step would round it anew."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if isinstance(head, nn.Linear) and head.weight is model.get_input_embeddings().weight:
        head.weight = nn.Parameter(head.weight.detach().to(torch.bfloat16), requires_grad=False)


def check_halved(model: nn.Module, name: str) -> None:
    """Raise ModelError unless matrices are in bf16, or packed in 4 bits, and all else is in float32."""
    matrices = set(_matrices(model))
    for own, parameter in model.named_parameters():
        expected = torch.bfloat16 if own in matrices else torch.float32
        packed = own in matrices and not parameter.is_floating_point()
        if parameter.dtype != expected and not packed:
            raise ModelError(f"{name}: the weight {own} was read as {parameter.dtype}, not as {expected}.")


def nf4(precision: str) -> BitsAndBytesConfig:
    """4-bit NormalFloat with double quantisation (QLoRA, Dettmers et al. 2023); needs the package bitsandbytes."""
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise ModelError(
            "model.quantization: nf4 needs the package bitsandbytes: install it with pip install 'cwpo[gpu]'."
        ) from error
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
    )


def _matrices(model: nn.Module) -> Iterator[str]:
    """Names of the weights that only linear layers read; a weight shared with an embedding is none of them."""
    shared = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D) and name != _SCALAR_HEAD:
            for own, parameter in module.named_parameters(recurse=False):
                if id(parameter) not in shared:
                    yield f"{name}.{own}"
