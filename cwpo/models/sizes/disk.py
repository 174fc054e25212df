"""Whether a training finds room on the disk for its checkpoints and its result, before it computes. No torch.

A checkpoint holds each trained weight with AdamW's two moments in float32; a new one is written beside the one before
it. The result holds the weights once more, in float32. A stage that goes on replaces the checkpoints that it finds.
"""

import shutil
from pathlib import Path
from typing import Any

from cwpo.errors import NoRoom
from cwpo.files import PARTIAL
from cwpo.full_disk import when_room
from cwpo.models.memory_estimate import lora_of
from cwpo.models.shape import known_config, shape_of
from cwpo.models.sizes.machine import check_left
from cwpo.sealed import STEP, damage_of, steps_in
from cwpo.stages.context import StageContext
from cwpo.stages.execute import Compute, Computed, compute_here
from cwpo.stages.kinds import kind_of
from cwpo.stages.plain import model_of

FLOAT = 4  # bytes
CHECKPOINTS, RESULT = 2 * 3 * FLOAT, FLOAT  # bytes per trained weight
GIGABYTE = 1e9


def bytes_written(context: StageContext[Any]) -> int | None:
    """What the stage will at most have on the disk at once; None where its size is not known, or small."""
    settings, kind = context.settings, kind_of(context.settings)
    name = model_of(settings)
    if not kind.trains or name is None:
        return None
    config = known_config(name, getattr(settings, "revision", None), context.store.root.parent)
    shape = None if config is None else shape_of(config)
    if shape is None:
        return None
    lora = lora_of(settings)
    whole = shape.scorer if kind.scalar else shape.causal
    return (CHECKPOINTS + RESULT) * (whole if lora is None else shape.adapter(lora))


def bytes_replaced(checkpoints: Path) -> int:
    """What of an earlier attempt's checkpoints makes room for this one's: whole ones, and what a kill left
    half-written. A damaged one is set aside and stays."""
    whole = [folder for folder in steps_in(checkpoints) if damage_of(folder) is None]
    return sum(map(_size, [*whole, *checkpoints.glob(f"{STEP}*{PARTIAL}")]))


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def check_room(context: StageContext[Any]) -> None:
    """Raise NoRoom where less is free than the stage will write beside what it replaces."""
    most = bytes_written(context)
    disk = shutil.disk_usage(context.checkpoints)
    free = disk.free
    if most is None or most <= free:  # then no checkpoint needs to be read
        return
    wanted = max(most - bytes_replaced(context.checkpoints), most * RESULT // (CHECKPOINTS + RESULT))
    if wanted > free:
        raise NoRoom(
            f"{context.kind} writes up to {wanted / GIGABYTE:.1f} GB of checkpoints and weights, and the disk of "
            f"{context.store.root} has {free / GIGABYTE:.1f} GB free: free space (`cwpo gc` says what nobody needs) or "
            "set CWPO_HOME to another disk, then retry the run; nothing was computed.",
            needs=wanted if wanted < disk.total else 0,
        )


def in_room(compute: Compute | None) -> Compute:
    """The same computation, begun only where the disk has room for what it writes, and memory for anything."""

    def checked(context: StageContext[Any]) -> Computed:
        check_left(context.kind)
        when_room(lambda: check_room(context))
        return (compute or compute_here)(context)

    return checked
