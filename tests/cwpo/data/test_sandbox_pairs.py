"""The sandbox's data artifact: labels follow their texts through the shuffle, identifiers are hashes of texts."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cwpo.config.run import RunConfig
from cwpo.data.pairs import load_pairs, load_part, load_prompts
from cwpo.data.sandbox_pairs import make_data, to_pair
from cwpo.errors import Cancelled, DataError
from cwpo.sandbox import world
from cwpo.sandbox.grammar import read_prompt
from cwpo.sandbox.oracle import utility
from cwpo.stages.graph import build
from cwpo.stages.settings import SplitSettings
from tests.cwpo.stage import context


def config(slot: str = "data", *, rules: int = 2, **data: Any) -> dict[str, Any]:
    values = {"data": {"dataset": "sandbox", "sandbox": {"pairs": 300}, **data}, "rules": rules}
    return {"split": "prompts", **build(RunConfig.parse(values))[slot].config}


def test_labels_follow_their_responses_through_the_shuffle(tmp_path: Path) -> None:
    ctx = context(tmp_path, "data", config=config())
    summary = make_data(ctx)
    pairs = load_pairs(ctx.out)
    assert summary["kept"] == len(pairs) == 300
    for pair in pairs:
        assert pair.utility_a == utility(pair.prompt, pair.response_a)
        assert pair.utility_b == utility(pair.prompt, pair.response_b)
        if pair.utility_a != pair.utility_b:
            assert pair.true_label == ("a" if pair.utility_a > pair.utility_b else "b")
    said = {
        (row["prompt"], row["response_a" if row["human_label"] == "a" else "response_b"])
        for row in world.make_pairs(300, noise=1.5, near_ties=0.0, pool_seed=0)
    }
    chosen = {(p.prompt, p.response_a if p.human_label == "a" else p.response_b) for p in pairs}
    assert chosen == said
    agree = sum(pair.human_label == pair.true_label for pair in pairs) / 300
    assert summary["human_accuracy"] == pytest.approx(agree)


@pytest.mark.parametrize("rules", [1, 2])
def test_a_mix_tells_prompts_that_ask_for_harm_from_the_others(tmp_path: Path, rules: int) -> None:
    """Only where it is asked for: the pairs of every other run stay as they were. The labeled part has the shares, with
    whole prompts or, as near as they allow, whole tasks."""
    plain, mixed = (
        context(tmp_path / name, "data", config=config(rules=rules, sandbox={"pairs": 1000}, **more))
        for name, more in (("plain", {}), ("mixed", {"mix": {"harmless": 0.8, "helpful": 0.2}, "label_fraction": 0.1}))
    )
    assert "sources" not in make_data(plain)
    summary = make_data(mixed)
    pairs = load_pairs(mixed.out)
    assert [replace(pair, source=None) for pair in pairs] == load_pairs(plain.out)
    asking = sum(read_prompt(pair.prompt).kind == "harm" for pair in pairs)
    assert summary["sources"] == {"helpful": 1000 - asking, "harmless": asking}
    rule = SplitSettings(label_fraction=0.1, split_seed=0, mix={"harmless": 0.8, "helpful": 0.2})
    labeled = load_part(mixed.out, "labeled", rule)
    harmless = sum(pair.source == "harmless" for pair in labeled)
    units: dict[str | None, Counter[str]] = {"harmless": Counter(), "helpful": Counter()}
    for pair in pairs:
        units[pair.source][pair.unit] += 1
    for wanted, found, sizes in (
        (80, harmless, units["harmless"]),
        (20, len(labeled) - harmless, units["helpful"]),
    ):
        assert wanted - (rules - 1) * max(sizes.values()) / 2 <= found <= wanted + max(sizes.values()) / rules


def test_order_says_nothing_about_labels() -> None:
    """Swapping the two responses of a row gives the same pair."""
    for row in world.make_pairs(100, noise=1.5, near_ties=0.0, pool_seed=1):
        other = {"a": "b", "b": "a"}
        swapped = {
            "prompt": row["prompt"],
            "response_a": row["response_b"],
            "response_b": row["response_a"],
            "utility_a": row["utility_b"],
            "utility_b": row["utility_a"],
            "human_label": other[row["human_label"]],
            "true_label": other[row["true_label"]],
        }
        assert to_pair(swapped) == to_pair(row)


def test_pool_and_prompts_are_two_artifacts_without_a_shared_prompt(tmp_path: Path) -> None:
    pool, tests = (
        context(tmp_path / "pool", "data", config=config()),
        context(tmp_path / "tests", "data", config=config("prompts")),
    )
    make_data(pool)
    make_data(tests)
    assert load_prompts(pool.out) == []
    assert load_pairs(tests.out) == []
    prompts = load_prompts(tests.out)
    assert len({prompt.prompt_id for prompt in prompts}) == len(prompts) == 400
    assert not {prompt.prompt_id for prompt in prompts} & {pair.prompt_id for pair in load_pairs(pool.out)}


def test_length_rule_and_max_pairs(tmp_path: Path) -> None:
    rule = {"max_tokens": 30, "counts": "each", "tokenizer": "sandbox/opt-64", "tokenizer_revision": None}
    ctx = context(tmp_path, "data", config=config(length_rule=rule, max_pairs=50))
    summary = make_data(ctx)
    pairs = load_pairs(ctx.out)
    assert len(pairs) == 50
    assert summary["rejected"]["too_long"] + summary["over_max_pairs"] + 50 == 300
    longest = max(len(f"{p.prompt} {text}".split()) for p in pairs for text in (p.response_a, p.response_b))
    assert longest + 1 <= 30  # </s> in front counts


def test_nothing_left_is_a_sentence(tmp_path: Path) -> None:
    rule = {"max_tokens": 3, "counts": "each", "tokenizer": "sandbox/opt-64", "tokenizer_revision": None}
    with pytest.raises(DataError, match=r"data\.length_rule"):
        make_data(context(tmp_path, "data", config=config(length_rule=rule)))


def test_it_stops_when_asked(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        make_data(context(tmp_path, "data", config=config(), should_stop=lambda: True))
