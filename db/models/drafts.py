"""The table of drafts: forms of New run as they were left."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base


class Draft(Base):
    """One form. Its id is made by the session that first changed it, so that saving twice never makes two."""

    __tablename__ = "drafts"
    __table_args__ = (Index("ix_drafts_updated_at", "updated_at"),)

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))  # empty: nobody gave it one
    content: Mapped[dict[str, Any]]
    revision: Mapped[int]  # one higher at each change
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    queued_at: Mapped[datetime | None]  # when runs were last queued from it
    owner: Mapped[str | None] = mapped_column(String(200))  # who made it; None: everybody's
