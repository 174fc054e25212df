"""Sampled answers to held-out prompts, with the log-probabilities of each.

Who samples is an engine (cwpo/evaluation/engines); what it has answered before a kill is kept batch by batch.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cwpo.data.pairs import load_prompts
from cwpo.evaluation.engines.contract import Engine, Question, Written
from cwpo.evaluation.engines.native import native
from cwpo.evaluation.engines.opening import opened, prompt_room
from cwpo.models import logps
from cwpo.models.load import ModelRef, load_policy, model_ref
from cwpo.models.reading import values_of
from cwpo.models.tokenization import Encoded, encode_prompt
from cwpo.records import Prompt, Sample
from cwpo.stages.context import StageContext
from cwpo.stages.settings import SampleSettings

SAMPLES_FILE = "samples.parquet"
PARTIAL_FILE = "answers.jsonl"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One sampled answer; `ids` hold the end-of-text token if it was drawn."""

    prompt_id: str
    sample: int
    text: str
    ids: list[int]
    finished: bool


def answer_logps(
    model: Any,
    answers: Sequence[Answer],
    prompt_ids: Mapping[str, list[int]],
    *,
    ctx: StageContext[SampleSettings],
) -> NDArray[np.float64]:
    """log π(answer | prompt) of each answer in nats, temperature 1, end-of-text included where it was drawn."""
    path = logps.forward_path(model, device=ctx.device, precision=ctx.settings.precision, log=ctx.reporter.log)
    encoded = [
        Encoded(
            pair_id=f"{answer.prompt_id}:{answer.sample}",
            prompt_ids=np.asarray(prompt_ids[answer.prompt_id], dtype=np.int64),
            responses=(np.asarray(answer.ids, dtype=np.int64),),
        )
        for answer in answers
    ]
    stopped = "The run was cancelled while answers were scored by the models."
    return values_of(ctx, encoded, partial(logps.response_logps, path), stopped=stopped, columns=1)[:, 0]


def run_samples(ctx: StageContext[SampleSettings]) -> dict[str, Any]:
    """Write samples.parquet: the answers of one model, with its own and the reference's log-probability of each."""
    prompts, settings = load_prompts(ctx.inputs["prompts"]), ctx.settings
    ref = model_ref(ctx.inputs, "model", settings)
    policy = None
    if settings.engine is None:
        policy = _policy(ctx, ref)
        room = prompt_room(policy.model.config, settings)
        prompt_ids = _encoded(prompts, policy.tokenizer, room)
        answers = sampled(ctx, _native(ctx, policy), policy.tokenizer, prompt_ids)
    else:
        with opened(ref, ctx) as (engine, tokenizer, room):
            prompt_ids = _encoded(prompts, tokenizer, room)
            answers = sampled(ctx, engine, tokenizer, prompt_ids)
    policy = policy or _policy(ctx, ref)
    own = answer_logps(policy.model, answers, prompt_ids, ctx=ctx)
    reference = None
    if settings.with_reference:
        del policy
        model = _policy(ctx, model_ref(ctx.inputs, "reference_model", settings)).model
        reference = answer_logps(model, answers, prompt_ids, ctx=ctx)
    samples = [
        Sample(
            prompt_id=answer.prompt_id,
            sample=answer.sample,
            text=answer.text,
            tokens=len(answer.ids),
            finished=answer.finished,
            logp=float(own[index]),
            reference_logp=None if reference is None else float(reference[index]),
        )
        for index, answer in enumerate(answers)
    ]
    write_samples(samples, ctx.out)
    return _summary(samples, prompts)


def _policy(ctx: StageContext[SampleSettings], ref: ModelRef) -> Any:
    precision = ctx.settings.precision
    return load_policy(ref, store=ctx.store, device=ctx.device, precision=precision, trainable=False, lora=None, seed=0)


def _native(ctx: StageContext[SampleSettings], policy: Any) -> Engine:
    settings = ctx.settings
    return native(
        policy.model,
        policy.tokenizer,
        settings.decoding,
        settings.evaluation_seed,
        device=ctx.device,
        precision=settings.precision,
        tokens_per_batch=ctx.execution.tokens_per_batch,
        fixed=settings.batches,
    )


def _encoded(prompts: Sequence[Prompt], tokenizer: Any, room: int) -> dict[str, list[int]]:
    """Ids by prompt, cut on their left so that prompt and answer fit the context."""
    return {prompt.prompt_id: encode_prompt(prompt, tokenizer, room) for prompt in prompts}


def sampled(
    ctx: StageContext[SampleSettings], engine: Engine, tokenizer: Any, prompt_ids: Mapping[str, list[int]]
) -> list[Answer]:
    """All answers in the order of the prompts; batches finished before a kill are read back."""
    samples = ctx.settings.decoding.samples
    questions = [
        Question(prompt_id=prompt_id, sample=sample, prompt_ids=ids)
        for prompt_id, ids in prompt_ids.items()
        for sample in range(samples)
    ]
    partial = ctx.checkpoints / PARTIAL_FILE
    found = {(answer.prompt_id, answer.sample): answer for answer in _read_partial(partial)}
    with partial.open("a") as stream:
        for batch in engine.batches(questions, frozenset(found)):
            new = [_spoken(written, tokenizer) for written in engine.answers(batch, ctx.should_stop)]
            known = {(answer.prompt_id, answer.sample): answer for answer in new}
            stream.writelines(json.dumps(asdict(known[key])) + "\n" for key in known if found.get(key) != known[key])
            stream.flush()
            found |= known
            ctx.reporter.progress(len(found) // samples, len(prompt_ids), "prompts")
    return [found[question.key] for question in questions]


def _spoken(written: Written, tokenizer: Any) -> Answer:
    ids = written.ids[:-1] if written.finished else written.ids
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return Answer(
        prompt_id=written.prompt_id, sample=written.sample, text=text, ids=written.ids, finished=written.finished
    )


def _read_partial(path: Path) -> Iterator[Answer]:
    """Answers of an earlier attempt; the line that a kill cut short ends the file."""
    if not path.is_file():
        return
    whole, _, _ = path.read_text().rpartition("\n")
    for line in whole.splitlines():
        yield Answer(**json.loads(line))
    path.write_text(whole + "\n" if whole else "")


def write_samples(samples: Sequence[Sample], directory: Path) -> None:
    """samples.parquet with a fixed schema (reference_logp is null for a baseline)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        {
            "prompt_id": pa.string(),
            "sample": pa.int64(),
            "text": pa.string(),
            "tokens": pa.int64(),
            "finished": pa.bool_(),
            "logp": pa.float64(),
            "reference_logp": pa.float64(),
        }
    )
    pq.write_table(pa.Table.from_pylist([asdict(item) for item in samples], schema=schema), directory / SAMPLES_FILE)


def read_samples(directory: Path) -> list[Sample]:
    """The answers of a samples artifact, in stored order."""
    import pyarrow.parquet as pq

    return [Sample(**row) for row in pq.read_table(directory / SAMPLES_FILE).to_pylist()]


def _summary(samples: Sequence[Sample], prompts: Sequence[Prompt]) -> dict[str, Any]:
    ratios = [item.logp - item.reference_logp for item in samples if item.reference_logp is not None]
    return {
        "prompts": len(prompts),
        "samples": len(samples),
        "mean_tokens": float(np.mean([item.tokens for item in samples])),
        "finished": float(np.mean([item.finished for item in samples])),
        "kl": float(np.mean(ratios)) if ratios else None,
    }
