"""The gold reward: a score for each answer, by a reward model, by one trained here, or by the sandbox's oracle."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cwpo.data.filtering import content_hash
from cwpo.data.pairs import load_pairs, load_prompts
from cwpo.data.rows import ASSISTANT, ROLE_NAMES, Message
from cwpo.errors import DataError, GoldRewardError, ModelError
from cwpo.evaluation import steamshp
from cwpo.evaluation.generation import read_samples
from cwpo.full_disk import waits_for_room
from cwpo.models.hub import HubError
from cwpo.models.load import (
    ModelRef,
    context_length,
    load_annotator,
    load_reward_model,
    load_text_to_text,
    pad_id,
    precision_context,
)
from cwpo.models.reading import WHOLE, shared, values_of
from cwpo.models.text.reader import reader_of
from cwpo.records import CandidatePair, Prompt, Sample
from cwpo.stages.context import StageContext
from cwpo.stages.fingerprint import known_rule, score_rule
from cwpo.stages.settings import GoldRewardSettings, GoldSettings, ScoreSettings

SCORES_FILE = "scores.parquet"
STOPPED = "The run was cancelled while answers were scored."
NOT_FINITE = "The gold reward gave a score that is not a number: use precision fp32 or another model."
Context = StageContext[ScoreSettings]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Scores of all answers in their order; `ungrammatical` is known in the sandbox only."""

    scores: NDArray[np.float64]
    ungrammatical: list[bool] | None
    truncated: int = 0
    control_tokens: int = 0  # answers that hold a control token, or whose prompt does; it was read as text


def run_gold(ctx: StageContext[GoldSettings]) -> dict[str, Any]:
    """Train the gold reward on every human label of the data, as an annotator is trained (Bradley–Terry)."""
    from cwpo.annotation.annotator import train_scorer

    pairs = [pair for pair in load_pairs(ctx.inputs["data"]) if pair.human_label is not None]
    if ctx.settings.heldout is not None:
        share, by = ctx.settings.heldout, ctx.settings.by
        pairs = [pair for pair in pairs if not is_held_out(kept_whole(pair, by), share)]
    return train_scorer(ctx, pairs, heldout_fraction=None, form="reward")


def kept_whole(pair: CandidatePair, by: str) -> str:
    """What the pair is held out with: its prompt, or the cluster of that."""
    return pair.unit if by == "clusters" else pair.prompt_id


def is_held_out(unit: str, share: float) -> bool:
    """Whether a prompt or cluster is of the share that a gold reward is trained without, to be tried on it."""
    return int(content_hash("judge card", unit)[:8], 16) < share * 2**32


def run_scores(ctx: StageContext[ScoreSettings]) -> dict[str, Any]:
    """Write scores.parquet: one row per answer, in the order of the answers."""
    samples = read_samples(ctx.inputs["samples"])
    prompts = {prompt.prompt_id: prompt for prompt in load_prompts(ctx.inputs["prompts"])}
    kind = ctx.settings.gold_reward.kind
    if kind not in SCORERS:
        raise KeyError(f"unknown gold reward kind {kind!r}; choose one of {', '.join(SCORERS)}")
    scored = SCORERS[kind](ctx, samples, prompts)
    if not np.isfinite(scored.scores).all():
        raise GoldRewardError(NOT_FINITE)
    _write(samples, scored, ctx)
    ctx.reporter.progress(len(prompts), len(prompts), "prompts")
    return {
        "samples": len(samples),
        "mean_score": float(scored.scores.mean()),
        "truncated": scored.truncated,
        **({"control_tokens": scored.control_tokens} if scored.control_tokens else {}),
        "ungrammatical": float(np.mean(scored.ungrammatical)) if scored.ungrammatical is not None else None,
    }


def _oracle(ctx: Context, samples: Sequence[Sample], prompts: Mapping[str, Prompt]) -> Scored:
    """The utility that the sandbox's human labels are drawn from."""
    from cwpo.sandbox.oracle import ungrammatical, utility

    scores = [utility(prompts[sample.prompt_id].prompt, sample.text) for sample in samples]
    return Scored(
        scores=np.array(scores, dtype=np.float64), ungrammatical=[ungrammatical(sample.text) for sample in samples]
    )


def _trained(ctx: Context, samples: Sequence[Sample], prompts: Mapping[str, Prompt]) -> Scored:
    """The reward model trained here reads prompt and answer as it did in training: end-of-text behind the answer."""
    from cwpo.models.logps import forward_path, response_scores
    from cwpo.models.tokenization import encode_rows

    ref = ModelRef(artifact=ctx.inputs["gold"])
    precision = ctx.settings.precision
    model, tokenizer = load_annotator(ref, store=ctx.store, device=ctx.device, seed=0, dropout=0.0, frozen_in=precision)
    path = forward_path(model.eval(), device=ctx.device, precision=precision, log=ctx.reporter.log)
    rows = ((prompts[sample.prompt_id], str(at), (sample.text,)) for at, sample in enumerate(samples))
    encoded = encode_rows(rows, tokenizer, context_length(model))
    if encoded.dropped:
        raise GoldRewardError(
            f"{encoded.dropped} answers are longer than the gold reward's context: lower evaluation.max_new_tokens."
        )
    scores = values_of(ctx, encoded.rows, partial(response_scores, path), stopped=STOPPED, columns=1, part=WHOLE)
    return Scored(
        scores=scores[:, 0],
        ungrammatical=None,
        truncated=encoded.truncated,
        control_tokens=encoded.control_tokens,
    )


def _external(ctx: Context, samples: Sequence[Sample], prompts: Mapping[str, Prompt]) -> Scored:
    """A reward model with one output, in the input form of its catalog row."""
    gold, precision = ctx.settings.gold_reward, ctx.settings.precision
    known_rule("The scores", gold.rule, score_rule(True, precision, gold.input_form))
    ref = ModelRef(name=gold.name, revision=gold.revision)
    encode = _encoder(gold.input_form)
    load = load_text_to_text if gold.input_form == STEAMSHP else load_reward_model
    try:
        model, tokenizer = load(ref, store=ctx.store, device=ctx.device, precision=precision)
    except (ModelError, HubError) as error:
        raise GoldRewardError(f"The gold reward cannot be loaded: {error}") from error
    limit = context_length(model, gold.max_length)
    texts = [encode(tokenizer, prompts[sample.prompt_id], sample.text.strip(), limit) for sample in samples]
    scores, padding = np.zeros(len(samples)), pad_id(tokenizer)

    def values(batch: list[int]) -> torch.Tensor:
        found = [texts[at] for at in batch]
        if gold.input_form == STEAMSHP:
            return steamshp.preferences(model, tokenizer, [text.ids for text in found], ctx.device)
        return sequence_scores(model, found, padding, ctx.device)

    batches = list(_like_lengths(texts, ctx.execution.tokens_per_batch))
    read, every = 0, sum(len(text.ids) for text in texts) or 1
    ctx.reporter.share(0.0)
    with precision_context(precision, ctx.device):
        for batch, found in shared(ctx, batches, values, stopped=STOPPED):
            scores[batch] = found.numpy()
            read += sum(len(texts[at].ids) for at in batch)
            ctx.reporter.share(read / every)
    holds = reader_of(tokenizer).holds_control
    return Scored(
        scores=scores,
        ungrammatical=None,
        truncated=sum(text.truncated for text in texts),
        control_tokens=sum(holds(prompts[sample.prompt_id].prompt) or holds(sample.text) for sample in samples),
    )


def scores_of(
    ctx: StageContext[Any], gold: GoldRewardSettings, precision: str, samples: Sequence[Sample],
    prompts: Mapping[str, Prompt],
) -> NDArray[np.float64]:  # fmt: skip
    """One score for each answer by that gold reward, for another stage than one that only scores."""
    scoring = replace(ctx, settings=ScoreSettings(gold_reward=gold, precision=precision))
    scores = SCORERS[gold.kind](scoring, samples, prompts).scores
    if not np.isfinite(scores).all():
        raise GoldRewardError(NOT_FINITE)
    return scores


SCORERS: dict[str, Callable[[Context, Sequence[Sample], Mapping[str, Prompt]], Scored]] = {
    "oracle": _oracle,
    "trained": _trained,
    "model": _external,
}


@dataclass(frozen=True, kw_only=True)
class Text:
    """One prompt with its answer as ids; `types` are segment ids where the tokenizer gives them."""

    ids: list[int]
    types: list[int] | None
    truncated: bool


def chat_template(tokenizer: Any, prompt: Prompt, answer: str, max_length: int) -> Text:
    """The conversation in the reward model's own chat form, cut on its left to `max_length` tokens."""
    messages = [*to_messages(prompt), {"role": "assistant", "content": answer}]
    if not tokenizer.chat_template:
        raise GoldRewardError("The gold reward has no chat template: give it the input form text_pair.")
    try:
        ids = reader_of(tokenizer).conversation(messages)
    except DataError as error:
        raise GoldRewardError(f"The gold reward cannot read a conversation: {error}") from error
    if tokenizer.bos_token_id is not None and ids[:1] != [tokenizer.bos_token_id] and _adds_bos(tokenizer):
        ids = [tokenizer.bos_token_id, *ids]
    return Text(ids=ids[-max_length:], types=None, truncated=len(ids) > max_length)


def text_pair(tokenizer: Any, prompt: Prompt, answer: str, max_length: int) -> Text:
    """(prompt, answer) as the two texts of a pair; the prompt loses its left side where both do not fit."""
    question, tokenizer = prompt.prompt.strip(), reader_of(tokenizer).plain  # what data say is text
    before = len(tokenizer(question, answer)["input_ids"])
    room = len(tokenizer("", answer)["input_ids"]) < max_length
    tokenizer.truncation_side = "left" if room else "right"
    encoded = tokenizer(question, answer, truncation="only_first" if room else "longest_first", max_length=max_length)
    return Text(ids=encoded["input_ids"], types=encoded.get("token_type_ids"), truncated=before > max_length)


def steamshp_question(tokenizer: Any, prompt: Prompt, answer: str, max_length: int) -> Text:
    """SteamSHP's question about one answer; a conversation of several turns is the post with its roles."""
    messages = to_messages(prompt)
    named = (f"{ROLE_NAMES.get(message['role'], message['role'])}: {message['content']}" for message in messages)
    post = messages[0]["content"] if len(messages) == 1 else " ".join(named)
    ids, truncated = steamshp.encode(tokenizer, post, answer, max_length)
    return Text(ids=ids, types=None, truncated=truncated)


STEAMSHP = "steamshp"
INPUT_FORMS: dict[str, Callable[[Any, Prompt, str, int], Text]] = {
    "chat_template": chat_template,
    "text_pair": text_pair,
    STEAMSHP: steamshp_question,
}


def _encoder(form: str) -> Callable[[Any, Prompt, str, int], Text]:
    if form not in INPUT_FORMS:
        raise KeyError(f"unknown input form {form!r}; choose one of {', '.join(INPUT_FORMS)}")
    return INPUT_FORMS[form]


def to_messages(prompt: Prompt) -> list[Message]:
    """The prompt as chat messages: its own, HH's turns taken apart, or the whole text as one user message."""
    if prompt.messages:
        return list(json.loads(prompt.messages))
    text = prompt.prompt
    if not text.endswith(ASSISTANT) or "Human:" not in text:
        return [{"role": "user", "content": text.strip()}]
    roles = {name: role for role, name in ROLE_NAMES.items()}
    messages: list[Message] = []
    for turn in text.removesuffix(ASSISTANT).lstrip("\n").split("\n\n"):
        name, mark, content = turn.partition(":")
        if mark and name in roles:
            messages.append({"role": roles[name], "content": content.strip()})
        elif messages:
            messages[-1]["content"] += "\n\n" + turn
        else:
            messages.append({"role": "user", "content": turn})
    return messages


def sequence_scores(model: Any, texts: Sequence[Text], padding: int, device: str) -> torch.Tensor:
    """One score per text, (B,). A decoder is read at the last real token, known from our own mask: transformers finds
    it by comparing ids with the pad id, which errs where the end-of-text token pads."""
    width = max(len(text.ids) for text in texts)
    ids = torch.full((len(texts), width), padding)
    mask, types = torch.zeros_like(ids), torch.zeros_like(ids)
    for at, text in enumerate(texts):
        ids[at, : len(text.ids)] = torch.tensor(text.ids)
        mask[at, : len(text.ids)] = 1
        if text.types is not None:
            types[at, : len(text.types)] = torch.tensor(text.types)
    inputs: dict[str, Any] = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
    head = getattr(model, "score", None)
    if head is None:
        segments = {"token_type_ids": types.to(device)} if texts[0].types is not None else {}
        scores: torch.Tensor = model(**inputs, **segments).logits
        return scores.squeeze(-1)
    hidden = model.base_model(**inputs, use_cache=False).last_hidden_state
    last = mask.sum(dim=1).to(device) - 1
    pooled: torch.Tensor = head(hidden[torch.arange(len(texts), device=device), last])
    return pooled.squeeze(-1)


def _adds_bos(tokenizer: Any) -> bool:
    return tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]


def _like_lengths(texts: Sequence[Text], budget: int) -> Iterator[list[int]]:
    """Indices in batches of like length whose padded texts hold at most `budget` tokens."""
    batch: list[int] = []
    for at in sorted(range(len(texts)), key=lambda at: (len(texts[at].ids), at)):
        if batch and (len(batch) + 1) * len(texts[at].ids) > budget:
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch


@waits_for_room
def _write(samples: Sequence[Sample], scored: Scored, ctx: Context) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    marks = scored.ungrammatical if scored.ungrammatical is not None else [None for _ in samples]
    table = pa.table(
        {
            "prompt_id": pa.array([sample.prompt_id for sample in samples], pa.string()),
            "sample": pa.array([sample.sample for sample in samples], pa.int64()),
            "score": pa.array(scored.scores, pa.float64()),
            "ungrammatical": pa.array(marks, pa.bool_()),
        }
    )
    pq.write_table(table, ctx.out / SCORES_FILE)
