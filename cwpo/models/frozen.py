"""Frozen weights at half their size: the matrices of linear layers in bf16, all other weights in float32.

Under autocast a linear layer rounds its weights to bf16 at every call. Here they are rounded once, when they are read.
So what is computed is, to the bit, what autocast computes over float32 weights, with half the memory and traffic.
"""

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
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
    kept = {_INDEX.sub("*", name) for name, _ in outline.named_parameters() if name not in matrices}
    plan = dict.fromkeys(sorted(kept), torch.float32)
    return type(kind.__name__, (kind,), {"_get_dtype_plan": lambda self, dtype: plan, "__module__": kind.__module__})


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
