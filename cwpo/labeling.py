"""The labels stage: every unlabeled pair gets two scores, a margin, a label and a confidence, window by window.

The margin is the mean over annotators and passes where there are several, and their SD stands beside it: "the
annotator is unsure" is another thing than "the two answers are close".
"""

import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cwpo import bag_of_words, calibration
from cwpo.annotator import BRADLEY_TERRY, JOINT, encode_candidates
from cwpo.config_parts import DROPOUT_TOKENS
from cwpo.data import PAIRS_FILE
from cwpo.data.split import Split, split_file, swap_labels
from cwpo.errors import Cancelled
from cwpo.stages.context import StageContext
from cwpo.label_attributes import LabelAttributes
from cwpo.label_summary import summarise
from cwpo.logps import ForwardPath, forward_path, response_logps, response_scores
from cwpo.models import ModelRef, context_length, load_annotator, load_policy
from cwpo.preferences import ANNOTATIONS_FILE
from cwpo.records import CandidatePair
from cwpo.stored_annotator import stored_annotator
from cwpo.tokenization import Encoded, encode_pairs, pack
from cwpo.weighting import Floats

IMPLICIT = "implicit"
MOST_JUDGED = 200_000  # about so many labels are judged; all are summed
_WINDOW = 4096  # pairs in memory at once while labeling; they are sorted by length inside it
_SCHEMA = pa.schema(
    [("pair_id", pa.string())]
    + [(name, pa.float64()) for name in ("score_a", "score_b", "margin", "spread")]
    + [("label", pa.string()), ("confidence", pa.float64()), ("human_label", pa.string()), ("true_label", pa.string())]
    + [(name, pa.int64()) for name in ("chars_a", "chars_b")]
)
# Pairs and the number of their window -> the rows that fit, and the scores of a and b by each annotator and pass.
Scorer = Callable[[list[CandidatePair], int], tuple[list[Encoded], Floats]]


def run_labels(ctx: StageContext) -> dict[str, Any]:
    """Label every unlabeled pair; finished windows survive a kill. Human labels are only copied to the output."""
    config = ctx.config
    score = implicit_scorer(ctx) if config.get("kind") == IMPLICIT else head_scorer(ctx)
    file = ctx.inputs["data"] / PAIRS_FILE
    split = split_file(file, config)
    rival = bag_of_words.fit(_labeled_windows(file, split, config))
    seen = LabelAttributes(rival=rival, share=min(1.0, MOST_JUDGED / max(split.unlabeled_pairs, 1)))
    parts, dropped, done = [], 0, 0
    for index, window in enumerate(_windows(file)):
        if ctx.should_stop():
            raise Cancelled("Stopped while labeling; retry the run to go on from the last finished window.")
        part = ctx.checkpoints / f"annotations-{index:06d}.parquet"
        hidden = [pair for pair in window if split.has("unlabeled", pair.prompt_id)]
        if not part.exists():
            _write_aside(annotations(hidden, *score(hidden, index)), part)
        parts.append(part)
        seen.add(hidden, pq.read_table(part))
        dropped += len(hidden) - pq.read_metadata(part).num_rows
        done += len(hidden)
        ctx.reporter.progress(done, split.unlabeled_pairs, "pairs")
    _join(parts, ctx.out / ANNOTATIONS_FILE)
    known = _labeled_windows(file, split, config)
    return {**summarise(ctx.out / ANNOTATIONS_FILE, known, seen), "dropped": dropped}


def head_scorer(ctx: StageContext) -> Scorer:
    """Annotators with a scalar head. With label_dropout their dropout stays on, seeded by window and pass."""
    config = ctx.config
    dropout, passes = config["label_dropout"], config.get("passes", 1)
    tokens = DROPOUT_TOKENS if dropout else ctx.tokens_per_batch
    folders, kind = _annotators(ctx)
    members = [_load_head(ctx, folder, dropout) for folder in folders]
    context = min(context_length(members[0][0].model), config["max_length"] or 1 << 20)

    def score(pairs: list[CandidatePair], window: int) -> tuple[list[Encoded], Floats]:
        rows = encode_candidates(pairs, members[0][1], context, kind).rows
        columns = []
        for path, _ in members:
            for number in range(passes):
                torch.manual_seed(zlib.crc32(f"{config['seed']}:{window}{f':{number}' if number else ''}".encode()))
                columns.append(score_pairs(path, rows, tokens, ctx.device))
        scores = np.stack(columns, axis=1) if rows else np.zeros((0, len(columns), 2))
        return rows, scores / 2 if kind == JOINT else scores

    return score


def implicit_scorer(ctx: StageContext) -> Scorer:
    """Tao & Li: the score of a response is beta log pi(y|x) / pi_start(y|x) under the DPO-trained weak model."""
    config = ctx.config
    start = ctx.inputs.get("annotator_start")
    before = ModelRef(artifact=start) if start else ModelRef(name=config["model"], revision=config["revision"])
    tuned, tokenizer = _load_causal_path(ctx, ModelRef(artifact=ctx.inputs["annotator"]))
    frozen, _ = _load_causal_path(ctx, before)
    context = min(context_length(tuned.model), config["max_length"] or 1 << 20)

    def score(pairs: list[CandidatePair], window: int) -> tuple[list[Encoded], Floats]:
        rows = encode_pairs(pairs, tokenizer, max_length=context).rows
        scores = torch.zeros((len(rows), 1, 2), dtype=torch.float64)
        for batch in pack(rows, ctx.tokens_per_batch):
            with torch.inference_mode():
                batch = batch.to(ctx.device)
                ratio = response_logps(tuned, batch) - response_logps(frozen, batch)
            scores[batch.indices.cpu(), 0] = config["beta"] * ratio.view(-1, 2).cpu()
        return rows, scores.numpy()

    return score


def score_pairs(path: ForwardPath, rows: list[Encoded], tokens_per_batch: int, device: str) -> Floats:
    """Scores of a and b, (N, 2), float64."""
    scores = torch.zeros((len(rows), 2), dtype=torch.float64)
    for batch in pack(rows, tokens_per_batch):
        with torch.inference_mode():
            scores[batch.indices] = response_scores(path, batch.to(device)).double().view(-1, 2).cpu()
    return scores.numpy()


def annotations(pairs: list[CandidatePair], rows: list[Encoded], scores: Floats) -> pa.Table:
    """The rows of annotations.parquet from scores (N, annotators × passes, 2).

    A tie is labeled "a" with confidence 0; a and b were shuffled beforehand.
    """
    by_id = {pair.pair_id: pair for pair in pairs}
    kept = [by_id[row.pair_id] for row in rows]
    differences = scores[:, :, 0] - scores[:, :, 1]
    difference = differences.mean(axis=1)
    several = differences.shape[1] > 1
    margin = np.abs(difference)
    columns = {
        "pair_id": [pair.pair_id for pair in kept],
        "score_a": scores[:, :, 0].mean(axis=1),
        "score_b": scores[:, :, 1].mean(axis=1),
        "margin": margin,
        "spread": differences.std(axis=1, ddof=1) if several else [None] * len(kept),
        "label": np.where(difference >= 0, "a", "b").tolist(),
        "confidence": calibration.confidence(margin),
        "human_label": [pair.human_label for pair in kept],
        "true_label": [pair.true_label for pair in kept],
        "chars_a": [len(pair.response_a) for pair in kept],
        "chars_b": [len(pair.response_b) for pair in kept],
    }
    return pa.table(columns, schema=_SCHEMA)


def _annotators(ctx: StageContext) -> tuple[Sequence[Path], str]:
    """The annotators among the inputs, or the existing one that the configuration names; and their kind."""
    if "use" in ctx.config:
        existing = stored_annotator(ctx.store, ctx.config["use"], verify=True)
        return [existing.path], existing.kind
    names = (name for name in ctx.inputs if name.startswith("annotator"))
    folders = [ctx.inputs[name] for name in sorted(names, key=lambda name: (len(name), name))]
    return folders, ctx.config.get("kind", BRADLEY_TERRY)


def _load_head(ctx: StageContext, folder: Path, dropout: float) -> tuple[ForwardPath, Any]:
    precision = ctx.config["precision"]
    model, tokenizer = load_annotator(
        ModelRef(artifact=folder),
        store=ctx.store,
        device=ctx.device,
        precision=precision,
        seed=0,
        dropout=dropout or None,
    )
    model.train(dropout > 0)
    return forward_path(model, device=ctx.device, precision=precision, log=ctx.reporter.log), tokenizer


def _load_causal_path(ctx: StageContext, ref: ModelRef) -> tuple[ForwardPath, Any]:
    precision = ctx.config["precision"]
    policy = load_policy(
        ref, store=ctx.store, device=ctx.device, precision=precision, trainable=False, lora=None, seed=0
    )
    path = forward_path(policy.model.eval(), device=ctx.device, precision=precision, log=ctx.reporter.log)
    return path, policy.tokenizer


def _windows(file: Path) -> Iterator[list[CandidatePair]]:
    for batch in pq.ParquetFile(file).iter_batches(batch_size=_WINDOW):
        yield [CandidatePair(**row) for row in batch.to_pylist()]


def _labeled_windows(file: Path, split: Split, config: Mapping[str, Any]) -> Iterator[list[CandidatePair]]:
    """The labeled part as the annotator learned from it, swapped labels swapped."""
    return (
        swap_labels((pair for pair in window if split.has("labeled", pair.prompt_id)), config)
        for window in _windows(file)
    )


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
