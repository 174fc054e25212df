"""Groups of pairs by hand, sums that no window changes, and what the summary says of rivals and length."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from cwpo.annotation import attributes, bag_of_words
from cwpo.annotation import summary as label_summary
from cwpo.annotation.attributes import LabelAttributes, groups_of, prompt_kind
from cwpo.annotation.labeling import annotations
from cwpo.data.sandbox_pairs import to_pair
from cwpo.models.tokenization import encode_pairs
from cwpo.records import CandidatePair
from cwpo.sandbox.world import make_pairs
from tests.cwpo import small_world


def world(count: int) -> list[CandidatePair]:
    return [to_pair(row) for row in make_pairs(count, noise=1.5, near_ties=0.0, pool_seed=0)]


def table_of(pairs: list[CandidatePair], leads: Any) -> Any:
    """annotations.parquet of these pairs where score(a) − score(b) is `leads`: one column per annotator."""
    rows = encode_pairs(pairs, small_world.word_tokenizer(), max_length=4096).rows
    places = {pair.pair_id: place for place, pair in enumerate(pairs)}
    ordered = np.asarray(leads, dtype=float)[[places[row.pair_id] for row in rows]]
    lead = ordered.reshape(len(rows), -1)
    return annotations(pairs, rows, np.stack([lead, np.zeros_like(lead)], axis=2))


def summary_of(folder: Path, pairs: list[CandidatePair], leads: Any, known: list[CandidatePair]) -> dict[str, Any]:
    table = table_of(pairs, leads)
    pq.write_table(table, folder / "annotations.parquet")
    seen = LabelAttributes(rival=bag_of_words.fit([known]))
    seen.add(pairs, table)
    return label_summary.summarise(folder / "annotations.parquet", [known], seen)


def pair(prompt: str, a: str, b: str, **more: Any) -> CandidatePair:
    return CandidatePair(pair_id="p", prompt_id="q", prompt=prompt, response_a=a, response_b=b, **more)


def test_a_pair_of_the_sandbox_belongs_to_its_task_and_to_every_quality_that_differs() -> None:
    a = "the cat eats fish . i am not sure ."
    b = "the cat eats meat . what a silly question ."
    found = list(groups_of(pair("user: what does the cat eat ? assistant:", a, b, utility_a=1.0, utility_b=-3.0), "a"))
    assert found[0] == ("prompt", "one question")
    assert {value for family, value in found if family == "the answers differ in"} == {
        "content", "false statement", "rudeness", "hedging",
    }  # fmt: skip
    assert found[-1] == ("the annotator chose", "the shorter answer")


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("\n\nHuman: Why is the sky blue\n\nAssistant:", "question"),
        ("\n\nHuman: Tell me, is it blue?\n\nAssistant:", "question"),
        ("\n\nHuman: Write a poem.\n\nAssistant:", "instruction"),
        ("\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Why?\n\nAssistant:", "dialogue"),
        ("Is it blue?", "question"),
        ("SUBREDDIT: r/x TITLE: y", "instruction"),
    ],
)
def test_prompt_kinds_follow_their_rule(prompt: str, kind: str) -> None:
    assert prompt_kind(pair(prompt, "a", "b")) == kind


def test_chat_messages_are_counted_by_role() -> None:
    turns = [{"role": role, "content": "Say it"} for role in ("system", "user", "assistant", "user")]
    assert prompt_kind(pair("x?", "a", "b", messages=json.dumps(turns))) == "dialogue"
    assert prompt_kind(pair("x?", "a", "b", messages=json.dumps(turns[:2]))) == "instruction"


def test_no_window_changes_the_sums_and_partitions_hold_every_pair() -> None:
    pairs = world(300)
    leads = np.random.default_rng(0).normal(0, 1, 300)
    whole, pieces = LabelAttributes(rival=None), LabelAttributes(rival=None)
    whole.add(pairs, table_of(pairs, leads))
    for start in range(0, 300, 70):
        pieces.add(pairs[start : start + 70], table_of(pairs[start : start + 70], leads[start : start + 70]))
    rows = whole.result()
    for one, other in zip(rows, pieces.result(), strict=True):
        assert one == pytest.approx(other)
    sure = np.tanh(np.abs(leads) / 2)
    for family in ("prompt", "the annotator chose"):
        mine = [row for row in rows if row["family"] == family]
        assert sum(row["n"] for row in mine) == 300
        assert sum(row["confidence"] for row in mine) == pytest.approx(sure.sum())
        labels = np.where(leads >= 0, "a", "b")
        assert sum(row["agree"] for row in mine) == sum(
            label == one.human_label for label, one in zip(labels, pairs, strict=True)
        )
    assert whole.prompts.size == 300
    assert np.unique(whole.prompts).size == len({one.prompt_id for one in pairs})


def test_what_is_kept_of_a_pair_are_bytes_and_no_text() -> None:
    """The number of groups does not grow with the pairs."""
    pairs = world(200)
    seen = LabelAttributes(rival=bag_of_words.fit([pairs[:50]]))
    for _ in range(5):
        seen.add(pairs, table_of(pairs, np.ones(200)))
    once = LabelAttributes(rival=None)
    once.add(pairs, table_of(pairs, np.ones(200)))
    assert seen.groups.keys() == once.groups.keys()
    kept = [
        array for arrays in (seen._chosen, seen._prompts, seen._votes, seen._sources, seen._masks) for array in arrays
    ]
    assert sum(array.nbytes for array in kept) == 5 * 200 * 16


def test_of_many_pairs_whole_prompts_are_judged_and_all_are_summed(tmp_path: Path) -> None:
    """Two pairs a prompt, half of the prompts judged: both pairs of one or neither, the same for another annotator."""
    pairs = [replace(one, prompt_id=f"q{at // 2}", source=f"s{at % 3}") for at, one in enumerate(world(400))]
    leads = np.random.default_rng(2).normal(0, 1, 400)
    table = table_of(pairs, leads)
    pq.write_table(table, tmp_path / "annotations.parquet")
    whole, half = LabelAttributes(rival=None), LabelAttributes(rival=None, share=0.5)
    for seen in (whole, half):
        for start in range(0, 400, 100):
            seen.add(pairs, table[start : start + 100])
    full, part = (
        label_summary.summarise(tmp_path / "annotations.parquet", [pairs[:20]], seen) for seen in (whole, half)
    )
    prompt_of = {one.pair_id: one.prompt_id for one in pairs}
    rows = [prompt_of[pair_id] for pair_id in table["pair_id"].to_pylist()]
    judged = {prompt for prompt, mine in zip(rows, half.chosen, strict=True) if mine}
    assert 60 < len(judged) < 140  # 200 prompts, a half: 4 standard deviations are 28
    assert not judged & {prompt for prompt, mine in zip(rows, half.chosen, strict=True) if not mine}
    assert (full["judged"], part["judged"], part["n"]) == (400, 2 * len(judged), 400)
    of_all = ("n", "accuracy_human", "accuracy_truth", "mean_confidence", "effective_sample_size", "histogram")
    assert [full[name] for name in of_all] == [part[name] for name in of_all]
    for one, other in zip(full["attributes"], part["attributes"], strict=True):
        effects = ("human_effect", "truth_effect")
        assert {**one, **dict.fromkeys(effects)} == {**other, **dict.fromkeys(effects)}
        assert other["human_effect"] is None or other["human_effect"] >= 1, other
    few = {row["human_effect"] is None for row in part["attributes"] if row["n"] < 20}
    assert few == {True}
    assert all(row["human_effect"] is not None for row in full["attributes"])
    mine = [one for one in pairs if one.prompt_id in judged]
    labels = dict(zip(table["pair_id"].to_pylist(), table["label"].to_pylist(), strict=True))
    assert part["human"]["n"] == len(mine)
    agree = np.mean([labels[one.pair_id] == one.human_label for one in mine])
    assert part["human"]["accuracy"]["estimate"] == pytest.approx(agree)
    assert sum(row["n"] for row in part["sources"]) == sum(row["n"] for row in part["lengths"]) == len(mine)


def test_labels_are_summed_where_no_prompt_is_drawn_to_be_judged(tmp_path: Path) -> None:
    """Very many pairs of a few prompts: the hash may leave out all of them."""
    pairs = world(20)
    table = table_of(pairs, np.ones(20))
    pq.write_table(table, tmp_path / "annotations.parquet")
    seen = LabelAttributes(rival=None, share=1e-18)
    seen.add(pairs, table)
    summary = label_summary.summarise(tmp_path / "annotations.parquet", [pairs], seen)
    assert (summary["n"], summary["judged"], summary["human"], summary["deciles"], summary["lengths"]) == (
        20,
        0,
        None,
        [],
        [],
    )
    assert summary["accuracy_human"] is not None
    json.dumps(summary, allow_nan=False)


@pytest.mark.parametrize("told_apart", [5_000, 25])
def test_of_many_sources_the_most_frequent_have_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told_apart: int
) -> None:
    """40 sources, the first 20 of them seven times as frequent: those, and all others together."""
    monkeypatch.setattr(attributes, "_TOLD_APART", told_apart)
    often = [f"often {at % 20:02d}" for at in range(280)]
    pairs = [
        replace(one, source=name)
        for one, name in zip(world(320), [*often, *(f"rare {at % 20}" for at in range(40))], strict=True)
    ]
    summary = summary_of(tmp_path, pairs, np.linspace(-3, 3, 320), [])
    for rows in (summary["sources"], [row for row in summary["attributes"] if row["family"] == "source"]):
        sizes = {row.get("name", row.get("value")): row["n"] for row in rows}
        assert sizes == {**{f"often {at:02d}": 14 for at in range(20)}, "other sources": 40}


def test_pairs_of_one_prompt_count_for_less_in_every_group_that_they_are_in(tmp_path: Path) -> None:
    """60 pairs, each 4 times under its prompt, of two sources and one without: a group of g pairs is worth about g / 4,
    whichever group it is; each pair alone is worth one."""
    ones = [replace(one, source=("x", "y", None)[at % 3]) for at, one in enumerate(world(60))]
    fours = [replace(one, pair_id=f"{one.pair_id}-{copy}") for one in ones for copy in range(4)]
    leads = np.random.default_rng(3).normal(0, 1, 60)
    alone, shared = summary_of(tmp_path, ones, leads, []), summary_of(tmp_path, fours, np.repeat(leads, 4), [])
    assert {(row["human_effect"], row["truth_effect"]) for row in alone["attributes"]} == {(1.0, 1.0)}
    assert {row["family"] for row in shared["attributes"]} >= {"prompt", "source", "the annotator chose"}
    for row in shared["attributes"]:
        prompts, share = row["n"] / 4, row["agree"] / row["humans"]
        copies = 4 if share in (0, 1) else (row["n"] - 1) / (prompts - 1)  # of variances that are both unbiased
        wanted = row["n"] if prompts == 1 else copies
        assert row["human_effect"] == pytest.approx(wanted, rel=0.2), row


def test_the_masks_of_groups_are_the_groups() -> None:
    """Members by mask and by place are the pairs that were summed, over windows and with sources pooled."""
    pairs = [replace(one, source=(None, "x", "y", "z")[at % 4]) for at, one in enumerate(world(200))]
    leads = np.random.default_rng(4).normal(0, 1, 200)
    seen = LabelAttributes(rival=None)
    for start in range(0, 200, 60):
        seen.add(pairs[start : start + 60], table_of(pairs[start : start + 60], leads[start : start + 60]))
    for row in seen.result():
        assert seen.members(row["family"], row["value"]).sum() == row["n"], row
    assert seen.members("source", attributes.OTHER_SOURCES, ["x"]).sum() == 100


def test_rivals_are_judged_on_the_same_hidden_pairs(tmp_path: Path) -> None:
    """An annotator that repeats the humans leads the shorter-wins rule by what that rule gets wrong."""
    pairs = world(400)
    known, hidden = pairs[:200], pairs[200:]
    leads = [2.0 if one.human_label == "a" else -2.0 for one in hidden]
    summary = summary_of(tmp_path, hidden, leads, known)
    assert summary["accuracy_human"] == 1.0
    assert [rival["name"] for rival in summary["rivals"]] == ["length", "bag of words"]
    for rival, name in zip(summary["rivals"], ("length_only_accuracy", "bag_of_words_accuracy"), strict=True):
        assert rival["accuracy"]["estimate"] == pytest.approx(summary[name])
        assert rival["lead"]["estimate"] == pytest.approx(1 - summary[name])
        assert rival["lead"]["low"] < rival["lead"]["estimate"] < rival["lead"]["high"]
    model = bag_of_words.fit([known])
    assert model is not None
    votes = bag_of_words.votes(model, hidden)
    right = [vote if one.human_label == "a" else 1 - vote for vote, one in zip(votes, hidden, strict=True)]
    assert summary["bag_of_words_accuracy"] == pytest.approx(np.mean(right))
    assert summary["bag_of_words_accuracy"] > 0.6
    json.dumps(summary, allow_nan=False)


def test_both_judges_are_shown_and_the_gap_is_mean_confidence_against_accuracy(tmp_path: Path) -> None:
    pairs = world(300)
    leads = np.random.default_rng(1).normal(0, 2, 300)
    summary = summary_of(tmp_path, pairs, leads, pairs[:20])
    for judge, accuracy in (("human", "accuracy_human"), ("truth", "accuracy_truth")):
        found = summary[judge]
        assert found["n"] == 300
        assert found["accuracy"]["estimate"] == pytest.approx(summary[accuracy])
        assert found["gap"]["estimate"] == pytest.approx(summary["mean_confidence"] - 2 * summary[accuracy] + 1)
        assert sum(one["n"] for one in found["bins"]) == 300
        assert found["coverage"][-1] == 1
        assert found["risk"][-1] == pytest.approx(1 - summary[accuracy], abs=1e-6)
        assert len(found["coverage"]) == len(found["risk"]) <= 100
    assert summary["human"]["accuracy"]["estimate"] != summary["truth"]["accuracy"]["estimate"]
    humans = [replace(one, true_label=None, human_label=None) for one in pairs]
    nothing = summary_of(tmp_path, humans, leads, [])
    assert (nothing["human"], nothing["truth"], nothing["rivals"], nothing["lengths"]) == (None, None, [], [])


def test_length_terciles_cover_every_pair_and_keep_equal_lengths_together(tmp_path: Path) -> None:
    pairs = world(300)
    rows = summary_of(tmp_path, pairs, np.linspace(-3, 3, 300), pairs[:20])["lengths"]
    assert sum(row["n"] for row in rows) == 300
    assert sum(row["weight_share"] for row in rows) == pytest.approx(1)
    spans = [[int(part) for part in row["name"].split("–")] for row in rows]
    assert all(one[1] < after[0] for one, after in itertools.pairwise(spans))
    assert all(row["n"] >= 60 for row in rows)


def test_the_annotator_is_unsure_is_not_the_two_answers_are_close(tmp_path: Path) -> None:
    """Two annotators; where they disagree (odd pairs) they are wrong, whatever the margin: spread sorts, C does not."""
    pairs = world(360)
    margin = np.random.default_rng(0).uniform(0.1, 3, 360)
    unsure = np.arange(360) % 2 == 1
    right = np.array([1.0 if one.human_label == "a" else -1.0 for one in pairs])
    mean = margin * np.where(unsure, -right, right)
    apart = 0.1 + unsure + np.random.default_rng(1).uniform(0, 0.05, 360)
    leads = np.column_stack([mean - apart, mean + apart])
    found = summary_of(tmp_path, pairs, leads, pairs[:20])["unsure"]
    assert found["auroc_spread"] == 1.0
    assert found["auroc_confidence"] == pytest.approx(0.5, abs=0.07)
    assert [(cell["third"], cell["unsure"]) for cell in found["cells"]] == [
        (third, unsure) for third in range(3) for unsure in (False, True)
    ]
    assert sum(cell["n"] for cell in found["cells"]) == 360
    for cell in found["cells"]:
        assert cell["accuracy"]["estimate"] == pytest.approx(0.0 if cell["unsure"] else 1.0, abs=0.2)
    alone = summary_of(tmp_path, pairs, mean, pairs[:20])
    assert alone["unsure"] is None


def test_every_source_has_its_own_accuracy(tmp_path: Path) -> None:
    """Right on every helpful pair, wrong on every harmless one."""
    pairs = [replace(one, source="helpful" if place < 90 else "harmless") for place, one in enumerate(world(120))]
    says_a = [(one.human_label == "a") == (one.source == "helpful") for one in pairs]
    summary = summary_of(tmp_path, pairs, np.where(says_a, 1.0, -1.0), pairs[:20])
    found = {row["name"]: row for row in summary["sources"]}
    assert {name: (row["n"], row["accuracy"]["estimate"]) for name, row in found.items()} == {
        "helpful": (90, 1.0), "harmless": (30, 0.0),
    }  # fmt: skip
    assert found["helpful"]["weight_share"] == pytest.approx(0.75)
    assert found["harmless"]["ece"] == pytest.approx(1 / (1 + np.exp(-1)))
    assert {row["value"] for row in summary["attributes"] if row["family"] == "source"} == {"helpful", "harmless"}
