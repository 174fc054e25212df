"""Runs and results in a terminal: `cwpo status` and the end of the demo."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from rich.console import Console

from cwpo.compare.alignment_end import END_METRICS, alignment_ends
from cwpo.compare.configured_run import Configs
from cwpo.compare.gra import GraRow, differences, gra_table, setting_keys
from cwpo.compare.judges.card import card_rows
from cwpo.config.stored import read_stored
from cwpo.report.columns import CARD, DIFFERENCE, Column, gra_columns, part, title
from cwpo.report.gra_terms import table_notes, terms, terms_by_setting
from cwpo.report.judges.cards import TITLE, cards_in_words, uncorrected
from cwpo.report.numbers import NOTHING, count, interval, number, percent
from cwpo.report.sentences import verdict_sentence
from cwpo.report.under_table import held_by_intervals, held_by_single_runs, under_table
from cwpo.report.waiting import waiting_sentence
from cwpo.stages.graph import slot_name
from db import queries
from db.records import CardWait, EvaluationRecord, RunFilters, RunRow, StageRow
from db.status import LIVE
from workers import related_prompts
from workers.cli.console import make_console, show_notes, show_table
from workers.compared import MOST_SIBLINGS
from workers.judge_cards import judge_cards
from workers.machine.database import reading
from workers.plan import queue_times
from workers.plan.eta import Eta, StageTime
from workers.plan.words import eta_short, eta_words, left_words

_RUNS_SHOWN = 30
_RESULT = [title(name) for name in ("estimate", "interval", "n_prompts", "kl", "tokens", "length_ratio")]


def show(run_id: int | None) -> None:
    """The newest runs, or the stages of one run."""
    console = make_console()
    if run_id is None:
        _show_runs(console)
    else:
        _show_run(run_id, console)


def _show_runs(console: Console) -> None:
    with reading() as session:
        page = queries.list_runs(session, filters=RunFilters(), after=None, limit=_RUNS_SHOWN)
        evaluated = [row for row in page.rows if row.evaluation is not None]
        configs = read_stored(queries.configs(session, [row.id for row in evaluated])).configs
        live = [row.id for row in page.rows if row.status in LIVE]
        waits = queries.card_waits(session, live)
        etas = queue_times.etas(session) if live else {}
    columns = ["run", "status", "method", "objective", "seed", "stages", "expected", *_RESULT, "name"]  # fmt: skip
    rows = [_run_cells(row, etas.get(row.id)) for row in page.rows]
    show_table(f"Runs ({len(page.rows)} of {page.total})", columns, rows, console)
    _show_waits(waits, console)
    if evaluated:
        said = terms(evaluated, configs).sentence
        held = held_by_single_runs(row.evaluation.gra for row in page.rows if row.evaluation is not None)
        alone = f"GRA: {said}; each run is one seed, so its interval covers prompts only."
        show_notes([alone, *filter(None, [held])], console)


def _run_cells(row: RunRow, eta: Eta | None) -> list[str]:
    stages = f"{row.stages_done}/{row.stages}"
    return [
        str(row.id), row.status, row.method_label, row.objective, str(row.seed), stages,
        eta_short(eta, _clock) or "unknown" if eta else NOTHING,
        *(_result_cells(row.evaluation) if row.evaluation else [NOTHING] * 6), row.name,
    ]  # fmt: skip


def _result_cells(found: EvaluationRecord) -> list[str]:
    ratio = found.mean_tokens / found.baseline_mean_tokens if found.mean_tokens and found.baseline_mean_tokens else None
    return [
        percent(found.gra).removesuffix(" %"), interval(found.ci_low, found.ci_high), count(found.prompts),
        number(found.kl), number(found.mean_tokens, 1), number(ratio),
    ]  # fmt: skip


def _show_run(run_id: int, console: Console) -> None:
    with reading() as session:
        record = queries.get_run(session, run_id)
        stages = queries.run_stages(session, run_id)
        waits = queries.card_waits(session, [run_id])
        times = queue_times.times(session) if record.status in LIVE else None
    known = times.stages if times else {}
    live = any(stage.status in LIVE for stage in stages)  # of a run that ended nothing is expected
    show_table(f"Run {run_id}: {record.status}",
               ["slot", "status", "progress", "seconds", *(["expected"] if live else []), "attempts", "reused"],
               [_stage_cells(stage, known.get(stage.stage_id), live) for stage in stages], console)  # fmt: skip
    if times and run_id in times.runs:
        show_notes([eta_words(times.runs[run_id], _clock)], console)
    _show_waits(waits, console)
    if record.error:
        console.print(record.error, markup=False, highlight=False)


def _show_waits(waits: Sequence[CardWait], console: Console) -> None:
    """What runs wait for that no worker has."""
    said = [
        f"Run {wait.run_id}: "
        + waiting_sentence(
            slot_name(wait.slot), cards=wait.cards, card_bytes=wait.card_bytes, largest=wait.largest,
            together=wait.together, host_bytes=wait.host_bytes, largest_host=wait.largest_host,
        )
        for wait in waits
    ]  # fmt: skip
    show_notes(said, console)


def _clock(seconds: float) -> datetime:
    """The time of day in so many seconds, as this machine tells it."""
    return datetime.now().astimezone() + timedelta(seconds=seconds)


def _stage_cells(stage: StageRow, time: StageTime | None, live: bool) -> list[str]:
    progress = f"{stage.done}/{stage.total} {stage.unit}" if stage.total else "–"
    reused = "reused" if stage.reused else ""
    expected = left_words(time, running=stage.status == "running") if stage.status in LIVE else NOTHING
    return [
        stage.slot, stage.status, progress, number(stage.seconds, 1), *([expected] if live else []),
        str(stage.attempts), reused,
    ]  # fmt: skip


def print_comparison(run_ids: Sequence[int], console: Console) -> None:
    """The GRA table, cw − weak and cw − human with their intervals, and the sentence that the table supports."""
    with reading() as session:
        page = queries.list_runs(session, filters=RunFilters(ids=tuple(run_ids)), after=None, limit=len(run_ids))
        every = queries.compared_runs(session, run_ids=run_ids, siblings=True, limit=len(run_ids) + MOST_SIBLINGS)
        outcomes = related_prompts.outcomes(session, run_ids)
        stored = read_stored(queries.configs(session, run_ids))
        configs = stored.configs
        ends = alignment_ends(configs, queries.final_metrics(session, run_ids, "align", END_METRICS))
    rows = gra_table(page.rows, outcomes, configs=configs, ends=ends)
    settings = setting_keys(page.rows, configs)
    found = differences(page.rows, outcomes, settings=settings, configs=configs)
    gra = gra_columns(rows, terms_by_setting(page.rows, configs))
    _show_part(
        "Gold reward accuracy", [*part(gra, "main", narrow=True), *part(gra, "text", narrow=True)[1:]], rows, console
    )
    _show_part("Distance and length beside it", part(gra, "distance", narrow=True), rows, console)
    terms_said = [*table_notes(page.rows, configs), *filter(None, [held_by_intervals(rows)])]
    show_notes([*terms_said, *stored.unreadable.values()], console)
    pairs = [*part(DIFFERENCE, "main", narrow=True), *part(DIFFERENCE, "text", narrow=True)[1:]]
    _show_part("Paired differences on the same prompts and seeds", pairs, found, console)
    others = [run for run in every if run.id not in run_ids]
    under = under_table(page.rows, others, sum(row.estimate is not None for row in found))
    show_notes([under, verdict_sentence(rows, found)], console)
    _show_cards(rows, outcomes, configs, console)


def _show_cards(rows: Sequence[GraRow], outcomes: pd.DataFrame, configs: Configs, console: Console) -> None:
    """The judge card, where the gold reward was tried on pairs with human labels."""
    with reading() as session:
        cards = judge_cards(session, configs, oracle=False)
    if not cards:
        return
    found = card_rows(rows, outcomes, cards)
    _show_part(TITLE, part(CARD, "main", narrow=True), [replace(row, said="") for row in found], console)
    seeds = {run_id: config.seed for run_id, config in configs.items()}
    show_notes([*uncorrected(found), *cards_in_words(cards, seeds)], console)


def _show_part(title: str, columns: Sequence[Column], rows: Sequence[Any], console: Console) -> None:
    """Some columns of a table: a terminal is narrow."""
    cells = [[column.cell(row) for column in columns] for row in rows]
    show_table(title, [column.title for column in columns], cells, console)
