"""Reference log-probabilities, once per (start model, data): shared by every objective, weighting and seed."""

from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cwpo.data.pairs import load_part
from cwpo.data.relabels import labels_of
from cwpo.data.tokens import pair_tokens
from cwpo.errors import DataError
from cwpo.models.load import context_length, load_policy, model_ref
from cwpo.models.logps import ForwardPath, forward_path, response_logps
from cwpo.models.reading import WHOLE, values_of
from cwpo.models.tokenization import Encoded, fit
from cwpo.stages.context import StageContext, WorkContext
from cwpo.stages.settings import ReferenceSettings
from cwpo.training.whole.mismatched import file_in, of_part

REFERENCE_FILE = "reference.parquet"


def run_reference(ctx: StageContext[ReferenceSettings]) -> dict[str, Any]:
    """Write reference.parquet: pair_id, logp_a, logp_b (nats), tokens_a, tokens_b (end-of-text included).

    Where mismatched answers are asked for, mismatched.parquet says the same of them, under the ids of their prompts.
    """
    settings = ctx.settings
    policy = load_policy(
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
    context = context_length(policy.model, settings.max_length)
    part = load_part(ctx.inputs["data"], settings.part, settings, labels_of(ctx))
    encoded = fit(pair_tokens(ctx, policy.tokenizer).pairs(part), policy.tokenizer, context)
    if not encoded.rows:
        raise DataError("No pair fits the policy's context: raise model.max_length or choose shorter data.")
    policy.model.eval()
    path = forward_path(policy.model, device=ctx.device, precision=settings.precision, log=ctx.reporter.log)
    own = (0.0, 0.5) if settings.mismatched else WHOLE
    pq.write_table(reference_table(path, encoded.rows, ctx, part=own), ctx.out / REFERENCE_FILE)
    if settings.mismatched:
        others = of_part(ctx, policy.tokenizer, context)
        pq.write_table(reference_table(path, others, ctx, part=(0.5, 1.0)), file_in(ctx.out))
    return {
        "pairs": len(encoded.rows),
        "tokens": sum(row.tokens for row in encoded.rows),
        **encoded.counts(),
    }


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
