"""Fresh pairs: two answers that the policy samples now to each prompt, with the labels, weights and log-probabilities.

The annotator labels and weighs them exactly as it does stored pairs. What is sampled depends on the policy, the stage's
seed, the step and the prompt alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from cwpo.annotation.labeling import annotations, scorer_of
from cwpo.errors import ConfigError, DataError
from cwpo.evaluation.engines.contract import Question, Written
from cwpo.evaluation.engines.native import native
from cwpo.evaluation.generation import spoken
from cwpo.models.load import PolicyModel, context_length
from cwpo.models.logps import ForwardPath, forward_path, response_logps
from cwpo.models.reading import values_of
from cwpo.models.text.reader import reader_of
from cwpo.models.tokenization import Encoded, cut_left
from cwpo.records import CandidatePair, Side
from cwpo.reporting import InParts
from cwpo.sandbox.oracle import utility
from cwpo.stages.context import StageContext
from cwpo.stages.online import ANSWERS, OnlineSettings
from cwpo.training.align import fitted
from cwpo.training.weighting import Floats, weigh

STOPPED = "Stopped while fresh pairs were sampled; retry the run to go on from the last checkpoint."
SAMPLED, LABELED = 0.7, 0.85  # of the work on fresh pairs, what is done after sampling and after labeling
Occasion = tuple[int, int]  # 0-based step, and the row of its prompt among the pool's
Labeler = Callable[[list[CandidatePair], int], "Labels"]


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What somebody says of pairs, by pair id; a pair that does not fit the annotator has none."""

    rows: Mapping[str, Mapping[str, Any]]  # score_a, score_b, label, and of an annotator margin, spread, confidence


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What fresh pairs are made with; all of it stays the same from one sampling to the next but the policy."""

    policy: PolicyModel
    ctx: StageContext[OnlineSettings]  # its reporter is `work`
    work: InParts
    path: ForwardPath  # of the policy
    frozen: ForwardPath  # of the reference
    label: Labeler
    pool: Sequence[CandidatePair]  # whose prompts are answered
    prompts: Sequence[list[int]]  # their ids


def sources(ctx: StageContext[OnlineSettings], policy: PolicyModel, frozen: Any, pool: list[CandidatePair]) -> Sources:
    """The annotator is loaded, and the prompts of the pool are cut so that an answer fits behind each."""
    settings = ctx.settings
    room = context_length(policy.model, settings.max_length) - settings.decoding.max_new_tokens
    if room < 1:
        raise ConfigError(
            "align.online.max_new_tokens",
            f"{settings.decoding.max_new_tokens} leaves no room for a prompt in a context of "
            f"{room + settings.decoding.max_new_tokens} tokens: lower it.",
        )
    work = InParts(ctx.reporter)
    ctx = replace(ctx, reporter=work)
    whole = reader_of(policy.tokenizer).prompts([(pair.prompt, pair.messages) for pair in pool])
    paths = (
        forward_path(model, device=ctx.device, precision=settings.precision, log=ctx.reporter.log)
        for model in (policy.model, frozen)
    )
    return Sources(
        policy=policy,
        ctx=ctx,
        work=work,
        path=next(paths),
        frozen=next(paths),
        label=_annotator(ctx) if settings.labels is not None else _truth,
        pool=pool,
        prompts=[cut_left(ids, room, policy.tokenizer) for ids in whole],
    )


def fresh_pairs(given: Sources, occasions: Sequence[Occasion], number: int, part: tuple[float, float]) -> pa.Table:
    """The pairs of these occasions, one row each in their order. number: which sampling it is; part: shares of the
    stage's work before and after it."""
    ctx, work = given.ctx, given.work
    start, end = part
    model, trained = given.policy.model, given.policy.model.training
    model.eval()
    devices = [ctx.device] if ctx.device.startswith("cuda") else []
    try:
        with torch.random.fork_rng(devices=devices):  # an annotator with dropout draws; the training goes on as it was
            work.part(start, start + SAMPLED * (end - start))
            written = _written(given, occasions)
            pairs = _as_pairs(given, occasions, written)
            work.part(start + SAMPLED * (end - start), start + LABELED * (end - start))
            labels = given.label([pair for pair in pairs if pair.response_a != pair.response_b], number)
            work.part(start + LABELED * (end - start), end)
            ids = [(a.ids, b.ids) for a, b in written]
            logps = _logps(given, encoded(given, occasions, ids))
    finally:
        model.train(trained)
    return _table(ctx, occasions, pairs, ids, labels, logps)


def encoded(given: Sources, occasions: Sequence[Occasion], ids: Sequence[tuple[list[int], list[int]]]) -> list[Encoded]:
    """The pairs as the policy wrote them: its own ids, with the end-of-text token where it was drawn."""
    return [
        Encoded(
            pair_id=_id(given.pool[row], step),
            prompt_ids=np.asarray(given.prompts[row], dtype=np.int64),
            responses=tuple(np.asarray(answer, dtype=np.int64) for answer in answers),
        )
        for (step, row), answers in zip(occasions, ids, strict=True)
    ]


def written_in(table: pa.Table) -> list[tuple[list[int], list[int]]]:
    """The ids of both answers of every stored fresh pair."""
    return list(zip(table["ids_a"].to_pylist(), table["ids_b"].to_pylist(), strict=True))


def _id(pair: CandidatePair, step: int) -> str:
    """A prompt is answered anew each time its turn comes."""
    return f"{step + 1}:{pair.pair_id}"


def _written(given: Sources, occasions: Sequence[Occasion]) -> list[tuple[Written, Written]]:
    """Two sampled answers per occasion."""
    ctx, settings = given.ctx, given.ctx.settings
    engine = native(
        given.policy.model,
        given.policy.tokenizer,
        settings.decoding,
        settings.seed,
        device=ctx.device,
        precision=settings.precision,
        tokens_per_batch=ctx.execution.tokens_per_batch,
        fixed=settings.batches,
    )
    questions = [
        Question(prompt_id=_id(given.pool[row], step), sample=sample, prompt_ids=given.prompts[row])
        for step, row in occasions
        for sample in range(ANSWERS)
    ]
    found: dict[tuple[str, int], Written] = {}
    for batch in engine.batches(questions, frozenset()):
        found |= {one.key: one for one in engine.answers(batch, ctx.should_stop)}
        ctx.reporter.share(len(found) / len(questions))
    answers = [found[question.key] for question in questions]
    return list(zip(answers[::ANSWERS], answers[1::ANSWERS], strict=True))


def _as_pairs(
    given: Sources, occasions: Sequence[Occasion], written: Sequence[tuple[Written, Written]]
) -> list[CandidatePair]:
    """The answers as texts, beside their prompts; what people said of other answers is gone."""
    pairs = []
    for (step, row), answers in zip(occasions, written, strict=True):
        a, b = (spoken(answer, given.policy.tokenizer).text for answer in answers)
        pair = given.pool[row]
        known = pair.utility_a is not None  # in the sandbox
        ua, ub = (utility(pair.prompt, text) for text in (a, b)) if known else (None, None)
        better: Side | None = None if ua is None or ub is None or ua == ub else "a" if ua > ub else "b"
        pairs.append(
            replace(
                pair, pair_id=_id(pair, step), response_a=a, response_b=b, human_label=None, true_label=better,
                utility_a=ua, utility_b=ub,
            )
        )  # fmt: skip
    return pairs


def _annotator(ctx: StageContext[OnlineSettings]) -> Labeler:
    """The annotator's scores and what follows from them, by the function that labels stored pairs."""
    untyped: Any = ctx
    score = scorer_of(replace(untyped, settings=ctx.settings.labels), fresh=True)

    def label(pairs: list[CandidatePair], number: int) -> Labels:
        rows, scores = score(pairs, number)
        found = annotations(pairs, rows.rows, scores).to_pylist()
        return Labels(rows={row["pair_id"]: row for row in found})

    return label


def _truth(pairs: list[CandidatePair], number: int) -> Labels:
    """The sandbox's true utility; two answers of the same utility have no label."""
    if any(pair.utility_a is None for pair in pairs):
        raise DataError("True labels of new answers are known in the sandbox only: choose a method with weak labels.")
    return Labels(
        rows={
            pair.pair_id: {"score_a": pair.utility_a, "score_b": pair.utility_b, "label": pair.true_label}
            for pair in pairs
            if pair.true_label is not None
        }
    )


def _logps(given: Sources, rows: list[Encoded]) -> Floats:
    """log π of both answers under the policy and under the reference, in nats, (N, 4)."""
    half, columns = 0.5, []
    for at, path in enumerate((given.path, given.frozen)):
        share = (at * half, (at + 1) * half)
        columns.append(
            values_of(given.ctx, rows, partial(response_logps, path), stopped=STOPPED, columns=ANSWERS, part=share)
        )
    return np.concatenate(columns, axis=1)


def _table(
    ctx: StageContext[OnlineSettings],
    occasions: Sequence[Occasion],
    pairs: Sequence[CandidatePair],
    ids: Sequence[tuple[list[int], list[int]]],
    labels: Labels,
    logps: Floats,
) -> pa.Table:
    """One row per pair. `used`: it has a label, its answers differ, and the weighting keeps it."""
    known = [place for place, pair in enumerate(pairs) if pair.pair_id in labels.rows]
    said = [labels.rows[pairs[place].pair_id] for place in known]
    margins, spread = (
        np.array([np.nan if row.get(name) is None else row[name] for row in said], dtype=np.float64)
        for name in ("margin", "spread")
    )
    weights = weigh(fitted(ctx), margins, ids=[pairs[place].pair_id for place in known], spread=spread)
    w = np.zeros((len(pairs), 2))
    used = np.zeros(len(pairs), dtype=bool)
    places = np.array(known, dtype=np.int64)[weights.kept]
    w[places] = np.stack([weights.w, weights.w_swapped], axis=1)
    used[places] = True
    by_name = {
        name: pa.array([labels.rows.get(pair.pair_id, {}).get(name) for pair in pairs], kind)
        for name, kind in (
            ("score_a", pa.float64()), ("score_b", pa.float64()), ("margin", pa.float64()), ("spread", pa.float64()),
            ("label", pa.string()), ("confidence", pa.float64()),
        )
    }  # fmt: skip
    return pa.table(
        {
            "step": [step + 1 for step, _ in occasions],
            "pair_id": [pair.pair_id.partition(":")[2] for pair in pairs],
            "prompt_id": [pair.prompt_id for pair in pairs],
            "prompt": [pair.prompt for pair in pairs],
            "response_a": [pair.response_a for pair in pairs],
            "response_b": [pair.response_b for pair in pairs],
            "ids_a": pa.array([a for a, _ in ids], pa.list_(pa.int64())),
            "ids_b": pa.array([b for _, b in ids], pa.list_(pa.int64())),
            "identical": [pair.response_a == pair.response_b for pair in pairs],
            **by_name,
            "used": used,
            "weight": w[:, 0],
            "weight_swapped": w[:, 1],
            "logp_a": logps[:, 0],
            "logp_b": logps[:, 1],
            "reference_logp_a": logps[:, 2],
            "reference_logp_b": logps[:, 3],
            "utility_a": pa.array([pair.utility_a for pair in pairs], pa.float64()),
            "utility_b": pa.array([pair.utility_b for pair in pairs], pa.float64()),
        }
    )
