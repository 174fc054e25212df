"""Datasets of the hub in parts: their first rows before the rest, all rows, a run; and what is said of a wrong part."""

from collections.abc import Iterator

import pytest

from cwpo.config.run import RunConfig
from cwpo.data.profile.first_rows import FIRST, as_told
from cwpo.data.profile.job import Asked, Job, Split
from cwpo.errors import DataError
from db import queries
from tests.hub_server import Hub
from tests.workers.hub_datasets import CHATS, COLUMNS, FILES, NAMES, OLD, ONE, PARTS, downloaded, hub_in_parts, reach
from tests.workers.workplace import Workplace, wait_for
from workers import api
from workers.api import data
from workers.machine.database import reading


@pytest.fixture
def hub(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_in_parts() as running:
        reach(running, workplace.home, monkeypatch)
        yield running


def ended(*jobs: Job) -> list[data.State]:
    """How they end, all of them asked together."""
    for job in jobs:
        data.start(job)
    states: list[data.State] = []
    for job in jobs:
        wait_for(lambda job=job: data.state(job).status not in ("running", "none"))
        states.append(data.state(job))
    return states


def test_first_rows_are_seen_and_mapped_before_the_rest_is_downloaded_and_a_run_uses_the_part(
    workplace: Workplace, hub: Hub
) -> None:
    split = Split(test_prompts=20)
    unmapped, mapped = (data.job_of(PARTS, told, split, subset="clean", kind="first") for told in (None, COLUMNS))
    known = data.job_of(PARTS, None, split, subset="chats", kind="first")
    before, after, other = ended(unmapped, mapped, known)
    assert before.result is not None, before.said
    assert after.result is not None, after.said
    assert other.result is not None, other.said
    head = as_told(before.result)
    assert (head.rows, head.pairs, head.names, head.columns) == (FIRST, 0, ("ask", "win", "lose"), None)
    assert head.worst == "unparsable: no column chosen and no column rejected"
    head = as_told(after.result)
    assert (head.rows, head.pairs, head.columns) == (FIRST, FIRST, COLUMNS)
    assert "What is 0?" in head.shown[0].prompt
    assert (head.shown[0].chosen, head.shown[0].rejected) == ("0, of course", "no")
    head = as_told(other.result)
    assert (head.rows, head.pairs, head.columns) == (CHATS, CHATS, None)
    assert head.guess == {name: name for name in ("prompt", "chosen", "rejected")}
    assert downloaded(hub) == {"clean/0.jsonl", "talk/0.jsonl"}

    whole, old = (data.job_of(PARTS, COLUMNS, split, subset="clean", revision=name) for name in ("", "old"))
    now, then = ended(whole, old)
    assert now.result is not None, now.said
    assert then.result is not None, then.said
    repo = hub.find("dataset", PARTS)
    assert repo is not None
    assert (now.result["pairs"], now.result["revision"]) == (sum(FILES), repo.commit("main"))
    assert (then.result["pairs"], then.result["revision"]) == (OLD, repo.commit("old"))
    assert downloaded(hub) == {"clean/0.jsonl", "clean/1.jsonl", "talk/0.jsonl"}
    looked = [(job.source, job.subset, job.revision) for job in data.looked_at()]
    assert set(looked) == {(PARTS, "clean", "old"), (PARTS, "clean", None), (PARTS, "chats", None)}
    assert len(looked) == 3

    part = {"dataset": PARTS, "subset": "clean", "revision": "old", "columns": COLUMNS, "test_prompts": 5}
    run = api.submit_run(workplace.config(data=part)).run_id
    with reading() as session:
        config = RunConfig.stored(dict(queries.get_run(session, run).config)).data
    assert (config.subset, config.revision, config.columns) == ("clean", repo.commit("old"), COLUMNS)


def test_a_wrong_part_is_a_sentence_that_names_those_that_there_are(hub: Hub) -> None:
    nowhere = f"{PARTS} has no subset 'nowhere': check data.subset, which is one of {NAMES}."
    damaged = "choose another data.subset, or download a file and give its path."
    said: dict[tuple[Asked, str, str, str], str] = {
        ("first", PARTS, "nowhere", ""): nowhere,
        ("first", PARTS, "", ""): f"{PARTS} has several subsets: choose one as data.subset: {NAMES}.",
        ("first", ONE, "any", ""): f"{ONE} has no subset 'any': check data.subset, and leave it out: it has none.",
        ("first", PARTS, "clean", "x"): f"The dataset {PARTS} has no revision x: check the branch, tag or commit.",
        ("first", PARTS, "chats", "old"): damaged,
        ("profile", PARTS, "nowhere", ""): nowhere,
        ("profile", PARTS, "chats", "old"): damaged,
    }
    asked = [data.job_of(name, None, Split(), subset=part, revision=at, kind=kind) for kind, name, part, at in said]
    states = [state for place in range(0, len(asked), 3) for state in ended(*asked[place : place + 3])]
    for state, sentence in zip(states, said.values(), strict=True):
        assert state.status == "failed"
        assert state.said.endswith(sentence)


@pytest.mark.parametrize(
    ("source", "subset", "revision", "sentence"),
    [
        ("everyday", "a", "", "is a file, and has no subset: leave it out"),
        ("everyday", "a", "b", "is a file, and has no subset and no revision"),
        (PARTS, "a\nb", "", "A subset is a name of at most 200 printable characters"),
        (PARTS, "", "x" * 201, "A revision is a name of at most 200 printable characters"),
    ],
)
def test_what_cannot_be_a_part_is_a_sentence_at_once(
    workplace: Workplace, source: str, subset: str, revision: str, sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        data.job_of(source, None, Split(), subset=subset, revision=revision)
