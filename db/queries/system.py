"""The System page: queue, workers, storage, database."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, String, case, cast, func, literal, literal_column, null, select, union_all
from sqlalchemy.orm import Session

from db import status
from db.engine import clock, head_revision
from db.models import Artifact, Attempt, Run, RunStage, Stage, Worker
from db.readiness import ready_stages
from db.records import (
    ActiveStage,
    ArtifactUsage,
    DatabaseHealth,
    EndedAttempt,
    QueueHealth,
    WorkerRow,
)
from db.server_facts import server_facts
from db.status import SILENT_SECONDS

NOTHING: Any = literal_column("0")


def queue_health(session: Session) -> QueueHealth:
    """Counts by status, what is ready, what waits, what went wrong lately, and what is stored, in one query."""
    at = clock(session)
    ready = ready_stages().order_by(None).with_only_columns(Stage.created_at).subquery()
    expired = (Stage.status == status.RUNNING, Stage.lease_expires_at < at)
    lost = (Attempt.status == status.ATTEMPT_LOST, Attempt.finished_at > datetime.now(UTC) - timedelta(days=1))
    told = [
        _tally("ready", count=func.count(), at=func.min(ready.c.created_at)).select_from(ready),
        _tally("now", at=at),
        _tally("expired", count=func.count()).select_from(Stage).where(*expired),
        _tally("lost", count=func.count()).select_from(Attempt).where(*lost),
        _tally("stages", Stage.status, func.count()).group_by(Stage.status),
        _tally("runs", Run.status, func.count()).where(Run.deleted_at.is_(None)).group_by(Run.status),
        _tally("artifacts", Stage.kind, func.count(), func.sum(Artifact.bytes))
        .join(Stage, Stage.id == Artifact.stage_id)
        .where(Artifact.deleted_at.is_(None))
        .group_by(Stage.kind),
    ]
    found: dict[str, list[Any]] = {}
    for row in session.execute(union_all(*told)):
        found.setdefault(row.what, []).append(row)
    by_status = {
        what: dict.fromkeys(status.STATUSES, 0) | {row.name: row.count_ for row in found.get(what, ())}
        for what in ("stages", "runs")
    }
    ((count,), (now,), (late,), (gone,)) = (found[what] for what in ("ready", "now", "expired", "lost"))
    stored = [ArtifactUsage(kind=row.name, artifacts=row.count_, bytes=row.bytes) for row in found.get("artifacts", ())]
    return QueueHealth(
        stages=by_status["stages"], runs=by_status["runs"], ready=count.count_,
        waiting=by_status["stages"][status.QUEUED] - count.count_, oldest_ready_at=count.at,
        expired_leases=late.count_, lost_last_day=gone.count_, at=now.at,
        artifacts=tuple(sorted(stored, key=lambda row: (-row.bytes, row.kind))),
    )  # fmt: skip


def _tally(what: str, name: Any = None, count: Any = None, size: Any = None, *, at: Any = None) -> Any:
    """One kind of figure of `queue_health`; they all have the same columns."""
    return select(
        (at if at is not None else null()).label("at"),
        literal(what, String).label("what"),
        (name if name is not None else literal("", String)).label("name"),
        cast(count if count is not None else NOTHING, BigInteger).label("count_"),
        cast(size if size is not None else NOTHING, BigInteger).label("bytes"),
    )


def workers(session: Session) -> list[WorkerRow]:
    """Every known worker, the living first, in one query."""
    rows = session.execute(
        select(
            Worker.id, Worker.name, Worker.host, Worker.pid, Worker.device, Worker.state, Worker.stage_id,
            Worker.heartbeat_at, Worker.started_at, Worker.rss_mb, Worker.card, Worker.card_bytes,
            Worker.card_free_bytes, Worker.host_bytes, Stage.kind.label("stage_kind"),
        )
        .add_columns(clock(session).label("now"))
        .outerjoin(Stage, Stage.id == Worker.stage_id)
        .order_by(case((Worker.state == status.WORKER_STOPPED, 1), else_=0), Worker.name)
    )  # fmt: skip
    silent = timedelta(seconds=SILENT_SECONDS)
    return [
        WorkerRow(
            **{name: value for name, value in row._mapping.items() if name != "now"},
            alive=row.state != status.WORKER_STOPPED and row.heartbeat_at >= row.now - silent,
        )
        for row in rows
    ]


def active_stages(session: Session, limit: int = 50) -> list[ActiveStage]:
    """Running stages, then queued ones in the order workers take them, in one query."""
    live = (RunStage.stage_id == Stage.id, Run.status.in_(status.LIVE))
    runs = select(func.count()).select_from(RunStage).join(Run, Run.id == RunStage.run_id).where(*live)
    first = select(func.min(RunStage.run_id)).select_from(RunStage).join(Run, Run.id == RunStage.run_id).where(*live)
    rows = session.execute(
        select(
            Stage.id.label("stage_id"), Stage.fingerprint, Stage.kind, Stage.model, Stage.status, Stage.priority,
            Stage.done, Stage.total, Stage.unit, Stage.created_at, Stage.started_at, Worker.name.label("worker"),
            runs.correlate(Stage).scalar_subquery().label("runs"),
            first.correlate(Stage).scalar_subquery().label("run_id"),
        )
        .outerjoin(Worker, Worker.id == Stage.worker_id)
        .where(Stage.status.in_(status.LIVE))
        .order_by(case((Stage.status == status.RUNNING, 0), else_=1), Stage.priority.desc(), Stage.id)
        .limit(limit)
    )  # fmt: skip
    return [ActiveStage(**row._mapping) for row in rows]


def ended_lately(session: Session, limit: int = 50) -> list[EndedAttempt]:
    """Executions of the last 24 hours that ended without a result, the newest first, with why."""
    without = (status.ATTEMPT_LOST, status.ATTEMPT_FAILED)
    one = select(func.min(RunStage.run_id)).where(RunStage.stage_id == Stage.id).correlate(Stage).scalar_subquery()
    rows = session.execute(
        select(
            Attempt.stage_id, Stage.kind, one.label("run_id"), Attempt.token, Attempt.status,
            Stage.status.label("stage_status"), Attempt.cause, Attempt.worker, Attempt.finished_at,
        )
        .join(Stage, Stage.id == Attempt.stage_id)
        .where(Attempt.status.in_(without), Attempt.finished_at > datetime.now(UTC) - timedelta(days=1))
        .order_by(Attempt.finished_at.desc(), Attempt.id.desc())
        .limit(limit)
    )  # fmt: skip
    return [EndedAttempt(**row._mapping) for row in rows]


def database_health(session: Session) -> DatabaseHealth:
    """The server, its size and whether its schema is the one this program needs, in two queries."""
    facts = server_facts(session)
    return DatabaseHealth(
        product=facts.product,
        version=facts.version,
        location=facts.location,
        bytes=facts.bytes,
        detail=facts.detail,
        latency_ms=facts.latency_ms,
        revision=facts.revision,
        head=head_revision(),
    )
