"""The weak annotator: a backbone with a scalar head tuned on human labels, and the temperature that calibrates it.

A trained gold reward is the same thing on other pairs, so `train_scorer` serves both. Two kinds: "bradley_terry" scores
each response, "joint" reads both responses together, in both orders (PairRM, CW-PO appendix J.9).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from cwpo.data.pairs import load_part, split_labeled
from cwpo.data.relabels import labels_of
from cwpo.data.split import count_swapped
from cwpo.data.tokens import PairTokens, pair_tokens
from cwpo.errors import DataError
from cwpo.models.load import ModelRef, context_length, load_annotator, model_ref
from cwpo.models.logps import ForwardPath, forward_path, response_scores
from cwpo.models.reading import read, values_of
from cwpo.models.text.shown import FIRST_BATCH, first_batch
from cwpo.models.tokenization import Encoded, EncodedSet, cut_left, encode_pairs, fit
from cwpo.parallel.ranks import ALONE
from cwpo.records import CandidatePair
from cwpo.stages.context import StageContext, WorkContext
from cwpo.stages.settings import AnnotatorSettings, CalibrationSettings, ScorerSettings
from cwpo.statistics import calibration
from cwpo.training.checkpoints import ExtraState
from cwpo.training.finishing import diverged, save_trained
from cwpo.training.loop import Batches, History, Micro, TrainResult, in_step, micro_batches, steady_packing, train
from cwpo.training.root import Reading, loading, local
from cwpo.training.weighting import Floats

BRADLEY_TERRY, JOINT = "bradley_terry", "joint"
_NO_LIMIT = 1 << 30  # tokens


def run_annotator(ctx: StageContext[AnnotatorSettings]) -> dict[str, Any]:
    """Train on the human labels of the labeled part."""
    settings, pairs = ctx.settings, labeled_pairs(ctx)
    chosen_by = settings.heldout_fraction if settings.early_stopping else None
    summary = train_scorer(ctx, pairs, heldout_fraction=chosen_by, form="annotator")
    return {**summary, **count_swapped(pairs, settings.swapped_labels)}


def labeled_pairs(ctx: StageContext[AnnotatorSettings]) -> list[CandidatePair]:
    """The labeled part of the data."""
    return load_part(ctx.inputs["data"], "labeled", ctx.settings, labels_of(ctx))


def train_scorer(
    ctx: StageContext[ScorerSettings], pairs: Sequence[CandidatePair], *, heldout_fraction: float | None, form: Any
) -> dict[str, Any]:
    """Train a scalar head and its backbone on human labels and store them.

    heldout_fraction: that share of the pairs, by prompt, is held out and the epoch with the lowest held-out negative
    log-likelihood is kept; None trains on all pairs and keeps the last epoch.
    """
    settings = ctx.settings
    labeled = [pair for pair in pairs if pair.human_label is not None]
    heldout: list[CandidatePair] = []
    if heldout_fraction is not None:
        heldout, labeled = split_labeled(labeled, heldout_fraction, settings.seed)
    model, tokenizer = load_annotator(
        model_ref(ctx.inputs, "base", settings),
        store=ctx.store,
        **loading(ctx),
        seed=settings.seed,
        dropout=settings.dropout,
    )
    context = context_length(model, settings.max_length)
    tokens = pair_tokens(ctx, tokenizer) if "data" in ctx.inputs else None  # pairs of no artifact have none stored
    encoded = encode_candidates(labeled, tokenizer, context, settings.kind, tokens)
    if not encoded.rows:
        raise DataError("No labeled pair fits the annotator's context: raise data.label_fraction or model.max_length.")
    checked = encode_candidates(heldout, tokenizer, context, settings.kind, tokens).rows
    labels = {pair.pair_id: 0 if pair.human_label == "a" else 1 for pair in pairs}
    ctx.reporter.shown(FIRST_BATCH, _first_batch(encoded.rows, labels, tokenizer, settings))
    extra = ExtraState()
    result = train_bradley_terry(model, encoded.rows, labels, ctx, heldout=checked, extra=extra)
    save_trained(model, tokenizer, ctx, form=form, parent=None, also=result.history.write)
    return {
        "steps": result.steps,
        "first_step": result.first_step,
        "final_loss": result.final_loss,
        "pairs": len(encoded.rows),
        "heldout_pairs": len(checked),
        "best_epoch": extra.values.get("epoch"),
        "heldout_nll": extra.values.get("nll"),
        "tokens": sum(row.tokens for row in encoded.rows),
        **encoded.counts(),
    }


def _first_batch(
    rows: list[Encoded], labels: dict[str, int], tokenizer: Any, settings: ScorerSettings
) -> dict[str, Any]:
    """The pairs of the first step; a joint annotator reads both answers as one, in both orders."""
    ids = [row.pair_id for row in rows]
    first = Batches(ids=ids, batch_size=settings.train.batch_size, seed=settings.seed).rows(0).tolist()
    by_label = {JOINT: (("chosen, rejected", "rejected, chosen"), ("rejected, chosen", "chosen, rejected"))}
    named = by_label.get(settings.kind, (("chosen", "rejected"), ("rejected", "chosen")))
    names = {at: named[labels[rows[at].pair_id]] for at in first}
    return first_batch(rows, first, tokenizer, counts="scores", names=names)


def run_calibration(ctx: StageContext[CalibrationSettings]) -> dict[str, Any]:
    """Train an annotator without a share of its labels, and fit the temperature T of sigma(margin / T) on that share.

    The annotator that labels is trained on all of its labels; T is that of its twin (Guo et al. 2017).
    """
    settings = ctx.settings
    heldout, rest = split_labeled(labeled_pairs(ctx), settings.heldout_fraction, settings.seed)
    chosen_by = settings.heldout_fraction if settings.early_stopping else None
    trained = train_scorer(ctx, rest, heldout_fraction=chosen_by, form="annotator")
    if not ctx.execution.ranks.is_first():  # few pairs, and the twin lies where the first rank wrote it
        return {}
    ctx = replace(ctx, execution=replace(ctx.execution, ranks=ALONE))
    twin = ModelRef(artifact=ctx.out)
    model, tokenizer = load_annotator(
        twin, store=ctx.store, device=ctx.device, seed=0, dropout=0.0, frozen_in=settings.precision
    )
    path = forward_path(model.eval(), device=ctx.device, precision=settings.precision, log=ctx.reporter.log)
    context = context_length(model, settings.max_length)
    rows = encode_candidates(heldout, tokenizer, context, settings.kind, pair_tokens(ctx, tokenizer)).rows
    if not rows:
        raise DataError("No labeled pair is left to fit a temperature on: raise annotator.heldout_fraction.")
    label = {pair.pair_id: pair.human_label for pair in heldout}
    difference = margins_of(path, rows, ctx, settings.kind)
    right = np.array([(value >= 0) == (label[row.pair_id] == "a") for value, row in zip(difference, rows, strict=True)])
    margin = np.abs(difference)
    temperature = calibration.fit_temperature(margin, right)
    return {
        "temperature": temperature,
        "n": len(rows),
        "accuracy": float(right.mean()),
        "nll_raw": calibration.log_loss(calibration.confidence(margin), right),
        "nll_scaled": calibration.log_loss(calibration.confidence(margin / temperature), right),
        "steps": trained["steps"],
        "pairs": trained["pairs"],
    }


def encode_candidates(
    pairs: Iterable[CandidatePair], tokenizer: Any, max_length: int, kind: str, tokens: PairTokens | None = None
) -> EncodedSet:
    """Ids that the annotator reads: both responses, or for "joint" both orders of the two behind the prompt.

    tokens: the stored ids of these pairs, where they are of a data artifact.
    """
    limit = _NO_LIMIT if kind == JOINT else max_length
    if tokens is None:
        whole = encode_pairs(pairs, tokenizer, max_length=limit)
    else:
        whole = fit(tokens.pairs(pairs), tokenizer, limit)
    if kind != JOINT:
        return whole
    rows, truncated, dropped = [], 0, 0
    for row in whole.rows:
        a, b = row.responses
        room = max_length - len(a) - len(b)
        if room < 1:
            dropped += 1
            continue
        orders = (np.concatenate([a, b]), np.concatenate([b, a]))
        truncated += len(row.prompt_ids) > room
        prompt = np.asarray(cut_left(row.prompt_ids.tolist(), room, tokenizer), dtype=np.int64)
        rows.append(replace(row, prompt_ids=prompt, responses=orders))
    return EncodedSet(rows, truncated, dropped, whole.control_tokens)


def margins_of(path: ForwardPath, rows: list[Encoded], ctx: WorkContext, kind: str) -> Floats:
    """Signed margins, positive where a wins, (N,) float64, without gradient."""
    stopped = "Stopped while held-out labels were scored; retry the run to go on."
    return values_of(ctx, rows, lambda batch: _margins(path, batch, kind), stopped=stopped, columns=1)[:, 0]


def train_bradley_terry(
    model: Any,
    rows: list[Encoded],
    labels: dict[str, int],
    ctx: StageContext[ScorerSettings],
    *,
    heldout: list[Encoded],
    extra: ExtraState,
) -> TrainResult:
    """The loop on -log sigma(score(chosen) - score(rejected)) (eq. 5); labels: pair id -> chosen column, 0 or 1."""
    settings, training = ctx.settings, ctx.settings.train
    ctx = steady_packing(ctx, model)
    path = forward_path(model, device=ctx.device, precision=settings.precision, log=ctx.reporter.log)
    batches = Batches(ids=[row.pair_id for row in rows], batch_size=training.batch_size, seed=settings.seed)
    steps = batches.steps(training.epochs)
    torch.manual_seed(settings.seed)  # dropout
    model.train()

    def after_step(done: int, history: History, reading: Reading) -> None:
        if heldout and (done % batches.per_epoch == 0 or done == steps):
            own = reading(lambda: heldout_nll(path, heldout, labels, in_step(ctx), settings.kind))
            nll = ctx.execution.ranks.gather(own)[0]  # the ranks keep the same epoch
            if not np.isfinite(nll):
                raise diverged(ctx, f"The held-out loss is {nll} at step {done}")
            history.add(done, {"heldout_nll": nll})
            ctx.reporter.metrics(done, {"heldout_nll": nll})
            if nll < extra.values.get("nll", np.inf):
                extra.values |= {"nll": nll, "epoch": -(-done // batches.per_epoch)}
                extra.tensors |= {name: local(p.detach()).cpu().clone() for name, p in model.named_parameters()}

    result = train(
        model,
        lambda step: micro_batches(rows, (chosen := batches.rows(step)), ctx, share=1 / len(chosen)),
        LOSSES[settings.kind](path, rows, labels, ctx.device),
        steps=steps,
        config=training,
        ctx=ctx,
        extra=extra,
        after_step=after_step,
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in extra.tensors:
                local(parameter).copy_(extra.tensors[name])
    return result


def bradley_terry_loss(
    path: ForwardPath, rows: list[Encoded], labels: dict[str, int], device: str
) -> Callable[[Micro], tuple[Tensor, dict[str, Tensor]]]:
    """Mean over pairs of -log sigma(margin of the human choice), and how often that margin is positive."""
    signs = torch.tensor([1.0 - 2.0 * labels[row.pair_id] for row in rows], dtype=torch.float64, device=device)

    def share_of(micro: Micro) -> tuple[Tensor, dict[str, Tensor]]:
        batch = micro.batch.to(device)
        margins = _margins(path, batch) * signs[batch.indices]
        accuracy = (margins.detach() > 0).double().sum() * micro.share
        return softplus(-margins).sum() * micro.share, {"accuracy": accuracy}

    return share_of


def joint_loss(
    path: ForwardPath, rows: list[Encoded], labels: dict[str, int], device: str
) -> Callable[[Micro], tuple[Tensor, dict[str, Tensor]]]:
    """Mean over pairs of -[log sigma(f(x, y+, y-)) + log(1 - sigma(f(x, y-, y+)))] (CW-PO appendix J.9)."""
    signs = torch.tensor([1.0 - 2.0 * labels[row.pair_id] for row in rows], dtype=torch.float64, device=device)

    def share_of(micro: Micro) -> tuple[Tensor, dict[str, Tensor]]:
        batch = micro.batch.to(device)
        orders = response_scores(path, batch).double().view(-1, 2) * signs[batch.indices, None]
        accuracy = (orders.detach() @ orders.new_tensor([1.0, -1.0]) > 0).double().sum() * micro.share
        return (softplus(-orders[:, 0]) + softplus(orders[:, 1])).sum() * micro.share, {"accuracy": accuracy}

    return share_of


LOSSES = {BRADLEY_TERRY: bradley_terry_loss, JOINT: joint_loss}


def heldout_nll(path: ForwardPath, rows: list[Encoded], labels: dict[str, int], ctx: WorkContext, kind: str) -> float:
    """Mean negative log-likelihood of held-out human labels, dropout off."""
    was_training = path.model.training
    path.model.eval()
    total = 0.0
    stopped = "Stopped while held-out labels were scored; retry the run to go on from its checkpoint."
    for indices, margins in read(ctx, rows, lambda batch: _margins(path, batch, kind), stopped=stopped):
        signs = torch.tensor([1.0 - 2.0 * labels[rows[index].pair_id] for index in indices.tolist()])
        total += float(softplus(-margins * signs).sum())
    path.model.train(was_training)
    return total / len(rows)


def _margins(path: ForwardPath, batch: Any, kind: str = BRADLEY_TERRY) -> Tensor:
    """score(a) - score(b), (B,) float64; of a joint annotator half of f(x, a, b) - f(x, b, a)."""
    scores = response_scores(path, batch).double().view(-1, 2)
    difference = scores[:, 0] - scores[:, 1]
    return difference / 2 if kind == JOINT else difference
