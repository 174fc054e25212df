"""The tables of what people say of their runs, and of what was told about them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.base import NEVER_REUSE_IDS, Base


class RunTag(Base):
    """One word that somebody gave a run."""

    __tablename__ = "run_tags"
    __table_args__ = (Index("ix_run_tags_tag", "tag", "run_id"),)

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(40), primary_key=True)


class RunNote(Base):
    """What somebody wrote about a run."""

    __tablename__ = "run_notes"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    updated_at: Mapped[datetime]


class Notice(Base):
    """One message for one webhook. `key` says what it is about; `target` is a hash of the address, which is a secret.
    `next_at`: when it is tried (again); None: it was sent, or given up."""

    __tablename__ = "notices"
    __table_args__ = (UniqueConstraint("key", "target"), Index("ix_notices_next_at", "next_at"), NEVER_REUSE_IDS)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(300))
    target: Mapped[str] = mapped_column(String(64))
    body: Mapped[dict[str, Any]]
    tries: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)  # of the last try
    created_at: Mapped[datetime]
    next_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
