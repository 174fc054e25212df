"""A causal language model on this machine as judge: by the logits of the two letters, or by what it writes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from cwpo.errors import JudgeError, ModelError
from cwpo.evaluation.chat import GREEDY
from cwpo.evaluation.engines.contract import Question
from cwpo.evaluation.engines.native import native
from cwpo.evaluation.judges.ledger import Ledger
from cwpo.evaluation.judges.questions import CUE, LETTER, WRITTEN, Call, Letter, fitted, read_verdict
from cwpo.evaluation.judges.verdicts import Key, Reply, key_of
from cwpo.models.frozen import wide_logits
from cwpo.models.hub import HubError
from cwpo.models.load import ModelRef, context_length, load_policy, pad_id, precision_context
from cwpo.models.reading import shared
from cwpo.models.text.reader import reader_of
from cwpo.stages.context import StageContext
from cwpo.stages.fingerprint import known_rule, score_rule
from cwpo.stages.settings import DecodingSettings, JudgeModelSettings

STOPPED = "The run was cancelled while a judge model was asked."
TOO_LONG = "(the answers do not fit the judge's context)"
Context = StageContext[Any]
Asked = tuple[list[int], int]  # ids of a question, which repeat it is


def ask_all(
    ctx: Context, judge: JudgeModelSettings, calls: Sequence[Call], ledger: Ledger
) -> tuple[dict[Key, Reply], int]:
    """The replies to all calls, and how many were computed now. Answers that leave no room in the judge's context get
    no verdict."""
    known_rule("The verdicts", judge.rule, score_rule(True, judge.precision))
    ref = ModelRef(name=judge.model, revision=judge.revision)
    try:
        policy = load_policy(
            ref, store=ctx.store, device=ctx.device, precision=judge.precision, trainable=False, lora=None, seed=0
        )
    except (ModelError, HubError) as error:
        raise JudgeError(f"The judge model cannot be loaded: {error}") from error
    asker = _Asker(ctx, judge, policy.model, policy.tokenizer)
    found: dict[Key, Reply] = {}
    same: dict[str, list[Call]] = {}  # by what is bought: equal questions are asked once
    left: dict[str, Asked] = {}
    for call in calls:
        text = asker.text(call)
        key = "" if text is None else ledger.key(text, call.repeat, 0)
        known = Reply(text=TOO_LONG, verdict=None) if text is None else ledger.get(key)
        if known is not None:
            found[key_of(call)] = known
            continue
        same.setdefault(key, []).append(call)
        left.setdefault(key, (asker.ids(text or ""), call.repeat))
    ctx.reporter.share(0.0)
    new = 0
    for key, reply in asker.replies(left):
        ledger.add(key, reply, paid=False)
        found |= {key_of(call): reply for call in same[key]}
        new += 1
        ctx.reporter.progress(len(found), len(calls), "calls")
        ctx.reporter.share(new / len(left))
    return found, new


class _Asker:
    """One model and how it is asked."""

    def __init__(self, ctx: Context, judge: JudgeModelSettings, model: Any, tokenizer: Any) -> None:
        self.ctx, self.judge, self.model, self.tokenizer = ctx, judge, model, tokenizer
        self.writes = judge.verdicts == "written"
        self.templated = bool(getattr(tokenizer, "chat_template", None))
        self.ask = WRITTEN if self.writes else LETTER
        self.room = context_length(model) - (judge.max_new_tokens if self.writes else 1)
        if self.room < 1:
            raise JudgeError("The judge model's context leaves no room for a question: lower judge.max_new_tokens.")
        self.end: list[int] = []
        self.letters = (0, 0)
        if not self.writes:
            self.end, self.letters = letters_of(tokenizer, templated=self.templated)

    def text(self, call: Call) -> str | None:
        """The question, with its prompt cut where it is too long."""
        return fitted(call, self.judge.role, self.ask, count=lambda text: len(self.ids(text)), room=self.room)

    def ids(self, text: str) -> list[int]:
        """What the data say is text: a control token written in an answer is spelled out."""
        messages = json.dumps([{"role": "user", "content": text}]) if self.templated else None
        cue = "" if self.templated or self.writes else CUE
        return [*reader_of(self.tokenizer).prompts([(text + cue, messages)])[0], *self.end]

    def replies(self, left: Mapping[str, Asked]) -> Iterator[tuple[str, Reply]]:
        """The reply to each question under its key, batch by batch."""
        return self._written(left) if self.writes else self._chosen(left)

    def _chosen(self, left: Mapping[str, Asked]) -> Iterator[tuple[str, Reply]]:
        """The letter with the larger logit behind the question."""
        keys, rows = list(left), [ids for ids, _ in left.values()]
        groups = _like_lengths(rows, self.ctx.execution.tokens_per_batch)

        def values(group: list[int]) -> torch.Tensor:
            return self._logits([rows[at] for at in group])

        with precision_context(self.judge.precision, self.ctx.device):
            for group, logits in shared(self.ctx, groups, values, stopped=STOPPED):
                yield from ((keys[at], _of_logits(*pair)) for at, pair in zip(group, logits.tolist(), strict=True))

    def _logits(self, rows: Sequence[list[int]]) -> torch.Tensor:
        """Of both letters behind each row, (B, 2). Rows are filled on their right, which a causal model never reads."""
        width, padding = max(map(len, rows)), pad_id(self.tokenizer)
        ids = torch.tensor([[*row, *[padding] * (width - len(row))] for row in rows], device=self.ctx.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=self.ctx.device)
        last = torch.tensor([len(row) - 1 for row in rows], device=self.ctx.device)
        body = self.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        hidden = body[torch.arange(len(rows), device=self.ctx.device), last]
        return wide_logits(self.model.get_output_embeddings(), hidden, self.letters)

    def _written(self, left: Mapping[str, Asked]) -> Iterator[tuple[str, Reply]]:
        """What the model writes, read like the reply of a server. The noise is the question's own, in any batch."""
        engine = native(
            self.model, self.tokenizer, decoding_of(self.judge), self.judge.seed, device=self.ctx.device,
            precision=self.judge.precision, tokens_per_batch=self.ctx.execution.tokens_per_batch,
        )  # fmt: skip
        questions = [Question(prompt_id=key, sample=repeat, prompt_ids=ids) for key, (ids, repeat) in left.items()]
        for batch in engine.batches(questions, ()):
            for one in engine.answers(batch, self.ctx.should_stop):
                text = self.tokenizer.decode(one.ids, skip_special_tokens=True)
                tokens = {"prompt_tokens": len(left[one.prompt_id][0]), "completion_tokens": len(one.ids)}
                yield one.prompt_id, Reply(text=text, verdict=read_verdict(text), **tokens)


def decoding_of(judge: JudgeModelSettings) -> DecodingSettings:
    """Temperature 0 is the most likely token alone."""
    greedy = not judge.temperature
    return DecodingSettings(
        temperature=1.0 if greedy else float(judge.temperature or 1.0), top_p=GREEDY if greedy else 1.0,
        max_new_tokens=judge.max_new_tokens, samples=1,
    )  # fmt: skip


def letters_of(tokenizer: Any, *, templated: bool) -> tuple[list[int], tuple[int, int]]:
    """(ids behind the question, ids of the two letters): in some vocabularies both begin with the mark of a space."""
    start = "" if templated else " "
    one, other = (list(reader_of(tokenizer).ids([start + letter])[0]) for letter in "AB")
    alike = 0
    while alike < min(len(one), len(other)) and one[alike] == other[alike]:
        alike += 1
    if alike == min(len(one), len(other)):
        raise JudgeError("The judge model has no tokens for A and B: choose another model, or verdicts: written.")
    return one[:alike], (one[alike], other[alike])


def _of_logits(a: float, b: float) -> Reply:
    """Equal logits choose neither."""
    letter: Letter | None = None if a == b else "A" if a > b else "B"
    return Reply(text=f"log-odds of A {a - b:.4f}", verdict=letter)


def _like_lengths(rows: Sequence[list[int]], budget: int) -> list[list[int]]:
    """Places in batches of like length whose filled rows hold at most `budget` tokens."""
    groups: list[list[int]] = []
    for at in sorted(range(len(rows)), key=lambda at: (len(rows[at]), at)):
        if groups and (len(groups[-1]) + 1) * len(rows[at]) <= budget:
            groups[-1].append(at)
        else:
            groups.append([at])
    return groups
