"""Reference log-probabilities, once per (start model, data): shared by every objective, weighting and seed."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cwpo.data import load_part
from cwpo.errors import Cancelled, DataError
from cwpo.stages.context import StageContext
from cwpo.logps import ForwardPath, forward_path, response_logps
from cwpo.models import context_length, load_policy, model_ref
from cwpo.tokenization import Encoded, encode_pairs, pack

REFERENCE_FILE = "reference.parquet"


def run_reference(ctx: StageContext) -> dict[str, Any]:
    """Write reference.parquet: pair_id, logp_a, logp_b (nats), tokens_a, tokens_b (end-of-text included)."""
    config = ctx.config
    policy = load_policy(
        model_ref(ctx.inputs, "start", config),
        store=ctx.store,
        device=ctx.device,
        precision=config["precision"],
        trainable=True,  # merges adapters exactly as alignment will, so that the first step starts at a ratio of 1
        lora=None,
        seed=0,
    )
    context = min(context_length(policy.model), config["max_length"] or context_length(policy.model))
    part = load_part(ctx.inputs["data"], config["part"], config)
    encoded = encode_pairs(part, policy.tokenizer, max_length=context)
    if not encoded.rows:
        raise DataError("No pair fits the policy's context: raise model.max_length or choose shorter data.")
    policy.model.eval()
    path = forward_path(policy.model, device=ctx.device, precision=config["precision"], log=ctx.reporter.log)
    pq.write_table(reference_table(path, encoded.rows, ctx), ctx.out / REFERENCE_FILE)
    return {
        "pairs": len(encoded.rows),
        "tokens": sum(row.tokens for row in encoded.rows),
        "truncated": encoded.truncated,
        "dropped": encoded.dropped,
    }


def reference_table(path: ForwardPath, rows: list[Encoded], ctx: StageContext) -> pa.Table:
    """One row per pair, in the order of `rows`."""
    logps = torch.zeros((len(rows), 2), dtype=torch.float64)
    done = 0
    for batch in pack(rows, ctx.tokens_per_batch):
        if ctx.should_stop():
            raise Cancelled("Stopped while computing reference log-probabilities; retry the run to start them again.")
        with torch.inference_mode():
            logps[batch.indices] = response_logps(path, batch.to(ctx.device)).view(-1, 2).cpu()
        done += len(batch.indices)
        ctx.reporter.progress(done, len(rows), "pairs")
    return pa.table(
        {
            "pair_id": [row.pair_id for row in rows],
            "logp_a": logps[:, 0].numpy(),
            "logp_b": logps[:, 1].numpy(),
            "tokens_a": [len(row.responses[0]) for row in rows],
            "tokens_b": [len(row.responses[1]) for row in rows],
        }
    )
