"""Runs are deleted with a way back: hidden at once, removed when nobody wanted them back. Never commits."""

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db import status
from db.engine import now
from db.models import Artifact, Run, Stage
from db.records import DeletedRun
from db.records.keeping import Loss
from db.repositories import named_annotators, orphans, runs
from db.repositories.guard import lock_graph

GRACE_SECONDS = 600.0  # how long a deleted run can be brought back


def hide(session: Session, run_ids: Collection[int]) -> tuple[int, ...]:
    """Delete finished runs for now: no list shows them any more; the ids of those that were there and not live."""
    lock_graph(session)
    there = (Run.id.in_(run_ids), Run.deleted_at.is_(None), Run.status.not_in(status.LIVE))
    ids = tuple(session.scalars(select(Run.id).where(*there).order_by(Run.id)))
    session.execute(update(Run).where(Run.id.in_(ids)).values(deleted_at=now(session)))
    return ids


def show(session: Session, run_ids: Collection[int]) -> tuple[int, ...]:
    """Bring deleted runs back as they were; the ids of those that were still there."""
    lock_graph(session)
    hidden = select(Run.id).where(Run.id.in_(run_ids), Run.deleted_at.is_not(None)).order_by(Run.id)
    ids = tuple(session.scalars(hidden))
    session.execute(update(Run).where(Run.id.in_(ids)).values(deleted_at=None))
    return ids


def overdue(session: Session, seconds: float = GRACE_SECONDS, *, most: int = 50) -> list[int]:
    """Runs that were deleted longer ago than that; on the read engine too."""
    before = now(session) - timedelta(seconds=seconds)
    return list(session.scalars(select(Run.id).where(Run.deleted_at < before).order_by(Run.id).limit(most)))


def remove(session: Session, run_id: int, seconds: float = GRACE_SECONDS) -> DeletedRun | None:
    """Really remove one of the overdue; None where somebody brought it back, or removed it, meanwhile."""
    lock_graph(session)
    before = now(session) - timedelta(seconds=seconds)
    if session.scalars(select(Run.id).where(Run.id == run_id, Run.deleted_at < before)).first() is None:
        return None
    return runs.remove(session, run_id)


def loss(session: Session, run_ids: Collection[int]) -> Loss:
    """What deleting these runs would free and what would stay; changes nothing."""
    gone, stays = orphans.would_go(session, run_ids)
    stored = select(Artifact.stage_id, Artifact.bytes).where(Artifact.deleted_at.is_(None))
    freed = session.execute(stored.where(Artifact.stage_id.in_(gone))).all()
    kept = select(func.count()).select_from(Artifact).join(Stage, Stage.id == Artifact.stage_id)
    kept = kept.where(Artifact.stage_id.in_(stays), Artifact.deleted_at.is_(None))
    names = named_annotators.names_of(session, stays)
    return Loss(
        artifacts=len(freed),
        bytes=sum(row.bytes for row in freed),
        kept=session.execute(kept).scalar_one(),
        named=tuple(sorted(name for found in names.values() for name in found)),
    )
