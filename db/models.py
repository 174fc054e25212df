"""The tables. Rows stay inside db: other packages get the frozen values of db.records."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import NEVER_REUSE_IDS, Base
from db.engine import BigId


def _stage(*, primary: bool = False) -> Mapped[int]:
    return mapped_column(ForeignKey("stages.id", ondelete="CASCADE"), primary_key=primary)


def _attempt(*, primary: bool = False) -> Mapped[int]:
    return mapped_column(ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=primary)


class Run(Base):
    """One config executed. The columns beside `config` are what lists filter and group by."""

    __tablename__ = "runs"
    __table_args__ = (
        Index("ix_runs_list", "archived", "id"),
        Index("ix_runs_status", "status"),
        Index("ix_runs_group_key", "group_key", "id"),
        Index("ix_runs_config_hash", "config_hash"),
        Index("ix_runs_sweep_id", "sweep_id"),
        NEVER_REUSE_IDS,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    sweep_id: Mapped[str | None] = mapped_column(String(200))
    config: Mapped[dict[str, Any]]
    config_hash: Mapped[str] = mapped_column(String(64))
    group_key: Mapped[str] = mapped_column(String(64))  # hash of the config without seeds and name
    method: Mapped[str] = mapped_column(String(40))
    method_label: Mapped[str] = mapped_column(String(80))  # "top 30 %"
    labels: Mapped[str] = mapped_column(String(40))
    pool: Mapped[str] = mapped_column(String(40))
    weighting: Mapped[str] = mapped_column(String(40))
    objective: Mapped[str] = mapped_column(String(40))
    policy: Mapped[str] = mapped_column(String(300))
    annotator: Mapped[str | None] = mapped_column(String(300))
    dataset: Mapped[str] = mapped_column(String(300))
    label_fraction: Mapped[float]
    seed: Mapped[int]
    baseline: Mapped[str | None] = mapped_column(String(64))  # fingerprint of its samples
    status: Mapped[str] = mapped_column(String(12))
    priority: Mapped[int] = mapped_column(default=0)  # higher first
    error: Mapped[str | None] = mapped_column(Text)
    failed_stage_id: Mapped[int | None] = mapped_column(ForeignKey("stages.id", ondelete="SET NULL"))
    created_at: Mapped[datetime]
    queued_at: Mapped[datetime]  # submitted or last retried
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    archived: Mapped[bool] = mapped_column(default=False)


class Stage(Base):
    """One job, shared by every run that agrees on its fingerprint."""

    __tablename__ = "stages"
    __table_args__ = (
        UniqueConstraint("fingerprint"),
        Index("ix_stages_ready", "status", "priority", "id"),
        Index("ix_stages_kind_model", "kind", "model"),
        NEVER_REUSE_IDS,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(40))
    version: Mapped[int]
    config: Mapped[dict[str, Any]]
    model: Mapped[str | None] = mapped_column(String(300))  # for expected seconds
    device: Mapped[str] = mapped_column(String(8), default="any")  # any | cpu | gpu
    cards: Mapped[int] = mapped_column(default=1, server_default="1")  # of one host, at once
    card_bytes: Mapped[int | None] = mapped_column(BigId)  # needed on each of them; None: nobody knows
    status: Mapped[str] = mapped_column(String(12))
    priority: Mapped[int] = mapped_column(default=0)  # highest of its live runs
    done: Mapped[int | None]
    total: Mapped[int | None]
    unit: Mapped[str | None] = mapped_column(String(20))
    token: Mapped[int] = mapped_column(default=0)  # fencing: one higher at each claim
    losses: Mapped[int] = mapped_column(default=0)  # attempts lost in a row
    worker_id: Mapped[int | None] = mapped_column(ForeignKey("workers.id", ondelete="SET NULL"))
    lease_expires_at: Mapped[datetime | None]
    # No foreign key on these two: attempts point here already, and a cycle cannot be created or dropped in one go.
    current_attempt_id: Mapped[int | None]
    published_attempt_id: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(Text)
    summary: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    seconds: Mapped[float | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class StageInput(Base):
    """Edge of the stage graph: `stage_id` reads the artifact of `input_stage_id` under `name`."""

    __tablename__ = "stage_inputs"
    __table_args__ = (Index("ix_stage_inputs_input_stage_id", "input_stage_id"),)

    stage_id: Mapped[int] = _stage(primary=True)
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    input_stage_id: Mapped[int] = _stage()


class RunStage(Base):
    """Which stage fills which slot of a run; `reused`: another run had asked for it before."""

    __tablename__ = "run_stages"
    __table_args__ = (Index("ix_run_stages_stage_id", "stage_id", "run_id"),)

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    slot: Mapped[str] = mapped_column(String(40), primary_key=True)
    stage_id: Mapped[int] = _stage()
    reused: Mapped[bool] = mapped_column(default=False)


class Attempt(Base):
    """One execution of a stage by one worker under one token."""

    __tablename__ = "attempts"
    __table_args__ = (UniqueConstraint("stage_id", "token"), NEVER_REUSE_IDS)

    id: Mapped[int] = mapped_column(primary_key=True)
    stage_id: Mapped[int] = _stage()
    token: Mapped[int]
    worker_id: Mapped[int | None] = mapped_column(ForeignKey("workers.id", ondelete="SET NULL"))
    worker: Mapped[str | None] = mapped_column(String(200))  # the name stays when the worker row goes
    pid: Mapped[int | None]
    host: Mapped[str | None] = mapped_column(String(200))
    device: Mapped[str | None] = mapped_column(String(40))
    status: Mapped[str] = mapped_column(String(12))
    first_step: Mapped[int | None]  # > 0: resumed from a checkpoint
    cause: Mapped[str | None] = mapped_column(Text)
    environment: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class Worker(Base):
    """A worker process; alive while its heartbeat is fresh. `lent_to`: the worker whose stage has its card."""

    __tablename__ = "workers"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    host: Mapped[str] = mapped_column(String(200))
    pid: Mapped[int]
    device: Mapped[str] = mapped_column(String(40))
    card: Mapped[str | None] = mapped_column(String(80))  # what CUDA calls it; None on a CPU
    card_bytes: Mapped[int | None] = mapped_column(BigId)
    card_free_bytes: Mapped[int | None] = mapped_column(BigId)
    host_bytes: Mapped[int | None] = mapped_column(BigId)  # memory of the machine
    state: Mapped[str] = mapped_column(String(12))
    # Not foreign keys: stages point to workers already.
    stage_id: Mapped[int | None]
    lent_to: Mapped[int | None]
    heartbeat_at: Mapped[datetime]
    started_at: Mapped[datetime]
    rss_mb: Mapped[float | None]


class LogLine(Base):
    """One line a stage wrote."""

    __tablename__ = "log_lines"
    __table_args__ = (Index("ix_log_lines_attempt_id", "attempt_id", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    attempt_id: Mapped[int] = _attempt()
    at: Mapped[datetime]
    text: Mapped[str] = mapped_column(Text)


class Metric(Base):
    """One point of one curve; a value that is not finite is stored as null."""

    __tablename__ = "metrics"

    attempt_id: Mapped[int] = _attempt(primary=True)
    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[float | None]


class Pair(Base):
    """Texts of one candidate pair, written by its data stage; lists never read it before the page is chosen."""

    __tablename__ = "pairs"
    __table_args__ = (Index("ix_pairs_attempt_id", "attempt_id"),)

    stage_id: Mapped[int] = _stage(primary=True)
    pair_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    attempt_id: Mapped[int] = _attempt()
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
    attempt_id: Mapped[int] = _attempt()
    stage_id: Mapped[int] = _stage()
    pair_id: Mapped[str] = mapped_column(String(32))
    data_stage_id: Mapped[int] = _stage()
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

    stage_id: Mapped[int] = _stage(primary=True)
    attempt_id: Mapped[int] = _attempt(primary=True)
    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    data: Mapped[dict[str, Any]]


class Prompt(Base):
    """A held-out prompt of a data stage."""

    __tablename__ = "prompts"
    __table_args__ = (Index("ix_prompts_attempt_id", "attempt_id"),)

    stage_id: Mapped[int] = _stage(primary=True)
    prompt_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    attempt_id: Mapped[int] = _attempt()
    prompt: Mapped[str] = mapped_column(Text)


class Sample(Base):
    """One answer of a model to a held-out prompt."""

    __tablename__ = "samples"
    __table_args__ = (Index("ix_samples_attempt_id", "attempt_id"),)

    stage_id: Mapped[int] = _stage(primary=True)
    attempt_id: Mapped[int] = _attempt(primary=True)
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

    stage_id: Mapped[int] = _stage(primary=True)
    attempt_id: Mapped[int] = _attempt(primary=True)
    prompt_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    sample: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    score: Mapped[float]
    ungrammatical: Mapped[bool | None]


class Evaluation(Base):
    """The GRA of one evaluation stage and what stands beside it."""

    __tablename__ = "evaluations"
    __table_args__ = (Index("ix_evaluations_attempt_id", "attempt_id"),)

    stage_id: Mapped[int] = _stage(primary=True)
    attempt_id: Mapped[int] = _attempt()
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

    stage_id: Mapped[int] = _stage(primary=True)
    attempt_id: Mapped[int] = _attempt(primary=True)
    prompt_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    outcome: Mapped[float]
    score: Mapped[float | None]
    baseline_score: Mapped[float | None]
    tokens: Mapped[float | None]
    baseline_tokens: Mapped[float | None]
    logratio: Mapped[float | None]
    ungrammatical: Mapped[float | None]
    baseline_ungrammatical: Mapped[float | None]


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
