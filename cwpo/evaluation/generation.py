"""Sampled answers to held-out prompts, with the log-probabilities of each.

Who samples is an engine (cwpo/evaluation/engines); what it has answered before a kill is kept batch by batch.
"""

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cwpo.data.pairs import load_prompts
from cwpo.evaluation.engines.contract import Engine, Key, Question, Written
from cwpo.evaluation.engines.native import native
from cwpo.evaluation.engines.opening import opened, prompt_room
from cwpo.files import append_whole, write_whole
from cwpo.full_disk import waits_for_room, when_room
from cwpo.models import logps
from cwpo.models.load import ModelRef, load_policy, model_ref
from cwpo.models.reading import WHOLE, values_of
from cwpo.models.tokenization import Encoded, encode_prompt
from cwpo.records import Prompt, Sample
from cwpo.reporting import InParts
from cwpo.sealed import opened_line, sealed_line, set_aside
from cwpo.stages.context import StageContext
from cwpo.stages.settings import SampleSettings

SAMPLES_FILE = "samples.parquet"
PARTIAL_FILE = "answers.jsonl"
# The share of the work that is writing, without and with a reference that reads the answers too (benchmarks/eta.py).
WRITING = (0.9, 0.85)
_SEVERAL = 4  # batches


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
    read = partial(logps.response_logps, path)
    return values_of(ctx, encoded, read, stopped=stopped, columns=1, part=WHOLE)[:, 0]


def run_samples(ctx: StageContext[SampleSettings]) -> dict[str, Any]:
    """Write samples.parquet: the answers of one model, with its own and the reference's log-probability of each."""
    prompts = load_prompts(ctx.inputs["prompts"])
    samples = answers_to(ctx, prompts, model_ref(ctx.inputs, "model", ctx.settings))
    write_samples(samples, ctx.out)
    return _summary(samples, prompts)


def answers_to(ctx: StageContext[SampleSettings], prompts: Sequence[Prompt], ref: ModelRef) -> list[Sample]:
    """The answers of one model, in the order of the prompts; what was written before a kill is in ctx.checkpoints."""
    settings = ctx.settings
    work = InParts(ctx.reporter)
    ctx, written = replace(ctx, reporter=work), WRITING[settings.with_reference]
    work.part(0.0, written)
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
    work.part(written, (1 + written) / 2 if settings.with_reference else 1.0)
    own = answer_logps(policy.model, answers, prompt_ids, ctx=ctx)
    reference = None
    if settings.with_reference:
        del policy
        work.part((1 + written) / 2, 1.0)
        model = _policy(ctx, model_ref(ctx.inputs, "reference_model", settings)).model
        reference = answer_logps(model, answers, prompt_ids, ctx=ctx)
    clusters = {prompt.prompt_id: prompt.cluster for prompt in prompts}
    return [
        Sample(
            prompt_id=answer.prompt_id,
            sample=answer.sample,
            text=answer.text,
            tokens=len(answer.ids),
            finished=answer.finished,
            logp=float(own[index]),
            reference_logp=None if reference is None else float(reference[index]),
            cluster=clusters[answer.prompt_id],
        )
        for index, answer in enumerate(answers)
    ]


def _policy(ctx: StageContext[SampleSettings], ref: ModelRef) -> Any:
    settings = ctx.settings
    return load_policy(
        ref,
        store=ctx.store,
        device=ctx.device,
        precision=settings.precision,
        trainable=False,
        lora=None,
        seed=0,
        parents=settings.parents,
        quantization=settings.quantization,
    )


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
    """All answers in the order of the prompts; batches finished before a kill are read back.

    Several ranks share the batches, write what they finish into a file each, and get all answers in the end.
    """
    samples, ranks = ctx.settings.decoding.samples, ctx.execution.ranks
    questions = [
        Question(prompt_id=prompt_id, sample=sample, prompt_ids=ids)
        for prompt_id, ids in prompt_ids.items()
        for sample in range(samples)
    ]
    stored = ranks.gather(_stored(ctx) if ranks.is_first() else None)[0]  # before any rank writes
    found = {(answer.prompt_id, answer.sample): answer for answer in map(_answer, stored)}
    before, mine = len(found), dict[Key, Answer]()
    batches = _shared(ctx, engine, questions, frozenset(found))
    watch = _Watch(ctx, before / max(len(questions), 1), batches)
    with when_room(lambda: (ctx.checkpoints / _partial_file(ranks.rank)).open("ab", buffering=0)) as stream:
        for batch in batches:
            watch.begin(batch)
            new = [spoken(written, tokenizer) for written in engine.answers(batch, watch.should_stop)]
            known = {(answer.prompt_id, answer.sample): answer for answer in new}
            new_ones = (known[key] for key in known if found.get(key) != known[key])
            append_whole(stream, "".join(sealed_line(json.dumps(asdict(answer))) for answer in new_ones).encode())
            mine |= known
            done = min(before + len(mine) * ranks.size, len(questions))
            ctx.reporter.progress(done // samples, len(prompt_ids), "prompts")
    for part in ranks.gather([asdict(answer) for answer in mine.values()]):
        found |= {(answer.prompt_id, answer.sample): answer for answer in map(_answer, part)}
    return [found[question.key] for question in questions]


class _Watch:
    """How far the writing is, also inside of a batch: our sampler asks before every token whether it is to stop.

    Every answer of a batch is written at the pace of the whole, so its share is what it takes with padding: short
    prompts, which come first, are more in a batch, and it takes as long as one of few long ones. Inside, the last
    tokens take less than the first, because answers end: when each was asked for is known from the batch before. Of
    the first nothing is said before its end, unless there are few.
    """

    def __init__(self, ctx: StageContext[SampleSettings], before: float, batches: Sequence[Sequence[Question]]) -> None:
        self._ctx, self._before, self._few = ctx, before, len(batches) < _SEVERAL
        self._whole = sum(self._size(batch) for batch in batches) or 1
        self._done = self._batch = 0
        self._began = 0.0
        self._asked: list[float] = []  # seconds since the batch began
        self._earlier: list[float] = []  # of the batch before: the share of its time until each token
        ctx.reporter.share(before)

    def begin(self, batch: Sequence[Question]) -> None:
        """The next batch."""
        if self._asked:
            took = max(time.monotonic() - self._began, 1e-9)
            self._earlier = [seconds / took for seconds in self._asked]
        self._asked, self._began = [], time.monotonic()
        self._done, self._batch = self._done + self._batch, self._size(batch)
        self._say(0.0)

    def should_stop(self) -> bool:
        """Passed on; an engine that asks without writing a token between is as far as it was."""
        if self._ctx.settings.engine is None:
            self._asked.append(time.monotonic() - self._began)
            at = len(self._asked) - 1
            if self._earlier:
                self._say(self._earlier[at] if at < len(self._earlier) else 1.0)
            elif self._few:
                self._say(min((at + 1) / (self._ctx.settings.decoding.max_new_tokens + 1), 1.0))
        return self._ctx.should_stop()

    def _say(self, part: float) -> None:
        """This part of the batch is written."""
        done = (self._done + part * self._batch) / self._whole
        self._ctx.reporter.share(min(1.0, self._before + (1.0 - self._before) * done))

    def _size(self, batch: Sequence[Question]) -> int:
        longest = max((len(question.prompt_ids) for question in batch), default=0)
        return len(batch) * (longest + self._ctx.settings.decoding.max_new_tokens)


def _shared(
    ctx: StageContext[SampleSettings], engine: Engine, questions: Sequence[Question], done: Collection[Key]
) -> Sequence[Sequence[Question]]:
    """The batches of this rank: whole ones of the stage's where answers belong to their batch, else some questions."""
    ranks, settings = ctx.execution.ranks, ctx.settings
    if settings.precision == "fp32" and settings.engine is None:
        by_length = sorted(questions, key=lambda item: (len(item.prompt_ids), item.prompt_id, item.sample))
        return engine.batches(ranks.share(by_length), done)
    return ranks.share(engine.batches(questions, done))


def spoken(written: Written, tokenizer: Any) -> Answer:
    """What was written, as text without the token that ended it."""
    ids = written.ids[:-1] if written.finished else written.ids
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return Answer(
        prompt_id=written.prompt_id, sample=written.sample, text=text, ids=written.ids, finished=written.finished
    )


def _partial_file(rank: int) -> str:
    return f"answers-{rank}.jsonl" if rank else PARTIAL_FILE


def _stored(ctx: StageContext[Any]) -> list[dict[str, Any]]:
    """Answers of earlier attempts, of however many ranks; a last line that a kill cut short is taken away, and lines
    that are damaged are written again, which is said."""
    found: list[dict[str, Any]] = []
    damaged = 0
    for path in sorted(ctx.checkpoints.glob("answers*.jsonl")):
        *lines, cut = path.read_bytes().split(b"\n")
        read = [opened_line(line) for line in lines]
        whole = [text for text in read if text is not None]
        if len(whole) < len(read):
            damaged += len(read) - len(whole)
            set_aside(path)
        if cut:
            ctx.reporter.log("The last stored answer was cut short, as by a kill: it is written again.")
        if cut or len(whole) < len(read):
            write_whole(path, "".join(map(sealed_line, whole)))
        found += map(json.loads, whole)
    if damaged:
        ctx.reporter.noted(
            f"{damaged} of {len(found) + damaged} stored answers are damaged and set aside: they are written again."
        )
    return found


def _answer(values: Mapping[str, Any]) -> Answer:
    return Answer(**values)


@waits_for_room
def write_samples(samples: Sequence[Sample], directory: Path) -> None:
    """samples.parquet with a fixed schema (reference_logp is null for a baseline); clusters where prompts have them."""
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
            **({"cluster": pa.string()} if any(item.cluster is not None for item in samples) else {}),
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
