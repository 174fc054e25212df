"""Recipes, by name."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Recipe
from db.records import RecipeRow

MOST_RECIPES = 200


def recipes(session: Session, limit: int = MOST_RECIPES) -> list[RecipeRow]:
    """The first so many, in the order of their names."""
    rows = session.scalars(select(Recipe).order_by(Recipe.name).limit(limit))
    return [RecipeRow(name=row.name, columns=dict(row.columns), created_at=row.created_at) for row in rows]
