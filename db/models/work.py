"""The tables of the queue: runs, their stages, attempts and workers."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from db.base import NEVER_REUSE_IDS, Base
from db.engine import BigId
from db.models.columns import attempt, stage


class Run(Base):
    """One config executed. The columns beside `config` are what lists filter and group by."""

    __tablename__ = "runs"
    __table_args__ = (
        Index("ix_runs_list", "archived", "id"),
        Index("ix_runs_listed", "archived", "group_key", "id", "status", "method", "objective", "dataset", "seed"),
        Index("ix_runs_status", "status"),
        Index("ix_runs_group_key", "group_key", "id"),
        Index("ix_runs_config_hash", "config_hash"),
        Index("ix_runs_sweep_id", "sweep_id"),
        Index("ix_runs_finished_at", "finished_at"),
        Index("ix_runs_deleted_at", "deleted_at"),
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
    pinned: Mapped[bool] = mapped_column(default=False, server_default=false())
    paused: Mapped[bool] = mapped_column(default=False, server_default=false())  # none of its stages is started for it
    deleted_at: Mapped[datetime | None]  # hidden everywhere since then, and removed some minutes later
    owner: Mapped[str | None] = mapped_column(String(200))  # who queued it; None: everybody's


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
    host_bytes: Mapped[int | None] = mapped_column(BigId)  # needed of the machine, by all processes; None: likewise
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

    stage_id: Mapped[int] = stage(primary=True)
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    input_stage_id: Mapped[int] = stage()


class RunStage(Base):
    """Which stage fills which slot of a run; `reused`: it was there before the run was submitted."""

    __tablename__ = "run_stages"
    __table_args__ = (Index("ix_run_stages_stage_id", "stage_id", "run_id"),)

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    slot: Mapped[str] = mapped_column(String(40), primary_key=True)
    stage_id: Mapped[int] = stage()
    reused: Mapped[bool] = mapped_column(default=False)


class Attempt(Base):
    """One execution of a stage by one worker under one token."""

    __tablename__ = "attempts"
    __table_args__ = (UniqueConstraint("stage_id", "token"), NEVER_REUSE_IDS)

    id: Mapped[int] = mapped_column(primary_key=True)
    stage_id: Mapped[int] = stage()
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
    attempt_id: Mapped[int] = attempt()
    at: Mapped[datetime]
    text: Mapped[str] = mapped_column(Text)


class Metric(Base):
    """One point of one curve; a value that is not finite is stored as null."""

    __tablename__ = "metrics"

    attempt_id: Mapped[int] = attempt(primary=True)
    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[float | None]
