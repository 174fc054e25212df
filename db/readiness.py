"""Which stages could start now and on which cards, as SQL that claims and pages share."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, select
from sqlalchemy.orm import Session, aliased

from db import status
from db.engine import now
from db.models import Run, RunStage, Setting, Stage, StageInput, Worker
from db.placement import Card, Wanted

QUEUE_PAUSED = "queue_paused"  # the row of settings that is there while nothing is started
_PARENT = aliased(Stage)  # named once: its columns take long to make
_AT_ONCE = 50  # stages that are looked at together


def wanted() -> ColumnElement[bool]:
    """Whether a live run has the stage in one of its slots."""
    return exists(
        select(1)
        .select_from(RunStage)
        .join(Run, Run.id == RunStage.run_id)
        .where(RunStage.stage_id == Stage.id, Run.status.in_(status.LIVE))
    )


def wanted_now() -> ColumnElement[bool]:
    """Whether a live run that is not paused has the stage, and the queue is not paused as a whole."""
    runs = (
        select(1)
        .select_from(RunStage)
        .join(Run, Run.id == RunStage.run_id)
        .where(RunStage.stage_id == Stage.id, Run.status.in_(status.LIVE), Run.paused.is_(False))
    )
    return exists(runs) & ~exists(select(1).where(Setting.key == QUEUE_PAUSED))


def inputs_missing() -> ColumnElement[bool]:
    """Whether an input of the stage is not done."""
    return exists(
        select(1)
        .select_from(StageInput)
        .join(_PARENT, _PARENT.id == StageInput.input_stage_id)
        .where(StageInput.stage_id == Stage.id, _PARENT.status != status.DONE)
    )


def ready_stages(devices: tuple[str, ...] | None = None) -> Select[Stage]:
    """Queued stages that can start, most urgent first."""
    ready = select(Stage).where(Stage.status == status.QUEUED, ~inputs_missing(), wanted_now())
    if devices is not None:
        ready = ready.where(Stage.device.in_(devices))
    return ready.order_by(Stage.priority.desc(), Stage.id)


NEEDS = (Stage.id, Stage.device, Stage.cards, Stage.card_bytes, Stage.host_bytes)


def wanted_by(row: Any) -> Wanted:
    """A row with the columns of `NEEDS`."""
    return Wanted(
        stage_id=row.id, device=row.device, cards=row.cards, card_bytes=row.card_bytes, host_bytes=row.host_bytes
    )


def asks_for_room() -> ColumnElement[bool]:
    """Whether the stage wants more of a worker than any has."""
    return (Stage.cards > 1) | Stage.card_bytes.is_not(None) | Stage.host_bytes.is_not(None)


def stages_to_place(session: Session, devices: tuple[str, ...] | None = None) -> Iterator[Wanted]:
    """The ready stages with their needs, most urgent first: a few at a time, because most claims take the first."""
    ready = ready_stages(devices).with_only_columns(*NEEDS)
    start = 0
    while True:
        rows = session.execute(ready.offset(start).limit(_AT_ONCE)).all()
        yield from (wanted_by(row) for row in rows)
        start += len(rows)
        if len(rows) < _AT_ONCE:
            return


def living_cards(session: Session, *, own: tuple[int, str] | None = None) -> list[Card]:
    """Every living worker with its card. `own`: the worker that asks, with the device that it computes on; it computes
    nothing and has back what was lent to it, whatever the rows say by now."""
    me, device = own or (0, "")
    holds = exists(select(1).where(Stage.worker_id == Worker.id, Stage.status == status.RUNNING))
    rows = session.execute(
        select(
            Worker.id, Worker.host, Worker.device, Worker.card, Worker.card_bytes, Worker.host_bytes, Worker.state,
            Worker.lent_to, holds.label("holds"),
        )
        .where((Worker.state != status.WORKER_STOPPED) & (Worker.heartbeat_at >= _fresh(session)) | (Worker.id == me))
        .order_by(Worker.id)
    )  # fmt: skip
    return [
        Card(
            worker_id=row.id, host=row.host, device=device if row.id == me else row.device, name=row.card,
            bytes=row.card_bytes, host_bytes=row.host_bytes,
            free=not row.holds and (row.state == status.WORKER_IDLE or (bool(me) and row.lent_to == me)),
        )
        for row in rows
    ]  # fmt: skip


def _fresh(session: Session) -> datetime:
    """Workers that were heard since then live."""
    return now(session) - timedelta(seconds=status.SILENT_SECONDS)
