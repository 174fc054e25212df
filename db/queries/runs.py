"""The Runs page: filtered pages of runs and of groups, and one run."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, case, func, literal, select
from sqlalchemy.orm import Session

from db import status
from db.errors import UnknownRun
from db.models import Evaluation, Run, RunStage, Stage
from db.queries.common import after_key, check_choice, contains_words, cut
from db.queries.people.keeping import has_tags
from db.queries.results import EVALUATION_SLOT
from db.records import Cursor, EvaluationRecord, GroupPage, RunFilters, RunGroup, RunPage, RunRecord, RunRow

JUDGE_SLOT = "baseline_scores"
ORDERS = ("newest", "oldest", "name")
FILTER_COLUMNS = {
    "status": Run.status,
    "method": Run.method,
    "objective": Run.objective,
    "policy": Run.policy,
    "annotator": Run.annotator,
    "dataset": Run.dataset,
    "label_fraction": Run.label_fraction,
    "seed": Run.seed,
    "sweep_id": Run.sweep_id,
    "group_key": Run.group_key,
}
SEARCHED = (
    Run.name,
    Run.method,
    Run.method_label,
    Run.objective,
    Run.policy,
    Run.annotator,
    Run.dataset,
    Run.sweep_id,
)
# Everything but the config, which no list shows.
LISTED = (
    Run.id, Run.name, Run.sweep_id, Run.group_key, Run.method, Run.method_label, Run.labels, Run.pool, Run.weighting,
    Run.objective, Run.policy, Run.annotator, Run.dataset, Run.label_fraction, Run.seed, Run.baseline, Run.status,
    Run.priority, Run.error, Run.archived, Run.created_at, Run.started_at, Run.finished_at, Run.pinned,
    Run.paused,
)  # fmt: skip

EVALUATION_FIELDS = tuple(name for name in EvaluationRecord.__dataclass_fields__ if name != "run_id")
EVALUATED = tuple(getattr(Evaluation, name).label(f"evaluation_{name}") for name in EVALUATION_FIELDS)


def list_runs(
    session: Session,
    *,
    filters: RunFilters = RunFilters(),  # noqa: B008
    order: str = "newest",
    after: Cursor | None = None,
    limit: int = 50,
) -> RunPage:
    """One page of runs with progress and GRA, in four queries whatever the page's size."""
    check_choice("Order", order, ORDERS)
    wanted = conditions(filters)
    rows = session.execute(_ordered(order, after).where(*wanted).limit(limit + 1)).all()
    page, more = cut(rows, limit)
    total = session.execute(select(func.count()).select_from(Run).where(*wanted)).scalar_one()
    return RunPage(
        rows=tuple(run_rows(session, page)),
        next=Cursor(value=page[-1].key, id=page[-1].id) if more else None,
        total=total,
    )


def list_groups(
    session: Session,
    *,
    filters: RunFilters = RunFilters(),  # noqa: B008
    after: Cursor | None = None,
    limit: int = 50,
) -> GroupPage:
    """One page of groups of runs that differ only in seed and name, the group with the newest run first."""
    wanted = conditions(filters)
    newest = func.max(Run.id)
    groups = select(Run.group_key, newest.label("newest")).where(*wanted).group_by(Run.group_key)
    if after is not None:
        groups = groups.having(newest < literal(after.id, BigInteger))  # from an address: of any size
    page, more = cut(session.execute(groups.order_by(newest.desc()).limit(limit + 1)).all(), limit)
    members = listed().where(*wanted, Run.group_key.in_([group.group_key for group in page])).order_by(Run.seed, Run.id)
    by_key: dict[str, list[RunRow]] = {group.group_key: [] for group in page}
    for row in run_rows(session, session.execute(members).all()):
        by_key[row.group_key].append(row)
    total = session.execute(select(func.count(Run.group_key.distinct())).where(*wanted)).scalar_one()
    return GroupPage(
        groups=tuple(RunGroup(group_key=key, rows=tuple(rows)) for key, rows in by_key.items()),
        next=Cursor(value=None, id=page[-1].newest) if more else None,
        total=total,
    )


def get_run(session: Session, run_id: int) -> RunRecord:
    """One run with its config; UnknownRun if there is none."""
    found = session.execute(
        listed(Run.config, Run.config_hash, Run.failed_stage_id).where(Run.id == run_id, Run.deleted_at.is_(None))
    ).one_or_none()
    if found is None:
        raise UnknownRun(
            f"There is no run {run_id}: it was deleted, or the link is wrong; look it up on the Runs page."
        )
    slot = select(RunStage.slot).where(RunStage.run_id == run_id, RunStage.stage_id == found.failed_stage_id)
    return RunRecord(
        row=run_rows(session, [found])[0],
        config=found.config,
        config_hash=found.config_hash,
        failed_slot=session.scalars(slot).first(),
    )


def runs_by_config_hash(session: Session, config_hashes: Collection[str]) -> dict[str, list[int]]:
    """Runs that exist already with one of these configs, newest first: New run offers them."""
    found = session.execute(
        select(Run.config_hash, Run.id)
        .where(Run.config_hash.in_(config_hashes), Run.deleted_at.is_(None))
        .order_by(Run.id.desc())
    )
    runs: dict[str, list[int]] = {}
    for config_hash, run_id in found:
        runs.setdefault(config_hash, []).append(run_id)
    return runs


def listed(*more: Any) -> Select[*tuple[Any, ...]]:
    """What lists show of runs, with their published GRA, and `more`."""
    return (
        select(*LISTED, *more, *EVALUATED)
        .select_from(Run)
        .outerjoin(RunStage, (RunStage.run_id == Run.id) & (RunStage.slot == EVALUATION_SLOT))
        .outerjoin(Stage, Stage.id == RunStage.stage_id)
        .outerjoin(
            Evaluation, (Evaluation.stage_id == Stage.id) & (Evaluation.attempt_id == Stage.published_attempt_id)
        )
    )


def conditions(filters: RunFilters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [Run.archived.is_(filters.archived), Run.deleted_at.is_(None)]
    if filters.pinned:
        found.append(Run.pinned.is_(True))
    for name, column in FILTER_COLUMNS.items():
        if chosen := getattr(filters, name):
            found.append(column.in_(chosen))
    if filters.ids:
        found.append(Run.id.in_(filters.ids))
    return found + has_tags(filters.tags) + contains_words(filters.text, SEARCHED)


def _ordered(order: str, after: Cursor | None) -> Select[*tuple[Any, ...]]:
    descending = order == "newest"
    key: Any = Run.name if order == "name" else Run.id
    rows = listed(key.label("key"))
    columns = [Run.id] if key is Run.id else [key, Run.id]
    rows = rows.where(*after_key(columns, after, descending=descending))
    return rows.order_by(*(column.desc() if descending else column for column in columns))


def run_rows(session: Session, rows: Sequence[Any]) -> list[RunRow]:
    """What `listed` found, with the progress of the runs' stages: one query for the whole page, two if any is live."""
    ids = [row.id for row in rows]
    counts = _stage_counts(session, ids)
    nothing = StageCounts()
    current = _current_stages(session, [row.id for row in rows if row.status in status.LIVE])
    result = []
    for row in rows:
        values = row._mapping
        slot, done, total, unit = current.get(row.id, (None, None, None, None))
        stages = counts.get(row.id, nothing)
        result.append(
            RunRow(
                **{column.key: values[column.key] for column in LISTED},
                judge=stages.judge, stages=stages.known, stages_done=stages.done, stages_reused=stages.reused,
                current_slot=slot, current_done=done, current_total=total, current_unit=unit,
                evaluation=_evaluation(row.id, values),
            )
        )  # fmt: skip
    return result


def _evaluation(run_id: int, values: Any) -> EvaluationRecord | None:
    if values["evaluation_stage_id"] is None:
        return None
    return EvaluationRecord(run_id=run_id, **{name: values[f"evaluation_{name}"] for name in EVALUATION_FIELDS})


@dataclass(frozen=True, kw_only=True)
class StageCounts:
    """The stages of one run, and the fingerprint of the one that scored the baseline's answers."""

    known: int = 0
    done: int = 0
    reused: int = 0
    judge: str | None = None


def _stage_counts(session: Session, run_ids: Collection[int]) -> dict[int, StageCounts]:
    found = session.execute(
        select(
            RunStage.run_id,
            func.count().label("known"),
            func.sum(case((Stage.status == status.DONE, 1), else_=0)).label("done"),
            func.sum(case((RunStage.reused, 1), else_=0)).label("reused"),
            func.max(case((RunStage.slot == JUDGE_SLOT, Stage.fingerprint))).label("judge"),
        )
        .join(Stage, Stage.id == RunStage.stage_id)
        .where(RunStage.run_id.in_(run_ids))
        .group_by(RunStage.run_id)
    )
    return {
        row.run_id: StageCounts(known=row.known, done=int(row.done), reused=int(row.reused), judge=row.judge)
        for row in found
    }


def _current_stages(session: Session, run_ids: Collection[int]) -> dict[int, tuple[str, int | None, int | None, str]]:
    """The running stage of each run that has one; the one started last where several run at once."""
    if not run_ids:
        return {}
    found = session.execute(
        select(RunStage.run_id, RunStage.slot, Stage.done, Stage.total, Stage.unit)
        .join(Stage, Stage.id == RunStage.stage_id)
        .where(RunStage.run_id.in_(run_ids), Stage.status == status.RUNNING)
        .order_by(Stage.started_at, Stage.id)
    )
    return {row.run_id: (row.slot, row.done, row.total, row.unit) for row in found}
