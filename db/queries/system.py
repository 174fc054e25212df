"""The System page: queue, workers, storage, database."""

from datetime import timedelta

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from db import status
from db.engine import head_revision, now, schema_revision, server_facts
from db.models import Artifact, Attempt, Run, Stage, Worker
from db.queries.stages import live_runs_of
from db.readiness import ready_stages
from db.records import (
    ActiveStage,
    ArtifactUsage,
    DatabaseHealth,
    QueueHealth,
    WorkerRow,
)
from db.status import SILENT_SECONDS


def queue_health(session: Session) -> QueueHealth:
    """Counts by status, what is ready, what waits, and what went wrong lately."""
    at = now(session)
    stages = _by_status(session, Stage)
    ready = ready_stages().order_by(None).with_only_columns(Stage.created_at).subquery()
    count, oldest = session.execute(select(func.count(), func.min(ready.c.created_at)).select_from(ready)).one()
    expired = select(func.count()).where(Stage.status == status.RUNNING, Stage.lease_expires_at < at)
    lost = select(func.count()).where(
        Attempt.status == status.ATTEMPT_LOST, Attempt.finished_at > at - timedelta(days=1)
    )
    return QueueHealth(
        stages=stages,
        runs=_by_status(session, Run, Run.deleted_at.is_(None)),
        ready=count,
        waiting=stages[status.QUEUED] - count,
        oldest_ready_at=oldest,
        expired_leases=session.execute(expired).scalar_one(),
        lost_last_day=session.execute(lost).scalar_one(),
        at=at,
    )


def workers(session: Session) -> list[WorkerRow]:
    """Every known worker, the living first."""
    at = now(session)
    rows = session.execute(
        select(
            Worker.id, Worker.name, Worker.host, Worker.pid, Worker.device, Worker.state, Worker.stage_id,
            Worker.heartbeat_at, Worker.started_at, Worker.rss_mb, Worker.card, Worker.card_bytes,
            Worker.card_free_bytes, Worker.host_bytes, Stage.kind.label("stage_kind"),
        )
        .outerjoin(Stage, Stage.id == Worker.stage_id)
        .order_by(case((Worker.state == status.WORKER_STOPPED, 1), else_=0), Worker.name)
    )  # fmt: skip
    freshest = at - timedelta(seconds=SILENT_SECONDS)
    return [
        WorkerRow(
            **row._mapping, alive=row.state != status.WORKER_STOPPED and row.heartbeat_at >= freshest
        )
        for row in rows
    ]  # fmt: skip


def active_stages(session: Session, limit: int = 50) -> list[ActiveStage]:
    """Running stages, then queued ones in the order workers take them."""
    rows = session.execute(
        select(
            Stage.id, Stage.fingerprint, Stage.kind, Stage.model, Stage.status, Stage.priority, Stage.done, Stage.total,
            Stage.unit, Stage.created_at, Stage.started_at, Worker.name.label("worker"),
        )
        .outerjoin(Worker, Worker.id == Stage.worker_id)
        .where(Stage.status.in_(status.LIVE))
        .order_by(case((Stage.status == status.RUNNING, 0), else_=1), Stage.priority.desc(), Stage.id)
        .limit(limit)
    ).all()  # fmt: skip
    runs = live_runs_of(session, [row.id for row in rows])
    return [
        ActiveStage(
            stage_id=row.id, runs=len(runs[row.id]), run_id=next(iter(runs[row.id]), None),
            **{name: value for name, value in row._mapping.items() if name != "id"},
        )
        for row in rows
    ]  # fmt: skip


def artifact_usage(session: Session) -> list[ArtifactUsage]:
    """Stored bytes by kind of stage, the largest first."""
    size = func.sum(Artifact.bytes)
    rows = session.execute(
        select(Stage.kind, func.count(), size)
        .join(Stage, Stage.id == Artifact.stage_id)
        .where(Artifact.deleted_at.is_(None))
        .group_by(Stage.kind)
        .order_by(size.desc())
    )
    return [ArtifactUsage(kind=kind, artifacts=count, bytes=int(total)) for kind, count, total in rows]


def database_health(session: Session) -> DatabaseHealth:
    """The server, its size and whether its schema is the one this program needs."""
    facts = server_facts(session)
    return DatabaseHealth(
        product=facts.product,
        version=facts.version,
        location=facts.location,
        bytes=facts.bytes,
        detail=facts.detail,
        latency_ms=facts.latency_ms,
        revision=schema_revision(session),
        head=head_revision(),
    )


def _by_status(session: Session, table: type[Stage] | type[Run], *conditions: ColumnElement[bool]) -> dict[str, int]:
    found = session.execute(select(table.status, func.count()).where(*conditions).group_by(table.status))
    return dict.fromkeys(status.STATUSES, 0) | {row[0]: row[1] for row in found}
