"""Drafts of New run, and the runs that have their configurations already."""

from collections.abc import Collection

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from db import status
from db.engine import batches
from db.errors import UnknownDraft
from db.models import Draft, Run
from db.records import DraftRow, RunLike

MOST_DRAFTS = 30  # in a list, with a name and without one
_HASHES = 400  # of one query: SQLite takes a thousand values


def get_draft(session: Session, draft_id: str) -> DraftRow:
    """One draft; UnknownDraft if there is none."""
    row = session.get(Draft, draft_id)
    if row is None:
        raise UnknownDraft(f"There is no draft {draft_id[:16]}: it was deleted, or was left unnamed for a month.")
    return row_of(row)


def list_drafts(session: Session, *, limit: int = MOST_DRAFTS) -> list[DraftRow]:
    """The drafts that were changed last: at most `limit` with a name, and after them as many without one."""
    unnamed, newest = case((Draft.name == "", 1), else_=0), (Draft.updated_at.desc(), Draft.id)
    place = func.row_number().over(partition_by=unnamed, order_by=newest)
    placed = select(Draft.id, place.label("place")).subquery()
    rows = session.scalars(
        select(Draft).join(placed, placed.c.id == Draft.id).where(placed.c.place <= limit).order_by(unnamed, *newest)
    )
    return [row_of(row) for row in rows]


def row_of(row: Draft) -> DraftRow:
    return DraftRow(
        id=row.id,
        name=row.name,
        content=row.content,
        revision=row.revision,
        created_at=row.created_at,
        updated_at=row.updated_at,
        queued_at=row.queued_at,
    )


def runs_like(session: Session, config_hashes: Collection[str]) -> dict[str, RunLike]:
    """For each of these configurations the run that has it already: a finished one before one that is still to be
    computed, the newest of these; runs that failed, were cancelled or deleted do not count."""
    found: dict[str, RunLike] = {}
    for some in batches(sorted(set(config_hashes)), _HASHES):
        rows = session.execute(
            select(Run.config_hash, Run.id, Run.status, Run.archived)
            .where(
                Run.config_hash.in_(some),
                Run.status.not_in((status.FAILED, status.CANCELLED)),
                Run.deleted_at.is_(None),
            )
            .order_by(case((Run.status == status.DONE, 1), else_=0), Run.id)
        )
        for row in rows:
            found[row.config_hash] = RunLike(run_id=row.id, status=row.status, archived=row.archived)
    return found
