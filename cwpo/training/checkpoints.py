"""Checkpoints of a training: what is in one, how it is written, and how a training goes on from it. Never pickle.

`checkpoint.safetensors` is written aside and renamed: the trained weights, AdamW's moments, the random state, the
metric points so far and a JSON header. Where the model is split over ranks, weights and moments are in a folder that
torch's distributed checkpointing writes as safetensors, each rank its part; the file names the folder and is written
after it. Either is read by any number of ranks.
"""

import json
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cwpo.files import written_aside
from cwpo.parallel.ranks import Ranks
from cwpo.training.root import local, trained

CHECKPOINT = "checkpoint.safetensors"
SHARDS = "shards-"  # how the names of folders with parts begin
_MOMENTS = ("exp_avg", "exp_avg_sq")

Points = list[tuple[int, str, float]]


@dataclass
class ExtraState:
    """What a stage wants to survive a kill besides the model: plain values, and for parameters, by name, other values.

    Of a model that is split over ranks each rank holds its part here too.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)


@dataclass
class Training:
    """Everything that a checkpoint holds, as it lives in this process."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    points: Points
    extra: ExtraState
    ranks: Ranks
    parts: "Parts | None" = None  # where the model is split over the ranks

    def tensors(self) -> dict[str, Tensor]:
        """Weights, moments and extra tensors where they lie, of a split model this rank's part."""
        found: dict[str, Tensor] = {}
        for name, parameter in trained(self.model):
            found[f"weight/{name}"] = local(parameter.detach())
            state = self.optimizer.state.get(parameter) or {}  # empty before the first gradient
            for moment in _MOMENTS:
                value = state.get(moment)
                found[f"{moment}/{name}"] = local(torch.zeros_like(parameter) if value is None else value).detach()
        return found | {f"extra/{name}": value for name, value in self.extra.tensors.items()}

    def updates(self) -> int:
        """Steps that AdamW counted: those without any gradient are none."""
        states = (self.optimizer.state.get(parameter) for _, parameter in trained(self.model))
        return next((int(state["step"]) for state in states if state), 0)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What ranks need to write their parts of a model: made once by all of them, while it lies in parts."""

    group: Any  # of torch.distributed, for checkpoints alone: a thread's messages meet no others
    mesh: Any  # the ranks' host memories
    layout: Mapping[str, tuple[Any, torch.Size, tuple[int, ...]]]  # by parameter: placements, whole shape and stride

    @classmethod
    def of(cls, model: nn.Module, ranks: Ranks) -> "Parts":
        from torch import distributed
        from torch.distributed.device_mesh import init_device_mesh

        parameters: list[tuple[str, Any]] = list(model.named_parameters())
        return cls(
            group=distributed.new_group(backend="gloo"),
            mesh=init_device_mesh("cpu", (ranks.size,)),
            layout={name: (value.placements, value.shape, value.stride()) for name, value in parameters},
        )

    def wholes(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Parts in host memory, named kind/parameter, as what they are parts of."""
        from torch.distributed.tensor import DTensor

        found: dict[str, Tensor] = {}
        for name, part in tensors.items():
            placements, shape, stride = self.layout[name.split("/", 1)[1]]
            found[name] = DTensor.from_local(part, self.mesh, placements, run_check=False, shape=shape, stride=stride)
        return found


def rest_of(training: Training, step: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Small tensors and the header of the state after `step` steps: copies that later steps do not change."""
    points, names = training.points, sorted({name for _, name, _ in training.points})
    tensors = _random_states(training.model)
    tensors["points/step"] = torch.tensor([at for at, _, _ in points], dtype=torch.int64)
    tensors["points/name"] = torch.tensor([names.index(name) for _, name, _ in points], dtype=torch.int64)
    tensors["points/value"] = torch.tensor([value for _, _, value in points], dtype=torch.float64)
    header = {"step": step, "updates": training.updates(), "names": names, "extra": dict(training.extra.values)}
    return tensors, header


def write_checkpoint(directory: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Replace the checkpoint; a kill at any moment leaves the old or the new one."""
    directory.mkdir(parents=True, exist_ok=True)
    with written_aside(directory / CHECKPOINT) as aside:
        save_file(dict(tensors), aside, metadata={"state": json.dumps(header)})


def write_parts(
    directory: Path,
    parts: Parts,
    tensors: Mapping[str, Tensor],
    small: Mapping[str, Tensor],
    header: Mapping[str, Any],
    *,
    first: bool,
) -> None:
    """The checkpoint of a split model: every rank calls it with its parts in host memory; the first writes the rest."""
    import torch.distributed.checkpoint as dcp

    folder = directory / f"{SHARDS}{header['step']:09d}"
    writer = dcp.HuggingFaceStorageWriter(str(folder), save_distributed=True)
    dcp.save(parts.wholes(tensors), storage_writer=writer, process_group=parts.group)
    if first:
        extra = sorted(name for name in tensors if name.startswith("extra/"))
        write_checkpoint(directory, small, {**header, "shards": folder.name, "parts": extra})
        drop_parts(directory, but=folder.name)


def drop_parts(directory: Path, *, but: str | None) -> None:
    """Remove folders of parts that no checkpoint names, as a kill or a newer checkpoint leaves them."""
    for folder in directory.glob(f"{SHARDS}*"):
        if folder.name != but:
            shutil.rmtree(folder, ignore_errors=True)


def load_checkpoint(directory: Path, training: Training) -> int:
    """Put the stored state into the training; the number of finished steps, 0 without a checkpoint."""
    path = directory / CHECKPOINT
    header, tensors = _read(path, training.parts is not None) if path.exists() else (None, {})
    if training.ranks.is_first():
        drop_parts(directory, but=header.get("shards") if header else None)
    training.ranks.barrier()
    if header is None:
        return 0
    stored = header["parts"]
    targets = _targets(training, [name.removeprefix("extra/") for name in stored])
    if "shards" in header or training.parts is not None:
        _read_parts(directory / header.get("shards", ""), targets, training.parts)
    else:
        for name, target in targets.items():
            target.copy_(tensors[name])
    training.extra.tensors.update(
        {name.removeprefix("extra/"): local(target).cpu() for name, target in targets.items() if name in stored}
    )
    for _, parameter in trained(training.model):
        training.optimizer.state[parameter]["step"] = torch.tensor(
            float(header.get("updates", header["step"])), device=local(parameter).device
        )
    columns = (tensors[f"points/{column}"].tolist() for column in ("step", "name", "value"))
    training.points[:] = [(at, header["names"][index], value) for at, index, value in zip(*columns, strict=True)]
    training.extra.values.update(header["extra"])
    _restore_random_states(training.model, tensors)
    return int(header["step"])


def _read(path: Path, split: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors; where the model is split, without those that ranks read by parts."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["state"])
        names = list(file.keys())
        header.setdefault("parts", [name for name in names if name.startswith("extra/")])
        small = [name for name in names if not split or name.startswith(("random/", "points/"))]
        return header, {name: file.get_tensor(name) for name in small}


def _targets(training: Training, extra: list[str]) -> dict[str, Tensor]:
    """Where stored tensors go: weights, new moments of the optimizer, and one like its parameter for each extra one."""
    found: dict[str, Tensor] = {}
    for name, parameter in trained(training.model):
        moments = {moment: torch.zeros_like(parameter, requires_grad=False) for moment in _MOMENTS}
        training.optimizer.state[parameter] = dict(moments)
        found[f"weight/{name}"] = parameter.detach()
        found |= {f"{moment}/{name}": value for moment, value in moments.items()}
    parameters = dict(training.model.named_parameters())
    return found | {f"extra/{name}": torch.zeros_like(parameters[name], requires_grad=False) for name in extra}


def _read_parts(folder: Path, targets: dict[str, Tensor], parts: Parts | None) -> None:
    """Fill the targets from safetensors files, each rank with what it holds."""
    import torch.distributed.checkpoint as dcp

    reader = dcp.HuggingFaceStorageReader(str(folder))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # one rank alone needs none
        dcp.load(
            targets,
            storage_reader=reader,
            process_group=None if parts is None else parts.group,
            no_dist=parts is None,
        )


def _random_states(model: nn.Module) -> dict[str, Tensor]:
    """Of the CPU, and of the card that the model is on; ranks draw theirs anew in each step."""
    states = {"random/cpu": torch.get_rng_state()}
    card = _card(model)
    return states if card is None else {**states, "random/cuda0": torch.cuda.get_rng_state(card)}


def _restore_random_states(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(tensors["random/cpu"])
    card = _card(model)
    if card is not None and "random/cuda0" in tensors:
        torch.cuda.set_rng_state(tensors["random/cuda0"], card)


def _card(model: nn.Module) -> torch.device | None:
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    return device if device.type == "cuda" else None
