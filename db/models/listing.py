"""The tables of lists: what each run is sorted and grouped by, and the views of the list that people saved."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.base import NEVER_REUSE_IDS, Base


class RunValue(Base):
    """One leaf of a run's config (`align.beta`) or one figure of a finished stage of it (`evaluation:gra`)."""

    __tablename__ = "run_values"
    __table_args__ = (Index("ix_run_values_key", "key", "number", "text", "run_id"),)

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(160), primary_key=True)
    number: Mapped[float | None]  # None where the value is no number
    text: Mapped[str] = mapped_column(String(200))  # as people read it


class SavedView(Base):
    """A list as somebody left it, under a name: the parameters of its address."""

    __tablename__ = "saved_views"
    __table_args__ = (UniqueConstraint("name"), NEVER_REUSE_IDS)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    params: Mapped[dict[str, Any]]
    is_default: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    owner: Mapped[str | None] = mapped_column(String(200))  # who made it; None: everybody's
