"""Alignment: weighted preference optimization from the start model, which is also the frozen reference."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from cwpo.config.catalog import OBJECTIVES as OBJECTIVE_ROWS
from cwpo.data.tokens import pair_tokens
from cwpo.errors import ArtifactError, DataError
from cwpo.models.load import Form, PolicyModel, context_length, load_policy, model_ref, parent_of
from cwpo.models.logps import ForwardPath, LogPs, forward_path, response_logps, response_logps_and_sharpness
from cwpo.models.text.shown import FIRST_BATCH, first_batch
from cwpo.models.tokenization import Encoded, PackedBatch, fit
from cwpo.stages.context import StageContext
from cwpo.stages.settings import AlignSettings, ObjectiveSettings, WeightingSettings
from cwpo.statistics.calibration import effective_sample_size
from cwpo.training.checkpoints import ExtraState
from cwpo.training.finishing import Keeper, save_trained
from cwpo.training.loop import Batches, Filler, Micro, TrainResult, micro_batches, steady_packing, train, uniform
from cwpo.training.objectives import objective
from cwpo.training.preferences import weighed_pairs
from cwpo.training.reference import REFERENCE_FILE
from cwpo.training.root import Reading, loading
from cwpo.training.weighting import Floats, Weights, keep_probabilities, systematic_sample, weigh
from cwpo.training.whole.mismatched import MISMATCHED_FILE, Mismatched, of_pairs, of_part
from cwpo.training.whole.step import above_usual, mean_over

BINS = ("low", "middle", "high")  # thirds of the pairs by confidence


@dataclass(frozen=True, kw_only=True)
class AlignData:
    """N encoded pairs in the stored order a, b, with what the loss needs of each."""

    rows: list[Encoded]
    reference: Tensor  # (N, 2) log-probabilities of a and b under the reference, float64
    tokens: Tensor  # (N, 2) lengths of a and b
    chosen: Tensor  # (N,) column of the chosen response, 0 or 1
    w: Tensor  # (N,) float64
    w_swapped: Tensor  # (N,)
    kept: Tensor  # (N,) probability that a step computes the pair when it is in the batch; 1 without pair sampling
    margins: Tensor  # (N,) the annotator's, >= 0, float64; NaN without one
    pool: int  # pairs before the weighting dropped any
    mismatched: Mismatched | None = None  # of the same pairs, where the objective asks for it

    def to(self, device: str) -> "AlignData":
        """The tensors on `device`."""
        names = ("reference", "tokens", "chosen", "w", "w_swapped", "kept", "margins")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def run_align(ctx: StageContext[AlignSettings]) -> dict[str, Any]:
    """Train the policy on labeled, weighted pairs; the artifact is the model, or its adapter alone with LoRA."""
    settings, policy = ctx.settings, start_policy(ctx)
    data, counts = load_align_data(ctx, policy.tokenizer, context_length(policy.model, settings.max_length))
    ctx.reporter.shown(FIRST_BATCH, _first_batch(data, policy.tokenizer, settings))
    form, parent = stored_form(ctx)
    keeper = Keeper(policy.model, policy.tokenizer, ctx, form=form, parent=parent) if settings.kept else None
    result = train_policy(policy.model, data, ctx, keeper)

    def also(out: Path) -> None:
        result.history.write(out)
        if keeper is not None:
            keeper.put(out, result.steps, settings.kept)

    save_policy(policy, ctx, also=also)
    return {**counts, "steps": result.steps, "first_step": result.first_step, "final_loss": result.final_loss}


def start_policy(ctx: StageContext[AlignSettings]) -> PolicyModel:
    """The start model, whole or under a new adapter, as alignment trains it."""
    settings = ctx.settings
    return load_policy(
        model_ref(ctx.inputs, "start", settings),
        store=ctx.store,
        **loading(ctx, adapter=settings.lora is not None),
        precision=settings.precision,
        trainable=True,
        lora=settings.lora,
        seed=settings.seed,
        parents=settings.parents,
        quantization=settings.quantization,
    )


def stored_form(ctx: StageContext[AlignSettings]) -> tuple[Form, Mapping[str, Any] | None]:
    """The aligned model is stored whole, or as its adapter alone on top of its parent."""
    if not ctx.settings.lora:
        return "full", None
    return "adapter", parent_of(model_ref(ctx.inputs, "start", ctx.settings))


def save_policy(policy: PolicyModel, ctx: StageContext[AlignSettings], *, also: Callable[[Path], None]) -> None:
    """Store the aligned model, or its adapter alone, and what else `also` writes beside it."""
    form, parent = stored_form(ctx)
    save_trained(policy.model, policy.tokenizer, ctx, form=form, parent=parent, also=also)


def _first_batch(data: AlignData, tokenizer: Any, settings: AlignSettings) -> dict[str, Any]:
    """The pairs of the first step with their weights, in which either answer is the chosen one."""
    ids = [row.pair_id for row in data.rows]
    first = Batches(ids=ids, batch_size=settings.train.batch_size, seed=settings.seed).rows(0).tolist()
    names = {at: ("chosen", "rejected") if int(data.chosen[at]) == 0 else ("rejected", "chosen") for at in first}
    weights = {at: float(data.w[at]) for at in first}
    return first_batch(data.rows, first, tokenizer, counts="answers", names=names, weights=weights)


def load_align_data(ctx: StageContext[AlignSettings], tokenizer: Any, context: int) -> tuple[AlignData, dict[str, Any]]:
    """Labels, weights and reference log-probabilities of the pairs that fit the model, and what was left out."""
    labeled = {item.pair.pair_id: item for item in weighed_pairs(ctx)}
    encoded = fit(pair_tokens(ctx, tokenizer).pairs(item.pair for item in labeled.values()), tokenizer, context)
    if not encoded.rows:
        raise DataError("No pair fits the policy's context: raise model.max_length or choose shorter data.")
    items = [labeled[row.pair_id] for row in encoded.rows]
    margins, spread, votes, right, gap = (
        _column(getattr(item, name) for item in items)
        for name in ("margin", "spread", "agreement", "right", "true_gap")
    )
    ids = [row.pair_id for row in encoded.rows]
    weights = weigh(fitted(ctx), margins, ids=ids, spread=spread, agreement=votes, right=right, gap=gap)
    if not len(weights.kept):
        raise DataError(f"weighting.name: {ctx.settings.weighting.name} leaves no pair to learn from; choose another.")
    reference = read_reference(ctx.inputs["reference"])
    missing = [pair_id for pair_id in ids if pair_id not in reference]
    if missing:
        raise ArtifactError(f"The reference says nothing of {len(missing)} pairs; retry the run to compute it again.")
    rows = [encoded.rows[index] for index in weights.kept]
    labels = [items[index].label for index in weights.kept]
    counts = {
        "pairs": len(rows),
        "pool": len(items),
        "tokens": sum(row.tokens for row in rows),
        **encoded.counts(),
        "mean_weight": float(weights.w.mean()),
        "effective_sample_size": effective_sample_size(weights.w),
    }
    data = align_data(rows, labels, weights, reference, margins=margins[weights.kept], pool=len(items))
    if "kl" in OBJECTIVE_ROWS[ctx.settings.objective.name].needs:
        others = of_part(ctx, tokenizer, context), read_reference(ctx.inputs["reference"], MISMATCHED_FILE)
        data = replace(data, mismatched=of_pairs(*others, [row.pair_id for row in rows]))
    if ctx.settings.pair_sampling == "proportional":
        data = with_proportional_sampling(data)
        counts["mean_kept"] = float(data.kept.mean())
    return data, counts


def _column(values: Iterable[float | None]) -> Floats:
    """(N,), NaN where unknown."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def fitted(ctx: StageContext[AlignSettings]) -> WeightingSettings:
    """The weighting's settings; a temperature that is not given is the one of the calibration stage."""
    settings = ctx.settings.weighting
    if settings.options.get("temperature", 0) is not None:
        return settings
    temperature = json.loads((ctx.inputs["calibration"] / "summary.json").read_text())["temperature"]
    return replace(settings, options={**settings.options, "temperature": temperature})


def align_data(
    rows: list[Encoded],
    labels: list[Any],
    weights: Weights,
    reference: Mapping[str, tuple[float, float]],
    *,
    margins: Floats | None = None,
    pool: int | None = None,
) -> AlignData:
    """Put rows, labels ("a" or "b"), weights, reference log-probabilities (by pair id) and margins side by side."""
    return AlignData(
        rows=rows,
        reference=torch.tensor([reference[row.pair_id] for row in rows], dtype=torch.float64).view(-1, 2),
        tokens=torch.tensor([[len(ids) for ids in row.responses] for row in rows]).view(-1, 2),
        chosen=torch.tensor([0 if label == "a" else 1 for label in labels]),
        w=torch.from_numpy(weights.w),
        w_swapped=torch.from_numpy(weights.w_swapped),
        kept=torch.ones(len(rows), dtype=torch.float64),
        margins=torch.from_numpy(np.full(len(rows), np.nan) if margins is None else np.asarray(margins)),
        pool=len(rows) if pool is None else pool,
    )


def with_proportional_sampling(data: AlignData) -> AlignData:
    """The same pairs with `kept` set by `keep_probabilities`: light and costly pairs are computed less often."""
    tokens = np.array([row.tokens for row in data.rows], dtype=np.float64)
    worth = (data.w.abs() + data.w_swapped.abs()).numpy()
    kept = keep_probabilities(worth, data.tokens.sum(dim=1).double().numpy(), tokens)
    return replace(data, kept=torch.from_numpy(kept))


def read_reference(directory: Path, name: str = REFERENCE_FILE) -> dict[str, tuple[float, float]]:
    """Pair id -> log-probabilities of a and b under the reference."""
    columns = pq.read_table(directory / name, columns=["pair_id", "logp_a", "logp_b"]).to_pydict()
    return dict(zip(columns["pair_id"], zip(columns["logp_a"], columns["logp_b"], strict=True), strict=True))


def train_policy(
    model: Any, data: AlignData, ctx: StageContext[AlignSettings], keeper: Keeper | None = None
) -> TrainResult:
    """The loop on (w, w_swapped)-weighted losses; the mean is over all pairs of a batch, whatever their w."""
    settings, training = ctx.settings, ctx.settings.train
    ctx = steady_packing(ctx, model)
    path = forward_path(model, device=ctx.device, precision=settings.precision, log=ctx.reporter.log)
    batches = Batches(ids=[row.pair_id for row in data.rows], batch_size=training.batch_size, seed=settings.seed)
    kept, bins = data.kept.numpy(), confidence_bins(data.margins.numpy())
    placed, extra, said = data.to(ctx.device), ExtraState(), dict[str, Tensor]()
    needs = set(OBJECTIVE_ROWS[settings.objective.name].needs) & {"gap", "kl"}

    def look(step: int, reading: Reading[Tensor]) -> None:
        rows = batches.rows(step)
        if "gap" in needs:
            mean = mean_over(data.rows, rows, partial(_differences, path, placed), model, ctx, reading)
            said["gap"] = above_usual(mean, extra.values)
        if "kl" in needs and data.mismatched is not None:
            moved = partial(_moved, path, data.mismatched.reference.to(ctx.device))
            said["kl"] = mean_over(data.mismatched.rows, rows, moved, model, ctx, reading)

    def micros(step: int) -> list[Micro | Filler]:
        rows = batches.rows(step)
        sampled = rows if (kept == 1).all() else rows[systematic_sample(kept[rows], uniform(settings.seed, step))]
        return micro_batches(data.rows, sampled, ctx, share=1 / len(rows), bins=_in_bins(bins, rows), said=dict(said))

    steps = batches.steps(training.epochs, of=data.pool if settings.steps == "pool" else None)

    def keep(done: int, *_: Any) -> None:
        if keeper is not None:
            keeper.after(done, steps, settings.kept)

    if keeper is not None:
        extra.lacks = lambda step, _: keeper.lacks(step, steps, settings.kept)
    torch.manual_seed(settings.seed)  # adapters have dropout
    model.train()
    return train(
        model,
        micros,
        alignment_loss(path, placed, settings.objective, bins=bins),
        steps=steps,
        config=training,
        ctx=ctx,
        extra=extra,
        before_step=look if needs else None,
        after_step=keep if keeper is not None else None,
    )


def _differences(path: ForwardPath, data: AlignData, batch: PackedBatch) -> Tensor:
    """h of each pair of a batch, (B,)."""
    rows = batch.indices
    ratios = response_logps(path, batch).view(-1, 2) - data.reference[rows]
    return (ratios[:, 0] - ratios[:, 1]) * (1 - 2 * data.chosen[rows])


def _moved(path: ForwardPath, reference: Tensor, batch: PackedBatch) -> Tensor:
    """The mean log-ratio of the two answers of each row of a batch, (B,)."""
    return (response_logps(path, batch).view(-1, 2) - reference[batch.indices]).mean(dim=1)


def confidence_bins(margins: Floats) -> NDArray[np.int64]:
    """(N,) third of the pairs by margin, 0 the least confident; -1 without margins."""
    if np.isnan(margins).any() or not len(margins):
        return np.full(len(margins), -1)
    ranks = np.empty(len(margins), dtype=np.int64)
    ranks[np.argsort(margins, kind="stable")] = np.arange(len(margins))
    return ranks * len(BINS) // len(margins)


def _in_bins(bins: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[int, ...]:
    """How many pairs of an effective batch are in each bin."""
    mine = bins[rows]
    return tuple(np.bincount(mine[mine >= 0], minlength=len(BINS)).tolist())


def alignment_loss(
    path: ForwardPath, data: AlignData, settings: ObjectiveSettings, *, bins: NDArray[np.int64] | None = None
) -> Callable[[Micro], tuple[Tensor, dict[str, Tensor]]]:
    """loss = mean(w l(chosen, rejected) + w_swapped l(rejected, chosen)), and the usual reward metrics.

    A pair that a step computes only with probability `kept` counts 1 / kept times there, so expectations stay the same.
    """
    loss_of = objective(settings)
    needs = OBJECTIVE_ROWS[settings.name].needs
    swapped = bool(data.w_swapped.any())
    places = None if bins is None or (bins < 0).any() else torch.from_numpy(bins).to(data.w.device)

    def share_of(micro: Micro) -> tuple[Tensor, dict[str, Tensor]]:
        batch = micro.batch.to(str(data.w.device))
        rows = batch.indices
        sides = torch.stack([data.chosen[rows], 1 - data.chosen[rows]], dim=1)  # columns of chosen and rejected
        if "token_stats" in needs:
            both = (value.view(-1, 2).gather(1, sides) for value in response_logps_and_sharpness(path, batch))
            policy, sharp = both
        else:
            policy, sharp = response_logps(path, batch).view(-1, 2).gather(1, sides), None
        given = {**micro.said, **({"margin": data.margins[rows]} if "margin" in needs else {})}
        reference, tokens = data.reference[rows].gather(1, sides), data.tokens[rows].gather(1, sides)
        often = 1 / data.kept[rows]
        plain = loss_of(_logps(policy, tokens, sharp), _logps(reference, tokens), **given)
        losses = data.w[rows] * plain
        if swapped:
            back = None if sharp is None else sharp.flip(1)
            flipped = _logps(policy.flip(1), tokens.flip(1), back), _logps(reference.flip(1), tokens.flip(1))
            losses = losses + data.w_swapped[rows] * loss_of(*flipped, **given)
        with torch.no_grad():
            metrics = _metrics(policy, reference, data.w[rows], settings.beta, often * micro.share)
            if places is not None:
                metrics |= _by_bin(policy - reference, plain, places[rows], often, micro.bins, settings.beta)
        return (losses * often).sum() * micro.share, metrics

    return share_of


def _logps(values: Tensor, tokens: Tensor, sharpness: Tensor | None = None) -> LogPs:
    return LogPs(
        chosen=values[:, 0],
        rejected=values[:, 1],
        chosen_tokens=tokens[:, 0],
        rejected_tokens=tokens[:, 1],
        chosen_sharpness=None if sharpness is None else sharpness[:, 0],
        rejected_sharpness=None if sharpness is None else sharpness[:, 1],
    )


def _by_bin(
    ratios: Tensor, losses: Tensor, places: Tensor, often: Tensor, counts: tuple[int, ...], beta: float
) -> dict[str, Tensor]:
    """Unweighted loss, implicit reward margin and accuracy of the pairs of each third by confidence."""
    margins = beta * (ratios[:, 0] - ratios[:, 1])
    columns = torch.stack([losses, margins, (margins > 0).double()])
    found: dict[str, Tensor] = {}
    for number, name in enumerate(BINS):
        if counts[number]:
            means = columns @ (often * (places == number) / counts[number])
            found |= zip((f"bins/{name}/{what}" for what in ("losses", "margins", "accuracies")), means, strict=True)
    return found


def _metrics(policy: Tensor, reference: Tensor, w: Tensor, beta: float, share: Tensor) -> dict[str, Tensor]:
    """This micro-batch's share of the batch means, (B,) share by pair; rewards: beta times log-ratios, in nats."""
    rewards = beta * (policy - reference)
    margins = rewards[:, 0] - rewards[:, 1]
    columns = torch.stack(
        [rewards[:, 0], rewards[:, 1], margins, (margins > 0).double(), policy[:, 0], policy[:, 1], w]
    )
    names = ("chosen", "rejected", "margins", "accuracies")
    keys = [*(f"rewards/{name}" for name in names), "logps/chosen", "logps/rejected", "mean_weight"]
    return dict(zip(keys, (columns @ share).unbind(), strict=True))
