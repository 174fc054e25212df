"""What a supervisor and a job process need to know about held stages. Session first, never commit."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db import status
from db.engine import now
from db.models import Attempt, Run, RunStage, Stage, Worker
from db.readiness import wanted
from db.repositories.guard import plain
from db.status import SILENT_SECONDS

_RAN_OUT = "ran_out_of_memory"  # in an attempt's environment: with what it was executed
_CLOCK_MARGIN = 5.0  # seconds; a clock that is adjusted slowly never makes leases this much longer


def held_by(session: Session, worker_id: int) -> list[tuple[int, int]]:
    """(stage id, token) of every stage that the worker holds."""
    held = select(Stage.id, Stage.token).where(Stage.worker_id == worker_id, Stage.status == status.RUNNING)
    return [(row.id, row.token) for row in session.execute(held.order_by(Stage.id))]


def unrenewed_on(session: Session, host: str, seconds_left: float) -> list[tuple[int, str, int]]:
    """(id, name, pid) of workers of this host that hold a stage whose lease runs for no longer than that."""
    latest = now(session) + timedelta(seconds=seconds_left)
    found = (
        select(Worker.id, Worker.name, Worker.pid)
        .join(Stage, Stage.worker_id == Worker.id)
        .where(Worker.host == host, Stage.status == status.RUNNING, Stage.lease_expires_at < latest)
        .distinct()
    )
    return [(row.id, row.name, row.pid) for row in session.execute(found.order_by(Worker.id))]


def described(session: Session, stage_id: int) -> tuple[str, Mapping[str, Any]]:
    """The kind and the stored settings of a stage."""
    row = session.execute(select(Stage.kind, Stage.config).where(Stage.id == stage_id)).one()
    return row.kind, row.config


def ran_out(session: Session, stage_id: int) -> list[Mapping[str, Any]]:
    """With what the attempts of a stage were executed that ran out of memory, oldest first."""
    found = select(Attempt.environment).where(Attempt.stage_id == stage_id).order_by(Attempt.id)
    return [known[_RAN_OUT] for known in session.scalars(found) if known and _RAN_OUT in known]


def mark_ran_out(session: Session, stage_id: int, token: int, executed: Mapping[str, Any]) -> None:
    """Keep with what an attempt was executed that ran out of memory."""
    found = select(Attempt).where(Attempt.stage_id == stage_id, Attempt.token == token)
    for attempt in session.scalars(found):
        attempt.environment = {**(attempt.environment or {}), _RAN_OUT: plain(executed)}
    session.flush()


def running_fingerprints(session: Session) -> list[str]:
    """Fingerprints of all stages that somebody holds at this moment."""
    return list(session.scalars(select(Stage.fingerprint).where(Stage.status == status.RUNNING)))


def unfinished_count(session: Session) -> int:
    """How many stages of live runs wait or are computed."""
    left = select(func.count()).select_from(Stage).where(Stage.status.in_(status.LIVE), wanted())
    return session.execute(left).scalar_one()


def expired_count(session: Session) -> int:
    """How many leases have run out: looked up on the read engine, so that a quiet tick writes nothing."""
    expired = select(func.count()).where(Stage.status == status.RUNNING, Stage.lease_expires_at < now(session))
    return session.execute(expired).scalar_one()


def ahead_count(session: Session, lease_seconds: float) -> int:
    """How many leases run for longer than any can: the database's clock was set back since they were renewed."""
    latest = now(session) + timedelta(seconds=lease_seconds + _CLOCK_MARGIN)
    ahead = select(func.count()).where(Stage.status == status.RUNNING, Stage.lease_expires_at > latest)
    return session.execute(ahead).scalar_one()


def set_back(session: Session, lease_seconds: float) -> None:
    """After the clock was set back: no lease runs longer than one from now, no worker was heard in the future."""
    at = now(session)
    latest = at + timedelta(seconds=lease_seconds)
    ahead = update(Stage).where(Stage.status == status.RUNNING, Stage.lease_expires_at > latest)
    session.execute(ahead.values(lease_expires_at=latest).execution_options(synchronize_session=False))
    heard = update(Worker).where(Worker.heartbeat_at > at)
    session.execute(heard.values(heartbeat_at=at).execution_options(synchronize_session=False))


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
