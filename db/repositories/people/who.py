"""People are seen, get a role, and their sessions end; and what belongs to whom. Functions never commit."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.engine import now
from db.errors import UnknownPerson
from db.models import AuditHead, Draft, Person, Run, SavedView


def seen(session: Session, name: str, role: str) -> bool:
    """Somebody is here; True where it is for the first time, with this role unless they were given one before."""
    _lock(session)
    at, row = now(session), session.get(Person, name)
    if row is None:
        session.add(Person(name=name, role=role, first_seen_at=at, last_seen_at=at, sessions_valid_from=None))
        return True
    first = row.first_seen_at is None
    if first:
        row.first_seen_at = at
    row.last_seen_at = at
    return first


def role_of(session: Session, name: str) -> str | None:
    """The role that somebody has; None for somebody who was never here."""
    return session.scalar(select(Person.role).where(Person.name == name))


def standing(session: Session, name: str) -> tuple[str, datetime | None] | None:
    """The role of somebody and since when sessions count; None for somebody who was never here."""
    row = session.execute(select(Person.role, Person.sessions_valid_from).where(Person.name == name)).first()
    return None if row is None else (row.role, row.sessions_valid_from)


def set_role(session: Session, name: str, role: str) -> str | None:
    """Give a role, also to somebody who was not here yet; the one before."""
    _lock(session)
    row = session.get(Person, name)
    if row is None:
        session.add(Person(name=name, role=role, first_seen_at=None, last_seen_at=None, sessions_valid_from=None))
        return None
    before, row.role = row.role, role
    return before


def revoke(session: Session, name: str, at: datetime) -> None:
    """Sessions of this person that began before `at` are over."""
    _lock(session)
    changed = session.execute(
        update(Person).where(Person.name == name).values(sessions_valid_from=at).returning(Person.name)
    ).first()
    if changed is None:
        raise UnknownPerson(f"Nobody called {name[:80]!r} has signed in here: look at the list of people.")


def others_runs(session: Session, run_ids: Collection[int], name: str) -> dict[int, str]:
    """Those of the runs that belong to somebody else, and to whom."""
    owned = select(Run.id, Run.owner).where(Run.id.in_(run_ids), Run.owner.is_not(None), Run.owner != name)
    return {row.id: row.owner for row in session.execute(owned.order_by(Run.id))}


def owner_of_draft(session: Session, draft_id: str) -> str | None:
    """Whose draft it is; None: everybody's, or there is none."""
    return session.scalar(select(Draft.owner).where(Draft.id == draft_id))


def owner_of_view(session: Session, view_id: int) -> str | None:
    """Whose saved view it is; None: everybody's, or there is none."""
    return session.scalar(select(SavedView.owner).where(SavedView.id == view_id))


def _lock(session: Session) -> None:
    """One changer of people at a time, who will write into the log anyway."""
    session.execute(select(AuditHead.name).with_for_update()).all()
