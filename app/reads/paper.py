"""What the Paper page reads: runs that may answer a table, their results and paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from app.reads import judges, results
from app.reads.results import Published
from cwpo.compare.configured_run import Configs
from cwpo.compare.gra import DifferenceRow, differences, gra_table
from cwpo.config import catalog
from cwpo.config.stored import read_stored
from cwpo.paper import published as paper
from cwpo.paper.answers import Pair, PaperCell, PaperGap, Summary, cells, gaps, sandbox_pairs, summaries, wanted_pairs
from cwpo.paper.measured import of_gra, of_labels, of_pair, of_seconds
from cwpo.paper.names import annotator_and_data
from cwpo.paper.protocol import (
    FROM_LABELS,
    HEAD_TO_HEAD,
    RIVAL,
    SECONDS,
    WIN_RATE,
    Group,
    answers_to,
    asking,
    groups_of,
)
from cwpo.paper.verdict import Measured
from cwpo.report.gra_terms import table_notes
from cwpo.report.judges.cards import judges_in_words
from cwpo.report.under_table import held_by_intervals, under_table
from db import queries
from db.records import RunFilters, RunRow
from workers.judge_cards import judge_cards
from workers.machine.database import database_url

MOST_RUNS = 500  # newest runs of a table's datasets and methods that are looked through
CONTROL = "weak"  # stands beside the table's methods where its question is asked on other data


@dataclass(frozen=True, kw_only=True)
class PaperView:
    """Everything that the page shows of one table."""

    cells: tuple[PaperCell, ...]
    gaps: tuple[PaperGap, ...]
    summaries: tuple[Summary, ...]
    reasons: tuple[str, ...]  # why settings that would answer a cell have no figure
    notes: tuple[str, ...]  # on what terms the runs that answer were counted, what the seed moved in them, which runs
    asking: tuple[int, ...]  # runs that ask the question of a table whose cells none can answer


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The newest runs that may answer a table, their settings and configurations."""

    runs: Mapping[int, RunRow]
    groups: Sequence[Group]
    configs: Configs


Figures = dict[tuple[str, str], Measured]


def paper_view(table: paper.Table) -> PaperView:
    """The table's numbers beside what this installation has run."""
    numbers = () if table.unanswered else paper.numbers_of(table.name)
    datasets = tuple(dict.fromkeys(number.dataset for number in paper.numbers_of(table.name)))
    own = _candidates(table, datasets)
    answers = {number: found for number in numbers if (found := answers_to(number, own.groups))}
    ours, reasons = _ours(own, answers)
    rated = any(number.metric == WIN_RATE for number in paper.numbers_of(table.name))
    paired = _rated_differences if rated else _differences
    answered = gaps(table, own.groups, ours, paired(own, wanted_pairs(table, own.groups)))
    tiny = _candidates(table, ("sandbox",))
    signs = paired(tiny, sandbox_pairs(table, tiny.groups))
    rows = cells(table, own.groups, ours)
    return PaperView(
        cells=tuple(rows),
        gaps=tuple(answered),
        summaries=tuple(summaries(table, answered, tiny.groups, signs)),
        reasons=reasons,
        notes=_notes(rows, answered, own),
        asking=tuple(asking(table, _candidates(table, (table.asked_on,)).groups)) if table.asked_on else (),
    )


def _notes(rows: Sequence[PaperCell], answered: Sequence[PaperGap], own: Candidates) -> tuple[str, ...]:
    """Under the cells that runs answer: the terms of GRA where it is GRA, what the seed moved, how far intervals hold,
    and what became of the runs that were planned."""
    used = sorted({run_id for cell in rows for run_id in cell.run_ids})
    if not used:
        return ()
    terms, moved = table_notes([own.runs[run_id] for run_id in used], own.configs)
    judged = any(cell.run_ids and cell.number.metric not in FROM_LABELS for cell in rows)
    if not judged:
        return (moved,)
    with results.reading() as session:
        every = queries.compared_runs(session, run_ids=used, siblings=True, limit=len(used) + MOST_RUNS)
    others = [run for run in every if run.id not in used]
    under = under_table([own.runs[run_id] for run_id in used], others, sum(gap.paired for gap in answered))
    alone = sum(not gap.paired for gap in answered)
    under += f" {alone} more, not paired, stand each for itself." if alone else ""
    ours = [cell.ours for cell in rows if cell.ours is not None and cell.number.metric not in FROM_LABELS]
    return tuple(filter(None, (terms, _believed(rows, own), moved, held_by_intervals(ours), under)))


def _believed(rows: Sequence[PaperCell], own: Candidates) -> str:
    """How often the gold rewards that these figures rest on agree with people, where they were tried."""
    by_gold = [cell for cell in rows if cell.number.metric not in (*FROM_LABELS, WIN_RATE)]
    used = sorted({run_id for cell in by_gold for run_id in cell.run_ids})
    if not used:
        return ""
    with results.reading() as session:
        cards = judge_cards(session, {run_id: own.configs[run_id] for run_id in used})
    datasets = {run_id: own.runs[run_id].dataset for run_id in cards}
    return judges_in_words(cards, {run_id: _data(name) for run_id, name in datasets.items()})


def _data(dataset: str) -> str:
    row = catalog.DATASETS.get(dataset)
    return row.label if row else catalog.short_name(dataset)


def _candidates(table: paper.Table, datasets: tuple[str, ...]) -> Candidates:
    """The newest runs with a dataset of the table that have what its numbers are made of, and their settings."""
    numbers = paper.numbers_of(table.name)
    from_labels = any(number.metric in FROM_LABELS for number in numbers)
    rivals = (RIVAL,) if any(number.metric == HEAD_TO_HEAD for number in numbers) else ()
    control = (CONTROL,) if table.asked_on else ()
    methods = () if from_labels else tuple(dict.fromkeys([*(number.method for number in numbers), *rivals, *control]))
    filters = RunFilters(dataset=datasets, method=methods)
    with results.reading() as session:
        found = queries.list_runs(session, filters=filters, limit=MOST_RUNS).rows
        kept = {row.id: row for row in found if row.evaluation is not None or (from_labels and row.annotator)}
        configs = read_stored(queries.configs(session, list(kept))).configs
    return Candidates(runs=kept, groups=groups_of(kept.values(), configs), configs=configs)


def _ours(own: Candidates, answers: Mapping[paper.Number, Sequence[Group]]) -> tuple[Figures, tuple[str, ...]]:
    """Our figures of the settings that answer a number, no other is computed; and why one has none."""
    by_metric: dict[str, dict[str, Sequence[Group]]] = {}
    for number, groups in answers.items():
        by_metric.setdefault(number.metric, {})[groups[0].key] = groups
    found = _gra(own, list(by_metric.get("gra", {})))
    met, reasons = _met(own, list(by_metric.get(HEAD_TO_HEAD, {}).values()))
    labeled = {metric: settings for metric, settings in by_metric.items() if metric in FROM_LABELS}
    return found | met | _labels(labeled) | _rated(own, list(by_metric.get(WIN_RATE, {}))), reasons


def _rated(own: Candidates, keys: Sequence[str]) -> Figures:
    """Win rates by the judge model that compared most of a dataset's runs."""
    rows = [row for row in own.runs.values() if row.group_key in keys]
    found = Figures()
    for one in judges.verdicts_of(rows) if rows else ():
        found |= of_gra(gra_table(one.rows, one.outcomes), WIN_RATE, one.judge)
    return found


def _gra(own: Candidates, keys: Sequence[str]) -> Figures:
    rows = [row for row in own.runs.values() if row.group_key in keys]
    return of_gra(results.table_of(rows)) if rows else {}


def _met(own: Candidates, pairs: Sequence[Sequence[Group]]) -> tuple[Figures, tuple[str, ...]]:
    """Head to head of the two settings of each pair."""
    found, reasons = Figures(), []
    for first, second in pairs:
        sides = [[own.runs[run_id] for run_id in group.run_ids] for group in (first, second)]
        labels = (sides[0][0].method_label, sides[1][0].method_label)
        met = results.head_to_head_of(sides[0], sides[1], labels)
        measured = of_pair(met)
        if measured is not None:
            found[first.key, HEAD_TO_HEAD] = measured
        elif met.reason:
            reasons.append(f"{annotator_and_data(first.config)}: {' and '.join(labels)} not compared, {met.reason}.")
    return found, tuple(reasons)


def _labels(labeled: Mapping[str, Mapping[str, Sequence[Group]]]) -> Figures:
    """What the annotators of these settings say of themselves, by metric, over their seeds; and their seconds."""
    groups = {key: settings[0] for by_key in labeled.values() for key, settings in by_key.items()}
    run_ids = [run_id for group in groups.values() for run_id in group.run_ids]
    if not run_ids:
        return {}
    with results.reading() as session:
        summaries = queries.label_summaries(session, run_ids)
        seconds = queries.stage_seconds(session, run_ids) if SECONDS in labeled else None
    found = Figures()
    for metric, by_key in labeled.items():
        for key in by_key:
            mine = groups[key].run_ids
            if metric == SECONDS and seconds is not None:
                times = seconds[seconds["run_id"].isin(mine)]
                measured = of_seconds(times, annotator_and_data(groups[key].config))
            else:
                # A seed that ran twice has its labels once, and so have seeds that share an annotator.
                once = {summaries[run_id].stage_id: summaries[run_id] for run_id in mine if run_id in summaries}
                measured = of_labels(metric, list(once.values()))
            if measured is not None:
                found[key, metric] = measured
    return found


def _differences(own: Candidates, pairs: Sequence[Pair]) -> dict[Pair, DifferenceRow]:
    wanted = {key for pair in pairs for key in pair}
    rows = tuple(row for row in own.runs.values() if row.group_key in wanted)
    if not rows:
        return {}
    published = tuple((row.id, hash(row.evaluation)) for row in rows)
    found = _paired(database_url(), published, tuple(pairs), rows)
    return {(row.first, row.second): row for row in found}


def _rated_differences(own: Candidates, pairs: Sequence[Pair]) -> dict[Pair, DifferenceRow]:
    """The same of win rates, dataset by dataset, each by one judge model."""
    wanted = {key for pair in pairs for key in pair}
    found: dict[Pair, DifferenceRow] = {}
    for one in judges.verdicts_of([row for row in own.runs.values() if row.group_key in wanted]):
        there = {row.group_key for row in one.rows}
        mine = [pair for pair in pairs if set(pair) <= there]
        found |= {(row.first, row.second): row for row in differences(one.rows, one.outcomes, pairs=mine)}
    return found


@st.cache_data(ttl=10 * results.SECONDS, max_entries=results.MOST_RESULTS, show_spinner=False)
def _paired(url: str, published: Published, pairs: tuple[Pair, ...], _rows: tuple[RunRow, ...]) -> list[DifferenceRow]:
    outcomes = results.outcomes_of([row.id for row in _rows])
    return differences(_rows, outcomes, pairs=pairs)
