"""What submitting, failing, cancelling, retrying and deleting do to runs that share stages."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import queries
from db.engine import Engines, read_scope, session_scope
from db.errors import FinishedRun, IllegalTransition, LiveRun, StaleToken, UnknownRun
from db.models import Annotation, Artifact, Attempt, Base, LogLine, Pair, Run, RunValue, Stage
from db.records import ClaimedStage, CreatedRun, NewStage
from db.repositories import annotations, evaluations, leases, metrics, runs, stages
from db.status import RUN_TRANSITIONS, STAGE_TRANSITIONS, STATUSES, check_run, check_stage
from tests.db.make import add_worker, claim, new_run, publish, stages_of, submit, work_off


def run_status(engines: Engines, *run_ids: int) -> list[str]:
    with read_scope(engines) as session:
        return [queries.get_run(session, run_id).status for run_id in run_ids]


def stage_statuses(engines: Engines, run_id: int) -> dict[str, str]:
    with read_scope(engines) as session:
        return {row.slot: row.status for row in queries.run_stages(session, run_id)}


def fail(engines: Engines, claimed: ClaimedStage, error: str = "the loss diverged at step 7.") -> tuple[int, ...]:
    """The stage fails; the runs that failed with it."""
    with session_scope(engines) as session:
        stages.fail(session, claimed.stage_id, claimed.token, error=error)
        return tuple(session.scalars(select(Run.id).where(Run.failed_stage_id == claimed.stage_id).order_by(Run.id)))


def test_a_run_is_queued_then_running_then_done(database: Engines) -> None:
    run = submit(database, "data", "annotator").run_id
    worker = add_worker(database)
    seen = run_status(database, run)
    first = claim(database, worker)
    seen += run_status(database, run)
    with session_scope(database) as session:
        publish(session, first)
    seen += run_status(database, run)
    second = claim(database, worker)
    with session_scope(database) as session:
        stages.publish(session, second.stage_id, second.token, summary={}, seconds=1.0)
    seen += run_status(database, run)
    assert seen == ["queued", "running", "running", "done"]
    with read_scope(database) as session:
        row = queries.get_run(session, run).row
    assert row.started_at is not None
    assert row.finished_at is not None
    assert row.created_at <= row.started_at <= row.finished_at


def test_submitting_a_run_whose_stages_are_done_reuses_all_and_is_done(database: Engines) -> None:
    submit(database)
    worker = add_worker(database)
    work_off(database, worker)
    again = submit(database)
    assert (again.stages, again.reused, again.shared) == (6, 6, 0)
    assert run_status(database, again.run_id) == ["done"]
    with read_scope(database) as session:
        rows = queries.run_stages(session, again.run_id)
        assert all(row.reused and row.attempts == 1 and row.shared_by == 2 for row in rows)
        assert session.scalar(select(func.count()).select_from(Attempt)) == 6
    assert work_off(database, worker) == []


def test_a_reused_done_stage_alone_does_not_make_a_run_running(database: Engines) -> None:
    submit(database, "data")
    worker = add_worker(database)
    work_off(database, worker)
    created = submit(database, "data", "annotator")
    assert created.reused == 1
    assert run_status(database, created.run_id) == ["queued"]
    claim(database, worker)
    assert run_status(database, created.run_id) == ["running"]


def test_a_sweep_trains_one_annotator(database: Engines) -> None:
    """Twelve runs that differ behind the labels: data, annotator and labels are executed once."""
    ids = [submit(database, align=f"-{number}").run_id for number in range(12)]
    kinds = work_off(database, add_worker(database))
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "data": 1, "annotator": 1, "labels": 1, "align": 12, "samples": 12, "evaluation": 12,
    }  # fmt: skip
    with read_scope(database) as session:
        counts = {row.slot: row for row in queries.attempt_counts(session, ids)}
    annotator, align = counts["annotator"], counts["align"]
    assert (annotator.runs, annotator.stages, annotator.attempts, annotator.reused) == (12, 1, 1, 11)
    assert (align.runs, align.stages, align.attempts, align.reused) == (12, 12, 12, 0)
    assert run_status(database, *ids) == ["done"] * 12


def test_a_failed_stage_fails_the_runs_that_need_it_and_no_other(database: Engines) -> None:
    """a and b share the annotator; c has its own data."""
    a = submit(database).run_id
    b = submit(database, align="-b").run_id
    c = submit(database, data="-c").run_id
    worker = add_worker(database)
    data = claim(database, worker)
    with session_scope(database) as session:
        publish(session, data)
    annotator = claim(database, worker)
    assert annotator.fingerprint == "annotator"
    assert fail(database, annotator) == (a, b)
    assert run_status(database, a, b, c) == ["failed", "failed", "queued"]
    assert stage_statuses(database, b) == {
        "data": "done", "annotator": "failed", "labels": "cancelled", "align": "cancelled", "samples": "cancelled",
        "evaluation": "cancelled",
    }  # fmt: skip
    with read_scope(database) as session:
        record = queries.get_run(session, b)
        assert record.error == "Stage annotator failed: the loss diverged at step 7."
        assert record.failed_slot == "annotator"
    assert work_off(database, worker) == ["data", "annotator", "labels", "align", "samples", "evaluation"]
    assert run_status(database, c) == ["done"]


def test_a_failure_stops_a_running_stage_that_nobody_else_wants(database: Engines) -> None:
    with session_scope(database) as session:
        left, right = (NewStage(slot=s, fingerprint=s, kind=s, version=1, config={}) for s in ("left", "right"))
        runs.create(session, new_run(), [left, right])
    worker = add_worker(database)
    first, second = claim(database, worker), claim(database, worker)
    fail(database, first)
    with session_scope(database) as session:
        assert stages.heartbeat(session, second.stage_id, second.token, 45) == "cancelled"


def test_cancelling_a_run_stops_only_what_no_live_run_wants(database: Engines) -> None:
    a = submit(database).run_id
    b = submit(database, align="-b").run_id
    worker = add_worker(database)
    work_off(database, worker, until=["align"])
    align_a, align_b = claim(database, worker), claim(database, worker)
    with session_scope(database) as session:
        runs.cancel(session, a)
    stopped = {slot for slot, state in stage_statuses(database, a).items() if state == "cancelled"}
    assert stopped == {"align", "samples", "evaluation"}
    assert run_status(database, a, b) == ["cancelled", "running"]
    with session_scope(database) as session:
        assert stages.heartbeat(session, align_a.stage_id, align_a.token, 45) == "cancelled"
        assert stages.heartbeat(session, align_b.stage_id, align_b.token, 45) == "held"
    with session_scope(database) as session:
        runs.cancel(session, b)
    assert stage_statuses(database, b)["labels"] == "done"


def test_cancelling_keeps_a_shared_stage_running_for_the_other_run(database: Engines) -> None:
    a = submit(database).run_id
    submit(database, align="-b")
    data = claim(database, add_worker(database))
    with session_scope(database) as session:
        runs.cancel(session, a)
        assert stages.heartbeat(session, data.stage_id, data.token, 45) == "held"


def test_cancel_then_retry_before_the_worker_noticed(database: Engines) -> None:
    """The stage is claimed anew; the old worker's token no longer counts."""
    run = submit(database, "data").run_id
    worker = add_worker(database)
    old = claim(database, worker)
    with session_scope(database) as session:
        runs.cancel(session, run)
    with session_scope(database) as session:
        assert runs.retry(session, run) == (run,)
    new = claim(database, worker)
    assert (new.stage_id, new.token) == (old.stage_id, old.token + 1)
    with session_scope(database) as session:
        assert stages.heartbeat(session, old.stage_id, old.token, 45) == "taken"
        publish(session, new)
    assert run_status(database, run) == ["done"]


def test_retry_queues_the_stage_again_for_every_run_it_had_failed(database: Engines) -> None:
    a = submit(database).run_id
    b = submit(database, align="-b").run_id
    cancelled = submit(database, align="-c").run_id
    with session_scope(database) as session:
        runs.cancel(session, cancelled)
    worker = add_worker(database)
    work_off(database, worker, until=["annotator"])
    fail(database, claim(database, worker))
    with session_scope(database) as session:
        assert runs.retry(session, b) == (a, b)
    assert run_status(database, a, b, cancelled) == ["queued", "queued", "cancelled"]
    with read_scope(database) as session:
        assert queries.get_run(session, a).error is None
    work_off(database, worker)
    assert run_status(database, a, b, cancelled) == ["done", "done", "cancelled"]
    with read_scope(database) as session:
        attempts = {row.slot: row.attempts for row in queries.run_stages(session, a)}
    assert attempts["data"] == 1
    assert attempts["annotator"] == 2


def test_submitting_again_queues_a_failed_stage_again(database: Engines) -> None:
    first = submit(database, "data").run_id
    worker = add_worker(database)
    fail(database, claim(database, worker))
    second = submit(database, "data")
    assert (second.reused, second.shared) == (0, 0)
    assert run_status(database, second.run_id) == ["queued"]
    work_off(database, worker)
    assert run_status(database, first, second.run_id) == ["failed", "done"]


def test_finished_runs_refuse_changes(database: Engines) -> None:
    done = submit(database, "data").run_id
    work_off(database, add_worker(database))
    for change in (
        lambda session: runs.cancel(session, done),
        lambda session: runs.retry(session, done),
        lambda session: runs.set_priority(session, done, 3),
    ):
        with pytest.raises(FinishedRun, match=f"Run {done} is done"), session_scope(database) as session:
            change(session)
    with pytest.raises(UnknownRun, match="no run 99"), session_scope(database) as session:
        runs.cancel(session, 99)


def test_live_runs_are_neither_deleted_nor_archived_nor_retried(database: Engines) -> None:
    live = submit(database, "data").run_id
    for change in (runs.delete, runs.archive, runs.retry):
        with pytest.raises(LiveRun, match=f"Run {live} is queued"), session_scope(database) as session:
            change(session, live)


def test_a_stage_is_as_urgent_as_its_most_urgent_live_run(database: Engines) -> None:
    a = submit(database, "data", "annotator").run_id
    b = submit(database, "data", "annotator", annotator="-b", run=new_run(priority=7)).run_id

    def priorities() -> dict[str, int]:
        with read_scope(database) as session:
            return dict(session.execute(select(Stage.fingerprint, Stage.priority)).all())  # type: ignore[arg-type]

    assert priorities() == {"data": 7, "annotator": 0, "annotator-b": 7}
    with session_scope(database) as session:
        runs.set_priority(session, a, 9)
    assert priorities() == {"data": 9, "annotator": 9, "annotator-b": 7}
    with session_scope(database) as session:
        runs.cancel(session, a)
    assert priorities()["data"] == 7
    assert run_status(database, b) == ["queued"]


def test_deleting_a_run_keeps_what_another_run_uses(database: Engines) -> None:
    a = submit(database).run_id
    b = submit(database, align="-b").run_id
    worker = add_worker(database)
    pair = {
        "pair_id": "p", "prompt_id": "q", "prompt": "x", "response_a": "y", "response_b": "z", "human_label": "a",
        "true_label": None, "score_a": 1.0, "score_b": 0.0, "margin": 1.0, "confidence": 0.4, "label": "a",
    }  # fmt: skip
    while True:
        with session_scope(database) as session:
            claimed = stages.claim(session, worker, "cpu", 45)
            if claimed is None:
                break
            metrics.add_log(session, claimed, ["hello"])
            if claimed.kind == "data":
                annotations.add_pairs(session, claimed, [pair])
            if claimed.kind == "labels":
                data = claimed.input_stage_ids["data"]
                annotations.add_annotations(session, claimed, [pair], data_stage_id=data)
            publish(session, claimed)
    with session_scope(database) as session:
        gone = runs.delete(session, a)
    assert set(gone.fingerprints) == {"align", "samples", "evaluation"}
    assert stage_statuses(database, b) == dict.fromkeys(stage_statuses(database, b), "done")
    with read_scope(database) as session:
        assert session.scalar(select(func.count()).select_from(Annotation)) == 1
        deleted = session.scalars(select(Artifact.fingerprint).where(Artifact.deleted_at.is_not(None))).all()
        assert set(deleted) == {"align", "samples", "evaluation"}
        with pytest.raises(UnknownRun):
            queries.get_run(session, a)
    with session_scope(database) as session:
        rest = runs.delete(session, b)
    assert set(rest.fingerprints) >= {"data", "annotator", "labels", "align-b"}
    kept = {"artifacts", "settings", "workers", "audit_head"}
    with read_scope(database) as session:
        for name, table in Base.metadata.tables.items():
            count = session.execute(select(func.count()).select_from(table)).scalar_one()
            assert count == 0 or name in kept, f"{name} still has {count} rows"
        assert session.scalar(select(func.count()).select_from(Pair)) == 0
        assert session.scalar(select(func.count()).select_from(LogLine)) == 0


def test_numbers_of_deleted_runs_are_not_given_again(database: Engines) -> None:
    first = submit(database, "data").run_id
    work_off(database, add_worker(database))
    with session_scope(database) as session:
        runs.delete(session, first)
    assert submit(database, "data").run_id > first


def test_archiving_hides_and_shows_again(database: Engines) -> None:
    run = submit(database, "data").run_id
    work_off(database, add_worker(database))
    with session_scope(database) as session:
        runs.archive(session, run)
    with read_scope(database) as session:
        assert queries.list_runs(session).total == 0
    with session_scope(database) as session:
        runs.archive(session, run, False)
    with read_scope(database) as session:
        assert queries.list_runs(session).total == 1


def test_an_input_that_is_no_slot_is_refused(database: Engines) -> None:
    broken = NewStage(slot="align", fingerprint="x", kind="align", version=1, config={}, inputs={"labels": "nowhere"})
    with pytest.raises(ValueError, match="'nowhere'"), session_scope(database) as session:
        runs.create(session, new_run(), [broken])
    with read_scope(database) as session:
        assert session.scalar(select(func.count()).select_from(Stage)) == 0


FURTHER = NewStage(
    slot="evaluation@judge", fingerprint="judged", kind="evaluation", version=1, config={},
    inputs={"samples": "samples"},
)  # fmt: skip


def evaluated(database: Engines) -> tuple[int, int]:
    """A done run and a worker."""
    worker = add_worker(database)
    run = submit(database).run_id
    work_off(database, worker)
    return run, worker


def slots(database: Engines, run: int) -> list[str]:
    with read_scope(database) as session:
        return [row.slot for row in queries.run_stages(session, run)]


def extended(database: Engines, run: int, *further: NewStage) -> CreatedRun:
    with session_scope(database) as session:
        return runs.extend(session, run, further)


def test_a_done_run_waits_for_further_stages_and_is_done_again(database: Engines) -> None:
    run, worker = evaluated(database)
    made = extended(database, run, FURTHER)
    assert (made.stages, made.reused) == (1, 0)
    assert run_status(database, run) == ["queued"]
    assert work_off(database, worker) == ["evaluation"]
    assert run_status(database, run) == ["done"]
    assert slots(database, run)[-1] == "evaluation@judge"
    with read_scope(database) as session:
        (row,) = queries.rescorings(session, [run])
        assert (row.run_id, row.key, row.slot, row.status) == (run, "judge", "evaluation@judge", "done")
        assert queries.summaries(session, [run], ("data", "gold")) == {"data": {run: {}}, "gold": {}}
        assert queries.stage_seconds(session, [run])["device"].tolist() == ["cpu"] * 7
        assert queries.scores(session, [run]).empty
    again = extended(database, run, FURTHER)
    assert again.stages == 0
    assert run_status(database, run) == ["done"]
    other = submit(database).run_id
    shared = extended(database, other, FURTHER)
    assert shared.reused == 1
    assert run_status(database, other) == ["done"]


def test_scores_say_where_two_runs_gave_the_same_answer(database: Engines) -> None:
    """Their scores are of different batches and differ in their last bits."""
    said = {"p": ("Yes.", "Yes."), "q": ("Yes.", "yes."), "r": ("", "No.")}
    worker, ids = add_worker(database), []
    for run in range(2):
        scores = NewStage(
            slot="scores", fingerprint=f"scored-{run}", kind="scores", version=1, config={},
            inputs={"samples": "samples"},
        )  # fmt: skip
        with session_scope(database) as session:
            ids.append(runs.create(session, new_run(), [*stages_of(align=f"-{run}"), scores]).run_id)
        work_off(database, worker, until=["samples"])
        for _ in range(3):
            claimed = claim(database, worker)
            key = [{"prompt_id": name, "sample": 0} for name in said]
            with session_scope(database) as session:
                if claimed.kind == "samples":
                    texts = [{"text": both[run], "tokens": 3} for both in said.values()]
                    evaluations.add_samples(session, claimed, [a | b for a, b in zip(key, texts, strict=True)])
                if claimed.kind == "scores":
                    evaluations.add_scores(session, claimed, [one | {"score": 1 + run * 2e-7} for one in key])
                publish(session, claimed)
    with read_scope(database) as session:
        found = queries.scores(session, ids)
    answers = found.pivot(index="prompt_id", columns="run_id", values="answer")
    assert (answers[ids[0]] == answers[ids[1]]).to_dict() == {"p": True, "q": False, "r": False}
    assert found["score"].nunique() == 2


def test_cancelling_further_stages_leaves_the_run_done_without_them(database: Engines) -> None:
    run, worker = evaluated(database)
    extended(database, run, FURTHER)
    claim(database, worker)
    with session_scope(database) as session:
        assert runs.cancel(session, run) == ("judged",)
    assert run_status(database, run) == ["done"]
    assert "evaluation@judge" not in slots(database, run)


SCORES = NewStage(
    slot="scores@judge", fingerprint="scored", kind="scores", version=1, config={}, inputs={"samples": "samples"}
)
OVER_SCORES = replace(FURTHER, inputs={"samples": "samples", "scores": "scores@judge"})


def fingerprints(database: Engines) -> set[str]:
    with read_scope(database) as session:
        return set(session.scalars(select(Stage.fingerprint)))


def test_further_stages_of_which_some_were_done_are_asked_for_again(database: Engines) -> None:
    """The scores and their figures were there when the evaluation failed; both are taken up again, each figure once."""
    run, worker = evaluated(database)
    extended(database, run, SCORES, OVER_SCORES)
    scored = claim(database, worker)
    with session_scope(database) as session:
        publish(session, scored, mean_score=1.5)
    fail(database, claim(database, worker))
    again = extended(database, run, SCORES, OVER_SCORES)
    assert (again.stages, again.reused) == (2, 1)
    assert work_off(database, worker) == ["evaluation"]
    assert run_status(database, run) == ["done"]
    with read_scope(database) as session:
        figures = session.scalars(
            select(RunValue.number).where(RunValue.run_id == run, RunValue.key == "scores@judge:mean_score")
        ).all()
    assert figures == [1.5]


def test_stages_that_were_let_go_hold_nothing_when_the_run_is_deleted(database: Engines) -> None:
    """Neither those that a cancelled call left behind nor those that stopped before another one."""
    run, worker = evaluated(database)
    own = fingerprints(database)
    extended(database, run, SCORES, OVER_SCORES)
    work_off(database, worker, until=["evaluation"])
    with session_scope(database) as session:
        assert set(runs.cancel(session, run)) == {"scored", "judged"}
    extended(database, run, FURTHER)
    fail(database, claim(database, worker))
    made = extended(database, run, replace(FURTHER, slot="evaluation@other", fingerprint="other"))
    assert made.removed == ("judged",)
    assert fingerprints(database) == own | {"other"}
    work_off(database, worker)
    with session_scope(database) as session:
        gone = runs.delete(session, run)
    assert set(gone.fingerprints) == own | {"other"}
    with read_scope(database) as session:
        stored = session.scalars(select(Artifact.fingerprint).where(Artifact.deleted_at.is_(None))).all()
    assert (fingerprints(database), stored) == (set(), [])


def test_further_stages_that_are_asked_for_again_or_that_another_run_has_stay(database: Engines) -> None:
    run, worker = evaluated(database)
    other = submit(database).run_id
    extended(database, run, SCORES, OVER_SCORES)
    work_off(database, worker, until=["evaluation"])
    fail(database, claim(database, worker))
    made = extended(database, run, SCORES, OVER_SCORES)
    assert (made.reused, made.removed) == (1, ())
    extended(database, other, SCORES)
    with session_scope(database) as session:
        assert runs.cancel(session, run) == ("judged",)
    assert stage_statuses(database, other)["scores@judge"] == "done"


def test_a_worker_whose_stage_was_let_go_stops_and_leaves_nothing(database: Engines) -> None:
    run, worker = evaluated(database)
    extended(database, run, FURTHER)
    held = claim(database, worker)
    with session_scope(database) as session:
        runs.cancel(session, run)
    with session_scope(database) as session:
        assert stages.heartbeat(session, held.stage_id, held.token, 45) == "taken"
        stages.refuse(session, held.stage_id, held.token, cause="late")
    with pytest.raises(StaleToken), session_scope(database) as session:
        publish(session, held)


def test_a_further_stage_that_failed_is_retried_or_let_go_for_another(database: Engines) -> None:
    run, worker = evaluated(database)
    extended(database, run, FURTHER)
    claimed = claim(database, worker)
    with session_scope(database) as session:
        stages.fail(session, claimed.stage_id, claimed.token, error="no such model")
    assert run_status(database, run) == ["failed"]
    extended(database, run, replace(FURTHER, slot="evaluation@other", fingerprint="other"))
    assert "evaluation@judge" not in slots(database, run)
    work_off(database, worker)
    assert run_status(database, run) == ["done"]


def test_only_evaluated_runs_take_further_stages(database: Engines) -> None:
    waiting = submit(database).run_id
    with pytest.raises(LiveRun, match="is queued and cannot be scored again"):
        extended(database, waiting, FURTHER)
    with session_scope(database) as session:
        runs.cancel(session, waiting)
    with pytest.raises(LiveRun, match="has no evaluation: retry it first"):
        extended(database, waiting, FURTHER)


def test_a_further_stage_is_never_replaced(database: Engines) -> None:
    run, worker = evaluated(database)
    extended(database, run, FURTHER)
    work_off(database, worker)
    with pytest.raises(FinishedRun, match="evaluation@judge from another version"):
        extended(database, run, replace(FURTHER, fingerprint="changed"))


def test_transitions_are_closed_and_refused_in_words() -> None:
    for table in (RUN_TRANSITIONS, STAGE_TRANSITIONS):
        assert set(table) == set(STATUSES)
        assert {after for allowed in table.values() for after in allowed} <= set(STATUSES)
    with pytest.raises(IllegalTransition, match="done run cannot become running"):
        check_run("done", "running")
    with pytest.raises(IllegalTransition, match="no status 'asleep'"):
        check_stage("asleep", "queued")
    check_stage("running", "done")


def change_stage(session: Session, change: str, run: int, worker: int, held: ClaimedStage | None) -> None:
    """One of the functions that change what a stage is."""
    stage, token = (held.stage_id, held.token) if held else (0, 0)
    changes: dict[str, Callable[[], object]] = {
        "claim": lambda: stages.claim(session, worker, "cpu", 45.0),
        "publish": lambda: stages.publish(session, stage, token, summary={}, seconds=1.0),
        "fail": lambda: stages.fail(session, stage, token, error="x"),
        "release": lambda: stages.release(session, stage, token, cause="x"),
        "requeue_expired": lambda: (leases.expire_worker(session, worker), stages.requeue_expired(session)),
        "cancel": lambda: runs.cancel(session, run),
        "retry": lambda: runs.retry(session, run),
    }
    changes[change]()


@pytest.mark.parametrize("change", ["claim", "publish", "fail", "release", "requeue_expired", "cancel", "retry"])
def test_no_change_of_a_stage_goes_past_the_table(
    sqlite_database: Engines, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Where the table allows nothing, nothing happens."""
    run, worker = submit(sqlite_database, "data").run_id, add_worker(sqlite_database)
    held = claim(sqlite_database, worker) if change != "claim" else None
    if change == "retry" and held is not None:
        fail(sqlite_database, held)
    before = stage_statuses(sqlite_database, run)
    for state in STATUSES:
        monkeypatch.setitem(STAGE_TRANSITIONS, state, ())
    with pytest.raises(IllegalTransition, match="stage cannot become"), session_scope(sqlite_database) as session:
        change_stage(session, change, run, worker, held)
    assert stage_statuses(sqlite_database, run) == before


def test_stages_of_a_run_come_inputs_first(database: Engines) -> None:
    run = submit(database).run_id
    with session_scope(database) as session:
        runs.create(session, new_run(), list(reversed(stages_of(data="-r"))))
    with read_scope(database) as session:
        assert [row.slot for row in queries.run_stages(session, run)] == [
            "data", "annotator", "labels", "align", "samples", "evaluation",
        ]  # fmt: skip
        rows = queries.run_stages(session, run + 1)
        assert [row.slot for row in rows] == ["data", "annotator", "labels", "align", "samples", "evaluation"]
        assert rows[2].inputs == {"data": rows[0].stage_id, "annotator": rows[1].stage_id}
