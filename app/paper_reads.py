"""What the Paper page reads: runs that may answer a table, their results and paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from app import reads
from app.reads import Published
from cwpo import paper
from db import queries
from db.engine import database_url
from db.records import RunFilters, RunRow
from workers import report
from workers.paper import (
    Pair,
    PaperCell,
    PaperGap,
    Summary,
    cells,
    gaps,
    of_gra,
    sandbox_pairs,
    summaries,
    wanted_pairs,
)
from workers.paper_runs import FROM_LABELS, Group, answer_to, groups_of
from workers.report import DifferenceRow
from workers.verdict import Measured, over_seeds

MOST_RUNS = 500  # newest runs of a table's datasets and methods that are looked through


@dataclass(frozen=True, kw_only=True)
class PaperView:
    """Everything that the page shows of one table."""

    cells: tuple[PaperCell, ...]
    gaps: tuple[PaperGap, ...]
    summaries: tuple[Summary, ...]


def paper_view(table: paper.Table) -> PaperView:
    """The table's numbers beside what this installation has run."""
    numbers = paper.numbers_of(table.name)
    from_labels = any(number.metric in FROM_LABELS for number in numbers)
    runs, groups = _candidates(table, tuple(dict.fromkeys(number.dataset for number in numbers)))
    ours = _accuracies(groups, numbers) if from_labels else of_gra(_table(runs, groups, numbers))
    paired = _differences(runs, wanted_pairs(table, groups))
    answered = gaps(table, groups, ours, paired)
    tiny, worlds = _candidates(table, ("sandbox",))
    signs = _differences(tiny, sandbox_pairs(table, worlds))
    return PaperView(
        cells=tuple(cells(table, groups, ours)),
        gaps=tuple(answered),
        summaries=tuple(summaries(table, answered, worlds, signs)),
    )


def _candidates(table: paper.Table, datasets: tuple[str, ...]) -> tuple[dict[int, RunRow], list[Group]]:
    """The newest runs with a dataset of the table that have what its numbers are made of, and their settings."""
    numbers = paper.numbers_of(table.name)
    from_labels = any(number.metric in FROM_LABELS for number in numbers)
    methods = () if from_labels else tuple(dict.fromkeys(number.method for number in numbers))
    filters = RunFilters(dataset=datasets, method=methods)
    with reads.reading() as session:
        found = queries.list_runs(session, filters=filters, limit=MOST_RUNS).rows
        kept = {row.id: row for row in found if row.evaluation is not None or (from_labels and row.annotator)}
        configs = queries.configs(session, list(kept))
    return kept, groups_of(kept.values(), configs)


def _table(runs: Mapping[int, RunRow], groups: Sequence[Group], numbers: Sequence[paper.Number]) -> list[report.GraRow]:
    """GRA of the settings that answer a number; no other is computed."""
    wanted = {group.key for number in numbers if (group := answer_to(number, groups))}
    rows = [row for row in runs.values() if row.group_key in wanted]
    return reads.table_of(rows) if rows else []


def _accuracies(groups: Sequence[Group], numbers: Sequence[paper.Number]) -> dict[str, Measured]:
    """Share of hidden human labels that each setting's annotator agrees with, over its seeds."""
    wanted = {group.key: group for number in numbers if (group := answer_to(number, groups))}
    with reads.reading() as session:
        found = queries.label_summaries(session, [run_id for group in wanted.values() for run_id in group.run_ids])
    result = {}
    for key, group in wanted.items():
        # A seed that ran twice has its labels once, and so have seeds that share an annotator.
        mine = {found[run_id].stage_id: found[run_id] for run_id in group.run_ids if run_id in found}.values()
        shares = [summary.accuracy_human for summary in mine if summary.accuracy_human is not None]
        if shares:
            result[key] = over_seeds(shares, min(summary.n for summary in mine))
    return result


def _differences(runs: Mapping[int, RunRow], pairs: Sequence[Pair]) -> dict[Pair, DifferenceRow]:
    wanted = {key for pair in pairs for key in pair}
    rows = tuple(row for row in runs.values() if row.group_key in wanted)
    if not rows:
        return {}
    published = tuple((row.id, hash(row.evaluation)) for row in rows)
    found = _paired(database_url(), published, tuple(pairs), rows)
    return {(row.first, row.second): row for row in found}


@st.cache_data(ttl=10 * reads.SECONDS, max_entries=reads.MOST_RESULTS, show_spinner=False)
def _paired(url: str, published: Published, pairs: tuple[Pair, ...], _rows: tuple[RunRow, ...]) -> list[DifferenceRow]:
    outcomes = reads.outcomes_of([row.id for row in _rows])
    return report.differences(_rows, outcomes, pairs=pairs)
