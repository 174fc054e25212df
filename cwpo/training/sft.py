"""Supervised fine-tuning on prompt + winner. The loss is the mean over the response tokens of an effective batch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cwpo.data.tokens import pair_tokens
from cwpo.errors import DataError
from cwpo.models.load import context_length, load_policy, model_ref, parent_of
from cwpo.models.logps import ForwardPath, forward_path, response_logps
from cwpo.models.text.shown import FIRST_BATCH, first_batch
from cwpo.models.tokenization import Encoded, fit
from cwpo.stages.context import StageContext
from cwpo.stages.settings import SftSettings, TrainSettings
from cwpo.training.finishing import save_trained
from cwpo.training.loop import Batches, Filler, Micro, TrainResult, micro_batches, steady_packing, train
from cwpo.training.preferences import preference_pairs
from cwpo.training.root import loading


def run_sft(ctx: StageContext[SftSettings]) -> dict[str, Any]:
    """Fine-tune the base model on the winners of the label source, before any selection or weighting."""
    settings = ctx.settings
    base = model_ref(ctx.inputs, "base", settings)
    policy = load_policy(
        base,
        store=ctx.store,
        **loading(ctx, adapter=settings.lora is not None),
        precision=settings.precision,
        trainable=True,
        lora=settings.lora,
        seed=settings.seed,
        parents=settings.parents,
        quantization=settings.quantization,
    )
    context = context_length(policy.model, settings.max_length)
    winners = ((item.pair.pair_id, (item.label,)) for item in preference_pairs(ctx))
    encoded = fit(pair_tokens(ctx, policy.tokenizer).rows(winners), policy.tokenizer, context)
    if not encoded.rows:
        raise DataError("No answer fits the policy's context: raise model.max_length or choose shorter data.")
    first = Batches(
        ids=[row.pair_id for row in encoded.rows], batch_size=settings.train.batch_size, seed=settings.seed
    ).rows(0)
    names = {int(index): ("answer",) for index in first}
    seen = first_batch(encoded.rows, first.tolist(), policy.tokenizer, counts="answers", names=names)
    ctx.reporter.shown(FIRST_BATCH, seen)
    result = train_on_answers(
        policy.model, encoded.rows, ctx, settings.train, precision=settings.precision, seed=settings.seed
    )
    save_trained(
        policy.model,
        policy.tokenizer,
        ctx,
        form="adapter" if settings.lora else "full",
        parent=parent_of(base) if settings.lora else None,
        also=result.history.write,
    )
    return {
        "steps": result.steps,
        "first_step": result.first_step,
        "final_loss": result.final_loss,
        "pairs": len(encoded.rows),
        "tokens": sum(row.tokens for row in encoded.rows),
        **encoded.counts(),
    }


def train_on_answers(
    model: Any, rows: list[Encoded], ctx: StageContext[Any], settings: TrainSettings, *, precision: str, seed: int
) -> TrainResult:
    """The loop on the negative log-likelihood of single answers; also how the sandbox's base models are pretrained."""
    ctx = steady_packing(ctx, model)
    path = forward_path(model, device=ctx.device, precision=precision, log=ctx.reporter.log)
    batches = Batches(ids=[row.pair_id for row in rows], batch_size=settings.batch_size, seed=seed)

    def micros(step: int) -> list[Micro | Filler]:
        chosen = batches.rows(step)
        return micro_batches(rows, chosen, ctx, share=1 / sum(_response_tokens(rows[index]) for index in chosen))

    torch.manual_seed(seed)  # adapters have dropout
    model.train()
    return train(
        model,
        micros,
        answer_loss(path, ctx.device),
        steps=batches.steps(settings.epochs),
        config=settings,
        ctx=ctx,
    )


def answer_loss(path: ForwardPath, device: str) -> Callable[[Micro], tuple[Tensor, dict[str, Tensor]]]:
    """Negative log-likelihood per response token, nats."""

    def share_of(micro: Micro) -> tuple[Tensor, dict[str, Tensor]]:
        return -response_logps(path, micro.batch.to(device)).sum() * micro.share, {}

    return share_of


def _response_tokens(row: Encoded) -> int:
    return sum(len(ids) for ids in row.responses)
