"""How a training ends: weights that are not finite are never stored, a split model is put together, one rank writes.

And what is kept of it on the way, where it is asked for: whole models or adapters, as the final one is stored.
"""

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cwpo.errors import Damaged, DivergedError, ModelError
from cwpo.files import PARTIAL
from cwpo.full_disk import when_room
from cwpo.models.load import Form, save_model
from cwpo.sealed import SEAL, STEP, damage_of, sealed_folder, set_aside
from cwpo.stages.context import StageContext
from cwpo.training.root import local, put_together, splits_model, trained


def check_finite(model: nn.Module, ctx: StageContext[Any]) -> None:
    """Raise DivergedError where a trained weight is infinite or not a number, on every rank if on any."""
    flags = [(name, torch.isfinite(local(parameter.detach())).all()) for name, parameter in trained(model)]
    fine = torch.stack([flag.cpu() for _, flag in flags]).tolist() if flags else []
    bad = [name for (name, _), one in zip(flags, fine, strict=True) if not one]
    if ctx.execution.ranks.any(bool(bad)):
        where = f" ({bad[0]}{f' and {len(bad) - 1} more' if len(bad) > 1 else ''})" if bad else ""
        raise diverged(ctx, f"The trained weights are not finite{where}")


def diverged(ctx: StageContext[Any], what: str) -> DivergedError:
    """The error of a training, with the next step."""
    return DivergedError(
        f"{what}: lower the learning rate ({ctx.kind}.lr) or raise align.beta, then submit the run again; "
        "finished stages are kept."
    )


def save_trained(
    model: nn.Module,
    tokenizer: Any,
    ctx: StageContext[Any],
    *,
    form: Form,
    parent: Mapping[str, Any] | None,
    also: Callable[[Path], None],
) -> None:
    """Write the trained model, and what else `also` writes there, to the stage's folder, once for all ranks.

    They go on when it is there.
    """
    ranks = ctx.execution.ranks
    check_finite(model, ctx)
    put_together(model, keep=ranks.is_first())
    if ranks.is_first():
        when_room(
            partial(save_model, model, tokenizer, ctx.out, form=form, parent=parent), needs=_bytes_of(model, form)
        )
        also(ctx.out)
    ranks.barrier()


ALONG = "along"  # folder of a model's artifact with those kept before it


def kept_steps(steps: int, count: int) -> list[int]:
    """After which of `steps` optimizer steps a model is kept, the final one included: `count` equal parts, or fewer
    where there are fewer steps."""
    return sorted({max(1, round(steps * part / count)) for part in range(1, count + 1)})


def kept_models(artifact: Path) -> list[tuple[int, Path]]:
    """Step and folder of the models that a training kept before its final one, the earliest first."""
    return sorted((int(folder.name.rpartition("-")[2]), folder) for folder in (artifact / ALONG).glob(f"{STEP}*"))


class Keeper:
    """Keeps models along a training, first sealed beside its checkpoints, where a kill leaves them, then in its
    artifact."""

    def __init__(
        self, model: nn.Module, tokenizer: Any, ctx: StageContext[Any], *, form: Form, parent: Mapping[str, Any] | None
    ) -> None:
        if splits_model(ctx):
            raise ModelError(
                "Models along the training cannot be kept of one that is split over cards: set execution.gpus to 1, or "
                "remove evaluation.along."
            )
        self._model, self._tokenizer, self._ctx = model, tokenizer, ctx
        self._form, self._parent = form, parent
        self._before = ctx.checkpoints / ALONG
        self._damage = dict[int, str | None]()  # of kept models that an earlier attempt left, by step

    def after(self, step: int, steps: int, count: int) -> None:
        """Keep the model if it is one of `count` of a training of so many steps; the final one is kept elsewhere."""
        if step not in _before_the_last(steps, count):
            return
        check_finite(self._model, self._ctx)
        if not self._ctx.execution.ranks.is_first():
            return
        folder = self._folder(step)
        shutil.rmtree(folder.with_name(f"{folder.name}{PARTIAL}"), ignore_errors=True)  # a kill left it
        when_room(lambda: self._write(folder), needs=_bytes_of(self._model, self._form))

    def lacks(self, step: int, steps: int, count: int) -> str | None:
        """What is wrong with the models kept up to a checkpoint after `step` steps, which no later step makes again;
        the first damaged one is set aside."""
        for at in _before_the_last(steps, count):
            if at > step:
                break
            folder = self._folder(at)
            if at not in self._damage:
                self._damage[at] = damage_of(folder)
                if self._damage[at] is not None and folder.exists():
                    set_aside(folder)
            if self._damage[at] is not None:
                return f"of the model kept after step {at:,}, {self._damage[at]}"
        return None

    def put(self, out: Path, steps: int, count: int) -> None:
        """Into the artifact, as copies of which every byte is as it was written: an artifact that a kill cut short is
        made again. Damaged, with what to do, where one is not."""
        for at in _before_the_last(steps, count):
            folder = self._folder(at)
            copy = out / ALONG / folder.name
            if folder.is_dir():
                when_room(partial(_copied, folder, copy))
            damage = damage_of(copy)
            if damage is not None:
                raise Damaged(
                    f"The model kept after step {at:,} was damaged ({damage}): retry the run, which goes on from a "
                    "checkpoint before it and keeps it anew."
                )
            (copy / SEAL).unlink()

    def _write(self, folder: Path) -> None:
        with sealed_folder(folder) as aside:
            save_model(self._model, self._tokenizer, aside, form=self._form, parent=self._parent)

    def _folder(self, step: int) -> Path:
        return self._before / f"{STEP}{step:07d}"


def _copied(folder: Path, copy: Path) -> None:
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)


def _bytes_of(model: nn.Module, form: Form) -> int:
    """What the model takes on the disk, of an adapter what of it is trained."""
    return sum(one.nbytes for one in model.parameters() if form == "full" or one.requires_grad)


def _before_the_last(steps: int, count: int) -> list[int]:
    """After which steps a model is kept along the training."""
    return [step for step in kept_steps(steps, count) if step < steps]
