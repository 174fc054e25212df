"""What follows when a stage or run changes: run statuses, priorities, stages nobody wants. Callers hold the mutex."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import case, delete, func, select, update
from sqlalchemy.orm import Session

from db import status
from db.base import Base
from db.models import (
    Annotation,
    Attempt,
    Evaluation,
    Histogram,
    Metric,
    Outcome,
    Pair,
    Prompt,
    Run,
    RunStage,
    Sample,
    Score,
    Stage,
)
from db.readiness import wanted
from db.repositories.lists.run_values import remove_figures

RESULTS = (Annotation, Histogram, Outcome, Evaluation, Score, Sample, Pair, Prompt)


def moving(before: Collection[str], after: str) -> Any:
    """The update that takes stages from one of the statuses `before` to `after`, which the table has to allow; it hits
    none that has another status by now."""
    for state in before:
        status.check_stage(state, after)
    return update(Stage).where(Stage.status.in_(before)).values(status=after)


def runs_with(session: Session, stage_ids: Collection[int], statuses: tuple[str, ...]) -> list[int]:
    """Runs in one of the statuses that have any of the stages, in order of id."""
    found = (
        select(Run.id)
        .join(RunStage, RunStage.run_id == Run.id)
        .where(RunStage.stage_id.in_(stage_ids), Run.status.in_(statuses))
        .distinct()
        .order_by(Run.id)
    )
    return list(session.scalars(found))


def stages_of(session: Session, run_ids: Collection[int]) -> list[int]:
    """Every stage of the runs, once."""
    return list(session.scalars(select(RunStage.stage_id).where(RunStage.run_id.in_(run_ids)).distinct()))


def refresh_runs(session: Session, run_ids: Collection[int], at: datetime) -> None:
    """Derive the status of live runs from their stages.

    queued -> running: a stage runs, or one was finished since the run was queued. done: every stage is."""
    one, zero = 1, 0
    derived = (
        select(
            Run.id,
            Run.status,
            func.count().label("stages"),
            func.sum(case((Stage.status == status.DONE, one), else_=zero)).label("done"),
            func.sum(case((Stage.status == status.RUNNING, one), else_=zero)).label("running"),
            func.sum(
                case(((Stage.status == status.DONE) & (Stage.finished_at > Run.queued_at), one), else_=zero)
            ).label("fresh"),
        )
        .join(RunStage, RunStage.run_id == Run.id)
        .join(Stage, Stage.id == RunStage.stage_id)
        .where(Run.id.in_(run_ids), Run.status.in_(status.LIVE))
        .group_by(Run.id, Run.status)
    )
    changed: dict[str, list[int]] = {}
    for row in session.execute(derived):
        after = _derive(row.stages, row.done, row.running, row.fresh)
        if after != row.status:
            status.check_run(row.status, after)
            changed.setdefault(after, []).append(row.id)
    for after, ids in changed.items():
        session.execute(update(Run).where(Run.id.in_(ids)).values(_run_values(after, at)))


def _derive(stages: int, done: int, running: int, fresh: int) -> str:
    if done == stages:
        return status.DONE
    return status.RUNNING if running or fresh else status.QUEUED


def _run_values(after: str, at: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {"status": after}
    if after in (status.RUNNING, status.DONE):
        values["started_at"] = func.coalesce(Run.started_at, at)
    if after == status.DONE:
        values["finished_at"] = at
    return values


def refresh_priorities(session: Session, stage_ids: Collection[int]) -> None:
    """A stage is as urgent as the most urgent live run that wants it; a paused one wants it when it goes on."""
    highest = (
        select(func.max(Run.priority))
        .join(RunStage, RunStage.run_id == Run.id)
        .where(RunStage.stage_id == Stage.id, Run.status.in_(status.LIVE), Run.paused.is_(False))
        .scalar_subquery()
    )
    session.execute(
        update(Stage)
        .where(Stage.id.in_(stage_ids), Stage.status.in_(status.LIVE))
        .values(priority=func.coalesce(highest, Stage.priority))
        .execution_options(synchronize_session=False)
    )


def release_unwanted(session: Session, run_ids: Collection[int], at: datetime, cause: str) -> None:
    """Cancel the stages of these runs that no live run wants."""
    mine = select(RunStage.stage_id).where(RunStage.run_id.in_(run_ids))
    unwanted = select(Stage.id).where(Stage.id.in_(mine), Stage.status.in_(status.LIVE), ~wanted())
    ids = list(session.scalars(unwanted))
    close_attempts(session, ids, status.ATTEMPT_CANCELLED, at, cause)
    session.execute(
        moving(status.LIVE, status.CANCELLED)
        .where(Stage.id.in_(ids))
        .values(error=cause, worker_id=None, lease_expires_at=None, finished_at=at)
    )


def close_attempts(session: Session, stage_ids: Collection[int], attempt_status: str, at: datetime, cause: str) -> None:
    """End the running attempts of the stages and remove what they wrote; curves and logs stay to be read."""
    running = select(Attempt.id).where(Attempt.stage_id.in_(stage_ids), Attempt.status == status.ATTEMPT_RUNNING)
    ids = list(session.scalars(running))
    remove_results(session, ids)
    session.execute(
        update(Attempt).where(Attempt.id.in_(ids)).values(status=attempt_status, cause=cause, finished_at=at)
    )


def remove_results(session: Session, attempt_ids: Collection[int], *, but: Collection[type[Base]] = ()) -> None:
    """Delete the bulk rows of attempts that were never published, those in the tables `but` aside."""
    if attempt_ids:
        for table in (table for table in RESULTS if table not in but):
            session.execute(delete(table).where(table.attempt_id.in_(attempt_ids)))


def remove_curves(session: Session, stage_id: int, *, but: int) -> None:
    """Delete the metric points of every attempt of the stage but one."""
    others = select(Attempt.id).where(Attempt.stage_id == stage_id, Attempt.id != but)
    session.execute(delete(Metric).where(Metric.attempt_id.in_(others)))


def requeue(session: Session, stage_ids: Collection[int]) -> None:
    """Put ended stages back into the queue as if they had never run; their token and attempts stay."""
    if stage_ids:
        remove_figures(session, stage_ids)
    session.execute(
        moving((status.FAILED, status.CANCELLED, status.DONE), status.QUEUED)
        .where(Stage.id.in_(stage_ids))
        .values(
            error=None, losses=0, worker_id=None, lease_expires_at=None,
            published_attempt_id=None, summary=None, seconds=None, done=None, total=None, unit=None,
            started_at=None, finished_at=None,
        )
    )  # fmt: skip
