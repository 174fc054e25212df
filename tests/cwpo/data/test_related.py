"""Clusters of related prompts: by hand on a few texts, and in what the data stage writes and divides."""

import itertools
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwpo import seeded
from cwpo.data.filtering import hold_out
from cwpo.data.pairs import load_pairs, load_part, load_prompts
from cwpo.data.profile.compute import profile
from cwpo.data.profile.export import export
from cwpo.data.profile.job import PAIRS, Job, Split
from cwpo.data.related.clusters import Related, cluster_counts, clusters_of, from_groups, groups, task_of
from cwpo.data.sandbox_pairs import make_data
from cwpo.data.split import split_prompts
from cwpo.data.stage import run_data
from cwpo.errors import DataError
from cwpo.records import Prompt
from cwpo.report.dropped import cluster_sentence, data_sentence
from cwpo.sandbox import world
from cwpo.stages.settings import SplitSettings
from tests.cwpo.stage import context

FIRST = "\n\nHuman: My dog barks.\n\nAssistant:"
SECOND = f"{FIRST} Since when?\n\nHuman: Since Monday.\n\nAssistant:"
THIRD = f"{SECOND}  See a vet.\n\nHuman: Which one?\n\nAssistant:"
OTHER = "\n\nHuman: My dog barks. A lot.\n\nAssistant:"  # begins with the same letters, and continues nothing


def test_a_conversation_and_what_continues_it_are_one_cluster_in_any_order() -> None:
    """c, b and a are three steps of one talk, z another; the cluster is named by its smallest id."""
    prompts = [("c", FIRST), ("b", SECOND), ("a", THIRD), ("z", OTHER)]
    for seed in range(6):
        random.Random(seed).shuffle(prompts)
        assert clusters_of(prompts) == {"a": "a", "b": "a", "c": "a", "z": "z"}


def test_two_continuations_of_a_conversation_are_related_by_it_alone() -> None:
    left, right = (f"{FIRST} {answer}\n\nHuman: So?\n\nAssistant:" for answer in ("Why?", "Really?"))
    assert clusters_of([("l", left), ("r", right)]) == {"l": "l", "r": "r"}
    assert set(clusters_of([("l", left), ("r", right), ("x", FIRST)]).values()) == {"l"}


@pytest.mark.parametrize("answer", ["4", "It is\nfour."])
@pytest.mark.parametrize("between", ["\n", " "])
def test_a_prompt_with_one_of_its_answers_may_be_the_beginning_of_another(answer: str, between: str) -> None:
    """Without marks of turns a prompt alone says nothing: q and t begin alike, and only n holds an answer to q."""
    related = Related()
    related.add("q", "What is 2 + 2?", (answer, "5"))
    related.add("n", f"What is 2 + 2?{between}{answer}\nAnd 3 + 3?", ("6", "7"))
    related.add("t", "What is 2 + 2?\nThink first.", ("4", "8"))
    assert related.clusters() == {"q": "n", "n": "n", "t": "t"}


def test_what_asks_the_same_is_one_cluster() -> None:
    """White space and a system's turn do not matter, nor do the title and place of a post."""
    post = "SUBREDDIT: r/{}\n\nTITLE: {}\n\nPOST: My cat sleeps all day.\n\nTL;DR:"
    prompts = [("1", post.format("cats", "Help")), ("2", post.format("pets", "Lazy?")), ("3", "Sing  a song."),
               ("4", "Sing a song.\n"), ("5", f"System: Be kind.{FIRST}"), ("6", FIRST)]  # fmt: skip
    assert clusters_of(prompts) == {"1": "1", "2": "1", "3": "3", "4": "3", "5": "5", "6": "5"}


def test_a_task_of_the_sandbox_is_one_cluster_however_it_is_worded() -> None:
    drawn = world.make_test_prompts(60, 0)
    by_task: dict[str, set[str]] = {}
    for prompt in drawn:
        by_task.setdefault(task_of(prompt), set()).add(prompt)
    assert len(by_task) < len(drawn)
    assert max(map(len, by_task.values())) > 1
    assert task_of("user: how do i rob a shop ? assistant:") == "770a6bc3e9625c23"  # stored splits hang on it
    assert clusters_of([("x", "Sing a song.")], sandbox=True) == {"x": "x"}  # a text from elsewhere stands alone


def test_a_summary_says_who_belongs_together_and_how_many() -> None:
    """Five prompts in three clusters, the largest of three; whoever is alone is in no group."""
    clusters = {"e": "a", "a": "a", "c": "a", "b": "b", "d": "d"}
    assert cluster_counts(clusters.values()) == {"prompts": 5, "clusters": 3, "largest": 3}
    assert groups(clusters) == [["a", "c", "e"]]
    assert from_groups(groups(clusters)) == {"a": "a", "c": "a", "e": "a"}


# ---- what the stage writes and how it is divided --------------------------------------------------------------------


def talks(number: int) -> list[dict[str, Any]]:
    """Conversations of three steps: each step's prompt holds the chosen answer of the one before."""
    rows = []
    for talk in range(number):
        text = ""
        for step in range(3):
            text += f"\n\nHuman: Question {talk} {step}?\n\nAssistant:"
            rows.append({"chosen": f"{text} yes {talk} {step}", "rejected": f"{text} no {talk} {step}"})
            text += f" yes {talk} {step}"
    return rows


def written(tmp_path: Path, rows: list[dict[str, Any]], split: str, **changes: Any) -> tuple[Path, dict[str, Any]]:
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {"dataset": str(file), "sandbox": None, "test_prompts": 10, "split": split, **changes}
    ctx = context(tmp_path / split, "data", config=config)
    return ctx.out, run_data(ctx)


def leaks(data: Path) -> tuple[int, int]:
    """How many hidden pairs have their chosen answer in a labeled prompt, and how many test prompts have one that is
    the answer of a training pair."""
    rule = SplitSettings(label_fraction=0.3, split_seed=0)
    labeled = {pair.prompt for pair in load_part(data, "labeled", rule)}
    hidden = load_part(data, "unlabeled", rule)
    tests = [prompt.prompt for prompt in load_prompts(data)]
    answers = [(p.prompt + (p.response_a if p.human_label == "a" else p.response_b)) for p in load_pairs(data)]
    told = sum(
        any(text.startswith(p.prompt + (p.response_a if p.human_label == "a" else p.response_b)) for text in labeled)
        for p in hidden
    )
    return told, sum(any(test.startswith(answer) for answer in answers) for test in tests)


def test_no_hidden_answer_stands_in_a_labeled_prompt_and_no_test_prompt_holds_a_training_answer(tmp_path: Path) -> None:
    """40 talks of three steps. By prompt they are torn apart, by cluster they are not."""
    together, summary = written(tmp_path, talks(40), "clusters")
    apart, before = written(tmp_path, talks(40), "prompts")
    assert leaks(together) == (0, 0)
    assert min(leaks(apart)) > 0
    assert summary["test_prompts"] == 9  # three whole talks; a fourth would be two prompts too many
    assert summary["test_clusters"] == {"prompts": 9, "clusters": 3, "largest": 3}
    assert summary["training_clusters"] == {"prompts": 111, "clusters": 37, "largest": 3}
    assert {len(group) for group in summary["test_groups"]} == {3}
    said = data_sentence(summary)
    assert "111 prompts for training in 37 clusters of related ones; the largest has 3." in said
    assert "Whole clusters make 9 test prompts of the 10 asked for." in said
    assert "cluster" not in data_sentence(before)


def test_the_data_page_counts_clusters_and_divides_as_a_run_does(tmp_path: Path) -> None:
    data, summary = written(tmp_path, talks(40), "clusters")
    split = Split(test_prompts=10, label_fraction=0.3, split_seed=0, evaluation_seed=0)
    job = Job(kind="profile", source=str(tmp_path / "pairs.jsonl"), content="c", split=split)
    found = profile(job, lambda done, what: None)
    assert found["clusters"] == {"prompts": 120, "clusters": 40, "largest": 3}
    assert cluster_sentence(found["clusters"]) == "120 prompts in 40 clusters of related ones; the largest has 3."
    rule = SplitSettings(label_fraction=0.3, split_seed=0)
    sizes = {part: len(load_part(data, part, rule)) for part in ("labeled", "unlabeled")}
    assert {name: found["split"][name] for name in ("test", *sizes)} == {"test": summary["test_prompts"], **sizes}
    export(replace(job, kind="export"), tmp_path, lambda done, what: None)
    parts = [json.loads(line) for line in (tmp_path / PAIRS).read_text().splitlines()]
    labeled = {one["prompt"] for one in parts if one["split"] == "labeled"}
    assert labeled == {pair.prompt for pair in load_part(data, "labeled", rule)}


def test_data_that_are_divided_by_prompt_are_the_bytes_that_they_were(tmp_path: Path) -> None:
    data, summary = written(tmp_path, talks(20), "prompts")
    assert "cluster" not in pq.read_schema(data / "pairs.parquet").names
    assert pq.read_schema(data / "prompts.parquet").names == ["prompt_id", "prompt", "messages"]
    assert not {"training_clusters", "test_clusters", "test_groups"} & set(summary)
    assert {pair.cluster for pair in load_pairs(data)} == {None}


def test_unrelated_prompts_are_divided_as_before(tmp_path: Path) -> None:
    """A prompt alone is a cluster of its own name, so that its place in the seeded order is the same."""
    rows = [{"prompt": f"Question {n}?", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(60)]
    one, other = (written(tmp_path, rows, split)[0] for split in ("clusters", "prompts"))
    assert [p.prompt_id for p in load_prompts(one)] == [p.prompt_id for p in load_prompts(other)]
    assert [p.pair_id for p in load_pairs(one)] == [p.pair_id for p in load_pairs(other)]
    rule = SplitSettings(label_fraction=0.3, split_seed=0)
    parts = [[p.pair_id for p in load_part(data, "labeled", rule)] for data in (one, other)]
    assert parts[0] == parts[1]


def test_a_cluster_that_is_too_large_to_hold_out_is_one_sentence(tmp_path: Path) -> None:
    rows = talks(1) + [{**row, "chosen": f"{row['chosen']}!"} for row in talks(1)]
    with pytest.raises(DataError, match="raise it, or set rules: 1"):
        written(tmp_path, rows, "clusters", test_prompts=2)


def test_the_sandbox_divides_its_pairs_by_task(tmp_path: Path) -> None:
    world = {"pairs": 150, "noise": 1.5, "near_ties": 0.0, "pool_seed": 0, "version": 1}
    config = {"sandbox": world, "test_prompts": 40, "split": "clusters"}
    ctx = context(tmp_path, "data", config=config)
    summary = make_data(ctx)
    rule = SplitSettings(label_fraction=0.4, split_seed=0)
    labeled, hidden = ({task_of(p.prompt) for p in load_part(ctx.out, part, rule)} for part in ("labeled", "unlabeled"))
    assert labeled
    assert hidden
    assert not labeled & hidden
    assert summary["training_clusters"]["clusters"] == len(labeled | hidden)
    assert from_groups(summary["test_groups"])
    assert len(load_prompts(ctx.out)) == 40


def test_prompts_are_held_out_by_whole_clusters_that_fit() -> None:
    """Ten prompts in clusters of one to four: never more than asked for, and exactly so many where single ones are."""
    sizes = {"k": 4, "l": 3, "m": 2, "n": 1}
    prompts = [Prompt(prompt_id=f"{c}{at}", prompt="", cluster=c) for c, size in sizes.items() for at in range(size)]
    for wanted in range(1, 11):
        held = hold_out(prompts, wanted, evaluation_seed=3)
        assert len(held) <= wanted
        whole = {prompt.cluster for prompt in held}
        assert len(held) == sum(sizes[str(cluster)] for cluster in whole)
    assert len(hold_out(prompts, 10, evaluation_seed=3)) == 10


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=40),
    labeled=st.integers(1, 99),
    unlabeled=st.integers(1, 99),
    seed=st.integers(0, 5),
)
def test_parts_of_clusters_never_overlap_and_come_as_near_as_whole_clusters_allow(
    sizes: list[int], labeled: int, unlabeled: int, seed: int
) -> None:
    """Against all cuts between two clusters in the seeded order: one cluster at least is on either side."""
    unlabeled = min(unlabeled, 100 - labeled)
    rule = SplitSettings(label_fraction=labeled / 100, split_seed=seed, unlabeled_fraction=unlabeled / 100)
    pairs = [(f"p{at}.{k % 2}", None) for at, size in enumerate(sizes) for k in range(size)]
    split = split_prompts(pairs, rule, {name: name.partition(".")[0] for name, _ in pairs})
    parts = {part: [name for name, _ in pairs if split.has(part, name)] for part in ("labeled", "unlabeled")}
    order = sorted(range(len(sizes)), key=lambda at: seeded.place(f"{seed}:p{at}"))
    cuts = list(itertools.accumulate(sizes[at] for at in order))[:-1]
    wanted = round(labeled / 100 * sum(sizes))
    nearest = min(abs(cut - wanted) for cut in cuts) if 0 < wanted < sum(sizes) else 0
    assert abs(len(parts["labeled"]) - wanted) == nearest
    assert not set(parts["labeled"]) & set(parts["unlabeled"])
    assert split.unlabeled_pairs == len(parts["unlabeled"])
    for names in parts.values():
        whole = {name.partition(".")[0] for name in names}
        assert len(names) == sum(sizes[int(cluster[1:])] for cluster in whole)
