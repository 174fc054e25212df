"""The tables of answers and their judgements."""

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base
from db.models.columns import attempt, stage


class Prompt(Base):
    """A held-out prompt of a data stage."""

    __tablename__ = "prompts"
    __table_args__ = (Index("ix_prompts_attempt_id", "attempt_id"),)

    stage_id: Mapped[int] = stage(primary=True)
    prompt_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    attempt_id: Mapped[int] = attempt()
    prompt: Mapped[str] = mapped_column(Text)


class Sample(Base):
    """One answer of a model to a held-out prompt."""

    __tablename__ = "samples"
    __table_args__ = (Index("ix_samples_attempt_id", "attempt_id"),)

    stage_id: Mapped[int] = stage(primary=True)
    attempt_id: Mapped[int] = attempt(primary=True)
    prompt_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    sample: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str] = mapped_column(Text)
    tokens: Mapped[int]
    logp: Mapped[float | None]
    reference_logp: Mapped[float | None]


class Score(Base):
    """The gold reward's score of one answer."""

    __tablename__ = "scores"
    __table_args__ = (Index("ix_scores_attempt_id", "attempt_id"),)

    stage_id: Mapped[int] = stage(primary=True)
    attempt_id: Mapped[int] = attempt(primary=True)
    prompt_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    sample: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    score: Mapped[float]
    ungrammatical: Mapped[bool | None]


class Evaluation(Base):
    """The GRA of one evaluation stage and what stands beside it."""

    __tablename__ = "evaluations"
    __table_args__ = (Index("ix_evaluations_attempt_id", "attempt_id"),)

    stage_id: Mapped[int] = stage(primary=True)
    attempt_id: Mapped[int] = attempt()
    gra: Mapped[float]
    gra_strict: Mapped[float]
    gra_ties_dropped: Mapped[float | None]
    wins: Mapped[float]
    ties: Mapped[float]
    losses: Mapped[float]
    prompts: Mapped[int]
    samples: Mapped[int]
    ci_low: Mapped[float]
    ci_high: Mapped[float]
    interval_method: Mapped[str] = mapped_column(String(80))
    mean_tokens: Mapped[float | None]
    baseline_mean_tokens: Mapped[float | None]
    kl: Mapped[float | None]
    ungrammatical: Mapped[float | None]
    baseline_ungrammatical: Mapped[float | None]
    mean_score: Mapped[float | None]
    baseline_mean_score: Mapped[float | None]


class Outcome(Base):
    """Per prompt: 1 win, ½ tie, 0 loss (mean over samples), with the figures of both sides."""

    __tablename__ = "outcomes"
    __table_args__ = (Index("ix_outcomes_attempt_id", "attempt_id"),)

    stage_id: Mapped[int] = stage(primary=True)
    attempt_id: Mapped[int] = attempt(primary=True)
    prompt_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    outcome: Mapped[float]
    score: Mapped[float | None]
    baseline_score: Mapped[float | None]
    tokens: Mapped[float | None]
    baseline_tokens: Mapped[float | None]
    logratio: Mapped[float | None]
    ungrammatical: Mapped[float | None]
    baseline_ungrammatical: Mapped[float | None]
