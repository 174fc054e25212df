"""Saving and removing recipes. One that is there is never changed: what was saved under a name stays that."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.engine import now
from db.errors import TakenName, UnknownRecipe
from db.models import Recipe
from db.repositories.guard import clean_text

LONGEST_NAME = 120


def create(session: Session, name: str, columns: Mapping[str, str]) -> None:
    """Save the columns under a new name; the same under the same name is no change."""
    wanted = " ".join(clean_text(name).split())
    if not wanted or len(wanted) > LONGEST_NAME:
        raise TakenName(f"A recipe needs a name of at most {LONGEST_NAME} characters: write one.")
    kept = {clean_text(role): clean_text(column) for role, column in columns.items()}
    row = _named(session, wanted)
    if row is None:
        try:
            with session.begin_nested():
                session.add(Recipe(name=wanted, columns=kept, created_at=now(session)))
            return
        except IntegrityError:  # another session was first
            row = _named(session, wanted)
    if row is None or row.columns != kept:
        raise TakenName(f"There is a recipe {wanted[:60]} with other columns: choose another name, or remove it first.")


def remove(session: Session, name: str) -> None:
    """Take it away; runs that were made with it keep their columns."""
    row = _named(session, name)
    if row is None:
        raise UnknownRecipe(f"There is no recipe {name[:60]}: it was removed already.")
    session.delete(row)


def _named(session: Session, name: str) -> Recipe | None:
    return session.scalars(select(Recipe).where(Recipe.name == name)).one_or_none()
