"""The stage timeline of runs, attempts, and what a new run would reuse."""

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, String, and_, bindparam, cast, func, literal, select
from sqlalchemy.orm import Session, aliased

from db import status
from db.models import Attempt, Histogram, Metric, Run, RunStage, Stage, StageInput, Worker
from db.records import PACE, PACE_PARTS, AttemptCount, AttemptRow, ExistingStage, MeasuredStage, StageRow

# Other rows of a table, named once: each name has columns of its own, which take long to make.
_SHARED, _LAST = aliased(RunStage), aliased(Attempt)
_SLOT, _DATA, _BEGAN, _ENDED = aliased(RunStage), aliased(Stage), aliased(Metric), aliased(Metric)
# What summaries say of tokens, by the name that it has here: of answers that are written, and of pairs that are read.
COUNTED = {"mean_tokens": "mean_tokens", "finished": "finished", "tokens": "tokens", "read": "pairs"}
STAGE_COLUMNS = (
    Stage.fingerprint, Stage.kind, Stage.model, Stage.device, Stage.status, Stage.priority, Stage.done, Stage.total,
    Stage.unit, Stage.seconds, Stage.lease_expires_at, Stage.error, Stage.summary, Stage.created_at, Stage.started_at,
    Stage.finished_at,
)  # fmt: skip


def run_stages(session: Session, run_id: int) -> list[StageRow]:
    """The stages of a run, inputs before what reads them."""
    return stages_of_runs(session, [run_id])[run_id]


def stages_of_runs(session: Session, run_ids: Collection[int]) -> dict[int, list[StageRow]]:
    """The stages of several runs, in one query; a run without stages has an empty list."""
    rows = session.execute(_stages_asked(), {"runs": list(run_ids)}).all()
    inputs = {row.stage_id: _named(row.inputs) for row in rows}
    depth = _depths(inputs, inputs)
    result: dict[int, list[StageRow]] = {run_id: [] for run_id in run_ids}
    for row in sorted(rows, key=lambda row: (depth[row.stage_id], row.stage_id)):
        result[row.run_id].append(
            StageRow(
                run_id=row.run_id, slot=row.slot, stage_id=row.stage_id, reused=row.reused,
                **{column.key: row._mapping[column.key] for column in STAGE_COLUMNS},
                worker=row.worker or row.last_worker, first_step=row.first_step, inputs=inputs[row.stage_id],
                attempts=row.attempts, shared_by=row.shared_by, published_attempt_id=row.published_attempt_id,
            )
        )  # fmt: skip
    return result


@cache
def _stages_asked() -> Select[*tuple[Any, ...]]:
    """Always the same question, written down once: that takes longer than to answer it of one run."""
    tried = select(func.count()).where(Attempt.stage_id == Stage.id)
    sharing = select(func.count(_SHARED.run_id.distinct())).where(_SHARED.stage_id == Stage.id)
    named = StageInput.name + literal(":") + cast(StageInput.input_stage_id, String)
    reads = select(func.aggregate_strings(named, ",")).where(StageInput.stage_id == Stage.id)
    return (
        select(RunStage.run_id, RunStage.slot, RunStage.reused, Stage.id.label("stage_id"), *STAGE_COLUMNS)
        .add_columns(
            Stage.published_attempt_id, Worker.name.label("worker"), _LAST.worker.label("last_worker"),
            _LAST.first_step,
            tried.correlate(Stage).scalar_subquery().label("attempts"),
            sharing.correlate(Stage).scalar_subquery().label("shared_by"),
            reads.correlate(Stage).scalar_subquery().label("inputs"),
        )
        .join(Stage, Stage.id == RunStage.stage_id)
        .outerjoin(Worker, Worker.id == Stage.worker_id)
        .outerjoin(_LAST, _LAST.id == Stage.current_attempt_id)
        .where(RunStage.run_id.in_(bindparam("runs", expanding=True)))
    )  # fmt: skip


def _named(together: str | None) -> dict[str, int]:
    """Input name -> stage, in the order of the names."""
    pairs = (pair.rpartition(":") for pair in sorted((together or "").split(",")) if pair)
    return {name: int(stage_id) for name, _, stage_id in pairs}


def looked_at(session: Session, run_id: int, name: str) -> dict[str, Mapping[str, Any]]:
    """What the stages of a run left to be looked at under this name, by slot: of the published attempt, before that of
    the one that runs."""
    attempt = func.coalesce(Stage.published_attempt_id, Stage.current_attempt_id)
    rows = session.execute(
        select(RunStage.slot, Histogram.data)
        .join(Stage, Stage.id == RunStage.stage_id)
        .join(Histogram, (Histogram.stage_id == Stage.id) & (Histogram.attempt_id == attempt))
        .where(RunStage.run_id == run_id, Histogram.name == name)
        .order_by(Stage.id)
    )
    return {row.slot: row.data for row in rows}


def attempts(session: Session, stage_id: int) -> list[AttemptRow]:
    """Every execution of a stage, first to last."""
    columns = [getattr(Attempt, name) for name in AttemptRow.__dataclass_fields__]
    rows = session.execute(select(*columns).where(Attempt.stage_id == stage_id).order_by(Attempt.id))
    return [AttemptRow(**row._mapping) for row in rows]


def attempt_counts(session: Session, run_ids: Collection[int]) -> list[AttemptCount]:
    """Runs, distinct stages, executions and reuses per slot: 12 runs, 1 annotator, 1 execution, 11 reused."""
    slots = session.execute(
        select(RunStage.slot, RunStage.stage_id, RunStage.reused).where(RunStage.run_id.in_(run_ids))
    ).all()
    executed = _counts(session, Attempt.stage_id, {row.stage_id for row in slots})
    result = []
    for slot in dict.fromkeys(row.slot for row in slots):
        mine = [row for row in slots if row.slot == slot]
        stages = {row.stage_id for row in mine}
        result.append(
            AttemptCount(
                slot=slot,
                runs=len(mine),
                stages=len(stages),
                attempts=sum(executed.get(stage_id, 0) for stage_id in stages),
                reused=sum(row.reused for row in mine),
            )
        )
    return result


def plan_reuse(session: Session, fingerprints: Collection[str]) -> dict[str, ExistingStage]:
    """How the stages stand that exist already, and the pairs of finished data stages; unknown fingerprints are
    absent."""
    pairs = Stage.summary["train_pairs"].as_integer()
    rows = session.execute(
        select(Stage.fingerprint, Stage.status, pairs.label("pairs")).where(Stage.fingerprint.in_(set(fingerprints)))
    )
    return {
        row.fingerprint: ExistingStage(status=row.status, pairs=row.pairs if row.status == status.DONE else None)
        for row in rows
    }


def measured_stages(session: Session, kinds: Collection[str], *, newest: int = 12) -> list[MeasuredStage]:
    """The newest finished stages of each of these kinds and model, with a run that each belongs to."""
    return _measured(session, _newest_asked(), {"kinds": list(kinds), "newest": newest})


def measured_rows(session: Session, ids: Collection[int]) -> list[MeasuredStage]:
    """These finished stages with what decided how long they took, in order of id, in one query."""
    return _measured(session, _measured_asked(), {"stages": list(ids)})


@cache
def _newest_asked() -> Select[*tuple[Any, ...]]:
    place = func.row_number().over(partition_by=(Stage.kind, Stage.model), order_by=Stage.id.desc())
    kinds = Stage.kind.in_(bindparam("kinds", expanding=True))
    finished = (
        select(Stage.id, place.label("place"))
        .where(kinds, Stage.status == status.DONE, Stage.seconds.is_not(None))
        .subquery()
    )
    return _measures(select(finished.c.id).where(finished.c.place <= bindparam("newest", type_=Integer)))


@cache
def _measured_asked() -> Select[*tuple[Any, ...]]:
    return _measures(bindparam("stages", expanding=True))


def _measures(ids: Any) -> Select[*tuple[Any, ...]]:
    owner = (
        select(RunStage.stage_id, func.min(RunStage.run_id).label("run_id"))
        .where(RunStage.stage_id.in_(ids))
        .group_by(RunStage.stage_id)
        .subquery()
    )
    pairs = (
        select(_DATA.summary["train_pairs"].as_integer())
        .join(_SLOT, _SLOT.stage_id == _DATA.id)
        .where(_SLOT.run_id == owner.c.run_id, _SLOT.slot == "data")
        .correlate(owner)
        .scalar_subquery()
    )
    return (
        select(
            Stage.kind, func.coalesce(Stage.model, "").label("model"), Attempt.device, Stage.seconds,
            Stage.config.label("stage_config"), Run.config, Stage.id.label("stage_id"), pairs.label("pairs"),
            _BEGAN.value.label("work_began"), _ENDED.value.label("work_ended"),
            *(Stage.summary[name].label(label) for label, name in COUNTED.items()),
        )
        .join(owner, owner.c.stage_id == Stage.id)
        .join(Run, Run.id == owner.c.run_id)
        .outerjoin(Attempt, Attempt.id == Stage.published_attempt_id)
        .outerjoin(_BEGAN, _pace_at(_BEGAN, 0))
        .outerjoin(_ENDED, _pace_at(_ENDED, PACE_PARTS))
        .order_by(Stage.id)
    )  # fmt: skip


def _measured(session: Session, asked: Select[*tuple[Any, ...]], values: Mapping[str, Any]) -> list[MeasuredStage]:
    return [
        MeasuredStage(
            kind=row.kind, model=row.model, device=row.device or "", seconds=float(row.seconds),
            stage_config=row.stage_config, config=row.config, pairs=row.pairs, stage_id=row.stage_id,
            work_began=row.work_began, work_ended=row.work_ended, tokens=_mean_tokens(row), ended=_number(row.finished),
        )
        for row in session.execute(asked, values)
    ]  # fmt: skip


def _mean_tokens(row: Any) -> float | None:
    """Of the answers that a stage wrote, else of the pairs that it read, as its summary counts them."""
    answer, tokens, read = _number(row.mean_tokens), _number(row.tokens), _number(row.read)
    return tokens / read if answer is None and tokens is not None and read else answer


def _number(value: Any) -> float | None:
    """A summary may hold anything under that name."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _pace_at(point: type[Metric], step: int) -> ColumnElement[bool]:
    """One point of the pace of the published attempt."""
    return and_(point.attempt_id == Stage.published_attempt_id, point.name == PACE, point.step == step)


def _counts(session: Session, key: Any, ids: Collection[int], counted: Any = None) -> dict[int, int]:
    count = func.count() if counted is None else func.count(counted)
    return {row[0]: row[1] for row in session.execute(select(key, count).where(key.in_(ids)).group_by(key))}


def _depths(inputs: Mapping[int, Mapping[str, int]], ids: Iterable[int]) -> dict[int, int]:
    """Length of the longest chain of inputs behind each stage."""
    depths: dict[int, int] = {}

    def depth(stage_id: int) -> int:
        if stage_id not in depths:
            parents = inputs.get(stage_id, {}).values()
            depths[stage_id] = 1 + max((depth(parent) for parent in parents), default=-1)
        return depths[stage_id]

    for stage_id in ids:
        depth(stage_id)
    return depths
