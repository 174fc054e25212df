"""The tables of people's votes on pairs, and of the sets of labels that are made of them."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.base import NEVER_REUSE_IDS, Base
from db.engine import BigId


class VotedPair(Base):
    """Texts of a pair that somebody voted on: people's work outlives the run that they looked at."""

    __tablename__ = "voted_pairs"

    pair_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    prompt_id: Mapped[str] = mapped_column(String(32))
    prompt: Mapped[str] = mapped_column(Text)
    response_a: Mapped[str] = mapped_column(Text)
    response_b: Mapped[str] = mapped_column(Text)


class Vote(Base):
    """One event: a vote, or the undo of one. `vote` names a side of the data, whatever stood left. Triggers refuse to
    change or delete one; only where its run or its data are deleted it points to them no more."""

    __tablename__ = "votes"
    __table_args__ = (
        UniqueConstraint("token"),
        UniqueConstraint("undoes"),
        Index("ix_votes_pair", "pair_id", "id"),
        Index("ix_votes_run", "run_id", "id"),
        Index("ix_votes_data_stage", "data_stage_id", "id"),
        Index("ix_votes_person", "person", "id"),
        NEVER_REUSE_IDS,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    token: Mapped[str] = mapped_column(String(32))  # of the card that was shown: one vote each
    pair_id: Mapped[str] = mapped_column(ForeignKey("voted_pairs.pair_id", ondelete="RESTRICT"))
    data_stage_id: Mapped[int | None] = mapped_column(ForeignKey("stages.id", ondelete="SET NULL"))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id", ondelete="SET NULL"))
    person: Mapped[str] = mapped_column(String(80))
    queue: Mapped[str] = mapped_column(String(40))  # why this pair was shown
    shown_left: Mapped[str] = mapped_column(String(1))
    vote: Mapped[str] = mapped_column(String(8))  # a | b | tie | unsure | drop | undo
    undoes: Mapped[int | None] = mapped_column(BigId)
    seconds: Mapped[float | None]
    weak_label: Mapped[str | None] = mapped_column(String(1))
    confidence: Mapped[float | None]
    at: Mapped[datetime]


class VoteLease(Base):
    """A pair that is before somebody's eyes until `expires_at`; `set_aside`: that person does not want it now."""

    __tablename__ = "vote_leases"
    __table_args__ = (
        UniqueConstraint("pair_id", "person"),
        Index("ix_vote_leases_person", "person", "run_id"),
        Index("ix_vote_leases_run_id", "run_id"),
    )

    token: Mapped[str] = mapped_column(String(32), primary_key=True)
    pair_id: Mapped[str] = mapped_column(String(32))
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    person: Mapped[str] = mapped_column(String(80))
    queue: Mapped[str] = mapped_column(String(40))
    shown_left: Mapped[str] = mapped_column(String(1))
    set_aside: Mapped[bool] = mapped_column(default=False)
    expires_at: Mapped[datetime]


class RelabelSet(Base):
    """An immutable version of votes that runs use as human labels; its rows are the artifact of that fingerprint."""

    __tablename__ = "relabel_sets"
    __table_args__ = (
        UniqueConstraint("name", "version"),
        Index("ix_relabel_sets_fingerprint", "fingerprint"),
        NEVER_REUSE_IDS,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    version: Mapped[int]
    fingerprint: Mapped[str] = mapped_column(String(64))
    labels: Mapped[int]
    dropped: Mapped[int]
    undecided: Mapped[int]  # ties and equal votes, which the set leaves out
    votes: Mapped[int]
    people: Mapped[int]
    note: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class RelabelUse(Base):
    """Which set of labels a run uses."""

    __tablename__ = "relabel_uses"
    __table_args__ = (Index("ix_relabel_uses_fingerprint", "fingerprint", "run_id"),)

    run_id: Mapped[int] = mapped_column(Integer, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
