"""Which stages could start now, as SQL that claims and pages share."""

from sqlalchemy import ColumnElement, Select, exists, select
from sqlalchemy.orm import aliased

from db import status
from db.models import (
    Run,
    RunStage,
    Stage,
    StageInput,
)


def wanted() -> ColumnElement[bool]:
    """Whether a live run has the stage in one of its slots."""
    return exists(
        select(1)
        .select_from(RunStage)
        .join(Run, Run.id == RunStage.run_id)
        .where(RunStage.stage_id == Stage.id, Run.status.in_(status.LIVE))
    )


def inputs_missing() -> ColumnElement[bool]:
    """Whether an input of the stage is not done."""
    parent = aliased(Stage)
    return exists(
        select(1)
        .select_from(StageInput)
        .join(parent, parent.id == StageInput.input_stage_id)
        .where(StageInput.stage_id == Stage.id, parent.status != status.DONE)
    )


def ready_stages(devices: tuple[str, ...] | None = None) -> Select[Stage]:
    """Queued stages that can start, most urgent first."""
    ready = select(Stage).where(Stage.status == status.QUEUED, ~inputs_missing(), wanted())
    if devices is not None:
        ready = ready.where(Stage.device.in_(devices))
    return ready.order_by(Stage.priority.desc(), Stage.id)
