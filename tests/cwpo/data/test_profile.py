"""A profile says what a slow count says; near-duplicates are those of the exact measure; an export is the run's."""

import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cwpo.data.filtering import hold_out
from cwpo.data.pairs import load_pairs, load_part, load_prompts
from cwpo.data.profile import job as jobs
from cwpo.data.profile.compute import profile
from cwpo.data.profile.export import export, export_run
from cwpo.data.profile.job import Job, Split
from cwpo.data.profile.lengths import EDGES
from cwpo.data.profile.main import run as run_job
from cwpo.data.profile.near import THRESHOLD, Shingler, jaccard, near_duplicates, signatures
from cwpo.data.stage import run_data
from cwpo.errors import DataError
from cwpo.stages.plain import to_plain
from cwpo.stages.settings import SplitSettings
from tests import clocks
from tests.cwpo import stage

DICE = random.Random(5)
WORDS = [f"word{number}" for number in range(400)]


def text(words: int) -> str:
    return " ".join(DICE.choice(WORDS) for _ in range(words))


def silent(done: int, what: str) -> None:
    return None


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def rows_of(prompts: int) -> list[dict[str, str]]:
    asked = [text(12) for _ in range(prompts)]
    return [
        {"prompt": prompt, "chosen": text(1 + (place * 7) % 30), "rejected": text(5), "source": "ab"[place % 2]}
        for place, prompt in enumerate(asked)
        for _ in range(1 + place % 2)
    ]


def test_counts_lengths_and_the_split_are_those_of_a_count_by_hand(tmp_path: Path) -> None:
    good = rows_of(60)
    swapped = {**good[0], "chosen": good[0]["rejected"], "rejected": good[0]["chosen"]}
    bad: list[Any] = ["{broken", {"prompt": "p"}, {**good[1], "chosen": ""}, good[3], swapped]
    file = written(tmp_path / "rows.jsonl", [*good, *bad])
    split = Split(test_prompts=8, label_fraction=0.25, split_seed=3, evaluation_seed=1)
    found = profile(Job(kind="profile", source=str(file), content="c", split=split), silent)

    assert (found["rows"], found["pairs"], found["prompts"]) == (len(good) + 5, len(good), 60)
    assert found["dropped"] == {"unparsable": 2, "duplicate": 2, "empty": 1}
    assert found["contradicted"] == 1
    assert {one["line"] for one in found["examples"]} == {len(good) + place for place in (1, 2, 3, 4, 5)}
    wins = [
        1.0 if len(r["chosen"]) > len(r["rejected"]) else 0.5 * (len(r["chosen"]) == len(r["rejected"])) for r in good
    ]
    assert found["longer_wins"] == pytest.approx(sum(wins) / len(wins))
    assert found["sources"] == {name: sum(row["source"] == name for row in good) for name in "ba"}
    for part in ("prompt", "chosen", "rejected"):
        lengths = np.array([len(row[part]) for row in good])
        told = found["lengths"]["characters"][part]
        counts = [int(((low <= lengths) & (lengths < high)).sum()) for low, high in itertools.pairwise(EDGES)]
        assert told["counts"] == counts
        assert (told["median"], told["longest"]) == (np.median(lengths), lengths.max())

    settings = {
        "dataset": str(file), "revision": None, "subset": None, "max_pairs": None, "length_rule": None,
        "test_prompts": 8, "evaluation_seed": 1, "sandbox": None,
    }  # fmt: skip
    ctx = stage.context(tmp_path / "stage", "data", config=settings)
    summary = run_data(ctx)
    rule = SplitSettings(label_fraction=0.25, split_seed=3)
    labeled, unlabeled = (load_part(ctx.out, part, rule) for part in ("labeled", "unlabeled"))
    assert found["split"]["test"] == summary["test_prompts"]
    assert (found["split"]["labeled"], found["split"]["unlabeled"]) == (len(labeled), len(unlabeled))
    assert found["dropped"] == summary["rejected"]

    folder = tmp_path / "export"
    folder.mkdir()
    job = Job(kind="export", source=str(file), content="c", split=split)
    export(job, folder, silent)
    lines = [json.loads(line) for line in (folder / jobs.PAIRS).read_text().splitlines()]
    assert len(lines) == len(good)
    for name, part in (("labeled", labeled), ("unlabeled", unlabeled)):
        mine = {(line["prompt"], line["chosen"], line["rejected"]) for line in lines if line["split"] == name}
        theirs = {
            (p.prompt, *((p.response_a, p.response_b) if p.human_label == "a" else (p.response_b, p.response_a)))
            for p in part
        }
        assert mine == theirs
    assert {line["prompt"] for line in lines if line["split"] == "test"} == {p.prompt for p in load_prompts(ctx.out)}

    export_run(replace(job, kind="run", source=str(ctx.out), rule=to_plain(rule)), folder, silent)
    own = [json.loads(line) for line in (folder / jobs.PAIRS).read_text().splitlines()]
    plain = [{name: value for name, value in line.items() if name != "source"} for line in lines]
    trained = [line for line in own if line["split"] != "test"]
    assert sorted(map(str, trained)) == sorted(str(line) for line in plain if line["split"] != "test")
    assert len(own) == len(load_pairs(ctx.out)) + 8


def test_of_a_small_dataset_a_sixth_of_the_prompts_is_held_out(tmp_path: Path) -> None:
    file = written(tmp_path / "rows.jsonl", rows_of(60))
    found = profile(Job(kind="profile", source=str(file), content=""), silent)
    assert found["split"]["test"] == 10
    assert hold_out([], 3, evaluation_seed=0) == []


def test_a_published_test_split_is_the_one_that_is_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in both splits is held out; rows of the test split are never trained on."""
    from cwpo.data import remote
    from cwpo.models import hub

    train = rows_of(20)
    test = [{"prompt": text(9), "chosen": "a", "rejected": "b"} for _ in range(6)] + [{**train[0], "chosen": "new"}]
    monkeypatch.setattr(hub, "resolve_revision", lambda *a, **k: "f" * 40)
    monkeypatch.setattr(remote, "load_splits", lambda *a, **k: {"train": train, "test": test})
    found = profile(Job(kind="profile", source="owner/name", content="", split=Split(test_prompts=7)), silent)
    assert found["split"]["test"] == 7
    assert found["split"]["labeled"] + found["split"]["unlabeled"] == len(train) - 1
    assert found["revision"] == "f" * 40


def changed(words: list[str], places: int) -> str:
    """The same with so many words changed."""
    copy = list(words)
    for place in DICE.sample(range(len(words)), places):
        copy[place] = DICE.choice(WORDS)
    return " ".join(copy)


def test_near_duplicates_are_those_of_the_exact_measure() -> None:
    """900 training texts; of 120 queries some are copies with 0 to 4 words changed, so that all degrees occur."""
    others = [text(DICE.randint(1, 90)) for _ in range(900)]
    queries = [changed(others[place].split(), min(place % 5, len(others[place].split()))) for place in range(80)]
    queries += [text(30) for _ in range(40)]

    def triples(words: list[str]) -> set[tuple[str, ...]]:
        return {tuple(words[at : at + 3]) for at in range(len(words) - 2)} if len(words) > 2 else {tuple(words)}

    sets = [triples(one.split()) for one in others]
    exact = {}
    for place, query in enumerate(queries):
        mine = triples(query.split())
        best = max(len(mine & one) / len(mine | one) for one in sets)
        if best >= THRESHOLD:
            exact[place] = best
    assert 15 < len(exact) < 70
    shingler = Shingler()
    left, right = ([shingler.of(one) for one in side] for side in (queries, others))
    found = list(near_duplicates(left, right, signatures(left), signatures(right)))
    assert {one.query for one in found} == exact.keys()
    for one in found:
        assert one.similarity == pytest.approx(exact[one.query])
        assert jaccard(left[one.query], right[one.other]) == one.similarity


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("What is the capital of France?", "what is the CAPITAL, of France", 1.0),
        ("請告訴我法國的首都在哪裡", "請告訴我法國的首都在哪裡？", 1.0),
        ("hi", "ho", 0.0),
        ("!?", "!?", 1.0),
        ("", "something", 0.0),
        ("half \ud83d of it", "half \ud83d of it", 1.0),
    ],
)
def test_case_and_punctuation_make_no_difference(one: str, other: str, alike: float) -> None:
    shingler = Shingler()
    assert jaccard(shingler.of(one), shingler.of(other)) == alike


def test_a_prompt_that_leaks_into_training_is_counted_with_its_lines(tmp_path: Path) -> None:
    asked = [text(30) for _ in range(60)]
    rows = [{"prompt": prompt, "chosen": "yes", "rejected": "no"} for prompt in asked]
    split = Split(test_prompts=5)
    plain = profile(
        Job(kind="profile", source=str(written(tmp_path / "a.jsonl", rows)), content="", split=split), silent
    )
    assert plain["near"]["test"]["count"] == plain["near"]["labeled"]["count"] == 0
    twice = [*rows, *({**row, "prompt": row["prompt"] + " please"} for row in rows)]
    found = profile(
        Job(kind="profile", source=str(written(tmp_path / "b.jsonl", twice)), content="", split=split), silent
    )
    test = found["near"]["test"]
    assert test["of"] == 5
    assert 1 <= test["count"] <= 5
    first = test["examples"][0]
    assert abs(first["line"] - first["other_line"]) == 60
    assert first["similarity"] == pytest.approx(28 / 29)


def test_the_process_writes_what_it_found_or_why_not(tmp_path: Path) -> None:
    file = written(tmp_path / "rows.jsonl", rows_of(10))
    for source, status in ((file, jobs.DONE), (tmp_path / "none.jsonl", jobs.FAILED)):
        folder = tmp_path / status
        jobs.write(folder, Job(kind="profile", source=str(source), content="", columns=None))
        subprocess.run([sys.executable, "-m", "cwpo.data.profile.main", str(folder)], check=True, timeout=300)
        assert jobs.found(folder, jobs.END)["status"] == status
    assert jobs.found(tmp_path / jobs.DONE, jobs.RESULT)["pairs"] == 15
    assert "does not exist" in jobs.found(tmp_path / jobs.FAILED, jobs.END)["said"]


def test_a_killed_export_leaves_no_half_of_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    file = written(tmp_path / "rows.jsonl", rows_of(6_000))
    jobs.write(folder, Job(kind="export", source=str(file), content=""))
    process = subprocess.Popen([sys.executable, "-m", "cwpo.data.profile.main", str(folder)])
    deadline = clocks.monotonic() + 300
    while not list(folder.glob("*.partial")) and process.poll() is None and clocks.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    assert not (folder / jobs.PAIRS).exists() or jobs.found(folder, jobs.END)


def test_the_sandbox_has_no_rows_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="The sandbox makes its pairs"):
        profile(Job(kind="profile", source="sandbox", content=""), silent)
    jobs.write(tmp_path, Job(kind="profile", source="sandbox", content=""))
    run_job(tmp_path)
    assert jobs.found(tmp_path, jobs.END)["status"] == jobs.FAILED


def test_a_question_is_the_same_only_about_the_same() -> None:
    job = Job(kind="profile", source="/a.jsonl", content="sha256:1", columns={"prompt": "q"})
    assert job.key() == Job(kind="profile", source="/a.jsonl", content="sha256:1", columns={"prompt": "q"}).key()
    others = [
        replace(job, content="sha256:2"), replace(job, columns=None), replace(job, kind="export"),
        replace(job, split=Split(test_prompts=3)), replace(job, version=0),
    ]  # fmt: skip
    assert len({one.key() for one in [job, *others]}) == 6


def test_a_part_of_a_dataset_is_another_question_and_without_one_its_key_is_what_it_was() -> None:
    job = Job(kind="profile", source="owner/name", content="")
    told = {name: value for name, value in asdict(job).items() if name not in ("subset", "revision")}
    assert job.key() == hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:24]
    parts = [replace(job, subset="a"), replace(job, subset="b"), replace(job, revision="a"), replace(job, kind="first")]
    assert len({one.key() for one in [job, *parts]}) == 5
