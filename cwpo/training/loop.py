"""The one training loop: accumulate, clip, step, report, checkpoint, resume. It knows neither pairs nor objectives.

An effective batch is split into packed micro-batches, and among ranks, whose losses add up to the mean over the whole
batch, so the split never changes a result. What a batch holds is a pure function of (seed, epoch).
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cwpo import seeded
from cwpo.config.parts import DROPOUT_TOKENS
from cwpo.errors import Cancelled
from cwpo.full_disk import waits_for_room
from cwpo.models.load import DROPOUTS
from cwpo.models.tokenization import Encoded, PackedBatch, pack, pack_count
from cwpo.parallel.ranks import ALONE, Ranks
from cwpo.stages.context import StageContext, WorkContext
from cwpo.stages.settings import Settings, TrainSettings
from cwpo.training.checkpoints import ExtraState, Parts, Training, load_checkpoint
from cwpo.training.finishing import check_finite, diverged
from cwpo.training.gradient_checkpointing import uses_gradient_checkpointing
from cwpo.training.root import Reading, Root, splits_model, trained
from cwpo.training.saving import Saver

Item = TypeVar("Item")
S = TypeVar("S", bound=Settings)
OWED = "after_step"  # among the values of ExtraState: `after_step` must run before the next step
_WATCHED = {"loss": "The loss", "grad_norm": "The norm of the gradient"}
_FLUSH_STEPS, _FLUSH_SECONDS = 10, 1.0  # metrics leave the device together, so that a GPU is not stopped each step


@dataclass
class History:
    """Metric points of all attempts so far: (step, name, value)."""

    points: list[tuple[int, str, float]] = field(default_factory=list)

    def add(self, step: int, values: dict[str, float]) -> None:
        self.points.extend((step, name, value) for name, value in values.items())

    @waits_for_room
    def write(self, directory: Path) -> None:
        """metrics.parquet: step, name, value."""
        steps, names, values = zip(*self.points, strict=True) if self.points else ((), (), ())
        columns = {"step": pa.array(steps, pa.int64()), "name": pa.array(names, pa.string())}
        pq.write_table(pa.table({**columns, "value": pa.array(values, pa.float64())}), directory / "metrics.parquet")


BeforeStep = Callable[[int, Reading[Tensor]], None]
AfterStep = Callable[[int, History, Reading], None]


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a finished training says of itself. `first_step` > 0: it was resumed after that many steps."""

    steps: int
    first_step: int
    final_loss: float
    history: History


@dataclass(frozen=True, kw_only=True)
class Micro:
    """A packed part of an effective batch; `share` turns its sums into shares of the whole batch's mean."""

    batch: PackedBatch
    share: float
    bins: tuple[int, ...] = ()  # pairs of the whole batch by confidence bin
    said: Mapping[str, Tensor] = field(default_factory=dict)  # of the whole batch, that the objective reads


@dataclass(frozen=True, kw_only=True)
class Filler:
    """A micro-batch that counts nothing: a rank runs it where others still compute, so that all meet as often."""

    item: Micro


def micro_batches(
    rows: Sequence[Encoded],
    chosen: NDArray[np.int64],
    ctx: WorkContext,
    *,
    share: float,
    bins: tuple[int, ...] = (),
    said: Mapping[str, Tensor] | None = None,
) -> list[Micro | Filler]:
    """This rank's part of the effective batch of rows `chosen`, packed; as many micro-batches as every rank has.

    share: 1 / the number of pairs or tokens in the whole batch's means.
    """
    ranks, tokens = ctx.execution.ranks, ctx.execution.tokens_per_batch
    own = _dealt(rows, chosen, ranks)
    micros: list[Micro | Filler] = [
        Micro(batch=batch, share=share, bins=bins, said=said or {}) for batch in pack(rows, tokens, own[ranks.rank])
    ]
    missing = max(pack_count(rows, tokens, part) for part in own) - len(micros) if ranks.size > 1 else 0
    if missing:
        shortest = min(chosen, key=lambda index: (rows[index].tokens, index))
        (batch,) = pack(rows, tokens, [shortest])
        micros += [Filler(item=Micro(batch=batch, share=share, bins=bins, said=said or {}))] * missing
    return micros


def _dealt(rows: Sequence[Encoded], chosen: NDArray[np.int64], ranks: Ranks) -> list[NDArray[np.int64]]:
    """The rows of each rank: dealt out from the longest to the shortest, there and back, so that all have as much."""
    if ranks.size == 1:
        return [chosen]
    order = chosen[np.argsort([-rows[index].tokens for index in chosen], kind="stable")]
    places = np.arange(len(order)) % (2 * ranks.size)
    owner = np.minimum(places, 2 * ranks.size - 1 - places)
    return [order[owner == rank] for rank in range(ranks.size)]


def in_step(ctx: StageContext[S]) -> StageContext[S]:
    """For reading within a training: each rank reads all rows, batch by batch with the others, and stops with them."""
    ranks = ctx.execution.ranks
    together = replace(ctx.execution, ranks=ALONE)
    return replace(ctx, execution=together, should_stop=lambda: ranks.any(ctx.should_stop()))


def steady_packing(ctx: StageContext[S], model: nn.Module) -> StageContext[S]:
    """With dropout, random numbers depend on a token's place in its batch, so tokens per batch are fixed everywhere."""
    steady = replace(ctx.execution, tokens_per_batch=DROPOUT_TOKENS)
    return replace(ctx, execution=steady) if has_dropout(model) else ctx


def has_dropout(model: nn.Module) -> bool:
    """Whether any module of the model has a dropout probability above 0."""
    rates = (
        getattr(module, name, 0.0)
        for module in model.modules()
        for name in (("p",) if isinstance(module, nn.Dropout) else DROPOUTS)
    )
    return any(isinstance(rate, int | float) and rate > 0 for rate in rates)


def data_order(ids: Sequence[str], *, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of one pass: rows sorted by a hash of (seed, epoch, id), so a subset keeps the order of the whole."""
    return np.argsort(seeded.mixed(seeded.words(ids) ^ seeded.words([f"{seed}:{epoch}"])), kind="stable")


def uniform(seed: int, step: int) -> float:
    """A number in [0, 1) that belongs to a step, whatever ran before it."""
    return seeded.chance(f"{seed}:{step}:pairs")


@dataclass
class Batches:
    """Which rows are in the effective batch of a step; the last batch of an epoch may be smaller."""

    ids: Sequence[str]
    batch_size: int
    seed: int
    _order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, dtype=np.int64))

    @property
    def per_epoch(self) -> int:
        return math.ceil(len(self.ids) / self.batch_size)

    def steps(self, epochs: float, *, of: int | None = None) -> int:
        """Optimizer steps of that many passes, at least one; `of`: passes over that many rows instead of these."""
        per_epoch = self.per_epoch if of is None else math.ceil(of / self.batch_size)
        return max(1, round(epochs * per_epoch))

    def rows(self, step: int) -> NDArray[np.int64]:
        """Rows of 0-based `step`."""
        epoch, position = divmod(step, self.per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, data_order(self.ids, seed=self.seed, epoch=epoch))
        return self._order[1][position * self.batch_size : (position + 1) * self.batch_size]


def learning_rate(config: TrainSettings, step: int, steps: int) -> float:
    """Rate of 0-based `step`: linear warm-up over at most a tenth of all steps, then cosine or linear to 0, or flat."""
    warmup = min(config.warmup_steps, steps // 10)
    if step < warmup:
        return config.lr * step / warmup
    if config.schedule == "constant":
        return config.lr
    progress = (step - warmup) / max(1, steps - warmup)
    return config.lr * (0.5 * (1 + math.cos(math.pi * progress)) if config.schedule == "cosine" else 1 - progress)


def make_optimizer(model: nn.Module, config: TrainSettings) -> torch.optim.AdamW:
    """Fused AdamW; matrices decay, biases and norms do not (as the transformers Trainer does)."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=config.lr, fused=True)


def train(
    model: nn.Module,
    batches: Callable[[int], Sequence[Item | Filler]],
    loss_of: Callable[[Item], tuple[Tensor, dict[str, Tensor]]],
    *,
    steps: int,
    config: TrainSettings,
    ctx: StageContext[Any],
    extra: ExtraState | None = None,
    before_step: BeforeStep | None = None,
    after_step: AfterStep | None = None,
) -> TrainResult:
    """Run `steps` optimizer steps from the latest checkpoint, or from the start.

    batches(step) gives this rank's micro-batches of 0-based `step`, as many on every rank. loss_of(micro) gives its
    share of the batch's mean loss and of mean metrics: shares of one step add up. before_step(step, reading) runs in
    front of each step's batches; after_step(done, history, reading) runs behind each step, before any checkpoint, and
    before the first step too where it was interrupted, or `extra` has OWED. Both run on every rank alike and read the
    model inside of `reading`.
    """
    extra, history, ranks = extra or ExtraState(), History(), ctx.execution.ranks
    checkpointed = uses_gradient_checkpointing(model, ctx)  # before the optimizer's state takes what is free
    root = Root(model, ranks, device=ctx.device, split=splits_model(ctx))
    optimizer = make_optimizer(model, config)
    parts = Parts.of(model, ranks) if root.split else None
    state = Training(model, optimizer, history.points, extra, ranks, parts)
    saver = Saver(state, ctx)
    first = load_checkpoint(ctx.checkpoints, state, ctx.reporter.noted)
    if first:
        ctx.reporter.log(f"Resumed from the checkpoint after step {first} of {steps}.")
    if checkpointed:
        model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    ctx.reporter.resumed(first)
    ctx.reporter.progress(first, steps, "steps")
    try:
        if extra.values.pop(OWED, False) and after_step is not None:
            after_step(first, history, root.reading)
        around = before_step, after_step
        _run(root, optimizer, saver, _Pending(ctx, history), batches, loss_of, range(first, steps), config, around)
    finally:
        saver.close()
    check_finite(model, ctx)  # the norm of a gradient says nothing of the step that it led to
    final = next((value for _, name, value in reversed(history.points) if name == "loss"), math.nan)
    return TrainResult(steps=steps, first_step=first, final_loss=final, history=history)


def _run(
    root: Root,
    optimizer: torch.optim.Optimizer,
    saver: Saver,
    pending: "_Pending",
    batches: Callable[[int], Sequence[Any]],
    loss_of: Callable[[Any], tuple[Tensor, dict[str, Tensor]]],
    left: range,
    config: TrainSettings,
    around: tuple[BeforeStep | None, AfterStep | None],
) -> None:
    """The steps that are left, each with its report, what comes around it, and a checkpoint when one is due."""
    before_step, after_step = around
    ctx, steps = pending.ctx, left.stop
    parameters = [parameter for _, parameter in trained(root.model)]
    draws = _Draws(root.model, ctx.execution.ranks, ctx.settings.seed)
    for step in left:
        draws.begin(step)
        rate = learning_rate(config, step, steps)
        if before_step is not None:
            before_step(step, root.reading)
        values = _accumulate(root, batches(step), loss_of, ctx)
        values["grad_norm"] = _clip(parameters, config.max_grad_norm)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        pending.add(step + 1, values, rate, last=step + 1 == steps)
        if after_step is not None:
            try:
                after_step(step + 1, pending.history, root.reading)
            except Cancelled:
                saver.owed(OWED)
                pending.flush()
                saver.save(step + 1, whole=True)
                raise
        ctx.reporter.progress(step + 1, steps, "steps")
        stop, due = ctx.execution.ranks.any_of(ctx.should_stop(), saver.due())
        if step + 1 < steps and (stop or due):
            pending.flush()
            saver.save(step + 1, whole=stop)
        if stop and step + 1 < steps:
            raise Cancelled(f"Stopped after step {step + 1} of {steps}; retry the run to go on from there.")


def _accumulate(
    root: Root,
    micros: Sequence[Item | Filler],
    loss_of: Callable[[Item], tuple[Tensor, dict[str, Tensor]]],
    ctx: StageContext[Any],
) -> dict[str, Tensor]:
    """Gradients of a whole effective batch, and its loss and metrics on the device, over all ranks."""
    totals: dict[str, Tensor] = {}
    for loss, shares in root.accumulate(partial(_share, loss_of, micro) for micro in micros):
        for name, share in {"loss": loss, **shares}.items():
            totals[name] = totals[name] + share if name in totals else share
    if not totals:
        return {"loss": torch.zeros(())}  # pair sampling may leave a batch empty: nothing moves
    if ctx.execution.ranks.size == 1:
        return totals
    summed = ctx.execution.ranks.sum(torch.stack([value.double().to(ctx.device) for value in totals.values()]))
    return dict(zip(totals, summed.unbind(), strict=True))


def _share(loss_of: Callable[[Any], tuple[Tensor, dict[str, Tensor]]], micro: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and metrics of a micro-batch; of a filler their zeros, through the same computation."""
    if not isinstance(micro, Filler):
        return loss_of(micro)
    loss, shares = loss_of(micro.item)
    return loss * 0.0, {name: share * 0.0 for name, share in shares.items()}


def _clip(parameters: list[nn.Parameter], most: float) -> Tensor:
    """Scale the gradients to a norm of at most `most`, over all ranks; the norm before, on the device."""
    norm = torch.nn.utils.clip_grad_norm_(parameters, most, foreach=True).detach()
    whole: Tensor = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    return whole


class _Draws:
    """Dropout of several ranks: each step of each rank has random numbers of its own, whatever ran before it.

    One rank alone goes on drawing from the state that a checkpoint holds.
    """

    def __init__(self, model: nn.Module, ranks: Ranks, seed: int) -> None:
        self._ranks, self._seed = ranks, seed
        self._needed = ranks.size > 1 and has_dropout(model)

    def begin(self, step: int) -> None:
        if self._needed:
            torch.manual_seed(seeded.short(f"{self._seed}:{step}:{self._ranks.rank}"))


@dataclass
class _Pending:
    """Metrics that are still on the device. Reads them together, stops on what is not finite, reports."""

    ctx: StageContext[Any]
    history: History
    rows: list[tuple[int, float, dict[str, Tensor]]] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)

    def add(self, step: int, values: dict[str, Tensor], rate: float, *, last: bool) -> None:
        self.rows.append((step, rate, values))
        if last or len(self.rows) >= _FLUSH_STEPS or time.monotonic() - self.since >= _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        if not self.rows:
            return
        device = self.ctx.device
        every = [value.double().to(device) for _, _, values in self.rows for value in values.values()]
        flat = torch.stack(every).tolist()
        at = 0
        for step, rate, values in self.rows:
            numbers = dict(zip(values, flat[at : at + len(values)], strict=True))
            at += len(values)
            for name, what in _WATCHED.items():
                if not math.isfinite(numbers.get(name, 0.0)):
                    raise diverged(self.ctx, f"{what} is {numbers[name]} at step {step}")
            numbers["lr"] = rate
            self.history.add(step, numbers)
            self.ctx.reporter.metrics(step, numbers)
        self.rows.clear()
        self.since = time.monotonic()
