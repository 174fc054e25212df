"""The runs that stand side by side on Compare, in one query whatever their number."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, select
from sqlalchemy.orm import Session, aliased

from db.models import Evaluation, Run, RunStage, Stage
from db.queries.results import EVALUATION_SLOT
from db.queries.runs import JUDGE_SLOT, LISTED
from db.records import EvaluationRecord, RunRow

# Other rows of a table, named once: each name has columns of its own, which take long to make.
_JUDGED_BY, _JUDGE, _EVALUATED_BY, _EVALUATION = aliased(RunStage), aliased(Stage), aliased(RunStage), aliased(Stage)
_FIGURES = tuple(name for name in EvaluationRecord.__dataclass_fields__ if name not in ("run_id", "stage_id"))


@dataclass(frozen=True, kw_only=True)
class EvaluatedRun:
    """A run that has a result, by what it may be compared."""

    id: int
    sweep_id: str | None
    group_key: str
    dataset: str


def compared_runs(
    session: Session,
    *,
    run_ids: Collection[int] = (),
    sweep_id: str = "",
    group_keys: Collection[str] = (),
    siblings: bool = False,
    limit: int,
) -> list[RunRow]:
    """Runs with their results, oldest first: those with these numbers, archived or not, or those of a sweep or of these
    settings. With `siblings` all other runs of their settings too, archived or not, behind them. Progress of stages is
    not read."""
    if not (run_ids or sweep_id or group_keys):
        return []
    statement = (
        select(*LISTED, _JUDGE.fingerprint.label("judge"), Evaluation.stage_id.label("evaluated_in"))
        .add_columns(*(getattr(Evaluation, name).label(f"result_{name}") for name in _FIGURES))
        .select_from(Run)
        .outerjoin(_JUDGED_BY, and_(_JUDGED_BY.run_id == Run.id, _JUDGED_BY.slot == JUDGE_SLOT))
        .outerjoin(_JUDGE, _JUDGE.id == _JUDGED_BY.stage_id)
        .outerjoin(_EVALUATED_BY, and_(_EVALUATED_BY.run_id == Run.id, _EVALUATED_BY.slot == EVALUATION_SLOT))
        .outerjoin(_EVALUATION, _EVALUATION.id == _EVALUATED_BY.stage_id)
        .outerjoin(
            Evaluation,
            and_(Evaluation.stage_id == _EVALUATION.id, Evaluation.attempt_id == _EVALUATION.published_attempt_id),
        )
    )
    statement = statement.where(Run.deleted_at.is_(None))
    if run_ids:
        chosen: ColumnElement[bool] = Run.id.in_(run_ids)
    else:
        wanted = Run.sweep_id == sweep_id if sweep_id else Run.group_key.in_(group_keys)
        chosen = and_(wanted, Run.archived.is_(False))
    if siblings:
        keys = select(Run.group_key).where(chosen, Run.deleted_at.is_(None))
        statement = statement.where(Run.group_key.in_(keys)).order_by(case((chosen, 0), else_=1))
    else:
        statement = statement.where(chosen)
    return [_row(found) for found in session.execute(statement.order_by(Run.id).limit(limit))]


def newest_evaluated(session: Session, limit: int) -> list[EvaluatedRun]:
    """The newest runs that have a result and are neither archived nor deleted, newest first."""
    found = session.execute(
        select(Run.id, Run.sweep_id, Run.group_key, Run.dataset)
        .join(RunStage, and_(RunStage.run_id == Run.id, RunStage.slot == EVALUATION_SLOT))
        .join(Stage, Stage.id == RunStage.stage_id)
        .where(Run.archived.is_(False), Run.deleted_at.is_(None), Stage.published_attempt_id.is_not(None))
        .order_by(Run.id.desc())
        .limit(limit)
    )
    return [EvaluatedRun(**row._mapping) for row in found]


def stages_in_slot(session: Session, run_ids: Sequence[int], slot: str) -> dict[int, int]:
    """The stage of each run in this slot."""
    found = session.execute(
        select(RunStage.run_id, RunStage.stage_id).where(RunStage.run_id.in_(run_ids), RunStage.slot == slot)
    )
    return {row.run_id: row.stage_id for row in found}


def _row(found: Any) -> RunRow:
    values = found._mapping
    result = None
    if found.evaluated_in is not None:
        figures = {name: values[f"result_{name}"] for name in _FIGURES}
        result = EvaluationRecord(run_id=found.id, stage_id=found.evaluated_in, **figures)
    return RunRow(
        **{column.key: values[column.key] for column in LISTED},
        judge=found.judge, stages=0, stages_done=0, stages_reused=0, current_slot=None, current_done=None,
        current_total=None, current_unit=None, evaluation=result,
    )  # fmt: skip
