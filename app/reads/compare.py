"""Which runs Compare shows: those of the address or the newest sweep, cut by whole settings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from app.reads import results as reads
from db import queries
from db.engine import Session
from db.records import RunFilters, RunRow
from db.status import DONE

MOST_RUNS = 50  # side by side

MOST_OF_A_SWEEP = 500
NEWEST = 64  # runs looked through for results


@dataclass(frozen=True, kw_only=True)
class ChosenRuns:
    """Runs side by side, and one sentence where settings are left out."""

    rows: tuple[RunRow, ...] = ()
    left_out: str = ""


def chosen(session: Session, run_ids: Sequence[int]) -> ChosenRuns:
    """The runs with these ids, in their order."""
    return _first(reads.runs_by_id(session, run_ids))


def newest(session: Session) -> ChosenRuns:
    """The newest sweep that has a result, else the settings of the newest evaluated runs of one dataset."""
    results = _newest_results(session)
    if not results:
        return ChosenRuns()
    sweep, dataset = results[0].sweep_id, results[0].dataset
    if sweep is not None:
        filters = RunFilters(sweep_id=(sweep,))
        rows = queries.list_runs(session, filters=filters, order="oldest", limit=MOST_OF_A_SWEEP).rows
        known = {row.group_key for row in rows if row.evaluation is not None}
        return _first(sorted(rows, key=lambda row: row.group_key not in known))
    keys = tuple({row.group_key for row in results if row.dataset == dataset})
    groups = queries.list_groups(session, filters=RunFilters(group_key=keys), limit=len(keys)).groups
    evaluated = [row for group in groups for row in group.rows if row.evaluation is not None]
    kept = whole_settings(evaluated, MOST_RUNS)
    words = f"The newest {_settings(kept)} settings with a result, at most {MOST_RUNS} runs; choose others."
    return ChosenRuns(
        rows=tuple(sorted(kept, key=lambda row: row.id)), left_out=words if len(kept) < len(evaluated) else ""
    )


def whole_settings(rows: Sequence[RunRow], most: int) -> list[RunRow]:
    """The leading settings whose runs fit, each with all of its runs; the first one in any case."""
    kept: set[str] = set()
    taken = 0
    for key, runs in Counter(row.group_key for row in rows).items():
        taken += runs
        if kept and taken > most:
            break
        kept.add(key)
    return [row for row in rows if row.group_key in kept]


def _newest_results(session: Session) -> list[RunRow]:
    """Evaluated runs, newest first. Queued ones hide none; a run that is scored again is not done but has a result."""
    found = {
        row.id: row
        for filters in (RunFilters(), RunFilters(status=(DONE,)))
        for row in queries.list_runs(session, filters=filters, limit=NEWEST).rows
        if row.evaluation is not None
    }
    return sorted(found.values(), key=lambda row: -row.id)


def _first(rows: Sequence[RunRow]) -> ChosenRuns:
    kept = whole_settings(rows, MOST_RUNS)
    words = f"The first {_settings(kept)} of {_settings(rows)} settings, at most {MOST_RUNS} runs; choose others."
    return ChosenRuns(rows=tuple(kept), left_out=words if len(kept) < len(rows) else "")


def _settings(rows: Sequence[RunRow]) -> int:
    return len({row.group_key for row in rows})
