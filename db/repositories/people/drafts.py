"""Drafts of New run are written, found changed, named, marked as queued and removed. Functions never commit."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete as sql_delete
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.engine import now
from db.errors import ChangedDraft, UnknownDraft
from db.models import Draft
from db.repositories.guard import clean_text, plain

MOST_NAME = 200
KEPT_DAYS = 30  # of a draft without a name
MOST_UNNAMED = 200


def save(
    session: Session, draft_id: str, *, name: str, content: Mapping[str, Any], revision: int, owner: str | None = None
) -> int:
    """Write a form; its new revision. `revision` is the one that was read, 0 for a draft that was never saved: where
    somebody else has written since, ChangedDraft is raised and nothing is written. A draft that was deleted meanwhile
    is there again."""
    at, values = now(session), {"name": clean_text(name.strip())[:MOST_NAME], "content": plain(content)}
    row = session.get(Draft, draft_id, with_for_update=True)
    if row is None:
        _prune(session, at)
        session.add(
            Draft(
                id=draft_id, revision=revision + 1, created_at=at, updated_at=at, queued_at=None, owner=owner, **values
            )
        )  # fmt: skip
        session.flush()
        return revision + 1
    if row.revision != revision:
        raise ChangedDraft(f"Draft {draft_id} was changed in another window.")
    row.name, row.content = values["name"], values["content"]
    row.revision, row.updated_at = revision + 1, at
    session.flush()
    return revision + 1


def mark_queued(session: Session, draft_id: str) -> None:
    """Runs were queued from it. A draft that was deleted meanwhile stays deleted."""
    session.execute(update(Draft).where(Draft.id == draft_id).values(queued_at=now(session)))


def delete(session: Session, draft_id: str) -> None:
    """Remove a draft; UnknownDraft where it is gone already."""
    if session.execute(sql_delete(Draft).where(Draft.id == draft_id).returning(Draft.id)).first() is None:
        raise UnknownDraft(f"There is no draft {draft_id[:16]}: it was deleted already.")


def _prune(session: Session, at: datetime) -> None:
    """Drafts that nobody named go after a month, or when there are too many newer ones."""
    unnamed = Draft.name == ""
    session.execute(sql_delete(Draft).where(unnamed, Draft.updated_at < at - timedelta(days=KEPT_DAYS)))
    newest = select(Draft.id).where(unnamed).order_by(Draft.updated_at.desc(), Draft.id)
    if spare := session.scalars(newest.offset(MOST_UNNAMED - 1)).all():
        session.execute(sql_delete(Draft).where(Draft.id.in_(spare)))
