"""Recipes: what the columns of a dataset hold, under a name."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class RecipeRow:
    """One recipe; columns: what is held -> name of the column."""

    name: str
    columns: Mapping[str, str]
    created_at: datetime
