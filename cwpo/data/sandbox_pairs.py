"""The data stage of the sandbox: pairs drawn from the world, or test prompts, as any other dataset's artifact."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from cwpo.data.filtering import PairAt, Tally, apply_length_rule, content_hash, first_pairs, to_candidate
from cwpo.data.pairs import cluster_summary, source_counts, write_pairs, write_prompts
from cwpo.data.related.clusters import task_of
from cwpo.data.rows import RawPair
from cwpo.errors import DataError
from cwpo.models.sandbox_tokenizer import count_tokens
from cwpo.records import CandidatePair, Prompt
from cwpo.sandbox import grammar, world
from cwpo.stages.context import StageContext
from cwpo.stages.plain import to_plain
from cwpo.stages.settings import DataSettings


def make_data(ctx: StageContext[DataSettings]) -> dict[str, Any]:
    """Write pairs.parquet and prompts.parquet. The pool and the test prompts of a run are two artifacts, so that the
    prompts stay the same when a seed draws a fresh pool."""
    settings, tally = ctx.settings, Tally()
    drawn = [PairAt(line=line, pair=pair) for line, pair in enumerate(_draw(ctx), start=1)]
    tally.rows = len(drawn)
    kept = _filter(drawn, settings, tally)
    prompts = world.make_test_prompts(settings.test_prompts, settings.evaluation_seed)
    asked = [
        Prompt(prompt_id=_prompt_id(prompt), prompt=prompt, cluster=_cluster(settings, prompt)) for prompt in prompts
    ]
    write_pairs([at.pair for at in kept], ctx.out)
    write_prompts(asked, ctx.out)
    ctx.reporter.progress(len(drawn), len(drawn), "pairs")
    return _summary(settings, tally, [at.pair for at in kept], asked)


def _cluster(settings: DataSettings, prompt: str) -> str | None:
    return task_of(prompt) if settings.split == "clusters" else None


def _prompt_id(prompt: str) -> str:
    """The same identifier as in pairs: equal texts are the same prompt."""
    return content_hash("prompt", prompt)[:16]


def _draw(ctx: StageContext[DataSettings]) -> Iterator[CandidatePair]:
    drawn = ctx.settings.sandbox
    if drawn is None:
        raise DataError("data.sandbox describes no world; submit the run again.")
    rows = world.make_pairs(drawn.pairs, noise=drawn.noise, near_ties=drawn.near_ties, pool_seed=drawn.pool_seed)
    for done, row in enumerate(rows):
        if done % 1000 == 0:
            ctx.stop_if_asked("The run was cancelled while its pairs were drawn.")
            ctx.reporter.progress(done, drawn.pairs, "pairs")
        pair = to_pair(row)
        pair = replace(pair, cluster=_cluster(ctx.settings, pair.prompt))
        told = topic_of if ctx.settings.topics else source_of
        yield replace(pair, source=told(pair.prompt)) if ctx.settings.sources else pair


def source_of(prompt: str) -> str:
    """The sandbox's two sources, as those of HH-RLHF: prompts that ask for harm are the harmless ones."""
    return "harmless" if grammar.read_prompt(prompt).kind == "harm" else "helpful"


def topic_of(prompt: str) -> str:
    """The kind of a prompt's task."""
    return grammar.read_prompt(prompt).kind


def to_pair(row: Mapping[str, Any]) -> CandidatePair:
    """A row of the world as a candidate pair: order and identifiers follow from the texts, as for any dataset."""
    human_a = row["human_label"] == "a"
    chosen, rejected = ("response_a", "response_b") if human_a else ("response_b", "response_a")
    raw = RawPair(prompt=row["prompt"], messages=None, chosen=row[chosen], rejected=row[rejected])
    pair = to_candidate(raw)
    kept_order = pair.response_a == row["response_a"]
    true_a = (row["true_label"] == "a") == kept_order
    first, second = ("utility_a", "utility_b") if kept_order else ("utility_b", "utility_a")
    return replace(pair, true_label="a" if true_a else "b", utility_a=row[first], utility_b=row[second])


def _filter(drawn: list[PairAt], settings: DataSettings, tally: Tally) -> list[PairAt]:
    rule, limit = settings.length_rule, settings.max_pairs
    if rule is not None:
        drawn = apply_length_rule(
            drawn, tally, max_tokens=rule.max_tokens, counts=rule.counts, count_tokens=count_tokens
        )
    kept = first_pairs(drawn, limit, evaluation_seed=settings.evaluation_seed) if limit else drawn
    if tally.rows and len(kept) < 2:
        raise DataError(f"data.length_rule: only {len(kept)} of {tally.rows} pairs are short enough; relax it.")
    return kept


def _summary(settings: DataSettings, tally: Tally, pairs: list[CandidatePair], prompts: list[Prompt]) -> dict[str, Any]:
    agree = [pair.human_label == pair.true_label for pair in pairs]
    return {
        "rows": tally.rows,
        "kept": len(pairs),
        "rejected": dict(sorted(tally.reasons.items())),
        "rejected_examples": tally.examples,
        "held_out_pairs": 0,
        "over_max_pairs": tally.rows - len(pairs) - sum(tally.reasons.values()),
        "train_pairs": len(pairs),
        "train_prompts": len({pair.prompt_id for pair in pairs}),
        "test_prompts": len(prompts),
        "length_rule": to_plain(settings.length_rule) if settings.length_rule else None,
        "length_rule_dropped": tally.reasons.get("too_long", 0),
        "longer_wins": _longer_wins(pairs),
        "human_accuracy": sum(agree) / len(agree) if agree else None,
        "exact_ties": sum(pair.utility_a == pair.utility_b for pair in pairs),
        **source_counts(pairs),
        **(cluster_summary(pairs, prompts) if settings.split == "clusters" else {}),
    }


def _longer_wins(pairs: list[CandidatePair]) -> float | None:
    """Share of human labels that prefer the longer answer, in characters; equal lengths count one half."""
    wins = []
    for pair in pairs:
        difference = len(pair.response_a) - len(pair.response_b)
        wins.append(0.5 if difference == 0 else float((difference > 0) == (pair.human_label == "a")))
    return sum(wins) / len(wins) if wins else None
