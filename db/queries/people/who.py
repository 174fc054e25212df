"""The people who sign in."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import Person
from db.records import PersonRow

MOST_PEOPLE = 1_000


def people(session: Session) -> list[PersonRow]:
    """Everybody who was here or was given a role, by name."""
    rows = session.scalars(select(Person).order_by(func.lower(Person.name), Person.name).limit(MOST_PEOPLE))
    return [_row(row) for row in rows]


def find_person(session: Session, name: str) -> PersonRow | None:
    """One of them; None where nobody of this name was here."""
    row = session.get(Person, name)
    return None if row is None else _row(row)


def _row(row: Person) -> PersonRow:
    return PersonRow(
        name=row.name, role=row.role, first_seen_at=row.first_seen_at, last_seen_at=row.last_seen_at,
        sessions_valid_from=row.sessions_valid_from,
    )  # fmt: skip
