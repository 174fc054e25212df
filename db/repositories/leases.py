"""What a supervisor and a job process need to know about held stages. Session first, never commit."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db import status
from db.engine import now
from db.models import Run, RunStage, Stage, Worker
from db.status import SILENT_SECONDS


def held_by(session: Session, worker_id: int) -> list[tuple[int, int]]:
    """(stage id, token) of every stage that the worker holds."""
    held = select(Stage.id, Stage.token).where(Stage.worker_id == worker_id, Stage.status == status.RUNNING)
    return [(row.id, row.token) for row in session.execute(held.order_by(Stage.id))]


def expired_count(session: Session) -> int:
    """How many leases have run out: looked up on the read engine, so that a quiet tick writes nothing."""
    expired = select(func.count()).where(Stage.status == status.RUNNING, Stage.lease_expires_at < now(session))
    return session.execute(expired).scalar_one()


def silent_count(session: Session) -> int:
    """How many workers stopped answering without saying goodbye."""
    oldest = now(session) - timedelta(seconds=SILENT_SECONDS)
    silent = select(func.count()).where(Worker.state != status.WORKER_STOPPED, Worker.heartbeat_at < oldest)
    return session.execute(silent).scalar_one()


def expire_worker(session: Session, worker_id: int) -> int:
    """End the leases of a worker that is known to be dead, so that `requeue_expired` need not wait; how many."""
    past = now(session) - timedelta(seconds=1)
    held = update(Stage).where(Stage.worker_id == worker_id, Stage.status == status.RUNNING)
    return int(session.execute(held.values(lease_expires_at=past)).rowcount)  # type: ignore[attr-defined]


def most_urgent_run(session: Session, stage_id: int) -> int | None:
    """The live run that wants the stage most; None when none does any more."""
    return session.scalars(_wanting(stage_id, Run.id)).first()


def wishes(session: Session, stage_id: int) -> Mapping[str, Any]:
    """The `execution` part of the most urgent live run that wants the stage; empty when none does any more."""
    config = session.scalars(_wanting(stage_id, Run.config)).first() or {}
    part: Mapping[str, Any] = config.get("execution") or {}
    return part


def _wanting(stage_id: int, column: Any) -> Any:
    """A column of the most urgent live run that has the stage."""
    return (
        select(column)
        .join(RunStage, RunStage.run_id == Run.id)
        .where(RunStage.stage_id == stage_id, Run.status.in_(status.LIVE))
        .order_by(Run.priority.desc(), Run.id)
        .limit(1)
    )
