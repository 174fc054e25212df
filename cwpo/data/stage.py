"""The data stage: read, filter, hold out the test prompts, write pairs and prompts with every dropped row counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from cwpo.data.filtering import (
    CountTokens,
    PairAt,
    Tally,
    apply_length_rule,
    first_pairs,
    hold_out,
    in_clusters,
    prompts_of,
    usable_pairs,
)
from cwpo.data.pairs import cluster_summary, source_counts, write_pairs, write_prompts
from cwpo.data.source import open_source
from cwpo.errors import DataError
from cwpo.records import CandidatePair, Prompt
from cwpo.stages.context import StageContext, WorkContext
from cwpo.stages.plain import to_plain
from cwpo.stages.settings import DataSettings, LengthRuleSettings

FEWEST_PAIRS = 2
ONE_CLUSTER = (
    "Every cluster of related prompts has more than the {} prompts that data.test_prompts asks for, and clusters are "
    "held out whole: raise it, or set rules: 1, which divides by prompt."
)


@dataclass(frozen=True, kw_only=True)
class Split:
    """What the data stage writes, with the numbers that explain it."""

    pairs: Sequence[CandidatePair]
    prompts: Sequence[Prompt]
    held_out_pairs: int
    over_max_pairs: int


def run_data(ctx: StageContext[DataSettings]) -> dict[str, Any]:
    """Write pairs.parquet and prompts.parquet; the summary counts what was dropped, and why."""
    if ctx.settings.dataset == "sandbox":
        from cwpo.data.sandbox_pairs import make_data

        return make_data(ctx)
    tally = Tally()
    train, test = _read(ctx, tally)
    split = split_pairs(train, test, ctx.settings)
    write_pairs(split.pairs, ctx.out)
    write_prompts(split.prompts, ctx.out)
    summary = _summary(ctx.settings, tally, split)
    ctx.reporter.progress(tally.rows, tally.rows, "rows")
    return summary


def _read(ctx: StageContext[DataSettings], tally: Tally) -> tuple[list[PairAt], list[PairAt] | None]:
    """Usable pairs of both splits, after the length rule."""
    source = open_source(ctx.settings)
    seen: set[str] = set()
    train = usable_pairs(_watched(source.train, ctx), source.to_pair, tally, seen=seen)
    test = usable_pairs(_watched(source.test, ctx), source.to_pair, tally, seen=seen) if source.test else None
    rule = ctx.settings.length_rule
    if rule is not None:
        count = token_counter(rule, ctx)
        short = partial(apply_length_rule, max_tokens=rule.max_tokens, counts=rule.counts, count_tokens=count)
        train = short(train, tally)
        test = short(test, tally) if test is not None else None
    if ctx.settings.split == "clusters":
        train, tested = in_clusters(train, test or [])
        test = None if test is None else tested
    return train, test


def _watched(rows: Any, ctx: WorkContext) -> Any:
    """Pass rows on, reporting progress and stopping when asked."""
    for done, row in enumerate(rows):
        if done % 2000 == 0:
            ctx.stop_if_asked("The run was cancelled while its data were read.")
            ctx.reporter.progress(done, 0, "rows")
        yield row


def split_pairs(train: list[PairAt], test: list[PairAt] | None, settings: DataSettings) -> Split:
    """Hold out the test prompts, from the publisher's test split where there is one, then limit the training pairs."""
    seed, wanted = settings.evaluation_seed, settings.test_prompts
    candidates = prompts_of(train if test is None else test)
    if len(candidates) < wanted:
        raise DataError(
            f"Only {len(candidates)} usable prompts can be held out and data.test_prompts asks for {wanted}: lower it."
        )
    prompts = hold_out(candidates, wanted, evaluation_seed=seed)
    held = {prompt.unit for prompt in prompts}
    free = [at for at in train if at.pair.unit not in held]
    if not prompts:
        raise DataError(ONE_CLUSTER.format(wanted))
    kept = first_pairs(free, settings.max_pairs or len(free), evaluation_seed=seed)
    if len(kept) < FEWEST_PAIRS:
        raise DataError(
            f"{len(kept)} usable pairs are left for training after holding out {len(prompts)} prompts: "
            "lower data.test_prompts, relax data.length_rule, or give more data."
        )
    return Split(
        pairs=[at.pair for at in kept],
        prompts=prompts,
        held_out_pairs=len(train) - len(free) + len(test or ()),
        over_max_pairs=len(free) - len(kept),
    )


def token_counter(rule: LengthRuleSettings, ctx: StageContext[DataSettings]) -> CountTokens:
    """Counts tokens with the rule's tokenizer; special tokens in front are counted once."""
    from cwpo.models.load import ModelRef, load_tokenizer
    from cwpo.models.text.reader import reader_of

    ref = ModelRef(artifact=None, name=rule.tokenizer, revision=rule.tokenizer_revision)
    tokenizer = reader_of(load_tokenizer(ref, store=ctx.store)).plain
    return lambda texts: [len(ids) for ids in tokenizer(texts, add_special_tokens=True)["input_ids"]]


def _summary(settings: DataSettings, tally: Tally, split: Split) -> dict[str, Any]:
    return {
        "rows": tally.rows,
        "kept": len(split.pairs),
        "rejected": dict(sorted(tally.reasons.items())),
        "rejected_examples": tally.examples,
        "held_out_pairs": split.held_out_pairs,
        "over_max_pairs": split.over_max_pairs,
        "train_pairs": len(split.pairs),
        "train_prompts": len({pair.prompt_id for pair in split.pairs}),
        "test_prompts": len(split.prompts),
        "length_rule": to_plain(settings.length_rule) if settings.length_rule else None,
        "length_rule_dropped": tally.reasons.get("too_long", 0),
        "longer_wins": _longer_wins(split.pairs),
        **source_counts(split.pairs),
        **_clusters(settings, split),
    }


def _clusters(settings: DataSettings, split: Split) -> dict[str, Any]:
    """Nothing where data are divided by prompt."""
    if settings.split == "prompts":
        return {}
    return cluster_summary(split.pairs, split.prompts) | {"test_prompts_asked": settings.test_prompts}


def _longer_wins(pairs: Sequence[CandidatePair]) -> float | None:
    """Share of human labels that prefer the longer answer, in characters; equal lengths count one half."""
    wins: list[float] = []
    for pair in pairs:
        if pair.human_label is None:
            continue
        difference = len(pair.response_a) - len(pair.response_b)
        longer = "a" if difference > 0 else "b"
        wins.append(0.5 if difference == 0 else float(pair.human_label == longer))
    return sum(wins) / len(wins) if wins else None
