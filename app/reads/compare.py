"""Which runs Compare shows: those of the address or the newest sweep, cut by whole settings; and who is not among them.

Three queries at most, whatever their number."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from db import queries
from db.engine import Session
from db.records import RunRow

MOST_RUNS = 50  # side by side

MOST_OF_A_SWEEP = 500
NEWEST = 64  # results looked through


@dataclass(frozen=True, kw_only=True)
class ChosenRuns:
    """Runs side by side, one sentence where settings are left out, and the numbers asked for that no run has."""

    rows: tuple[RunRow, ...] = ()
    left_out: str = ""
    gone: tuple[int, ...] = ()
    siblings: tuple[RunRow, ...] = ()  # all other runs of these settings, archived or not


def chosen(session: Session, run_ids: Sequence[int]) -> ChosenRuns:
    """The runs with these ids, in their order."""
    found = queries.compared_runs(session, run_ids=run_ids, siblings=True, limit=MOST_OF_A_SWEEP + len(run_ids))
    known = {row.id: row for row in found}
    gone = tuple(run_id for run_id in run_ids if run_id not in known)
    return _first([known[run_id] for run_id in dict.fromkeys(run_ids) if run_id in known], found, gone=gone)


def newest(session: Session) -> ChosenRuns:
    """The newest sweep that has a result, else the settings of the newest evaluated runs of one dataset."""
    results = queries.newest_evaluated(session, limit=NEWEST)
    if not results:
        return ChosenRuns()
    sweep, dataset = results[0].sweep_id, results[0].dataset
    if sweep is not None:
        found = queries.compared_runs(session, sweep_id=sweep, siblings=True, limit=MOST_OF_A_SWEEP)
        rows = [row for row in found if row.sweep_id == sweep and not row.archived]
        known = {row.group_key for row in rows if row.evaluation is not None}
        return _first(sorted(rows, key=lambda row: row.group_key not in known), found)
    keys = list(dict.fromkeys(one.group_key for one in results if one.dataset == dataset))
    found = queries.compared_runs(session, group_keys=keys, siblings=True, limit=MOST_OF_A_SWEEP)
    answered = [row for row in found if row.evaluation is not None and not row.archived]
    evaluated = sorted(answered, key=lambda row: keys.index(row.group_key))
    kept = whole_settings(evaluated, MOST_RUNS)
    words = f"The newest {_settings(kept)} settings with a result, at most {MOST_RUNS} runs; choose others."
    return ChosenRuns(
        rows=tuple(sorted(kept, key=lambda row: row.id)),
        left_out=words if len(kept) < len(evaluated) else "",
        siblings=_siblings(kept, found),
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


def _first(rows: Sequence[RunRow], every: Sequence[RunRow], gone: tuple[int, ...] = ()) -> ChosenRuns:
    kept = whole_settings(rows, MOST_RUNS)
    words = f"The first {_settings(kept)} of {_settings(rows)} settings, at most {MOST_RUNS} runs; choose others."
    return ChosenRuns(
        rows=tuple(kept),
        left_out=words if len(kept) < len(rows) else "",
        gone=gone,
        siblings=_siblings(kept, every),
    )


def _siblings(kept: Sequence[RunRow], every: Sequence[RunRow]) -> tuple[RunRow, ...]:
    """Of `every`, the runs of the same settings that are not shown."""
    shown, keys = {row.id for row in kept}, {row.group_key for row in kept}
    return tuple(row for row in every if row.group_key in keys and row.id not in shown)


def _settings(rows: Sequence[RunRow]) -> int:
    return len({row.group_key for row in rows})
