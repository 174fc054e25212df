"""A job whose stage is computed by several processes: published once, lost, failed and cancelled as by one."""

import json
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from cwpo.artifacts import sha256_of
from cwpo.errors import DataError
from cwpo.parallel import launch
from cwpo.stages.execute import Compute
from cwpo.stages.kinds import kind_of
from cwpo.stages.pipeline import run
from cwpo.stages.settings import Settings
from db import queries
from tests.workers.workplace import Workplace, descendants
from workers import api
from workers.machine.database import reading
from workers.machine.paths import store
from workers.queue import job, lease


def in_ranks(patch: pytest.MonkeyPatch, kind: str, compute: Callable[[], Compute | None]) -> None:
    """Only stages of this kind are computed by ranks, because each start of ranks costs seconds."""
    patch.setattr(launch, "compute_on", lambda places, settings: compute() if kind_of(settings).name == kind else None)


def odd(patch: pytest.MonkeyPatch, act: str) -> Compute:
    """Two ranks that do what a test wants of them."""
    patch.setenv("ACT", act)
    return partial(launch.compute_in_ranks, places=("", ""), program="tests.cwpo.parallel.odd_rank")


def only_labels(settings: Settings) -> bool:
    return kind_of(settings).name == "labels"


def attempts(place: Workplace, run_id: int, slot: str) -> list[tuple[str, str | None]]:
    with reading() as session:
        found = queries.attempts(session, place.stage(run_id, slot).stage_id)
    return [(attempt.status, attempt.cause) for attempt in found]


def test_labels_of_two_ranks_are_published_once_and_are_those_of_one(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CWPO_CPU_RANKS", "2")
    monkeypatch.setattr(launch, "can_be_shared", only_labels)
    config = place.config(execution={"tokens_per_batch": 64})
    run_id = api.submit_run(config).run_id
    job.work(0)
    assert place.run(run_id).status == "done"
    stage = place.stage(run_id, "labels")
    assert [status for status, _ in attempts(place, run_id, "labels")] == ["published"]
    timing = json.loads((store().path(stage.fingerprint) / "timing.json").read_text())
    assert (timing["ranks"], timing["threads"]) == (2, 1)
    alone = run(config, home=place.home / "alone").stages["labels"]
    ours, theirs = (path / "annotations.parquet" for path in (store().path(stage.fingerprint), alone.path))
    assert sha256_of(ours) == sha256_of(theirs)
    with reading() as session:
        summary = queries.label_summary(session, run_id)
    assert summary is not None
    assert summary.n == alone.summary["n"]


def test_a_killed_rank_counts_as_a_killed_job_and_the_stage_is_computed_again(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[Compute | None] = [odd(monkeypatch, "second_dies"), None]
    in_ranks(monkeypatch, "labels", lambda: tries.pop(0))
    run_id = api.submit_run(place.config()).run_id
    job.work(0)
    assert place.run(run_id).status == "done"
    (first, cause), second = attempts(place, run_id, "labels")
    assert (first, second) == ("lost", ("published", None))
    assert str(cause).startswith("Rank 1 of 2 was ended by SIGKILL")
    assert not [one for one in descendants(os.getpid()) if "odd_rank" in " ".join(one.cmdline())]


def test_the_sentence_of_a_rank_fails_the_run_and_its_output_is_in_the_log(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_ranks(monkeypatch, "labels", lambda: odd(monkeypatch, "fails_loudly"))
    run_id = api.submit_run(place.config()).run_id
    with pytest.raises(DataError):
        job.work(0)
    assert place.run(run_id).error == "Stage labels failed: No pair is left."
    with reading() as session:
        lines = [line.text for line in queries.log_tail(session, run_id, 400)]
    assert "and the last line" in lines
    assert any("fails_loudly" in line for line in lines)


def test_a_cancelled_stage_whose_ranks_do_not_hear_it_ends_within_their_grace(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One rank waits in a collective for the other, which never comes."""
    monkeypatch.setenv("CWPO_RANK_GRACE", "1")
    monkeypatch.setattr(lease, "FLUSH_SECONDS", 0.05)
    run_id = api.submit_run(place.config()).run_id

    def compute(*anything: Any, **named: Any) -> Any:
        api.cancel_run(run_id)
        return odd(monkeypatch, "waits_for_the_other")(*anything, **named)

    in_ranks(monkeypatch, "labels", lambda: compute)
    job.work(0)
    assert place.run(run_id).status == "cancelled"
    assert [status for status, _ in attempts(place, run_id, "labels")] == ["cancelled"]
    assert place.stage(run_id, "labels").status == "cancelled"
