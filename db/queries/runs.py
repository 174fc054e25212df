"""The Runs page: filtered pages of runs and of groups, and one run."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, bindparam, case, func, literal, select
from sqlalchemy.orm import Session, aliased

from db import status
from db.errors import UnknownRun
from db.models import Evaluation, Run, RunNote, RunStage, Stage
from db.queries.common import after_key, check_choice, contains_words, cut
from db.queries.people.keeping import has_tags, is_queue_paused, tags_column, tags_from
from db.queries.results import EVALUATION_SLOT
from db.readiness import asks_for_room
from db.records import Cursor, EvaluationRecord, GroupPage, RunFilters, RunGroup, RunPage, RunRecord, RunRow

JUDGE_SLOT = "baseline_scores"
WANTED = "wanted_run"  # a parameter of statements about one run
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
    Run.paused, Run.owner,
)  # fmt: skip

EVALUATION_FIELDS = tuple(name for name in EvaluationRecord.__dataclass_fields__ if name != "run_id")
# Other rows of a table, named once: each name has columns of its own, which take long to make.
_GONE, _OWNER, _FAILED_IN = aliased(Run), aliased(Run), aliased(RunStage)
EVALUATED = tuple(getattr(Evaluation, name).label(f"evaluation_{name}") for name in EVALUATION_FIELDS)


def list_runs(
    session: Session,
    *,
    filters: RunFilters = RunFilters(),  # noqa: B008
    order: str = "newest",
    after: Cursor | None = None,
    limit: int = 50,
) -> RunPage:
    """One page of runs with progress and GRA, in one query whatever the page's size."""
    check_choice("Order", order, ORDERS)
    wanted, descending = conditions(filters), order == "newest"
    columns: list[Any] = [Run.name, Run.id] if order == "name" else [Run.id]
    place = [column.desc() if descending else column for column in columns]
    chosen = select(Run.id).where(*wanted, *after_key(columns, after, descending=descending))
    counted = select(func.count()).select_from(Run).where(*wanted)
    found = read_runs(
        session, chosen.order_by(*place).limit(limit + 1), counted.correlate(None).scalar_subquery().label("total"),
        order=place,
    )  # fmt: skip
    page, more = cut(found, limit)
    last = page[-1][0] if page else None
    return RunPage(
        rows=tuple(row for row, _ in page),
        next=Cursor(value=last.name if order == "name" else last.id, id=last.id) if more and last else None,
        total=page[0][1].total if page else session.execute(counted).scalar_one() if after is not None else 0,
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
    members = select(Run.id).where(*wanted, Run.group_key.in_([group.group_key for group in page]))
    by_key: dict[str, list[RunRow]] = {group.group_key: [] for group in page}
    for row, _ in read_runs(session, members, order=(Run.seed, Run.id)):
        by_key[row.group_key].append(row)
    total = session.execute(select(func.count(Run.group_key.distinct())).where(*wanted)).scalar_one()
    return GroupPage(
        groups=tuple(RunGroup(group_key=key, rows=tuple(rows)) for key, rows in by_key.items()),
        next=Cursor(value=None, id=page[-1].newest) if more else None,
        total=total,
    )


def get_run(session: Session, run_id: int) -> RunRecord:
    """One run with its config and what people say of it, in one query; UnknownRun if there is none."""
    found = rows_of(session, _one_run(), {WANTED: run_id})
    if not found:
        raise UnknownRun(no_run(run_id))
    row, more = found[0]
    return RunRecord(
        row=row, config=more.config, config_hash=more.config_hash, failed_slot=more.failed_slot, note=more.note or "",
        queue_paused=bool(more.queue_paused),
    )  # fmt: skip


@cache
def _one_run() -> Select[*tuple[Any, ...]]:
    of_failed = (_FAILED_IN.run_id == Run.id, _FAILED_IN.stage_id == Run.failed_stage_id)
    failed = select(_FAILED_IN.slot).where(*of_failed).limit(1)
    note = select(RunNote.text).where(RunNote.run_id == Run.id)
    return reading(
        wanted_run(), Run.config, Run.config_hash, failed.correlate(Run).scalar_subquery().label("failed_slot"),
        note.correlate(Run).scalar_subquery().label("note"), is_queue_paused().label("queue_paused"),
    )  # fmt: skip


def wanted_run() -> Select[int]:
    """The run whose number is given as `WANTED` when the statement is executed; nothing where it was deleted."""
    return select(Run.id).where(Run.id == bindparam(WANTED), Run.deleted_at.is_(None))


def no_run(run_id: int) -> str:
    """Said where there is none of this number."""
    return f"There is no run {run_id}: it was deleted, or the link is wrong; look it up on the Runs page."


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


def read_runs(session: Session, chosen: Select[int], *more: Any, order: Sequence[Any] = ()) -> list[tuple[RunRow, Any]]:
    """What lists show of the runs whose ids `chosen` finds, with their published GRA and how far their stages are; and
    beside each `more` of it. One query, however many they are."""
    return rows_of(session, reading(chosen, *more, order=order))


def rows_of(
    session: Session, statement: Select[*tuple[Any, ...]], values: Mapping[str, Any] | None = None
) -> list[tuple[RunRow, Any]]:
    """What a statement of `reading` finds with these values of its parameters."""
    return [(_row(row._mapping), row) for row in session.execute(statement, values)]


def reading(chosen: Select[int], *more: Any, order: Sequence[Any] = ()) -> Select[*tuple[Any, ...]]:
    """The query of `read_runs`. To write it down takes longer than to answer it of one run, so one that is always the
    same is kept."""
    ids = chosen.cte("chosen")
    mine = select(ids.c.id)
    counts, current = _stage_counts(mine), _current_stages(mine)
    return (
        select(*LISTED, *more, *EVALUATED, *_but_run(counts), *_but_run(current), tags_column().label("tags"))
        .select_from(Run)
        .outerjoin(RunStage, (RunStage.run_id == Run.id) & (RunStage.slot == EVALUATION_SLOT))
        .outerjoin(Stage, Stage.id == RunStage.stage_id)
        .outerjoin(
            Evaluation, (Evaluation.stage_id == Stage.id) & (Evaluation.attempt_id == Stage.published_attempt_id)
        )
        .outerjoin(counts, counts.c.run_id == Run.id)
        .outerjoin(current, (current.c.run_id == Run.id) & (current.c.current_place == 1))
        .where(Run.id.in_(mine))
        .order_by(*order)
    )


def _but_run(progress: Any) -> list[Any]:
    return [column for column in progress.c if column.key != "run_id"]


@cache
def not_deleted() -> ColumnElement[bool]:
    """Of lists: told by the few that are deleted, so that the others are read from the list's index alone."""
    return Run.id.not_in(select(_GONE.id).where(_GONE.deleted_at.is_not(None)))


def conditions(filters: RunFilters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [Run.archived.is_(filters.archived), not_deleted()]
    if filters.pinned:
        found.append(Run.pinned.is_(True))
    for name, column in FILTER_COLUMNS.items():
        if chosen := getattr(filters, name):
            found.append(column.in_(chosen))
    if filters.ids:
        found.append(Run.id.in_(filters.ids))
    return found + has_tags(filters.tags) + contains_words(filters.text, SEARCHED)


def _row(values: Any) -> RunRow:
    return RunRow(
        **{column.key: values[column.key] for column in LISTED},
        judge=values["stages_judge"], stages=values["stages_known"] or 0, stages_done=int(values["stages_done"] or 0),
        stages_reused=int(values["stages_reused"] or 0), current_slot=values["current_slot"],
        current_done=values["current_done"], current_total=values["current_total"],
        current_unit=values["current_unit"], evaluation=_evaluation(values),
        tags=tags_from(values["tags"]), asks_for_cards=bool(values["stages_asking"]),
    )  # fmt: skip


def _evaluation(values: Any) -> EvaluationRecord | None:
    if values["evaluation_stage_id"] is None:
        return None
    figures = {name: values[f"evaluation_{name}"] for name in EVALUATION_FIELDS}
    return EvaluationRecord(run_id=values["id"], **figures)


def _stage_counts(runs: Any) -> Any:
    """The stages of each of these runs, and the fingerprint of the one that scored the baseline's answers."""
    asking = (Stage.status == status.QUEUED) & asks_for_room()
    return (
        select(
            RunStage.run_id,
            func.count().label("stages_known"),
            func.sum(case((Stage.status == status.DONE, 1), else_=0)).label("stages_done"),
            func.sum(case((RunStage.reused, 1), else_=0)).label("stages_reused"),
            func.sum(case((asking, 1), else_=0)).label("stages_asking"),
            func.max(case((RunStage.slot == JUDGE_SLOT, Stage.fingerprint))).label("stages_judge"),
        )
        .join(Stage, Stage.id == RunStage.stage_id)
        .where(RunStage.run_id.in_(runs))
        .group_by(RunStage.run_id)
        .subquery("counts")
    )


def _current_stages(runs: Any) -> Any:
    """The running stages of these live runs, the one that was started last at place 1."""
    started_last = (Stage.started_at.desc(), Stage.id.desc(), RunStage.slot)
    return (
        select(
            RunStage.run_id,
            RunStage.slot.label("current_slot"),
            Stage.done.label("current_done"),
            Stage.total.label("current_total"),
            Stage.unit.label("current_unit"),
            func.row_number().over(partition_by=RunStage.run_id, order_by=started_last).label("current_place"),
        )
        .join(Stage, Stage.id == RunStage.stage_id)
        .join(_OWNER, _OWNER.id == RunStage.run_id)
        .where(RunStage.run_id.in_(runs), Stage.status == status.RUNNING, _OWNER.status.in_(status.LIVE))
        .subquery("current_stages")
    )
