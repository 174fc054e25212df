"""The table of recipes: what the columns of a dataset hold, under a name."""

from datetime import datetime
from typing import Any

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.base import NEVER_REUSE_IDS, Base


class Recipe(Base):
    """A mapping of columns that was saved to be used again; runs carry the mapping itself, not its name."""

    __tablename__ = "recipes"
    __table_args__ = (UniqueConstraint("name"), NEVER_REUSE_IDS)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    columns: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
