"""The labels stage: every unlabeled pair gets two scores, a margin, a label and a confidence, window by window.

The margin is the mean over annotators and passes where there are several, and their SD stands beside it: "the
annotator is unsure" is another thing than "the two answers are close".
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from cwpo import seeded
from cwpo.annotation import bag_of_words
from cwpo.annotation.annotator import JOINT, encode_candidates
from cwpo.annotation.attributes import LabelAttributes
from cwpo.annotation.summary import summarise
from cwpo.annotation.trained_on import TrainedOn, trained_on
from cwpo.config.parts import DROPOUT_TOKENS
from cwpo.data.pairs import PAIRS_FILE
from cwpo.data.relabels import relabels_of, with_relabels
from cwpo.data.split import Split, relabel, split_file, swap_labels
from cwpo.data.tokens import pair_tokens
from cwpo.errors import Damaged, brief
from cwpo.full_disk import waits_for_room
from cwpo.models.load import ModelRef, context_length, load_annotator, load_policy, model_ref
from cwpo.models.logps import ForwardPath, forward_path, response_logps, response_scores
from cwpo.models.reading import WHOLE, values_of
from cwpo.models.tokenization import Encoded, EncodedSet, PackedBatch, encode_pairs, fit
from cwpo.records import CandidatePair
from cwpo.reporting import InParts
from cwpo.sealed import read_sealed, set_aside, write_sealed
from cwpo.stages.context import StageContext, WorkContext
from cwpo.stages.settings import ImplicitSettings, LabelSettings, SwapSettings
from cwpo.stages.stored_annotator import stored_annotator
from cwpo.statistics import calibration
from cwpo.training.preferences import ANNOTATIONS_FILE
from cwpo.training.weighting import Floats

STOPPED = "Stopped while labeling; retry the run to go on from the last finished window."
SCORING = 0.85  # the share of the work that is scoring; the smaller the annotator, the more is reading and summing up
MOST_JUDGED = 200_000  # labels compared with human labels, approximately; sums are over all labels
_CONTROL = b"control_tokens"  # in the metadata of a window: its pairs that hold one
_WINDOW = 4096  # pairs in memory at once while labeling; they are sorted by length inside it
_SCHEMA = pa.schema(
    [("pair_id", pa.string())]
    + [(name, pa.float64()) for name in ("score_a", "score_b", "margin", "spread")]
    + [("label", pa.string()), ("confidence", pa.float64()), ("human_label", pa.string()), ("true_label", pa.string())]
    + [(name, pa.int64()) for name in ("chars_a", "chars_b")]
)
_VOTES = pa.field("agreement", pa.float64())
# Pairs and the number of their window -> them as ids, and the scores of a and b by each annotator and pass.
Scorer = Callable[[list[CandidatePair], int], tuple[EncodedSet, Floats]]


def run_labels(ctx: StageContext[LabelSettings]) -> dict[str, Any]:
    """Label every unlabeled pair; finished windows survive a kill. Human labels are only copied to the output.

    Several ranks share the batches of a window; the first of them writes.
    """
    settings, ranks, work = ctx.settings, ctx.execution.ranks, InParts(ctx.reporter)
    ctx = replace(ctx, reporter=work)
    score = scorer_of(ctx)
    file = ctx.inputs["data"] / PAIRS_FILE
    split = with_relabels(split_file(file, settings), relabels_of(ctx))
    rival = bag_of_words.fit(_labeled_windows(file, split, settings.swapped_labels))
    share = min(1.0, MOST_JUDGED / max(split.unlabeled_pairs, 1))
    seen = LabelAttributes(rival=rival, share=share, trained_on=_met(ctx, file, split))
    parts, dropped, control, done, begun = [], 0, 0, 0, 0
    finished = set(ranks.gather(_finished(ctx) if ranks.is_first() else None)[0])
    for index, window in enumerate(_windows(file)):
        ctx.stop_together(STOPPED)
        part = ctx.checkpoints / f"annotations-{index:06d}.sealed"
        hidden = [pair for pair in window if split.holds("unlabeled", pair)]
        start, begun = begun, begun + len(hidden)
        work.part(*(SCORING * number / max(split.unlabeled_pairs, 1) for number in (start, begun)))
        scored = None if part.name in finished else score(hidden, index)
        if not ranks.is_first():
            continue
        if scored is not None:
            encoded, scores = scored
            table = annotations(hidden, encoded.rows, scores, votes=settings.votes)
            write_window(table.replace_schema_metadata({_CONTROL: str(encoded.control_tokens)}), part)
        parts.append(part)
        labeled = read_window(part)
        control += int((labeled.schema.metadata or {}).get(_CONTROL, 0))
        seen.add(hidden, labeled)
        dropped += len(hidden) - labeled.num_rows
        done += len(hidden)
        ctx.reporter.progress(done, split.unlabeled_pairs, "pairs")
    if not ranks.is_first():
        return {}
    _join(parts, ctx.out / ANNOTATIONS_FILE, votes=settings.votes)
    known = _labeled_windows(file, split, settings.swapped_labels)
    counts = {"dropped": dropped, **({"control_tokens": control} if control else {})}
    work.part(SCORING, 1.0)
    summary = {**summarise(ctx.out / ANNOTATIONS_FILE, known, seen), **counts}
    work.share(1.0)
    return summary


def _met(ctx: StageContext[LabelSettings], file: Path, split: Split) -> TrainedOn | None:
    """What an existing annotator was trained on of the pairs that it labels; None where it is judged on all of them."""
    settings = ctx.settings
    if settings.judged == "all" or settings.use is None or not ctx.execution.ranks.is_first():
        return None
    hidden = (pair for window in _windows(file) for pair in window if split.holds("unlabeled", pair))
    return trained_on(ctx.store, settings.use, hidden, tasks=settings.judged == "unseen_tasks")


def scorer_of(ctx: StageContext[LabelSettings], *, fresh: bool = False) -> Scorer:
    """The scorer of these settings. fresh: of pairs that no data artifact holds, whose texts are read as they come."""
    implicit = ctx.settings.implicit
    return head_scorer(ctx, fresh=fresh) if implicit is None else implicit_scorer(ctx, implicit, fresh=fresh)


def head_scorer(ctx: StageContext[LabelSettings], *, fresh: bool = False) -> Scorer:
    """Annotators with a scalar head. With label_dropout their dropout stays on, seeded by window and pass."""
    settings, dropout = ctx.settings, ctx.settings.label_dropout
    tokens = DROPOUT_TOKENS if dropout else None
    folders, kind = _annotators(ctx)
    members = [_load_head(ctx, folder, dropout) for folder in folders]
    times = len(members) * settings.passes
    context = context_length(members[0][0].model, settings.max_length)
    stored = None if fresh else pair_tokens(ctx, members[0][1])

    def score(pairs: list[CandidatePair], window: int) -> tuple[EncodedSet, Floats]:
        encoded = encode_candidates(pairs, members[0][1], context, kind, stored)
        rows = encoded.rows
        columns: list[Floats] = []
        for path, _ in members:
            for number in range(settings.passes):
                torch.manual_seed(seeded.short(f"{settings.seed}:{window}{f':{number}' if number else ''}"))
                part = (len(columns) / times, (len(columns) + 1) / times)
                columns.append(score_pairs(path, rows, ctx, tokens=tokens, part=part))
        scores = np.stack(columns, axis=1) if rows else np.zeros((0, len(columns), 2))
        return encoded, scores / 2 if kind == JOINT else scores

    return score


def implicit_scorer(ctx: StageContext[LabelSettings], settings: ImplicitSettings, *, fresh: bool = False) -> Scorer:
    """Tao & Li: the score of a response is beta log pi(y|x) / pi_start(y|x) under the DPO-trained weak model."""
    tuned, tokenizer = _load_causal_path(ctx, ModelRef(artifact=ctx.inputs["annotator"]))
    frozen, _ = _load_causal_path(ctx, model_ref(ctx.inputs, "annotator_start", settings))
    context = context_length(tuned.model, ctx.settings.max_length)
    stored = None if fresh else pair_tokens(ctx, tokenizer)

    def ratios(batch: PackedBatch) -> Tensor:
        return response_logps(tuned, batch) - response_logps(frozen, batch)

    def score(pairs: list[CandidatePair], window: int) -> tuple[EncodedSet, Floats]:
        if stored is None:
            encoded = encode_pairs(pairs, tokenizer, max_length=context)
        else:
            encoded = fit(stored.pairs(pairs), tokenizer, context)
        scores = settings.beta * values_of(ctx, encoded.rows, ratios, stopped=STOPPED, columns=2, part=WHOLE)
        return encoded, scores[:, None, :]

    return score


def score_pairs(
    path: ForwardPath,
    rows: list[Encoded],
    ctx: WorkContext,
    *,
    tokens: int | None = None,
    stopped: str = STOPPED,
    part: tuple[float, float] | None = None,
) -> Floats:
    """Scores of a and b, (N, 2), float64; tokens: budget of a batch, by default the execution's; part: see `read`."""
    return values_of(ctx, rows, partial(response_scores, path), stopped=stopped, columns=2, tokens=tokens, part=part)


def annotations(pairs: list[CandidatePair], rows: list[Encoded], scores: Floats, *, votes: bool = False) -> pa.Table:
    """The rows of annotations.parquet from scores (N, annotators × passes, 2).

    margin = |mean difference of scores|, confidence = 2 (σ(margin) − ½) (CW-PO eq. 8), spread = SD of the differences
    (null with one annotator and one pass). A tie is labeled "a" with confidence 0; a and b were shuffled beforehand.
    votes: agreement stands there too, the share of annotators × passes whose own difference chooses the label; one that
    has no difference votes half for either answer.
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
    if not votes:
        return pa.table(columns, schema=_SCHEMA)
    for_label = np.where(difference >= 0, 1.0, -1.0)[:, None] * np.sign(differences)
    return pa.table({**columns, _VOTES.name: (0.5 + for_label / 2).mean(axis=1)}, schema=_SCHEMA.append(_VOTES))


def _annotators(ctx: StageContext[LabelSettings]) -> tuple[Sequence[Path], str]:
    """The annotators among the inputs, or the existing one that the configuration names; and their kind."""
    if ctx.settings.use is not None:
        existing = stored_annotator(ctx.store, ctx.settings.use, verify=True)
        return [existing.path], existing.kind
    names = (name for name in ctx.inputs if name.startswith("annotator"))
    folders = [ctx.inputs[name] for name in sorted(names, key=lambda name: (len(name), name))]
    return folders, ctx.settings.kind


def _load_head(ctx: StageContext[LabelSettings], folder: Path, dropout: float) -> tuple[ForwardPath, Any]:
    ref, precision = ModelRef(artifact=folder), ctx.settings.precision
    model, tokenizer = load_annotator(
        ref, store=ctx.store, device=ctx.device, seed=0, dropout=dropout or None, frozen_in=precision
    )
    model.train(dropout > 0)
    path = forward_path(model, device=ctx.device, precision=precision, log=ctx.reporter.log)
    return path, tokenizer


def _load_causal_path(ctx: StageContext[LabelSettings], ref: ModelRef) -> tuple[ForwardPath, Any]:
    precision = ctx.settings.precision
    policy = load_policy(
        ref, store=ctx.store, device=ctx.device, precision=precision, trainable=False, lora=None, seed=0
    )
    path = forward_path(policy.model.eval(), device=ctx.device, precision=precision, log=ctx.reporter.log)
    return path, policy.tokenizer


def _windows(file: Path) -> Iterator[list[CandidatePair]]:
    for batch in pq.ParquetFile(file).iter_batches(batch_size=_WINDOW):
        yield [CandidatePair(**row) for row in batch.to_pylist()]


def _labeled_windows(file: Path, split: Split, swaps: SwapSettings | None) -> Iterator[list[CandidatePair]]:
    """The labeled part as the annotator learned from it, swapped labels swapped."""
    return (
        relabel(swap_labels((pair for pair in window if split.holds("labeled", pair)), swaps), split.relabeled)
        for window in _windows(file)
    )


def _finished(ctx: StageContext[Any]) -> list[str]:
    """Names of the windows that are labeled already, every byte as it was written; damaged ones are set aside."""
    found, damaged = [], []
    for path in sorted(ctx.checkpoints.glob("annotations-*.sealed")):
        try:
            read_sealed(path)
            found.append(path.name)
        except Damaged as error:
            set_aside(path)
            damaged.append(str(error))
    if damaged:
        ctx.reporter.noted(
            f"{len(damaged)} of {len(found) + len(damaged)} windows that were labeled before are damaged and set aside "
            f"({brief(Exception('; '.join(damaged)))}): they are labeled again."
        )
    return found


def write_window(table: pa.Table, path: Path) -> None:
    """Keep a finished window, whole and with a checksum."""
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    write_sealed(path, buffer.getvalue().to_pybytes())


def read_window(path: Path) -> pa.Table:
    """A finished window, every byte as it was written; Damaged, with what to do, where it is not."""
    try:
        return pq.read_table(pa.BufferReader(read_sealed(path)))
    except Damaged as error:
        raise Damaged(f"A window of labels was damaged ({error}): label again, which makes it anew.") from error


@waits_for_room
def _join(parts: list[Path], path: Path, *, votes: bool) -> None:
    schema = _SCHEMA.append(_VOTES) if votes else _SCHEMA
    with pq.ParquetWriter(path, schema) as writer:
        for part in parts:
            writer.write_table(read_window(part).cast(schema))
