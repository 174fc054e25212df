"""Runs and results in a terminal: `cwpo status` and the end of the demo."""

from collections.abc import Sequence

from rich.console import Console

from db import queries
from db.records import RunFilters, RunRow, StageRow
from workers import report
from workers.console import make_console, show_table
from workers.database import reading
from workers.figures import number, percent

_RUNS_SHOWN = 30
# On the Compare page and in exports; a terminal is narrow.
_LEFT_OUT = ("strict, %", "chosen, nats", "rejected, nats", "baseline's tokens", "ratio", "equal length, 95 %", "note")


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
    columns = ["run", "status", "method", "objective", "seed", "stages", "GRA", "name"]
    show_table(f"Runs ({len(page.rows)} of {page.total})", columns, [_run_cells(row) for row in page.rows], console)


def _run_cells(row: RunRow) -> list[str]:
    gra = percent(row.evaluation.gra) if row.evaluation else "–"
    stages = f"{row.stages_done}/{row.stages}"
    return [str(row.id), row.status, row.method_label, row.objective, str(row.seed), stages, gra, row.name]


def _show_run(run_id: int, console: Console) -> None:
    with reading() as session:
        record = queries.get_run(session, run_id)
        stages = queries.run_stages(session, run_id)
    show_table(f"Run {run_id}: {record.status}", ["slot", "status", "progress", "seconds", "attempts", "reused"],
               [_stage_cells(stage) for stage in stages], console)  # fmt: skip
    if record.error:
        console.print(record.error, markup=False, highlight=False)


def _stage_cells(stage: StageRow) -> list[str]:
    progress = f"{stage.done}/{stage.total} {stage.unit}" if stage.total else "–"
    reused = "reused" if stage.reused else ""
    return [stage.slot, stage.status, progress, number(stage.seconds, 1), str(stage.attempts), reused]


def print_comparison(run_ids: Sequence[int], console: Console) -> None:
    """The GRA table, cw − weak and cw − human with their intervals, and the sentence that the table supports."""
    with reading() as session:
        page = queries.list_runs(session, filters=RunFilters(ids=tuple(run_ids)), after=None, limit=len(run_ids))
        outcomes = queries.outcomes(session, run_ids)
        configs = queries.configs(session, run_ids)
        beside = report.beside(configs, queries.final_metrics(session, run_ids, "align", report.END_METRICS))
    rows = report.gra_table(page.rows, outcomes, beside=beside)
    settings = {row.group_key: report.setting_key(configs[row.id]) for row in page.rows}
    differences = report.differences(page.rows, outcomes, settings=settings, beside=beside)
    for title, table in (
        ("Gold reward accuracy", report.gra_cells(rows)),
        ("Paired differences on the same prompts and seeds", report.difference_cells(differences)),
    ):
        kept = [index for index, name in enumerate(table.columns) if name not in _LEFT_OUT]
        cells = [[str(row[index]) for index in kept] for row in table.rows]
        show_table(title, [table.columns[index] for index in kept], cells, console)
    console.print(report.what_the_seed_moved(list(configs.values())), highlight=False, markup=False)
    console.print(report.verdict_sentence(rows, differences), highlight=False, markup=False)
