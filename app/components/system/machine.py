"""Parts of the System page: services, queue, workers, disk."""

from collections.abc import Sequence
from datetime import UTC, datetime

import streamlit as st

from app.components.frame import layout, tables
from app.components.frame.formats import ago, counted
from app.components.frame.tables import Cell, Column
from app.reads import results
from cwpo.report.listings import fields_of
from cwpo.report.numbers import duration, size
from cwpo.stages.graph import slot_name
from db import queries
from db.errors import DatabaseError
from db.records import ActiveStage, ArtifactUsage, EndedAttempt, QueueHealth, WorkerRow
from workers import api

WORKER_COLUMNS = (
    Column(label="worker", whole=True),
    Column(label="device"),
    Column(label="card", figures=True),
    Column(label="state"),
    Column(label="stage"),
    Column(label="heartbeat", figures=True),
    Column(label="up", figures=True),
    Column(label="memory", figures=True),
)
STAGE_COLUMNS = (
    Column(label="stage"),
    Column(label="status"),
    Column(label="progress", figures=True),
    Column(label="runs", figures=True),
    Column(label="priority", figures=True),
    Column(label="worker"),
    Column(label="since"),
)
ENDED_COLUMNS = (
    Column(label="stage"),
    Column(label="run", figures=True),
    Column(label="attempt", figures=True),
    Column(label="ended"),
    Column(label="stage now"),
    Column(label="since"),
    Column(label="cause", limit=200),
)
ACTIVE_SHOWN = 10
IN_QUEUE = (
    ("status", "running: a worker holds it. ready: all that it reads is there. waiting: for another stage."),
    ("progress", "Steps, prompts or pairs done, of all."),
    ("runs", "Live runs that wait for it; a shared stage is computed once."),
    ("priority", "The highest of its runs; larger comes first."),
    ("since", "Since when it runs, or stands in the queue."),
)
ENDED = (
    ("attempt", "Which try of the stage it was."),
    (
        "ended",
        "lost: its process was killed or vanished, and the stage is tried again. failed: by an error.",
    ),
    ("stage now", "What became of the stage since."),
)
OF_DISK = (("artifacts", "Results of stages by their kind."), ("size", "What all of a kind take on the disk."))
OF_WORKERS = (
    ("card", "How much memory of its GPU is free while it computes nothing, and how much there is."),
    ("heartbeat", "How long ago it last said that it lives."),
    ("up", "How long it has been running."),
    ("memory", "What its processes hold on the machine."),
)


def show_services() -> None:
    """Redis and the database, each well or with a sentence."""
    well, said = api.redis_health()
    left, right = st.columns(2, gap="medium")
    with left:
        layout.small("Redis")
        st.text("well" if well else "down")
        layout.note(said)
    with right:
        layout.small("Database")
        try:
            with results.reading() as session:
                found = queries.database_health(session)
        except DatabaseError as error:
            st.text("down")
            layout.note(str(error))
            return
        st.text(f"{found.product} {found.version}, {size(found.bytes)}, {found.latency_ms:.1f} ms")
        layout.note(f"{found.location} · {found.detail} · schema {found.revision or 'missing'}")
        if not found.current:
            layout.problem(
                f"The schema is {found.revision}, this program needs {found.head}: run alembic upgrade head."
            )


def show_queue(found: QueueHealth, workers: Sequence[WorkerRow]) -> None:
    """What runs, what is ready, what waits."""
    figures = (
        ("workers alive", sum(worker.alive for worker in workers)),
        ("running", found.stages.get("running", 0)),
        ("ready", found.ready),
        ("waiting", found.waiting),
        ("failed", found.stages.get("failed", 0)),
        ("lost in 24 h", found.lost_last_day),
    )
    grid = st.grid(len(figures), min_column_width=90)
    for label, number in figures:
        grid.cell().metric(label, f"{number:,}")
    if found.ready and found.oldest_ready_at is not None:
        waited = duration((found.at - found.oldest_ready_at).total_seconds())
        layout.note(f"The oldest ready stage has waited {waited}.")
    if found.expired_leases:
        layout.note(f"{counted(found.expired_leases, 'lease')} ran out; the reaper queues them again within seconds.")


def show_active(active: Sequence[ActiveStage], files: list[tables.Drawn]) -> None:
    """What is executed now, and what comes next."""
    layout.small("Stages in the queue", meanings=IN_QUEUE if active else ())
    if not active:
        layout.note("Nothing is queued.")
    else:
        rows = [_stage_row(stage) for stage in active]
        tables.show_with_file(files, STAGE_COLUMNS, rows, alt="Stages in the queue", numbers=lambda: fields_of(active),
                    most=ACTIVE_SHOWN)  # fmt: skip


def show_ended(ended: Sequence[EndedAttempt], files: list[tables.Drawn]) -> None:
    """What ended without a result in the last 24 hours, and why: killed, out of memory, set aside, or an error."""
    if not ended:
        return
    layout.small("Ended without a result in 24 h", meanings=ENDED)
    rows = [
        (
            slot_name(one.kind), None if one.run_id is None else f"{one.run_id}", one.token,
            Cell(text=one.status, strong=one.status == "failed"), one.stage_status,
            Cell(text=ago(one.finished_at), muted=True), one.cause,
        )
        for one in ended
    ]  # fmt: skip
    tables.show_with_file(files, ENDED_COLUMNS, rows, alt="Ended without a result", numbers=lambda: fields_of(ended),
                most=ACTIVE_SHOWN)  # fmt: skip


def show_workers(workers: Sequence[WorkerRow], files: list[tables.Drawn]) -> None:
    """Alive workers first; those gone are muted."""
    workers = sorted(workers, key=lambda worker: (not worker.alive, worker.name))
    layout.small("Workers", meanings=OF_WORKERS if workers else ())
    if not any(worker.alive for worker in workers):
        layout.empty_state("No worker is alive; start them with: make start, or python -m workers.")
    if workers:
        rows = [_worker_row(worker) for worker in workers]
        tables.show_with_file(files, WORKER_COLUMNS, rows, alt="Workers", numbers=lambda: fields_of(workers))


def show_disk(usage: Sequence[ArtifactUsage], files: list[tables.Drawn]) -> None:
    """What the store holds, by kind, and what the disk has left."""
    layout.small("Disk", meanings=OF_DISK if usage else ())
    well, said = api.storage_health()
    if usage:
        columns = (Column(label="artifacts"), Column(label="number", figures=True), Column(label="size", figures=True))
        rows = [(slot_name(row.kind), f"{row.artifacts:,}", size(row.bytes)) for row in usage]
        tables.show_with_file(files, columns, rows, alt="Artifacts by kind", numbers=lambda: fields_of(usage))
    else:
        layout.note("No artifact is stored yet.")
    layout.note(said if well else f"Nearly full: {said}")


def _worker_row(worker: WorkerRow) -> list[Cell]:
    now = datetime.now(UTC)
    cells = [
        worker.name,
        worker.device,
        _card(worker),
        worker.state if worker.alive else "gone",
        slot_name(worker.stage_kind) if worker.alive and worker.stage_kind else "–",
        duration(max(0.0, (now - worker.heartbeat_at).total_seconds())),
        duration((now - worker.started_at).total_seconds()) if worker.alive else "–",
        f"{worker.rss_mb:.0f} MB" if worker.rss_mb and worker.alive else "–",
    ]
    return [Cell(text=text, muted=not worker.alive) for text in cells]


def _card(worker: WorkerRow) -> str:
    """How much of its card is free while it computes nothing, and how much there is."""
    if worker.card_bytes is None or not worker.alive:
        return "–"
    free = "" if worker.card_free_bytes is None else f"{size(worker.card_free_bytes)} of "
    return f"{free}{size(worker.card_bytes)}"


def _stage_row(stage: ActiveStage) -> list[object]:
    progress = f"{stage.done or 0:,} / {stage.total:,} {stage.unit or ''}".strip() if stage.total else None
    return [
        slot_name(stage.kind),
        Cell(text=stage.status, muted=stage.status != "running"),
        progress,
        f"{stage.runs:,}",
        stage.priority,
        stage.worker,
        Cell(text=ago(stage.started_at or stage.created_at), muted=True),
    ]
