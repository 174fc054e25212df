"""This program's side: its own training loop, loss, packing and labeling; and a plain loop written the usual way."""

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch.nn.functional import logsigmoid

from benchmarks.measure import Sample, Stopwatch, timed
from benchmarks.workload import TOKENS_PER_BATCH, context, settings
from cwpo.annotation.annotator import bradley_terry_loss
from cwpo.annotation.labeling import score_pairs
from cwpo.models.logps import forward_path
from cwpo.models.tokenization import Encoded
from cwpo.stages.context import Execution, StageContext, WorkContext
from cwpo.stages.settings import ObjectiveSettings, WeightingSettings
from cwpo.training.align import align_data, alignment_loss
from cwpo.training.loop import History, Micro, micro_batches, train
from cwpo.training.reference import reference_table
from cwpo.training.root import Reading
from cwpo.training.weighting import weigh

DPO = ObjectiveSettings(name="dpo", options={"beta": 0.1})


def dpo(
    model: Any,
    warm: Sequence[Encoded],
    rows: Sequence[Encoded],
    *,
    batch: int,
    precision: str,
    device: str = "cpu",
    tokens_per_batch: int = TOKENS_PER_BATCH,
    around: AbstractContextManager[Any] | None = None,
) -> Sample:
    """Seconds of the alignment stage's steps over `rows`, in their order, after one step on `warm`.

    Packing, metrics, clipping and AdamW are inside; the reference is a stage of its own, timed as `reference_seconds`.
    """
    every = [*warm, *rows]
    ctx = context(settings(precision, batch), device=device,
                  tokens_per_batch=tokens_per_batch)  # fmt: skip
    path = forward_path(model, device=device, precision=precision, log=ctx.reporter.log)
    model.eval()
    with timed() as spent:
        table = reference_table(path, every, ctx).to_pydict()
    reference = dict(zip(table["pair_id"], zip(table["logp_a"], table["logp_b"], strict=True), strict=True))
    weights = weigh(WeightingSettings(name="uniform", options={}), np.full(len(every), np.nan))
    data = align_data(every, ["a"] * len(every), weights, reference).to(device)
    model.train()
    sample = _steps(model, every, len(warm), batch, alignment_loss(path, data, DPO), ctx, around)
    sample.more["reference_seconds"] = round(spent.wall, 3)
    return sample


def annotator(model: Any, warm: Sequence[Encoded], rows: Sequence[Encoded], *, batch: int, precision: str) -> Sample:
    """Seconds of the annotator stage's steps."""
    every = [*warm, *rows]
    ctx = context(settings(precision, batch))
    path = forward_path(model, device="cpu", precision=precision, log=ctx.reporter.log)
    model.train()
    loss = bradley_terry_loss(path, every, {row.pair_id: 0 for row in every}, "cpu")
    return _steps(model, every, len(warm), batch, loss, ctx)


def _steps(
    model: Any,
    rows: list[Encoded],
    warm: int,
    batch: int,
    loss: Callable[[Micro], Any],
    ctx: StageContext[Any],
    around: AbstractContextManager[Any] | None = None,
) -> Sample:
    """The one loop; step 0 is `warm`. The watch and `around` span the packing of step 1 to the end of the last step."""
    watch, around = Stopwatch(), around or nullcontext()

    def batches(step: int) -> list[Micro]:
        chosen = np.arange(warm) if step == 0 else np.arange(warm + (step - 1) * batch, warm + step * batch)
        if step == 1:
            around.__enter__()
            watch.start()
        return micro_batches(rows, chosen, ctx, share=1 / len(chosen))

    steps = 1 + (len(rows) - warm) // batch

    def after_step(done: int, history: History, reading: Reading) -> None:
        if done == steps:
            watch.stop()
            around.__exit__(None, None, None)

    train(model, batches, loss, steps=steps, config=ctx.settings.train, ctx=ctx, after_step=after_step)
    return watch.sample


def labels(model: Any, rows: Sequence[Encoded], *, precision: str) -> Sample:
    """Seconds to score both answers of every pair, packed with a shared prompt."""
    model.eval()
    path = forward_path(model, device="cpu", precision=precision, log=lambda message: None)
    with timed() as sample:
        score_pairs(path, list(rows), WorkContext(execution=Execution(tokens_per_batch=TOKENS_PER_BATCH)))
    return sample


def one_by_one(model: Any, rows: Sequence[Encoded]) -> Sample:
    """Seconds to score every text alone, without padding or sharing, fp32."""
    model.set_attn_implementation("sdpa")
    model.eval()
    with timed() as sample, torch.inference_mode():
        for row in rows:
            for response in row.responses:
                ids = torch.from_numpy(np.concatenate([row.prompt_ids, response]))[None]
                hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0, -1]
                float(model.score(hidden))
    return sample


def plain_dpo(model: Any, warm: Sequence[Encoded], rows: Sequence[Encoded], *, batch: int, precision: str) -> Sample:
    """Seconds of DPO as it is usually written: both texts padded, all logits, the reference beside it."""
    reference = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    model.train()
    _plain_step(model, reference, optimizer, warm, precision)
    with timed() as sample:
        for begin in range(0, len(rows), batch):
            _plain_step(model, reference, optimizer, rows[begin : begin + batch], precision)
    return sample


def _plain_step(
    model: Any, reference: Any, optimizer: torch.optim.Optimizer, rows: Sequence[Encoded], precision: str
) -> None:
    texts = [(row.prompt_ids, response) for side in (0, 1) for row in rows for response in (row.responses[side],)]
    longest = max(len(prompt) + len(response) for prompt, response in texts)
    ids = torch.zeros(len(texts), longest, dtype=torch.long)
    mask, answer = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    for index, (prompt, response) in enumerate(texts):
        end = len(prompt) + len(response)
        ids[index, :end] = torch.from_numpy(np.concatenate([prompt, response]))
        mask[index, :end] = 1
        answer[index, len(prompt) : end] = True

    def logps(one: Any) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            logits = one(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
        tokens = logits.float().log_softmax(dim=-1).gather(2, ids[:, 1:, None]).squeeze(2)
        return (tokens * answer[:, 1:]).sum(dim=1)

    with torch.no_grad():
        base = logps(reference)
    chosen, rejected = (logps(model) - base).chunk(2)
    (-logsigmoid(DPO.beta * (chosen - rejected))).mean().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
