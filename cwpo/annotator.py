"""The weak annotator: a backbone with a scalar head, tuned with the Bradley–Terry loss, and the labels it gives.

A trained gold reward is the same thing on other pairs, so `train_scorer` serves both.
"""

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.nn.functional import softplus

from cwpo import bag_of_words, calibration
from cwpo.config import TrainConfig
from cwpo.data import PAIRS_FILE, labeled_prompts, load_pairs, part_of, split_labeled
from cwpo.errors import Cancelled, DataError
from cwpo.execute import StageContext
from cwpo.label_attributes import LabelAttributes
from cwpo.label_summary import summarise
from cwpo.logps import ForwardPath, forward_path, response_scores
from cwpo.models import ModelRef, context_length, load_annotator, model_ref, save_model
from cwpo.preferences import ANNOTATIONS_FILE
from cwpo.records import CandidatePair
from cwpo.tokenization import Encoded, encode_pairs, pack
from cwpo.training import (
    DROPOUT_TOKENS,
    Batches,
    ExtraState,
    History,
    Micro,
    TrainResult,
    micro_batches,
    steady_packing,
    train,
)
from cwpo.weighting import Floats

_WINDOW = 4096  # pairs in memory at once while labeling; they are sorted by length inside it
_SCHEMA = pa.schema(
    [("pair_id", pa.string())]
    + [(name, pa.float64()) for name in ("score_a", "score_b", "margin")]
    + [("label", pa.string()), ("confidence", pa.float64()), ("human_label", pa.string()), ("true_label", pa.string())]
    + [(name, pa.int64()) for name in ("chars_a", "chars_b")]
)


def run_annotator(ctx: StageContext) -> dict[str, Any]:
    """Train on the human labels of the labeled part."""
    config = ctx.config
    pairs = part_of(load_pairs(ctx.inputs["data"]), "labeled", config["label_fraction"], config["split_seed"])
    return train_scorer(
        ctx, pairs, heldout_fraction=config["heldout_fraction"] if config["early_stopping"] else None, form="annotator"
    )


def train_scorer(
    ctx: StageContext, pairs: Sequence[CandidatePair], *, heldout_fraction: float | None, form: Any
) -> dict[str, Any]:
    """Train a scalar head and its backbone on human labels and store them; ctx.config names model, train and seed.

    heldout_fraction: that share of the pairs, by prompt, is held out and the epoch with the lowest held-out negative
    log-likelihood is kept; None trains on all pairs and keeps the last epoch.
    """
    config = ctx.config
    labeled = [pair for pair in pairs if pair.human_label is not None]
    heldout: list[CandidatePair] = []
    if heldout_fraction is not None:
        heldout, labeled = split_labeled(labeled, heldout_fraction, config["seed"])
    model, tokenizer = load_annotator(
        model_ref(ctx.inputs, "base", config),
        store=ctx.store,
        device=ctx.device,
        precision=config["precision"],
        seed=config["seed"],
        dropout=config["dropout"],
    )
    context = min(context_length(model), config["max_length"] or context_length(model))
    encoded = encode_pairs(labeled, tokenizer, max_length=context)
    if not encoded.rows:
        raise DataError("No labeled pair fits the annotator's context: raise data.label_fraction or model.max_length.")
    checked = encode_pairs(heldout, tokenizer, max_length=context).rows
    labels = {pair.pair_id: 0 if pair.human_label == "a" else 1 for pair in pairs}
    extra = ExtraState()
    result = train_bradley_terry(model, encoded.rows, labels, ctx, heldout=checked, extra=extra)
    save_model(model, tokenizer, ctx.out, form=form, parent=None)
    result.history.write(ctx.out)
    return {
        "steps": result.steps,
        "first_step": result.first_step,
        "final_loss": result.final_loss,
        "pairs": len(encoded.rows),
        "heldout_pairs": len(checked),
        "best_epoch": extra.values.get("epoch"),
        "heldout_nll": extra.values.get("nll"),
        "tokens": sum(row.tokens for row in encoded.rows),
        "truncated": encoded.truncated,
        "dropped": encoded.dropped,
    }


def train_bradley_terry(
    model: Any,
    rows: list[Encoded],
    labels: dict[str, int],
    ctx: StageContext,
    *,
    heldout: list[Encoded],
    extra: ExtraState,
) -> TrainResult:
    """The loop on -log sigma(score(chosen) - score(rejected)) (eq. 5); labels: pair id -> chosen column, 0 or 1."""
    config = ctx.config
    settings = TrainConfig(**config["train"])
    ctx = steady_packing(ctx, model)
    path = forward_path(model, device=ctx.device, precision=config["precision"], log=ctx.reporter.log)
    batches = Batches(ids=[row.pair_id for row in rows], batch_size=settings.batch_size, seed=config["seed"])
    steps = batches.steps(settings.epochs)
    torch.manual_seed(config["seed"])  # dropout
    model.train()

    def after_step(done: int, history: History) -> None:
        if heldout and (done % batches.per_epoch == 0 or done == steps):
            nll = heldout_nll(path, heldout, labels, ctx)
            history.add(done, {"heldout_nll": nll})
            ctx.reporter.metrics(done, {"heldout_nll": nll})
            if nll < extra.values.get("nll", np.inf):
                extra.values |= {"nll": nll, "epoch": -(-done // batches.per_epoch)}
                extra.tensors |= {name: p.detach().cpu().clone() for name, p in model.named_parameters()}

    result = train(
        model,
        lambda step: micro_batches(rows, (chosen := batches.rows(step)), ctx, share=1 / len(chosen)),
        bradley_terry_loss(path, rows, labels, ctx.device),
        steps=steps,
        config=settings,
        ctx=ctx,
        extra=extra,
        after_step=after_step,
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in extra.tensors:
                parameter.copy_(extra.tensors[name])
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


def heldout_nll(path: ForwardPath, rows: list[Encoded], labels: dict[str, int], ctx: StageContext) -> float:
    """Mean negative log-likelihood of held-out human labels, dropout off."""
    was_training = path.model.training
    path.model.eval()
    total = 0.0
    for batch in pack(rows, ctx.tokens_per_batch):
        with torch.inference_mode():
            margins = _margins(path, batch.to(ctx.device)).cpu()
        signs = torch.tensor([1.0 - 2.0 * labels[rows[index].pair_id] for index in batch.indices.tolist()])
        total += float(softplus(-margins * signs).sum())
    path.model.train(was_training)
    return total / len(rows)


def _margins(path: ForwardPath, batch: Any) -> Tensor:
    """score(a) - score(b), (B,) float64."""
    scores = response_scores(path, batch).double().view(-1, 2)
    return scores[:, 0] - scores[:, 1]


def run_labels(ctx: StageContext) -> dict[str, Any]:
    """Score both responses of every unlabeled pair, window by window; finished windows survive a kill.

    Human labels are only copied to the output. With label_dropout the annotator keeps its dropout on: one seeded pass.
    """
    config = ctx.config
    dropout = config["label_dropout"]
    model, tokenizer = load_annotator(
        ModelRef(artifact=ctx.inputs["annotator"]),
        store=ctx.store,
        device=ctx.device,
        precision=config["precision"],
        seed=0,
        dropout=dropout or None,
    )
    model.train(dropout > 0)
    path = forward_path(model, device=ctx.device, precision=config["precision"], log=ctx.reporter.log)
    context = min(context_length(model), config["max_length"] or context_length(model))
    file = ctx.inputs["data"] / PAIRS_FILE
    labeled, total = _labeled_prompts(file, config["label_fraction"], config["split_seed"])
    seen = LabelAttributes(rival=bag_of_words.fit(_labeled_windows(file, labeled)))
    parts, dropped, done = [], 0, 0
    for index, window in enumerate(_windows(file)):
        if ctx.should_stop():
            raise Cancelled("Stopped while labeling; retry the run to go on from the last finished window.")
        part = ctx.checkpoints / f"annotations-{index:06d}.parquet"
        hidden = [pair for pair in window if pair.prompt_id not in labeled]
        if not part.exists():
            torch.manual_seed(zlib.crc32(f"{config['seed']}:{index}".encode()))
            encoded = encode_pairs(hidden, tokenizer, max_length=context)
            scores = score_pairs(path, encoded.rows, DROPOUT_TOKENS if dropout else ctx.tokens_per_batch, ctx.device)
            _write_aside(annotations(hidden, encoded.rows, scores), part)
        parts.append(part)
        seen.add(hidden, pq.read_table(part))
        dropped += len(hidden) - pq.read_metadata(part).num_rows
        done += len(hidden)
        ctx.reporter.progress(done, total, "pairs")
    _join(parts, ctx.out / ANNOTATIONS_FILE)
    return {**summarise(ctx.out / ANNOTATIONS_FILE, _labeled_windows(file, labeled), seen), "dropped": dropped}


def score_pairs(path: ForwardPath, rows: list[Encoded], tokens_per_batch: int, device: str) -> Floats:
    """Scores of a and b, (N, 2), float64."""
    scores = torch.zeros((len(rows), 2), dtype=torch.float64)
    for batch in pack(rows, tokens_per_batch):
        with torch.inference_mode():
            scores[batch.indices] = response_scores(path, batch.to(device)).double().view(-1, 2).cpu()
    return scores.numpy()


def annotations(pairs: list[CandidatePair], rows: list[Encoded], scores: Floats) -> pa.Table:
    """The rows of annotations.parquet. A tie is labeled "a" with confidence 0; a and b were shuffled beforehand."""
    by_id = {pair.pair_id: pair for pair in pairs}
    kept = [by_id[row.pair_id] for row in rows]
    difference = scores[:, 0] - scores[:, 1]
    margin = np.abs(difference)
    columns = {
        "pair_id": [pair.pair_id for pair in kept],
        "score_a": scores[:, 0],
        "score_b": scores[:, 1],
        "margin": margin,
        "label": np.where(difference >= 0, "a", "b").tolist(),
        "confidence": calibration.confidence(margin),
        "human_label": [pair.human_label for pair in kept],
        "true_label": [pair.true_label for pair in kept],
        "chars_a": [len(pair.response_a) for pair in kept],
        "chars_b": [len(pair.response_b) for pair in kept],
    }
    return pa.table(columns, schema=_SCHEMA)


def _labeled_prompts(file: Path, fraction: float, seed: int) -> tuple[frozenset[str], int]:
    """Prompts of the labeled part, and how many pairs the unlabeled one has; reads one column, keeps no pair."""
    counted = pc.value_counts(pq.read_table(file, columns=["prompt_id"])["prompt_id"])
    prompts, counts = counted.field("values"), counted.field("counts").to_numpy()
    labeled, taken = labeled_prompts(prompts, counts, fraction, seed)
    return labeled, int(counts.sum()) - taken


def _windows(file: Path) -> Iterator[list[CandidatePair]]:
    for batch in pq.ParquetFile(file).iter_batches(batch_size=_WINDOW):
        yield [CandidatePair(**row) for row in batch.to_pylist()]


def _labeled_windows(file: Path, labeled: frozenset[str]) -> Iterator[list[CandidatePair]]:
    return ([pair for pair in window if pair.prompt_id in labeled] for window in _windows(file))


def _write_aside(table: pa.Table, path: Path) -> None:
    aside = path.with_suffix(".partial")
    pq.write_table(table, aside)
    with aside.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(aside, path)


def _join(parts: list[Path], path: Path) -> None:
    with pq.ParquetWriter(path, _SCHEMA) as writer:
        for part in parts:
            writer.write_table(pq.read_table(part, schema=_SCHEMA))
