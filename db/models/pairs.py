"""The tables of pairs and of what annotators say of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import NEVER_REUSE_IDS, Base
from db.engine import BigId
from db.models.columns import attempt, stage


class Pair(Base):
    """Texts of one candidate pair, written by its data stage; lists never read it before the page is chosen."""

    __tablename__ = "pairs"
    __table_args__ = (Index("ix_pairs_attempt_id", "attempt_id"),)

    stage_id: Mapped[int] = stage(primary=True)
    pair_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    attempt_id: Mapped[int] = attempt()
    prompt_id: Mapped[str] = mapped_column(String(32))
    prompt: Mapped[str] = mapped_column(Text)
    response_a: Mapped[str] = mapped_column(Text)
    response_b: Mapped[str] = mapped_column(Text)
    human_label: Mapped[str | None] = mapped_column(String(1))
    true_label: Mapped[str | None] = mapped_column(String(1))


class Annotation(Base):
    """What the annotator says about one pair. The first index serves counts and orders by confidence of the Examples
    page, the second its order by spread."""

    __tablename__ = "annotations"
    __table_args__ = (
        Index("ix_annotations_browse", "stage_id", "attempt_id", "confidence", "id", "agrees_human"),
        Index(
            "ix_annotations_spread", "stage_id", "attempt_id", "spread", "id", "confidence", "agrees_human",
            sqlite_where=text("spread IS NOT NULL"), postgresql_where=text("spread IS NOT NULL"),
        ),
        UniqueConstraint("attempt_id", "pair_id"),
        Index("ix_annotations_data_stage_id", "data_stage_id"),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    attempt_id: Mapped[int] = attempt()
    stage_id: Mapped[int] = stage()
    pair_id: Mapped[str] = mapped_column(String(32))
    data_stage_id: Mapped[int] = stage()
    score_a: Mapped[float]
    score_b: Mapped[float]
    margin: Mapped[float]
    confidence: Mapped[float]
    label: Mapped[str] = mapped_column(String(1))
    agrees_human: Mapped[bool | None]
    spread: Mapped[float | None]  # SD of the margin over annotators or passes; None with one


class NamedAnnotator(Base):
    """An annotator that other runs may use: a name, versioned, for the stage that trained it."""

    __tablename__ = "named_annotators"
    __table_args__ = (
        UniqueConstraint("name", "version"),
        Index("ix_named_annotators_stage_id", "stage_id"),
        NEVER_REUSE_IDS,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    version: Mapped[int]
    stage_id: Mapped[int] = mapped_column(ForeignKey("stages.id", ondelete="RESTRICT"))  # its artifact stays
    note: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class Histogram(Base):
    """A named distribution stored when it was computed, so that no page scans for it."""

    __tablename__ = "histograms"
    __table_args__ = (Index("ix_histograms_attempt_id", "attempt_id"),)

    stage_id: Mapped[int] = stage(primary=True)
    attempt_id: Mapped[int] = attempt(primary=True)
    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    data: Mapped[dict[str, Any]]
