"""Checkpoints of a training that was killed: one safetensors file, written aside and renamed. Never pickle.

It holds the trained weights, AdamW's moments, the random states, the metric points so far and a JSON header.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cwpo.files import written_aside

CHECKPOINT = "checkpoint.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")

Points = list[tuple[int, str, float]]


@dataclass
class ExtraState:
    """What a stage wants to survive a kill besides the model: tensors and plain values, in the same checkpoint."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(
    directory: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, points: Points, extra: ExtraState
) -> None:
    """Replace the checkpoint by the state after `step` steps; a kill at any moment leaves the old or the new one."""
    tensors = _random_states()
    for name, parameter in _trained(model):
        tensors[f"weight/{name}"] = parameter.detach()
        for moment in _MOMENTS:
            tensors[f"{moment}/{name}"] = optimizer.state[parameter][moment]
    tensors |= {f"extra/{name}": value for name, value in extra.tensors.items()}
    names = sorted({name for _, name, _ in points})
    tensors["points/step"] = torch.tensor([at for at, _, _ in points], dtype=torch.int64)
    tensors["points/name"] = torch.tensor([names.index(name) for _, name, _ in points], dtype=torch.int64)
    tensors["points/value"] = torch.tensor([value for _, _, value in points], dtype=torch.float64)
    header = {"step": step, "names": names, "extra": extra.values}
    directory.mkdir(parents=True, exist_ok=True)
    contiguous = {name: value.cpu().contiguous() for name, value in tensors.items()}
    with written_aside(directory / CHECKPOINT) as aside:
        save_file(contiguous, aside, metadata={"state": json.dumps(header)})


def load_checkpoint(
    directory: Path, model: nn.Module, optimizer: torch.optim.Optimizer, points: Points, extra: ExtraState
) -> int:
    """Put the stored state into model, optimizer, points and extra; the number of finished steps, 0 without one."""
    path = directory / CHECKPOINT
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["state"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name, parameter in _trained(model):
        with torch.no_grad():
            parameter.copy_(tensors[f"weight/{name}"])
        state = {moment: tensors[f"{moment}/{name}"].to(parameter.device) for moment in _MOMENTS}
        state["step"] = torch.tensor(float(header["step"]), device=parameter.device)
        optimizer.state[parameter] = state
    names = header["names"]
    columns = (tensors[f"points/{column}"].tolist() for column in ("step", "name", "value"))
    points[:] = [(at, names[index], value) for at, index, value in zip(*columns, strict=True)]
    extra.values.update(header["extra"])
    extra.tensors.update({name[6:]: value for name, value in tensors.items() if name.startswith("extra/")})
    _restore_random_states(tensors)
    return int(header["step"])


def _trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def _random_states() -> dict[str, Tensor]:
    states = {"random/cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"random/cuda{index}": state for index, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def _restore_random_states(tensors: dict[str, Tensor]) -> None:
    torch.set_rng_state(tensors["random/cpu"])
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            if f"random/cuda{index}" in tensors:
                torch.cuda.set_rng_state(tensors[f"random/cuda{index}"], index)
