"""Sampled answers to held-out prompts. The same answers whatever the batch, the order or the worker.

Noise depends on (evaluation seed, prompt id, sample, position) alone. A draw so close to the border between two tokens
that rounding could decide it is decided by one forward pass of that row alone, which no batch can change.
"""

import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache

from cwpo import seeded
from cwpo.data.pairs import load_prompts
from cwpo.errors import Cancelled, ConfigError
from cwpo.models import logps
from cwpo.models.load import ModelRef, context_length, load_policy, model_ref, pad_id, precision_context
from cwpo.models.reading import values_of
from cwpo.models.tokenization import Encoded, encode_prompt
from cwpo.records import Prompt, Sample
from cwpo.stages.context import StageContext
from cwpo.stages.settings import DecodingSettings, SampleSettings

SAMPLES_FILE = "samples.parquet"
PARTIAL_FILE = "answers.jsonl"
ROOM = 8  # answers need no gradients: this many times the tokens of a training batch fit
SHRINK = 0.8  # finished rows leave the batch when fewer than this share of it is unfinished
# Half-width, in probability, around a border between two tokens within which a draw is decided by its row alone.
BORDER = {"fp32": 2e-5, "bf16": 2e-3}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One sampled answer; `ids` hold the end-of-text token if it was drawn."""

    prompt_id: str
    sample: int
    text: str
    ids: list[int]
    finished: bool


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One answer still to be written."""

    prompt_id: str
    sample: int
    prompt_ids: list[int]


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    decoding: DecodingSettings,
    evaluation_seed: int,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    tokens_per_batch: int,
    max_length: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    done: frozenset[tuple[str, int]] = frozenset(),
) -> Iterator[list[Answer]]:
    """Answers in batches of like prompt length; (prompt id, sample) in `done` are left out.

    Prompts are cut on their left so that prompt and answer fit the context (or `max_length`).
    """
    room = _prompt_room(model, decoding, max_length)
    encoded = {prompt.prompt_id: encode_prompt(prompt, tokenizer, room) for prompt in prompts}
    rows = [
        _Row(prompt_id=prompt_id, sample=sample, prompt_ids=ids)
        for prompt_id, ids in encoded.items()
        for sample in range(decoding.samples)
        if (prompt_id, sample) not in done
    ]
    rows.sort(key=lambda row: (len(row.prompt_ids), row.prompt_id, row.sample))
    decoder = _Decoder(model, tokenizer, decoding, evaluation_seed, device, precision)
    for batch in _batches(rows, tokens_per_batch * ROOM, decoding.max_new_tokens):
        with torch.inference_mode(), precision_context(precision, device):
            yield decoder.answers(batch, should_stop)


def row_key(evaluation_seed: int, prompt_id: str, sample: int) -> int:
    """64 bits that name a row's noise."""
    return seeded.place(f"{evaluation_seed}:{prompt_id}:{sample}")


def draw(
    logits: torch.Tensor, uniform: torch.Tensor, *, temperature: float, top_p: float, border: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inverse-CDF sampling in float64: (tokens, too close to a border to trust), both (rows,); logits (rows, V)."""
    shares = (logits.double() / temperature).softmax(dim=-1)
    slack = torch.full_like(uniform, border)
    if top_p < 1:
        shares, cutoff = _nucleus(shares, top_p)
        slack = slack + cutoff
    edges = shares.cumsum(dim=-1)
    target = uniform * edges[:, -1]
    tokens = torch.searchsorted(edges, target[:, None], right=True).clamp_(max=edges.shape[1] - 1)
    above = edges.gather(1, tokens).squeeze(1) - target
    below = target - (edges - shares).gather(1, tokens).squeeze(1)
    return tokens.squeeze(1), torch.minimum(above, below) < slack


def _nucleus(shares: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Shares outside the smallest set that reaches `top_p` set to 0; and the share at the cut, which may flip sides."""
    ordered, order = shares.sort(dim=-1, descending=True, stable=True)
    inside = ordered.cumsum(dim=-1) - ordered < top_p
    last = inside.sum(dim=-1, keepdim=True) - 1
    keep = torch.zeros_like(inside).scatter_(1, order, inside)
    return shares * keep, ordered.gather(1, last).squeeze(1)


class _Decoder:
    """What stays the same from batch to batch: model, stop tokens, noise."""

    def __init__(
        self, model: Any, tokenizer: Any, decoding: DecodingSettings, evaluation_seed: int, device: str, precision: str
    ) -> None:
        self.model, self.tokenizer, self.decoding = model, tokenizer, decoding
        self.seed, self.device, self.border = evaluation_seed, device, BORDER[precision]
        self.stops = torch.tensor(sorted(_stop_ids(model, tokenizer)), device=device)
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        known = inspect.signature(inner.forward).parameters
        self.takes_positions = "position_ids" in known
        self.last_only = {"logits_to_keep": 1} if "logits_to_keep" in known else {}

    def answers(self, rows: Sequence[_Row], should_stop: Callable[[], bool]) -> list[Answer]:
        """Sample until every row has ended or has its most tokens; finished rows leave the batch."""
        texts: list[list[int]] = [[] for _ in rows]
        keys = np.array([row_key(self.seed, row.prompt_id, row.sample) for row in rows], dtype=np.uint64)
        ids, mask = self._padded(rows)
        cache, alive = DynamicCache(config=self.model.config), np.arange(len(rows))
        finished = np.zeros(len(rows), dtype=bool)
        for position in range(self.decoding.max_new_tokens):
            if should_stop():
                raise Cancelled("The run was cancelled while answers were sampled.")
            logits = self._forward(ids, mask, cache)
            tokens = self._draw(logits, keys[alive], position, [(rows[i], texts[i]) for i in alive.tolist()])
            ended = torch.isin(tokens, self.stops).cpu().numpy()
            for row, token, is_open in zip(alive, tokens.tolist(), ~finished[alive], strict=True):
                if is_open:
                    texts[row].append(token)
            finished[alive] |= ended
            stays = ~finished[alive]
            if not stays.any():
                break
            ids, mask = tokens[:, None], torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
            if stays.mean() < SHRINK:
                kept = torch.from_numpy(np.flatnonzero(stays)).to(self.device)
                cache.batch_select_indices(kept)
                alive, ids, mask = alive[stays], ids[kept], mask[kept]
        return [self._answer(row, text, bool(end)) for row, text, end in zip(rows, texts, finished, strict=True)]

    def _padded(self, rows: Sequence[_Row]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(len(row.prompt_ids) for row in rows)
        ids = torch.full((len(rows), width), pad_id(self.tokenizer))
        mask = torch.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, width - len(row.prompt_ids) :] = torch.tensor(row.prompt_ids)
            mask[index, width - len(row.prompt_ids) :] = 1
        return ids.to(self.device), mask.to(self.device)

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor, cache: DynamicCache | None) -> torch.Tensor:
        """Logits after the last token of each row, (rows, V)."""
        positions = (mask.cumsum(dim=1) - 1).clamp_(min=0)[:, -ids.shape[1] :]
        extra = {"position_ids": positions} if self.takes_positions else {}
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=cache is not None,
            **extra,
            **self.last_only,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def _draw(
        self, logits: torch.Tensor, keys: NDArray[np.uint64], position: int, rows: list[tuple[_Row, list[int]]]
    ) -> torch.Tensor:
        uniform = torch.from_numpy(seeded.uniforms(keys, position)).to(self.device)
        settings = {"temperature": self.decoding.temperature, "top_p": self.decoding.top_p}
        tokens, doubtful = draw(logits, uniform, **settings, border=self.border)
        for index in doubtful.nonzero().flatten().tolist():
            row, text = rows[index]
            if len(text) < position:  # ended earlier and only waits to leave the batch
                continue
            ids = torch.tensor([row.prompt_ids + text], device=self.device)
            alone = self._forward(ids, torch.ones_like(ids), None)
            tokens[index] = draw(alone, uniform[index : index + 1], **settings, border=0.0)[0]
        return tokens

    def _answer(self, row: _Row, ids: list[int], finished: bool) -> Answer:
        spoken = ids[:-1] if finished else ids
        text = self.tokenizer.decode(spoken, skip_special_tokens=True)
        return Answer(prompt_id=row.prompt_id, sample=row.sample, text=text, ids=ids, finished=finished)


def _batches(rows: Sequence[_Row], budget: int, new_tokens: int) -> Iterator[Sequence[_Row]]:
    """Neighbouring rows whose padded prompts and full answers hold at most `budget` tokens."""
    start = 0
    for stop in range(1, len(rows) + 1):
        full = stop == len(rows) or (stop + 1 - start) * (len(rows[stop].prompt_ids) + new_tokens) > budget
        if full:
            yield rows[start:stop]
            start = stop


def _stop_ids(model: Any, tokenizer: Any) -> set[int]:
    """End-of-text, and what the model's own generation settings call an end (chat models have several)."""
    own = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    listed = own if isinstance(own, list) else [own]
    return {int(token) for token in (tokenizer.eos_token_id, *listed) if token is not None}


def _prompt_room(model: Any, decoding: DecodingSettings, max_length: int | None) -> int:
    context = context_length(model, max_length)
    if decoding.max_new_tokens >= context:
        raise ConfigError(
            "evaluation.max_new_tokens",
            f"{decoding.max_new_tokens} leaves no room for a prompt in a context of {context} tokens: lower it.",
        )
    return context - decoding.max_new_tokens


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
    prompts = load_prompts(ctx.inputs["prompts"])
    settings = ctx.settings
    policy = _policy(ctx, model_ref(ctx.inputs, "model", settings))
    answers = _sampled(ctx, policy, prompts)
    room = _prompt_room(policy.model, settings.decoding, settings.max_length)
    prompt_ids = {prompt.prompt_id: encode_prompt(prompt, policy.tokenizer, room) for prompt in prompts}
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


def _sampled(ctx: StageContext[SampleSettings], policy: Any, prompts: Sequence[Prompt]) -> list[Answer]:
    """All answers in the order of the prompts; batches finished before a kill are read back."""
    partial = ctx.checkpoints / PARTIAL_FILE
    found = {(answer.prompt_id, answer.sample): answer for answer in _read_partial(partial)}
    settings, decoding = ctx.settings, ctx.settings.decoding
    total = len(prompts) * decoding.samples
    batches = generate(
        policy.model,
        policy.tokenizer,
        prompts,
        decoding,
        settings.evaluation_seed,
        device=ctx.device,
        precision=settings.precision,
        tokens_per_batch=ctx.execution.tokens_per_batch,
        max_length=settings.max_length,
        should_stop=ctx.should_stop,
        done=frozenset(found),
    )
    with partial.open("a") as stream:
        for batch in batches:
            stream.writelines(json.dumps(asdict(answer)) + "\n" for answer in batch)
            stream.flush()
            found |= {(answer.prompt_id, answer.sample): answer for answer in batch}
            ctx.reporter.progress(len(found) * len(prompts) // total, len(prompts), "prompts")
    return [found[prompt.prompt_id, sample] for prompt in prompts for sample in range(decoding.samples)]


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
