"""Datasets are read by processes of their own: started once, stopped, found again, and no more than a few at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cwpo.config.run import RunConfig
from cwpo.data.profile.job import Job
from cwpo.errors import CwpoError, DataError
from cwpo.stages.graph import build
from db import queries
from tests.workers.workplace import Workplace, wait_for
from workers import api
from workers.api import data
from workers.machine import profiles
from workers.machine.database import reading


def file_of(folder: Path, rows: int = 40) -> Path:
    path = folder / f"rows{rows}.jsonl"
    path.write_text(
        "".join(
            json.dumps({"question": f"What is {n}?", "chosen": f"{n}", "rejected": "no"}) + "\n" for n in range(rows)
        )
    )
    return path


def done(job: Job) -> data.State:
    def ended() -> data.State | None:
        state = data.state(job)
        return state if state.status not in (profiles.RUNNING, profiles.NONE) else None

    state: data.State = wait_for(ended)
    return state


def test_a_dataset_is_read_once_for_each_content(workplace: Workplace, tmp_path: Path) -> None:
    file = file_of(tmp_path)
    source = data.check_source(str(file))
    job = data.job_of(source, None, Job(kind="profile", source="", content="").split)
    assert data.state(job).status == profiles.NONE
    data.start(job)
    state = done(job)
    assert state.result is not None
    assert (state.result["pairs"], state.result["columns"]["instruction"]) == (40, "question")
    before = (profiles.folder_of(job) / "result.json").stat().st_mtime_ns
    data.start(job)
    assert (profiles.folder_of(job) / "result.json").stat().st_mtime_ns == before
    assert [one.source for one in data.looked_at()] == [source]
    with file.open("a") as more:
        more.write(json.dumps({"question": "And?", "chosen": "yes", "rejected": "no"}) + "\n")
    assert data.state(data.job_of(source, None, job.split)).status == profiles.NONE


def test_a_process_that_is_stopped_or_killed_is_seen_and_started_again(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(kind="profile", source=str(file_of(tmp_path)), content="a")
    slow = tmp_path / "slow.py"
    slow.write_text("import time; time.sleep(600)\n")
    real = profiles.start_apart
    monkeypatch.setattr(
        profiles, "start_apart", lambda command, log, **extra: real([sys.executable, slow, command[-1]], log, **extra)
    )
    data.start(job)
    assert data.state(job).status == profiles.RUNNING
    others = [Job(kind="profile", source=job.source, content=str(number)) for number in range(profiles.MOST_AT_ONCE)]
    for other in others[:-1]:
        data.start(other)
    with pytest.raises(DataError, match="datasets are being read: wait"):
        data.start(others[-1])
    for one in (job, *others):
        data.stop(one)
    wait_for(lambda: data.state(job).status == profiles.STOPPED)
    monkeypatch.setattr(profiles, "start_apart", real)
    data.start(job)
    assert done(job).status == profiles.DONE


def test_the_hub_that_is_not_there_is_a_sentence(workplace: Workplace) -> None:
    job = data.job_of(data.check_source("owner/name"), None, Job(kind="profile", source="", content="").split)
    data.start(job)
    state = done(job)
    assert state.status == profiles.FAILED
    assert "owner/name" in state.said
    assert "Traceback" not in state.said


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("", "Give the path"),
        ("sandbox", "The sandbox makes its pairs"),
        ("/no/where.jsonl", "does not exist on this server"),
        ("/etc/passwd", "has an ending that cannot be read"),
        ("nothing", "neither a file of this server nor a hub id"),
        ("owner/name/../x", "neither a file of this server nor a hub id"),
    ],
)
def test_what_cannot_be_looked_at_is_a_sentence(source: str, sentence: str) -> None:
    with pytest.raises(CwpoError, match=sentence):
        data.check_source(source)


def test_a_run_is_submitted_with_the_columns_that_its_file_needs(workplace: Workplace, tmp_path: Path) -> None:
    """Also where nobody said them; a file that reads as ever has none, and keeps the fingerprint it had."""
    file = str(file_of(tmp_path, 60))
    run = api.submit_run(workplace.config(data={"dataset": file, "test_prompts": 5}))
    told = {"instruction": "question", "chosen": "chosen", "rejected": "rejected"}
    plain = api.submit_run(workplace.config())
    with reading() as session:
        found = [queries.get_run(session, one.run_id).config for one in (run, plain)]
    assert [config["data"]["columns"] for config in found] == [told, None]
    settings = [build(RunConfig.stored(dict(config)))["data"].config for config in found]
    assert settings[0]["columns"] == told
    assert "columns" not in settings[1]


def test_a_process_without_a_command_line_has_just_begun(workplace: Workplace, tmp_path: Path) -> None:
    """As it looks for a moment between its start and the arguments of its program; then it ends without a result."""
    job = Job(kind="profile", source=str(file_of(tmp_path)), content="b")
    folder = profiles.folder_of(job)
    folder.mkdir(parents=True)
    with subprocess.Popen([""], executable="/bin/cat", stdin=subprocess.PIPE) as process:
        (folder / "process.json").write_text(json.dumps({"pid": process.pid}))
        assert data.state(job).status == profiles.RUNNING
    assert data.state(job).status == profiles.STOPPED
