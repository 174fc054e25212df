"""The tables of the installation: artifacts and settings."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base
from db.engine import BigId


class Artifact(Base):
    """What the store holds for a fingerprint; `deleted_at`: no run uses it any more, its files may go."""

    __tablename__ = "artifacts"
    __table_args__ = (Index("ix_artifacts_stage_id", "stage_id"),)

    fingerprint: Mapped[str] = mapped_column(String(64), primary_key=True)
    stage_id: Mapped[int | None] = mapped_column(ForeignKey("stages.id", ondelete="SET NULL"))
    bytes: Mapped[int] = mapped_column(BigId)
    files: Mapped[int] = mapped_column(Integer)
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class Setting(Base):
    """Small values of the installation; the row "graph" is the mutex of repositories.graph."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    value: Mapped[str | None] = mapped_column(Text)
