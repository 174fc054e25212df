"""Reading a model of which each rank holds a part: no rank ever has more than its part and what it reads of one weight.

The model is made without memory (torch's meta device), laid out in parts, and only then filled: of each weight a rank
reads from the safetensors file the rows that it keeps, and transformers casts and names them as it does whole ones.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

Layout = Callable[[Any], None]  # turns every parameter of a model on the meta device into this rank's part of it


def read_in_parts(kind: type[PreTrainedModel], lay_out: Layout) -> type[PreTrainedModel]:
    """The same class, whose `from_pretrained` lays the model out before it reads any weight.

    What is in no file is drawn whole, as without parts, so that it has the same numbers; then each rank keeps its part.
    """

    def plan(self: Any, dtype: torch.dtype) -> dict[str, Any]:
        """transformers asks this of the model when it is made and nothing is read."""
        found = kind._get_dtype_plan(self, dtype)
        self.tie_weights()  # so that a weight that is two modules' is laid out once
        lay_out(self)
        return found

    def draw(self: Any, module: nn.Module) -> None:
        with _whole(module):
            kind._init_weights(self, module)

    return type(kind.__name__, (kind,), {"_get_dtype_plan": plan, "_init_weights": draw, "__module__": kind.__module__})


def in_parts(tensor: Tensor) -> bool:
    """Whether the tensor is this rank's part of a whole one."""
    return hasattr(tensor, "full_tensor")


def part_like(whole: Tensor, like: Any) -> Any:
    """Of a tensor that every rank has, the part that this rank has of `like`; nothing is sent."""
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)


@contextmanager
def _whole(module: nn.Module) -> Iterator[None]:
    """Whole weights in place of the module's own parts that no file had; their parts afterwards."""
    drawn: dict[str, Any] = {
        name: parameter
        for name, parameter in module.named_parameters(recurse=False)
        if in_parts(parameter) and not getattr(parameter, "_is_hf_initialized", False)
    }
    for name, part in drawn.items():
        setattr(module, name, nn.Parameter(torch.empty(part.shape, dtype=part.dtype)))
    yield
    for name, part in drawn.items():
        kept = nn.Parameter(part_like(module.get_parameter(name).detach(), part), requires_grad=part.requires_grad)
        setattr(module, name, kept)
