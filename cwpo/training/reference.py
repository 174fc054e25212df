"""Reference log-probabilities, once per (start model, data): shared by every objective, weighting and seed."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cwpo.data.pairs import load_part
from cwpo.data.relabels import labels_of
from cwpo.data.tokens import pair_tokens
from cwpo.errors import DataError
from cwpo.full_disk import when_room
from cwpo.models.load import PolicyModel, context_length, load_policy, model_ref
from cwpo.models.logps import ForwardPath, forward_path, response_logps
from cwpo.models.reading import WHOLE, values_of
from cwpo.models.tokenization import Encoded, fit
from cwpo.records import CandidatePair
from cwpo.stages.context import StageContext, WorkContext
from cwpo.stages.settings import ReferenceSettings
from cwpo.statistics.blind_spots import blind_spots
from cwpo.training.preferences import ANNOTATIONS_FILE
from cwpo.training.whole.mismatched import file_in, of_part

REFERENCE_FILE = "reference.parquet"


def frozen_start(ctx: StageContext[Any]) -> PolicyModel:
    """The model that a stage's alignment starts from, frozen: the reference."""
    settings = ctx.settings
    return load_policy(
        model_ref(ctx.inputs, "start", settings),
        store=ctx.store,
        device=ctx.device,
        precision=settings.precision,
        trainable=False,
        lora=None,
        seed=0,
        parents=settings.parents,
        quantization=settings.quantization,
    )


def run_reference(ctx: StageContext[ReferenceSettings]) -> dict[str, Any]:
    """Write reference.parquet: pair_id, logp_a, logp_b (nats), tokens_a, tokens_b (end-of-text included).

    Where mismatched answers are asked for, mismatched.parquet says the same of them, under the ids of their prompts.
    """
    settings = ctx.settings
    policy = frozen_start(ctx)
    context = context_length(policy.model, settings.max_length)
    part = load_part(ctx.inputs["data"], settings.part, settings, labels_of(ctx))
    encoded = fit(pair_tokens(ctx, policy.tokenizer).pairs(part), policy.tokenizer, context)
    if not encoded.rows:
        raise DataError("No pair fits the policy's context: raise model.max_length or choose shorter data.")
    policy.model.eval()
    path = forward_path(policy.model, device=ctx.device, precision=settings.precision, log=ctx.reporter.log)
    own = (0.0, 0.5) if settings.mismatched else WHOLE
    table = reference_table(path, encoded.rows, ctx, part=own)
    when_room(lambda: pq.write_table(table, ctx.out / REFERENCE_FILE), needs=table.nbytes)
    if settings.mismatched:
        others = of_part(ctx, policy.tokenizer, context)
        second = reference_table(path, others, ctx, part=(0.5, 1.0))
        when_room(lambda: pq.write_table(second, file_in(ctx.out)), needs=second.nbytes)
    return {
        "pairs": len(encoded.rows),
        "tokens": sum(row.tokens for row in encoded.rows),
        **encoded.counts(),
        **({} if settings.beta is None else {"blind_spots": found_spots(table, part, ctx.inputs, settings.beta)}),
    }


def found_spots(
    aligned: pa.Table, part: Sequence[CandidatePair], inputs: Mapping[str, Path], beta: float
) -> dict[str, Any]:
    """Where the aligned policy is confident and wrong: its log-probabilities beside those of the reference and the
    annotator's confidence, on the pairs that all three read."""
    names = ["pair_id", "label", "confidence"]
    labels = pq.read_table(inputs["labels"] / ANNOTATIONS_FILE, columns=names)
    tables = {
        "aligned": {row["pair_id"]: row for row in aligned.to_pylist()},
        "reference": {row["pair_id"]: row for row in pq.read_table(inputs["reference"] / REFERENCE_FILE).to_pylist()},
        "labels": {row["pair_id"]: row for row in labels.to_pylist()},
    }
    pairs = [pair for pair in part if all(pair.pair_id in table for table in tables.values())]
    told, before, after = (
        [tables[name][pair.pair_id] for pair in pairs] for name in ("labels", "reference", "aligned")
    )
    return blind_spots(
        np.array([row["confidence"] for row in told], dtype=np.float64),
        weak=_sides(row["label"] for row in told),
        human=_sides(pair.human_label for pair in pairs),
        policy=beta
        * np.array(
            [
                row["logp_a"] - row["logp_b"] - (own["logp_a"] - own["logp_b"])
                for row, own in zip(after, before, strict=True)
            ]
        ),
        reference=np.array([row["logp_a"] / row["tokens_a"] - row["logp_b"] / row["tokens_b"] for row in before]),
        clusters=[pair.unit for pair in pairs],
    )


def _sides(labels: Iterable[str | None]) -> NDArray[np.float64]:
    """1 for a, 0 for b, NaN for none."""
    return np.array([np.nan if label is None else float(label == "a") for label in labels])


def reference_table(
    path: ForwardPath, rows: list[Encoded], ctx: WorkContext, *, part: tuple[float, float] = WHOLE
) -> pa.Table:
    """One row per pair, in the order of `rows`; part: the share of the stage's work before and after it."""
    stopped = "Stopped while computing reference log-probabilities; retry the run to start them again."
    logps = values_of(ctx, rows, partial(response_logps, path), stopped=stopped, columns=2, unit="pairs", part=part)
    return pa.table(
        {
            "pair_id": [row.pair_id for row in rows],
            "logp_a": logps[:, 0],
            "logp_b": logps[:, 1],
            "tokens_a": [len(row.responses[0]) for row in rows],
            "tokens_b": [len(row.responses[1]) for row in rows],
        }
    )
