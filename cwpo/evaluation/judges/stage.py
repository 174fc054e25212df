"""The judge stage: aligned against baseline answers by a judge model, as the evaluation stage does it by scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cwpo.data.pairs import load_prompts
from cwpo.data.related.outcomes import CLUSTER
from cwpo.errors import JudgeError
from cwpo.evaluation.gold import to_messages
from cwpo.evaluation.gra import OUTCOMES_FILE, SAMPLE_COLUMNS, compare, summary
from cwpo.evaluation.judges import endpoint, local, simulated
from cwpo.evaluation.judges.ledger import Ledger
from cwpo.evaluation.judges.questions import Call, Duel
from cwpo.evaluation.judges.verdicts import Judged, Replies, calls_of, judged
from cwpo.full_disk import waits_for_room, when_room
from cwpo.records import Prompt
from cwpo.stages.context import StageContext
from cwpo.stages.plain import to_plain
from cwpo.stages.settings import JudgeModelSettings, JudgeSettings

VERDICTS_FILE = "verdicts.parquet"


def run_judge(ctx: StageContext[JudgeSettings]) -> dict[str, Any]:
    """Write outcomes.parquet as an evaluation does, and verdicts.parquet with every reply; the summary is the win rate
    of the run with how the judge behaved."""
    prompts = chosen_prompts(load_prompts(ctx.inputs["prompts"]), ctx.settings.prompts)
    kept = [prompt.prompt_id for prompt in prompts]
    aligned, baseline = (_answers(ctx.inputs[name], kept) for name in ("samples", "baseline_samples"))
    both = aligned.merge(baseline, on=["prompt_id", "sample"], suffixes=("", "_baseline"))
    texts = {prompt.prompt_id: prompt for prompt in prompts}
    columns = (both[name].tolist() for name in ("prompt_id", "sample", "text", "text_baseline"))
    duels = [
        duel_of(texts[prompt_id], ctx.settings.judge, name=f"{prompt_id}:{sample}", first=first, second=second)
        for prompt_id, sample, first, second in zip(*columns, strict=True)
    ]
    found, said, replies = ask(ctx, ctx.settings.judge, duels)
    rows = compare(aligned, baseline, tie_epsilon=0.0)
    outcomes = both.assign(outcome=found.outcomes).groupby("prompt_id", sort=True)["outcome"].mean()
    rows["outcome"] = rows["prompt_id"].map(outcomes).astype("float64")
    rows[["score", "baseline_score"]] = np.nan
    when_room(lambda: rows.to_parquet(ctx.out / OUTCOMES_FILE, index=False))
    write_verdicts(ctx, replies)
    ctx.reporter.progress(len(prompts), len(prompts), "prompts")
    return {**summary(rows, samples=int(aligned["sample"].nunique())), **said}


def _answers(folder: Path, prompts: Sequence[str]) -> pd.DataFrame:
    """Answers to these prompts, with the columns that scores would have."""
    rows = pd.read_parquet(folder / "samples.parquet")
    rows = rows[[*SAMPLE_COLUMNS, *([CLUSTER] if CLUSTER in rows else [])]]
    return rows[rows["prompt_id"].isin(prompts)].assign(score=0.0, ungrammatical=None)


def chosen_prompts(prompts: Sequence[Prompt], most: int | None) -> list[Prompt]:
    """The first ones as they are stored, in the seeded order in which they were held out."""
    return list(prompts[: most or len(prompts)])


def duel_of(prompt: Prompt, judge: JudgeModelSettings, *, name: str, first: str, second: str) -> Duel:
    """A conversation is shown with its roles, a post as it is."""
    about = prompt.prompt
    if judge.role == "chat":
        turns = to_messages(prompt)
        alone = len(turns) == 1
        about = "\n\n".join(
            turn["content"] if alone else f"{turn['role'].capitalize()}: {turn['content']}" for turn in turns
        )
    return Duel(name=name, prompt=prompt.prompt, about=about, first=first, second=second)


def ask(
    ctx: StageContext[Any], judge: JudgeModelSettings, duels: Sequence[Duel]
) -> tuple[Judged, dict[str, Any], Replies]:
    """The outcomes of the duels, what a summary says of the judge, and every reply."""
    calls = calls_of(duels, judge.repeats)
    replies, bought = _replies(ctx, judge, calls)
    found = judged(duels, replies, judge.repeats)
    said: Mapping[str, Any] = {
        "judge": judge.model or judge.kind,
        "calls": found.asked,
        "bought": bought,
        "unread": found.unread,
        "equal_answers": found.equal,
        "orders_agree": found.agree,
        "first_shown": found.first_shown,
        "prompt_tokens": sum(reply.prompt_tokens for reply in replies.values()),
        "completion_tokens": sum(reply.completion_tokens for reply in replies.values()),
    }
    if found.asked and found.unread == found.asked:
        raise JudgeError(
            "None of the judge's replies names A or B: choose another model, or let a local one choose by verdicts: "
            "logits."
        )
    return found, dict(said), replies


def _replies(ctx: StageContext[Any], judge: JudgeModelSettings, calls: Sequence[Call]) -> tuple[Replies, int]:
    if judge.kind == "simulated":
        return simulated.ask_all(judge, calls), 0
    asker = endpoint if judge.kind == "endpoint" else local
    ledger = Ledger(ctx.store.root, {**to_plain(judge), "repeats": None})
    replies, bought = asker.ask_all(ctx, judge, calls, ledger)
    return replies, bought if judge.kind == "endpoint" else 0


@waits_for_room
def write_verdicts(ctx: StageContext[Any], replies: Replies) -> None:
    """verdicts.parquet: every reply, by duel, order and repeat."""
    rows = [
        {"duel": name, "swapped": swapped, "repeat": repeat, "verdict": reply.verdict, "reply": reply.text}
        for (name, swapped, repeat), reply in sorted(replies.items())
    ]
    columns = {"duel": "str", "swapped": "bool", "repeat": "int64", "verdict": "object", "reply": "str"}
    pd.DataFrame(rows, columns=list(columns)).astype(columns).to_parquet(ctx.out / VERDICTS_FILE, index=False)
