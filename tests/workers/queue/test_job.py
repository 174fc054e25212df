"""The job process: what it loads, what it publishes, and how every end of a stage is recorded."""

import dataclasses
import json
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import select, update

from cwpo import full_disk
from cwpo.config.environment import settings
from cwpo.config.run import RunConfig
from cwpo.errors import Cancelled, DivergedError, SettingsError
from cwpo.models.text.shown import FIRST_BATCH
from cwpo.stages import execute
from cwpo.stages.kinds import KINDS
from db import queries
from db.base import Base
from db.errors import StaleToken
from db.models import Attempt, RunStage, Stage
from db.records import PACE, AttemptRow, ClaimedStage
from db.repositories import leases, stages
from tests.workers.workplace import Workplace
from workers import api
from workers.machine.database import reading, writing
from workers.machine.paths import store
from workers.queue import job, lease, publish, reaper
from workers.queue.reporter import BufferingReporter


def stub(monkeypatch: pytest.MonkeyPatch, **functions: Any) -> None:
    """Replace what stage kinds do; the others stay."""
    real = execute.executor
    monkeypatch.setattr(execute, "executor", lambda kind: functions.get(kind.name) or real(kind))


def attempts(stage_id: int) -> list[AttemptRow]:
    with reading() as session:
        return queries.attempts(session, stage_id)


def written(run_id: int) -> dict[str, list[str]]:
    """What the attempts of a run's stages wrote, by table, without what numbers it and what says when."""
    found = {}
    with reading() as session:
        attempts_of = (
            select(Attempt.id).join(RunStage, RunStage.stage_id == Attempt.stage_id).where(RunStage.run_id == run_id)
        )
        for table in (one for one in Base.metadata.sorted_tables if "attempt_id" in one.columns):
            columns = [one for one in table.columns if not one.foreign_keys and one.name not in ("id", "at")]
            rows = session.execute(select(*columns).where(table.c.attempt_id.in_(attempts_of))).all()
            told = [list(row) for row in rows if table.name != "metrics" or PACE not in row]
            found[table.name] = sorted(json.dumps(row, default=str, sort_keys=True) for row in told)
    del found["log_lines"]
    return found


def claim(worker_id: int) -> ClaimedStage:
    with writing() as session:
        claimed = stages.claim(session, worker_id, "cpu", 45.0)
    assert claimed is not None
    return claimed


def test_idle_ring_ends_before_anything_heavy_is_imported(workplace: Workplace) -> None:
    script = (
        "import os, sys\nfrom workers.queue import job, lease\n"
        "os.environ['CWPO_WORKER_ID'] = str(lease.register_worker('idle', 'cpu'))\nos.environ['CWPO_DEVICE'] = 'cpu'\n"
        "assert job.work(1) == 0\nassert job.work() == 0\n"
        "print([m for m in ('torch', 'transformers', 'datasets', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=workplace.environment, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_one_call_works_through_all_stages_of_a_run(both_places: Workplace) -> None:
    place = both_places
    submitted = api.submit_run(place.config())
    assert job.work(0) == submitted.stages
    assert place.run(submitted.run_id).status == "done"
    with reading() as session:
        answers = queries.answers(session, submitted.run_id, after=None, limit=5)
        labels = queries.label_summary(session, submitted.run_id)
        page = queries.annotations(session, submitted.run_id, limit=200)
        evaluation = queries.evaluations(session, [submitted.run_id])[submitted.run_id]
        curve = queries.metrics(session, [place.stage(submitted.run_id, "align").stage_id], ["loss"])
    assert answers.total == evaluation.prompts == 12
    assert labels is not None
    assert labels.n == len(page.rows) == page.total
    assert len(curve) == place.stage(submitted.run_id, "align").total


def test_stage_that_fails_leaves_a_sentence_and_its_traceback(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(ctx: Any) -> dict[str, Any]:
        raise DivergedError("The loss is nan at step 3: lower the learning rate.")

    stub(monkeypatch, align=diverge)
    run_id = api.submit_run(place.config()).run_id
    with pytest.raises(DivergedError):
        job.work(0)
    row = place.run(run_id)
    assert (row.status, row.error) == (
        "failed",
        "Stage align failed: The loss is nan at step 3: lower the learning rate.",
    )
    with reading() as session:
        lines = queries.log_tail(session, run_id, 50)
    assert any("DivergedError" in line.text for line in lines)


def test_a_stage_of_another_version_of_its_kind_is_not_computed_under_its_fingerprint(place: Workplace) -> None:
    """The run waited while the program was upgraded: what it would publish now is something else."""
    run_id = api.submit_run(place.config()).run_id
    labels = place.stage(run_id, "labels").stage_id
    with writing() as session:
        session.execute(update(Stage).where(Stage.id == labels).values(version=KINDS["labels"].version - 1))
    with pytest.raises(SettingsError):
        job.work(0)
    row = place.run(run_id)
    assert row.status == "failed"
    assert "compute them with the program that submitted the run, or submit it anew" in str(row.error)
    assert place.stage(run_id, "annotator").status == "done"


def test_retry_computes_only_what_failed(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(ctx: Any) -> dict[str, Any]:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        stub(patch, align=full)
        patch.setattr(full_disk, "PATIENCE", 0.2)
        run_id = api.submit_run(place.config()).run_id
        with pytest.raises(OSError, match="No space"):
            job.work(0)
    assert "The disk is full" in str(place.run(run_id).error)
    assert api.retry_run(run_id).run_ids == (run_id,)
    job.work(0)
    assert place.run(run_id).status == "done"
    counts = {slot: place.stage(run_id, slot).attempts for slot in ("annotator", "labels", "align")}
    assert counts == {"annotator": 1, "labels": 1, "align": 2}


def test_cancelled_stage_stops_at_its_next_step(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "FLUSH_SECONDS", 0.05)
    run_id = api.submit_run(place.config()).run_id
    asked: list[bool] = []

    def endless(ctx: Any) -> dict[str, Any]:
        api.cancel_run(run_id)
        while not ctx.should_stop():
            pass
        asked.append(True)
        raise Cancelled("Stopped.")

    stub(monkeypatch, align=endless)
    job.work(0)
    assert asked == [True]
    assert place.run(run_id).status == "cancelled"
    assert [attempt.status for attempt in attempts(place.stage(run_id, "align").stage_id)] == ["cancelled"]


def test_sigterm_gives_the_stage_back_without_counting_it_as_lost(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutdown = job.Shutdown()
    monkeypatch.setattr(job, "Shutdown", lambda: shutdown)
    monkeypatch.setattr(shutdown, "listen", lambda: None)
    run_id = api.submit_run(place.config()).run_id

    def interrupted(ctx: Any) -> dict[str, Any]:
        shutdown._heard = True
        assert ctx.should_stop()
        raise Cancelled("Stopped after step 3.")

    stub(monkeypatch, align=interrupted)
    job.work(0)
    stage = place.stage(run_id, "align")
    assert stage.status == "queued"
    assert [(a.status, a.cause) for a in attempts(stage.stage_id)] == [("lost", "The worker was stopped.")]


def test_resumed_stage_that_ends_before_its_first_flush_has_its_whole_curve(
    both_places: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the first attempt was flushed, and the second one is over before its lease thread wakes up."""
    place = both_places
    monkeypatch.setattr(lease, "FLUSH_SECONDS", 600.0)
    shutdown = job.Shutdown()
    real = execute.executor(KINDS["align"])

    def interrupted(ctx: Any) -> dict[str, Any]:
        asked = iter(range(100))

        def after_three_steps() -> bool:
            shutdown._heard = next(asked) >= 2
            return shutdown._heard

        return real(dataclasses.replace(ctx, should_stop=after_three_steps))

    run_id = api.submit_run(place.config(align={"epochs": 2})).run_id
    with monkeypatch.context() as patch:
        stub(patch, align=interrupted)
        patch.setattr(job, "Shutdown", lambda: shutdown)
        patch.setattr(shutdown, "listen", lambda: None)
        job.work(0)
    assert place.stage(run_id, "align").status == "queued"
    job.work(0)
    stage = place.stage(run_id, "align")
    assert [attempt.first_step for attempt in attempts(stage.stage_id)] == [None, 3]
    with reading() as session:
        curve = queries.metrics(session, [stage.stage_id], ["loss"])
    assert stage.total is not None
    assert stage.total > 3
    assert sorted(curve["step"]) == list(range(1, stage.total + 1))


def test_stale_token_is_refused_and_leaves_no_rows(both_places: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that slept through its lease comes back with a result after another one took the stage."""
    place = both_places
    run_id = api.submit_run(place.config()).run_id
    other = lease.register_worker("other", "cpu")
    me = settings.own_worker
    sleeper = claim(me)
    assert sleeper.kind == "data"
    with writing() as session:
        leases.expire_worker(session, me)
    assert reaper.reap() == 1
    winner = claim(other)
    assert (winner.stage_id, winner.token) == (sleeper.stage_id, sleeper.token + 1)
    for claimed in (sleeper, winner):
        job._perform(me, "cpu", claimed, job.Shutdown())
    seen = [(a.status, a.token) for a in attempts(sleeper.stage_id)]
    assert seen == [("refused", 1), ("published", 2)]
    assert place.stage(run_id, "data").status == "done"
    with pytest.raises(StaleToken):
        publish.publish(
            store(),
            winner,
            execute.stored(store(), winner.fingerprint),
            BufferingReporter(),
            lease.Lease(me, winner, BufferingReporter(), lambda: False),
        )


def test_what_was_not_as_usual_stands_beside_the_attempt_and_in_the_log(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "The checkpoint after step 6 (it has changed) is damaged and set aside: the stage goes on from the start."
    real = execute.executor(KINDS["data"])

    def noting(ctx: Any) -> dict[str, Any]:
        ctx.reporter.noted(said)
        return real(ctx)

    stub(monkeypatch, data=noting)
    run_id = api.submit_run(place.config()).run_id
    job._perform(settings.own_worker, "cpu", claim(settings.own_worker), job.Shutdown())
    seen = [(a.status, a.cause) for a in attempts(place.stage(run_id, "data").stage_id)]
    assert seen == [("published", said)]
    with reading() as session:
        lines = [line.text for line in queries.log_tail(session, run_id, 50)]
    assert f"Warning: {said}" in lines


def test_missing_input_is_computed_again(place: Workplace) -> None:
    run_id = api.submit_run(place.config()).run_id
    job.work(0)
    first = place.stage(run_id, "annotator")
    store().delete(first.fingerprint)
    again = api.submit_run(place.config(method="weak", salt="")).run_id
    with writing() as session:
        stages.reopen(session, [place.stage(run_id, "labels").fingerprint])
    store().delete(place.stage(run_id, "labels").fingerprint)
    job.work(0)
    assert place.run(again).status == "done"
    assert place.stage(run_id, "annotator").attempts == 2


def test_artifact_in_the_store_is_published_without_computing(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And every row is there that was there when it was computed."""
    deleted = place.config(evaluation={"along": {"checkpoints": 2}}).canonical()
    run_id = api.submit_run(RunConfig.parse(deleted)).run_id
    job.work(0)
    points = place.stage(run_id, "align").total
    before = written(run_id)
    with reading() as session:
        seen = queries.looked_at(session, run_id, FIRST_BATCH)
    with writing() as session:
        from db.repositories import runs

        runs.delete(session, run_id)

    def forbidden(ctx: Any) -> dict[str, Any]:
        raise AssertionError(f"{ctx.kind} was computed again")

    stub(monkeypatch, **dict.fromkeys(KINDS, forbidden))
    again = api.submit_run(RunConfig.parse(deleted)).run_id
    job.work(0)
    assert place.run(again).status == "done"
    after = written(again)
    assert {name: len(rows) for name, rows in after.items()} == {name: len(rows) for name, rows in before.items()}
    assert after == before
    with reading() as session:
        curve = queries.metrics(session, [place.stage(again, "align").stage_id], ["loss"])
        lines = queries.log_tail(session, again, 50)
        assert queries.looked_at(session, again, FIRST_BATCH) == seen
    assert {"annotator", "align"} <= set(seen)
    assert len(curve) == points
    assert any("Found in the artifact store" in line.text for line in lines)
