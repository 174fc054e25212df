"""Lists that people keep under a name. Functions take the session first and never commit."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db.engine import now
from db.errors import UnfitView
from db.models import SavedView
from db.repositories.guard import clean_text, lock_graph, plain

LONGEST_NAME = 80
MOST_VIEWS = 200


def save(session: Session, name: str, params: Mapping[str, Any], owner: str | None = None) -> int:
    """Keep these parameters under a new name; the view's number."""
    lock_graph(session)
    name = _free(session, name)
    if session.scalar(select(func.count()).select_from(SavedView)) >= MOST_VIEWS:  # type: ignore[operator]
        raise UnfitView(f"There are {MOST_VIEWS} saved views: delete one first.")
    at = now(session)
    row = SavedView(name=name, params=plain(params), is_default=False, created_at=at, updated_at=at, owner=owner)
    session.add(row)
    session.flush()
    return row.id


def replace(session: Session, view_id: int, params: Mapping[str, Any]) -> None:
    """Let a view show something else from now on."""
    row = _get(session, view_id)
    row.params, row.updated_at = plain(params), now(session)


def rename(session: Session, view_id: int, name: str) -> None:
    """Give a view another name."""
    lock_graph(session)
    row = _get(session, view_id)
    if row.name != name.strip():
        row.name, row.updated_at = _free(session, name), now(session)


def delete(session: Session, view_id: int) -> None:
    """Forget a view; the runs that it shows stay."""
    session.delete(_get(session, view_id))


def set_default(session: Session, view_id: int | None) -> None:
    """The view that a list without an address opens with; None: all runs."""
    lock_graph(session)
    row = None if view_id is None else _get(session, view_id)
    session.execute(update(SavedView).values(is_default=False).execution_options(synchronize_session=False))
    if row is not None:
        session.execute(update(SavedView).where(SavedView.id == row.id).values(is_default=True))


def _free(session: Session, name: str) -> str:
    """The name as it is stored, if it may be given."""
    clean = " ".join(clean_text(name).split())
    if not clean or len(clean) > LONGEST_NAME:
        raise UnfitView(f"A view needs a name of 1 to {LONGEST_NAME} characters.")
    if session.scalars(select(SavedView.id).where(SavedView.name == clean)).first() is not None:
        raise UnfitView(f"There is a view {clean!r} already: choose another name, or replace that one.")
    return clean


def _get(session: Session, view_id: int) -> SavedView:
    row = session.get(SavedView, view_id)
    if row is None:
        raise UnfitView("This view was deleted meanwhile: save it again under a name.")
    return row
