"""The stage: preference steps on fresh pairs, refreshed from the current policy every k steps.

The fresh pairs of a refresh are written beside the checkpoints, under a checksum, before any step learns from them. So
an attempt that goes on from a checkpoint finds the pairs that belong to it, and ends at the weights of an undisturbed
run. Where some of them are damaged or gone, it goes on from a checkpoint before they were sampled, or from the start.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from cwpo.annotation.labeling import write_window
from cwpo.data.pairs import load_part
from cwpo.data.relabels import labels_of
from cwpo.errors import Damaged, DataError
from cwpo.full_disk import waits_for_room
from cwpo.models.text.shown import FIRST_BATCH, first_batch
from cwpo.models.tokenization import Encoded
from cwpo.online.fresh import Occasion, Sources, encoded, fresh_pairs, sources, written_in
from cwpo.sealed import read_sealed, set_aside
from cwpo.stages.context import StageContext
from cwpo.stages.online import FRESH_FILE, OnlineSettings
from cwpo.training.align import BINS, AlignData, align_data, alignment_loss, confidence_bins, save_policy, start_policy
from cwpo.training.checkpoints import ExtraState
from cwpo.training.loop import OWED, Batches, Filler, History, Micro, TrainResult, micro_batches, steady_packing, train
from cwpo.training.reference import frozen_start
from cwpo.training.root import Reading
from cwpo.training.weighting import Weights

FRESH = 0.6  # of the work between two samplings, the share of the sampling and labeling
_KL = "fresh/kl"
_FRESH = "fresh-"  # how the names of files with fresh pairs begin


@dataclass(frozen=True, kw_only=True)
class Block:
    """The fresh pairs of one sampling that steps learn from, as the loss reads them."""

    number: int
    rows: list[Encoded]
    data: AlignData
    members: dict[int, NDArray[np.int64]]  # 0-based step -> its rows
    bins: NDArray[np.int64]
    share_of: Callable[[Micro], tuple[Tensor, dict[str, Tensor]]]


def run_online(ctx: StageContext[OnlineSettings]) -> dict[str, Any]:
    """Write the aligned model, metrics.parquet, and fresh_pairs.parquet: every pair with its label and its weight."""
    ctx = replace(ctx, kind="align")  # as the part is called whose fields errors name
    settings, policy = ctx.settings, start_policy(ctx)
    frozen = frozen_start(ctx)
    pool = load_part(ctx.inputs["data"], settings.part, settings, labels_of(ctx))
    if not pool:
        raise DataError(f"The {settings.part} part has no prompt to answer: lower data.label_fraction.")
    online = Online(ctx, sources(ctx, policy, frozen.model.eval(), pool))
    result = online.train()

    def also(folder: Path) -> None:
        result.history.write(folder)
        online.write(folder)

    save_policy(policy, ctx, also=also)
    counts = {"steps": result.steps, "first_step": result.first_step, "final_loss": result.final_loss}
    return {"pool": len(pool), **counts, **online.summary()}


class Online:
    """One training: which fresh pairs it is at, and where all of them are kept."""

    def __init__(self, ctx: StageContext[OnlineSettings], given: Sources) -> None:
        self.ctx, self.given = steady_packing(ctx, given.policy.model), given
        training = ctx.settings.train
        ids = [pair.pair_id for pair in given.pool]
        self.batches = Batches(ids=ids, batch_size=training.batch_size, seed=ctx.settings.seed)
        self.steps = self.batches.steps(training.epochs)
        self.every = ctx.settings.refresh_every
        self.block: Block | None = None
        self.damage = dict[int, str | None]()  # of fresh pairs that an earlier attempt left, by their number

    def train(self) -> TrainResult:
        """The loop, which owes the first pairs; an attempt that goes on reads those that it is at."""
        model = self.given.policy.model
        torch.manual_seed(self.ctx.settings.seed)  # adapters have dropout
        model.train()
        return train(
            model,
            self._micros,
            lambda micro: self._now().share_of(micro),
            steps=self.steps,
            config=self.ctx.settings.train,
            ctx=self.ctx,
            extra=ExtraState(values={OWED: True}, lacks=self._lacks),
            after_step=self._refresh,
        )

    @waits_for_room
    def write(self, folder: Path) -> None:
        """All fresh pairs of the training in one table, as texts."""
        with pq.ParquetWriter(folder / FRESH_FILE, self._texts(self._read(0)).schema) as writer:
            for number in range(self._number(self.steps - 1) + 1):
                writer.write_table(self._texts(self._read(number)))

    def summary(self) -> dict[str, Any]:
        """Counts and means over all fresh pairs; figures that nothing was measured of are left out."""
        counts, found = list[int](), dict[str, list[tuple[float, int]]]()
        for number in range(self._number(self.steps - 1) + 1):
            table = self._read(number)
            counts.append(table.num_rows)
            for name, value in figures(table).items():
                found.setdefault(name, []).append((value, table.num_rows))
        means = {
            name.removeprefix("fresh/"): sum(value * rows for value, rows in values) / sum(rows for _, rows in values)
            for name, values in found.items()
            if name != _KL
        }
        return {"pairs": sum(counts), "refreshes": len(counts), **means}

    def _micros(self, step: int) -> list[Micro | Filler]:
        """The used pairs of a step; the mean of its loss is over them."""
        block = self._now()
        first, length = block.number * self.every, self._length(block.number)
        done = first + length * (FRESH + (1 - FRESH) * (step - first) / length)
        self.ctx.reporter.share(done / self.steps)
        rows = block.members.get(step, np.empty(0, dtype=np.int64))
        mine = block.bins[rows]
        bins = tuple(np.bincount(mine[mine >= 0], minlength=len(BINS)).tolist())
        return micro_batches(block.rows, rows, self.ctx, share=1 / max(len(rows), 1), bins=bins)

    def _refresh(self, done: int, history: History, reading: Reading) -> None:
        """Behind a step, and once before the first of an attempt: the pairs of the next steps are there."""
        if done >= self.steps:
            return
        number = self._number(done)
        if self.block is None:
            known = done % self.every != 0 or any(at == done and name == _KL for at, name, _ in history.points)
            self._forget(number + known)
            if number:
                self._block(0, self._read(0))  # whose first pairs are to be looked at, whatever attempt ends it
            if known:
                self.block = self._block(number, self._read(number))
        if self.block is None or self.block.number != number:
            table = self._sampled(number)
            for name, value in figures(table).items():
                history.add(done, {name: value})
            self.ctx.reporter.metrics(done, figures(table))
            self.block = self._block(number, table)

    def _sampled(self, number: int) -> pa.Table:
        """The pairs of one refresh, sampled from the policy as it is and stored."""
        first, length = number * self.every, self._length(number)
        part = (first / self.steps, (first + FRESH * length) / self.steps)
        table = fresh_pairs(self.given, self._occasions(number), number, part)
        write_window(table, self._file(number))
        return table

    def _block(self, number: int, table: pa.Table) -> Block:
        """The used pairs as rows of the loss; those of the first step for people to look at, too."""
        occasions = self._occasions(number)
        rows = encoded(self.given, occasions, written_in(table))
        used = np.flatnonzero(table["used"].to_numpy(zero_copy_only=False))
        kept = table.take(pa.array(used))
        rows = [rows[place] for place in used.tolist()]
        weights = Weights(
            kept=np.arange(len(rows)),
            w=np.array(kept["weight"].to_pylist(), dtype=np.float64),
            w_swapped=np.array(kept["weight_swapped"].to_pylist(), dtype=np.float64),
        )
        reference = zip(kept["reference_logp_a"].to_pylist(), kept["reference_logp_b"].to_pylist(), strict=True)
        margins = np.array([np.nan if one is None else one for one in kept["margin"].to_pylist()], dtype=np.float64)
        by_id = dict(zip((row.pair_id for row in rows), reference, strict=True))
        data = align_data(rows, kept["label"].to_pylist(), weights, by_id, margins=margins)
        bins = confidence_bins(margins)
        members = _members([occasions[place][0] for place in used.tolist()])
        if 0 in members:
            self._show(rows, data, members[0].tolist())
        return Block(
            number=number,
            rows=rows,
            data=data,
            members=members,
            bins=bins,
            share_of=alignment_loss(
                self.given.path, data.to(self.ctx.device), self.ctx.settings.objective, bins=bins if rows else None
            ),
        )

    def _show(self, rows: list[Encoded], data: AlignData, chosen: list[int]) -> None:
        """The pairs of the first step with their tokens."""
        names = {at: ("chosen", "rejected") if int(data.chosen[at]) == 0 else ("rejected", "chosen") for at in chosen}
        weights = {at: float(data.w[at]) for at in chosen}
        tokenizer = self.given.policy.tokenizer
        said = first_batch(rows, chosen, tokenizer, counts="answers", names=names, weights=weights)
        self.ctx.reporter.shown(FIRST_BATCH, said)

    def _now(self) -> Block:
        assert self.block is not None
        return self.block

    def _number(self, step: int) -> int:
        return step // self.every

    def _length(self, number: int) -> int:
        """Steps of a refresh; the last may have fewer."""
        return min(self.every, self.steps - number * self.every)

    def _occasions(self, number: int) -> list[Occasion]:
        first = number * self.every
        steps = range(first, first + self._length(number))
        return [(step, row) for step in steps for row in self.batches.rows(step).tolist()]

    def _file(self, number: int) -> Path:
        return self.ctx.checkpoints / f"{_FRESH}{number:06d}.sealed"

    def _lacks(self, step: int, values: Mapping[str, Any]) -> str | None:
        """What is wrong with the fresh pairs that a checkpoint belongs to: those that its steps learned from, and those
        that they are at unless it owes them. No weights are left that they could be sampled from again."""
        sampled = step % self.every != 0 or not values.get(OWED)
        for number in range(self._number(step) + sampled):
            if number not in self.damage:
                self.damage[number] = _damage(self._file(number))
            if self.damage[number] is not None:
                return self.damage[number]
        return None

    def _read(self, number: int) -> pa.Table:
        try:
            return pq.read_table(pa.BufferReader(read_sealed(self._file(number))))
        except Damaged as error:
            raise Damaged(
                f"Fresh pairs were damaged ({error}): retry the run, which goes on from a checkpoint before them."
            ) from error

    def _forget(self, number: int) -> None:
        """Pairs of this refresh and of later ones, which an earlier attempt sampled from steps that are lost."""
        for file in self.ctx.checkpoints.glob(f"{_FRESH}*"):
            if int(file.name.removeprefix(_FRESH).partition(".")[0]) >= number:
                file.unlink()

    @staticmethod
    def _texts(table: pa.Table) -> pa.Table:
        lengths = {name: pc.list_value_length(table[f"ids_{name}"]) for name in ("a", "b")}
        table = table.drop_columns(["ids_a", "ids_b"])
        for name, values in lengths.items():
            table = table.append_column(f"tokens_{name}", values)
        return table


def _damage(file: Path) -> str | None:
    """What is wrong with stored fresh pairs, which are set aside then; those of a version before checksums count as
    damaged."""
    try:
        read_sealed(file)
    except Damaged as error:
        if file.exists():
            set_aside(file)
        before = file.with_suffix(".parquet")
        return f"{before.name} of an earlier version has no checksum" if before.exists() else str(error)
    return None


def figures(table: pa.Table) -> dict[str, float]:
    """What a curve shows of one sampling; KL in nats per answer, of the policy from its reference."""
    frame = table.select(
        ["score_a", "score_b", "margin", "confidence", "label", "used", "identical", "weight", "weight_swapped",
         "logp_a", "logp_b", "reference_logp_a", "reference_logp_b", "utility_a", "utility_b"]
    ).to_pandas()  # fmt: skip
    idle = ~frame["used"] | (frame["weight"] + frame["weight_swapped"] == 0)
    moved = frame["logp_a"] - frame["reference_logp_a"] + frame["logp_b"] - frame["reference_logp_b"]
    decided = frame["label"].notna() & (frame["utility_a"] != frame["utility_b"]) & frame["utility_a"].notna()
    better = (frame["utility_a"] > frame["utility_b"]).map({True: "a", False: "b"})
    found = {
        "fresh/confidence": frame["confidence"].mean(),
        "fresh/margin": frame["margin"].mean(),
        "fresh/score": frame[["score_a", "score_b"]].mean(axis=None),
        "fresh/identical": frame["identical"].mean(),
        "fresh/idle": idle.mean(),
        _KL: moved.mean() / 2,
        "fresh/true_accuracy": (frame["label"] == better)[decided].mean(),
        "fresh/true_utility": frame[["utility_a", "utility_b"]].mean(axis=None),
    }
    return {name: float(value) for name, value in found.items() if value == value}


def _members(steps: list[int]) -> dict[int, NDArray[np.int64]]:
    """Rows by step."""
    of = np.array(steps, dtype=np.int64)
    return {int(step): np.flatnonzero(of == step) for step in np.unique(of)}
