"""What people see in a terminal: progress bars, tables, numbers. Shared by the command line and the demo."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from cwpo.compare.gra import GraRow
from cwpo.config.run import RunConfig
from cwpo.evaluation.gra import OUTCOMES_FILE
from cwpo.report.columns import ON_PAGES, gra_columns, part
from cwpo.report.dropped import cut_sentence, cuts, data_sentence, judged_pairs, left_out_sentence
from cwpo.report.gra_terms import table_notes
from cwpo.report.numbers import number, percent
from cwpo.report.single_run import gra_row, run_and_config
from cwpo.report.under_table import held_by_single_runs
from cwpo.stages.execute import StageResult
from cwpo.stages.graph import StageSpec
from cwpo.stages.pipeline import RunResult

_FILE_WIDTH = 160
_NAME_WIDTH = 24  # that the first column of a table has at least, where its names are as long
SAY_EVERY = 30.0  # seconds between lines of progress where the output is no terminal


class StageBars:
    """One progress bar per stage of a run in this process.

    Where the output is not a terminal: a line when a stage is done, and every 30 seconds how far the running one is.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._ended = threading.Event()
        self._running: TaskID | None = None
        self.bars = Progress(
            TextColumn("{task.description:<17}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "StageBars":
        self.bars.start()
        if not self.console.is_terminal:
            threading.Thread(target=self._say_how_far, name="progress", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self.bars.stop()

    def _say_how_far(self) -> None:
        """Also while the stage itself reports nothing, as during a download or one long step."""
        while not self._ended.wait(SAY_EVERY):
            if (running := self._running) is not None:
                self.console.print(_how_far(self.bars.tasks[running]), highlight=False, markup=False)

    def reporter_for(self, spec: StageSpec) -> "_BarReporter":
        """A reporter that moves this stage's bar."""
        self._running = self._tasks[spec.slot] = self.bars.add_task(spec.slot, total=None, unit="", note="")
        return _BarReporter(self.bars, self._running)

    def done(self, spec: StageSpec, result: StageResult) -> None:
        """Fill the bar of a finished stage, or print its line."""
        self._running = None
        note = "" if result.computed else "reused"
        task = self._tasks[spec.slot]
        row = self.bars.tasks[task]
        total = row.total or 1
        self.bars.update(task, total=total, completed=total, note=note)
        self.bars.stop_task(task)
        if not self.console.is_terminal:
            self.console.print(f"{spec.slot:<17} {note or f'{result.seconds:.1f} s'}", highlight=False)


def _how_far(row: Task) -> str:
    """`align             120 / 400 steps, loss 0.612, 95 s`"""
    amount = f"{row.completed:,.0f}{f' / {row.total:,.0f}' if row.total else ''} {row.fields['unit']}"
    parts = [amount if row.fields["unit"] else "started", row.fields["note"], f"{row.elapsed or 0:.0f} s"]
    return f"{row.description:<17} {', '.join(part for part in parts if part)}"


class _BarReporter:
    """Shows progress and the latest loss; keeps nothing (metrics are in the artifact)."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def resumed(self, step: int) -> None:
        """The bar begins where the first progress puts it."""

    def progress(self, done: int, total: int, unit: str) -> None:
        self._bars.update(self._task, completed=min(done, total), total=total, unit=unit)

    def share(self, value: float) -> None:
        """The bar counts what people count."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        if "loss" in values:
            self._bars.update(self._task, note=f"loss {values['loss']:.3f}")

    def log(self, message: str) -> None:
        self._bars.console.print(message, markup=False, highlight=False)

    def noted(self, sentence: str) -> None:
        self.log(sentence)

    def shown(self, name: str, data: Mapping[str, Any]) -> None:
        """Pages show it."""


def show_run(result: RunResult, console: Console) -> None:
    """The result of one run: what was dropped and cut, the annotator's quality when it has one, then the GRA row."""
    summaries = {slot: stage.summary for slot, stage in result.stages.items()}
    console.print(f"Data: {data_sentence(summaries['data'], summaries.get('prompts'))}", highlight=False, markup=False)
    console.print(cut_sentence(cuts(summaries)), highlight=False, markup=False)
    if "labels" in result.stages:
        _show_labels(result.stages["labels"].summary, console)
    row = _row_of(result)
    show_table("Gold reward accuracy", ["", ""], _gra_of_one_run(result.config, row), console)
    held = held_by_single_runs([row.estimate])
    show_notes([*table_notes(*run_and_config(result.config)), *filter(None, [held])], console)


def make_console() -> Console:
    """As wide as the terminal; wide enough for every table where the output is a file or a pipe."""
    console = Console()
    return console if console.is_terminal else Console(width=_FILE_WIDTH)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """A plain table: the first column names the row, the others are numbers. What is wider than the terminal comes in
    several tables below each other, each with the first column, so that no name is lost and no number is cut.
    `title` may be empty."""
    widths = [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]
    widths[0] = min(widths[0], max(_NAME_WIDTH, console.width // 3))
    heading = title or None
    for places in _side_by_side(widths, console.width):
        table = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        heading = None
        table.add_column(columns[0], min_width=widths[0], overflow="fold")
        most = max(1, console.width - _room([widths[0], 0]))
        for place in places:
            table.add_column(
                columns[place], justify="right", max_width=most, no_wrap=widths[place] <= most, overflow="fold"
            )
        for row in rows:
            table.add_row(*(escape(row[place]) for place in (0, *places)))
        console.print(table)


def _side_by_side(widths: Sequence[int], most: int) -> list[list[int]]:
    """The columns behind the first, as many beside it as there is room for, and at least one."""
    parts: list[list[int]] = [[]]
    for place in range(1, len(widths)):
        taken = [widths[0], *(widths[each] for each in (*parts[-1], place))]
        if parts[-1] and _room(taken) > most:
            parts.append([])
        parts[-1].append(place)
    return parts


def _room(widths: Sequence[int]) -> int:
    """Characters of a line with these columns: a space at both ends, three between two of them."""
    return sum(widths) + 3 * (len(widths) - 1) + 2


def show_notes(sentences: Sequence[str], console: Console) -> None:
    """What stands under a table, one sentence a line."""
    for sentence in sentences:
        console.print(sentence, highlight=False, markup=False)


def stage_metrics(folder: Path) -> list[dict[str, Any]]:
    """All metric points that a stage's artifact holds, in order of step; empty for stages that train nothing."""
    file = folder / "metrics.parquet"
    if not file.is_file():
        return []
    import pyarrow.parquet

    points: list[dict[str, Any]] = pyarrow.parquet.read_table(file).to_pylist()
    return points


def _row_of(result: RunResult) -> GraRow:
    outcomes = pd.read_parquet(result.stages["evaluation"].path / OUTCOMES_FILE)
    return gra_row(result.config, outcomes, stage_metrics(result.stages["align"].path))


def _gra_of_one_run(config: RunConfig, row: GraRow) -> list[list[str]]:
    """Every figure of the GRA table, one a line."""
    known = [["setting", config.method_label], ["objective", config.objective], ["seed", str(config.seed)]]
    figures = [column for place in ON_PAGES for column in part(gra_columns(), place)[1:]]
    counts = ["wins, ties, losses", f"{row.wins}, {row.ties}, {row.losses}"]
    return [*known, *([column.title, column.cell(row)] for column in figures), counts]


def _show_labels(labels: Mapping[str, Any], console: Console) -> None:
    console.print(
        f"Annotator: {percent(labels['accuracy_human'])} of {judged_pairs(labels)} hidden human labels "
        f"(length alone: {percent(labels['length_only_accuracy'])}), "
        f"mean confidence {number(labels['mean_confidence'])}. {left_out_sentence(labels)}".rstrip(),
        highlight=False,
    )
    rows = [
        [
            f"{bin_['lo']:.3f} – {bin_['hi']:.3f}",
            str(bin_["n"]),
            percent(bin_["agree_human"]),
            percent(bin_["agree_truth"]),
        ]
        for bin_ in labels["deciles"]
    ]
    show_table("Agreement by confidence decile", ["confidence", "pairs", "human", "truth"], rows, console)
