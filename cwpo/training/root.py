"""The trained model as its ranks hold it: alone, repeated on every rank (DDP), or split over the ranks (FSDP2).

torch's engines put their work around the forward of a root module. Ours takes whole pieces of work, the loss of a
micro-batch or a reading of held-out pairs, so that code that calls the backbone and the head itself stays inside.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypedDict, TypeVar, cast

import torch
from torch import Tensor, nn

from cwpo.errors import ModelError
from cwpo.models.weights.parts import Layout, in_parts
from cwpo.parallel.ranks import Ranks
from cwpo.stages.context import WorkContext

T = TypeVar("T")
_LAID_OUT = "_laid_out"  # of a model that was read in parts: the root module over it
Reading = Callable[[Callable[[], T]], T]  # runs work that reads the model as the ranks hold it


class _Work(nn.Module):
    """A module whose forward is any work on the model that it holds."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, work: Callable[[], Any]) -> Any:
        return work()


class Root:
    """One rank's hold on a model that all ranks train together; make it before the optimizer."""

    def __init__(self, model: nn.Module, ranks: Ranks, *, device: str, split: bool) -> None:
        self.model, self.ranks = model, ranks
        self.split = split and ranks.size > 1
        laid_out = getattr(model, _LAID_OUT, None) if self.split else None
        self._module: Any = laid_out or _Work(model)
        if ranks.size > 1 and any(getattr(part, "layerdrop", 0) for part in model.modules()):
            raise ModelError(
                "The model leaves out whole layers by chance (layerdrop), which several cards cannot do together: "
                "set annotator.dropout, which turns that off, or execution.gpus to 1."
            )
        if self.split and laid_out is None:
            _split(self._module, model, ranks, device)
        elif not self.split and ranks.size > 1:
            self._module = _repeated(self._module)

    def accumulate(
        self, works: Iterable[Callable[[], tuple[Tensor, dict[str, Tensor]]]]
    ) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        """Loss and metrics of each piece of work, its gradients added up over pieces and ranks."""
        waiting = list(works)
        for number, work in enumerate(waiting):
            with self._sums(last=number + 1 == len(waiting)):
                loss, metrics = self._module(work)
                (loss * self.ranks.size if self.ranks.size > 1 else loss).backward()  # both engines take the mean
            yield loss.detach(), metrics

    def reading(self, work: Callable[[], T]) -> T:
        """Work without gradient, for which a split model is put together layer by layer."""
        if not self.split:
            return work()
        with torch.no_grad():
            found, error = self._module(partial(_tried, work))
        self._module.reshard()
        if error is not None:
            raise error
        return cast(T, found)

    @contextmanager
    def _sums(self, *, last: bool) -> Iterator[None]:
        """DDP adds gradients over ranks with the last piece; FSDP2 with each, as whole gradients would not fit."""
        if self.ranks.size == 1 or self.split or last:
            yield
        else:
            with self._module.no_sync():
                yield


def _tried(work: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    """What work gives, or its error: an error that left the root's forward would leave the model put together."""
    try:
        return work(), None
    except BaseException as error:
        return None, error


def splits_model(ctx: WorkContext) -> bool:
    """Whether the ranks split the model instead of repeating it: as `Execution.shard` says, which the plan sets."""
    return bool(ctx.execution.shard) and ctx.execution.ranks.size > 1


class Loading(TypedDict):
    """How a model that will be trained is loaded: where to, and how it is laid out before it is read."""

    device: str
    lay_out: Layout | None


def loading(ctx: WorkContext, *, adapter: bool = False) -> Loading:
    """A model that is split is laid out in parts, of which each rank reads its own; under an adapter every rank reads
    it whole on the host, and `Root` splits it."""
    if not splits_model(ctx):
        return Loading(device=ctx.device, lay_out=None)
    if adapter:
        return Loading(device="cpu", lay_out=None)

    def lay_out(model: nn.Module) -> None:
        work = _Work(model)
        _split(work, model, ctx.execution.ranks, ctx.device)
        object.__setattr__(model, _LAID_OUT, work)  # no module of the model, which it holds

    return Loading(device=ctx.device, lay_out=lay_out)


def is_laid_out(model: nn.Module) -> bool:
    """Whether each rank has its part of the model where it computes already."""
    return getattr(model, _LAID_OUT, None) is not None


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor that is split over the ranks; any other tensor as it is."""
    found: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return found


def trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters that training moves, by name."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def put_together(model: nn.Module, *, keep: bool) -> None:
    """Replace split parameters by whole ones in host memory; ranks that do not `keep` them let them go at once."""
    whole: dict[int, nn.Parameter] = {}
    for module in model.modules():
        own: list[tuple[str, Any]] = list(module.named_parameters(recurse=False, remove_duplicate=False))
        for name, parameter in own:
            if not in_parts(parameter):
                continue
            if id(parameter) not in whole:
                full = parameter.detach().full_tensor()
                value = full.cpu() if keep else full.new_empty(0, device="cpu")
                whole[id(parameter)] = nn.Parameter(value, requires_grad=parameter.requires_grad)
            setattr(module, name, whole[id(parameter)])


def _repeated(module: _Work) -> nn.Module:
    """DDP: gradients of trained parameters alone are added up, frozen ones never leave their rank."""
    from torch.nn.parallel import DistributedDataParallel

    frozen = [name for name, parameter in module.named_parameters() if not parameter.requires_grad]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, frozen)
    return DistributedDataParallel(module, forward_sync_buffers=False, gradient_as_bucket_view=True)


def _split(root: _Work, model: nn.Module, ranks: Ranks, device: str) -> None:
    """FSDP2: each layer is put together when its turn comes; what is in no layer belongs to the root."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    odd = next((name for name, value in model.named_parameters() if not value.is_floating_point()), None)
    if odd is not None:
        raise ModelError(
            f"The weight {odd} is quantized and cannot be split over cards: set model.quantization to none, or use "
            "cards that hold the whole model."
        )
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module")  # a view that nothing writes to
    mesh = init_device_mesh(torch.device(device).type, (ranks.size,))
    for layer in _layers(model):
        fully_shard(layer, mesh=mesh)
    fully_shard(root, mesh=mesh)


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """The members of the outermost lists of modules: a transformer's layers."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from _layers(child)
