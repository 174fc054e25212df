"""Checkpoints of a training: what is in one, how it is written, and how a training goes on from it. Never pickle.

A checkpoint is a sealed folder, `step-000000120/`: every byte of it is under a checksum. `checkpoint.safetensors` in
it holds the trained weights, AdamW's moments, the random state, the metric points so far and a JSON header. Where the
model is split over ranks, weights and moments are in a folder beside that file, which torch's distributed checkpointing
writes as safetensors, each rank its part. Either is read by any number of ranks.

Two checkpoints are kept, the newest and the one before; a third is never begun. One that is damaged is set aside when
it is read, or where something is that it belongs to (`ExtraState.lacks`), and the training goes on from the one before
or from the start.
"""

import errno
import json
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cwpo.errors import brief, is_disk_full
from cwpo.files import PARTIAL
from cwpo.full_disk import waits_for_room, when_room
from cwpo.parallel.ranks import Ranks
from cwpo.sealed import STEP, damage_of, sealed_folder, set_aside, steps_in
from cwpo.training.root import local, trained

CHECKPOINT = "checkpoint.safetensors"
SHARDS = "shards"  # the folder with the parts of a split model
_KEPT = 1  # whole checkpoints while the next one is written
_MOMENTS = ("exp_avg", "exp_avg_sq")

Points = list[tuple[int, str, float]]
Lacks = Callable[[int, Mapping[str, Any]], str | None]


@dataclass
class ExtraState:
    """What a stage wants to survive a kill besides the model: plain values, and for parameters, by name, other values.

    Of a model that is split over ranks each rank holds its part here too. lacks: of a checkpoint after so many steps,
    with its plain values, what is wrong with what the stage keeps beside it, in a few words; None where all is there.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    lacks: Lacks | None = None


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
    """The checkpoint of that step, beside the one before; a kill at any moment leaves whole ones alone."""

    def write() -> None:
        _make_room(directory)
        with sealed_folder(_folder(directory, header)) as folder:
            _write(folder, tensors, header)

    when_room(write, needs=sum(tensor.nbytes for tensor in tensors.values()))


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
    target = _folder(directory, header)
    if not first:
        _save_parts(target.with_name(f"{target.name}{PARTIAL}"), parts, tensors)
        return
    _make_room(directory)
    with sealed_folder(target) as folder:
        _save_parts(folder, parts, tensors)
        extra = sorted(name for name in tensors if name.startswith("extra/"))
        when_room(lambda: _write(folder, small, {**header, "shards": SHARDS, "parts": extra}))


def load_checkpoint(directory: Path, training: Training, say: Callable[[str], None]) -> int:
    """Put the newest whole state into the training; the number of finished steps, 0 without a checkpoint.

    say: told, in one sentence, of checkpoints that were found damaged and set aside.
    """
    newest = _newest(directory, training.extra.lacks, say) if training.ranks.is_first() else None
    chosen = training.ranks.gather(newest)[0]
    if chosen is None:
        return 0
    path = directory / chosen / CHECKPOINT
    header, tensors = _read(path, training.parts is not None)
    stored = header["parts"]
    targets = _targets(training, [name.removeprefix("extra/") for name in stored])
    if "shards" in header or training.parts is not None:
        _read_parts(path.parent / header.get("shards", ""), targets, training.parts)
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


def whole_checkpoints(directory: Path) -> list[Path]:
    """The folders of checkpoints, the oldest first; whether they are whole says `damage_of`."""
    return steps_in(directory)


def _folder(directory: Path, header: Mapping[str, Any]) -> Path:
    return directory / f"{STEP}{header['step']:09d}"


def _make_room(directory: Path) -> None:
    """Remove all checkpoints but the newest: it stays until the next but one is written and read back."""
    for folder in whole_checkpoints(directory)[:-_KEPT]:
        shutil.rmtree(folder, ignore_errors=True)
    if whole_checkpoints(directory):
        _drop_earlier_form(directory)


def _write(folder: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    save_file(dict(tensors), folder / CHECKPOINT, metadata={"state": json.dumps(header)})


@waits_for_room
def _save_parts(folder: Path, parts: Parts, tensors: Mapping[str, Tensor]) -> None:
    """All ranks come here again together where one of them says that the disk is full: it is said to all."""
    import torch.distributed.checkpoint as dcp

    writer = dcp.HuggingFaceStorageWriter(str(folder / SHARDS), save_distributed=True)
    try:
        dcp.save(parts.wholes(tensors), storage_writer=writer, process_group=parts.group)
    except dcp.CheckpointException as error:  # torch's is no Exception
        if is_disk_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise


def _newest(directory: Path, lacks: Lacks | None, say: Callable[[str], None]) -> str | None:
    """The name of the newest checkpoint's folder that is whole and lacks nothing; newer ones are set aside, which is
    said."""
    for folder in directory.glob(f"{STEP}*{PARTIAL}"):  # a kill left it
        shutil.rmtree(folder, ignore_errors=True)
    found: list[str] = []
    chosen: str | None = None
    while chosen is None and (folders := whole_checkpoints(directory)):
        damage = damage_of(folders[-1]) or _lacking(folders[-1] / CHECKPOINT, lacks)
        if damage is None:
            chosen = folders[-1].name
        else:
            set_aside(folders[-1])
            found.append(f"after step {_step(folders[-1].name):,} ({damage})")
    if chosen is None:
        chosen = _earlier_form(directory, lacks, found)
    if found:
        words = "The checkpoint" if len(found) == 1 else "The checkpoints"
        where = f"the checkpoint after step {_step(chosen):,}" if chosen else "the earlier one" if chosen == "" else ""
        say(
            f"{words} {' and '.join(found)} {'is' if len(found) == 1 else 'are'} damaged and set aside: the stage goes "
            f"on from {where or 'the start'}."
        )
    return chosen


def _step(name: str) -> int:
    """The step in the name of a checkpoint's folder; -1 where a name was damaged."""
    digits = name.removeprefix(STEP)
    return int(digits) if digits.isdecimal() else -1


def _lacking(path: Path, lacks: Lacks | None) -> str | None:
    """What is wrong with what a readable checkpoint belongs to."""
    if lacks is None:
        return None
    header, _ = _read(path, split=True)
    return lacks(int(header["step"]), header["extra"])


def _earlier_form(directory: Path, lacks: Lacks | None, found: list[str]) -> str | None:
    """ "" where the folder itself holds the one checkpoint that earlier versions kept, without a checksum."""
    path = directory / CHECKPOINT
    if not path.exists():
        return None
    try:
        _read(path, split=True)
    except Exception as error:  # whatever safetensors says of a file that it cannot read
        damage: str | None = brief(error)
    else:
        damage = _lacking(path, lacks)
    if damage is None:
        return ""
    set_aside(path)
    found.append(f"of an earlier version ({damage})")
    return None


def _drop_earlier_form(directory: Path) -> None:
    (directory / CHECKPOINT).unlink(missing_ok=True)
    for folder in directory.glob(f"{SHARDS}-*"):
        shutil.rmtree(folder, ignore_errors=True)


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
