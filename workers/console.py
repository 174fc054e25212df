"""What people see in a terminal: progress bars, tables, numbers. Shared by the command line and the demo."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from cwpo.stages.execute import StageResult
from cwpo.stages.graph import StageSpec
from cwpo.stages.pipeline import RunResult
from workers.counts import cut_sentence, cuts, data_sentence
from workers.figures import NOTHING, interval, number, percent
from workers.one_run import gra_row, notes

_FILE_WIDTH = 140


class StageBars:
    """One progress bar per stage of a run in this process; plain lines when the output is not a terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
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
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def reporter_for(self, spec: StageSpec) -> "_BarReporter":
        """A reporter that moves this stage's bar."""
        self._tasks[spec.slot] = self.bars.add_task(spec.slot, total=None, unit="", note="")
        return _BarReporter(self.bars, self._tasks[spec.slot])

    def done(self, spec: StageSpec, result: StageResult) -> None:
        """Fill the bar of a finished stage, or print its line."""
        note = "" if result.computed else "reused"
        task = self._tasks[spec.slot]
        row = self.bars.tasks[task]
        total = row.total or 1
        self.bars.update(task, total=total, completed=total, note=note)
        self.bars.stop_task(task)
        if not self.console.is_terminal:
            self.console.print(f"{spec.slot:<17} {note or f'{result.seconds:.1f} s'}", highlight=False)


class _BarReporter:
    """Shows progress and the latest loss; keeps nothing (metrics are in the artifact)."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def progress(self, done: int, total: int, unit: str) -> None:
        self._bars.update(self._task, completed=min(done, total), total=total, unit=unit)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        if "loss" in values:
            self._bars.update(self._task, note=f"loss {values['loss']:.3f}")

    def log(self, message: str) -> None:
        self._bars.console.print(message, markup=False, highlight=False)


def show_run(result: RunResult, console: Console) -> None:
    """The result of one run: what was dropped and cut, the annotator's quality when it has one, then the GRA row."""
    summaries = {slot: stage.summary for slot, stage in result.stages.items()}
    console.print(f"Data: {data_sentence(summaries['data'], summaries.get('prompts'))}", highlight=False, markup=False)
    console.print(cut_sentence(cuts(summaries)), highlight=False, markup=False)
    if "labels" in result.stages:
        _show_labels(result.stages["labels"].summary, console)
    show_table("Gold reward accuracy", ["", ""], _gra_of_one_run(result), console)
    show_notes(notes(result), console)


def make_console() -> Console:
    """As wide as the terminal; wide enough for every table where the output is a file or a pipe."""
    console = Console()
    return console if console.is_terminal else Console(width=_FILE_WIDTH)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """A plain table: the first column names the row, the others are numbers."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=index > 0)
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


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


def _gra_of_one_run(result: RunResult) -> list[list[str]]:
    row, config = result.evaluation, result.config
    beside = gra_row(result, stage_metrics(result.stages["align"].path))
    even = f"{percent(beside.length_controlled)}, 95 % {interval(beside.length_low, beside.length_high)}"
    cells = {
        "method": config.method_label,
        "objective": config.objective,
        "seed": str(config.seed),
        "GRA": percent(row["gra"]),
        "95 %": f"{interval(row['ci_low'], row['ci_high'])} (prompt uncertainty only: one seed)",
        "wins, ties, losses": f"{row['wins']:g}, {row['ties']:g}, {row['losses']:g} of {row['prompts']} prompts",
        "strict GRA": percent(row["gra_strict"]),
        "GRA, ties dropped": percent(row["gra_ties_dropped"]),
        "KL": f"{number(row['kl'])} nats",
        "log-ratios": f"chosen {number(beside.chosen_logratio)}, rejected {number(beside.rejected_logratio)} nats",
        "tokens per answer": f"{number(row['mean_tokens'], 1)}; baseline {number(row['baseline_mean_tokens'], 1)}, "
        f"ratio {number(beside.length_ratio)}",
        "GRA at equal length": NOTHING if beside.length_controlled is None else even,
        "ungrammatical": f"{percent(row['ungrammatical'])}; baseline {percent(row['baseline_ungrammatical'])}",
    }
    return [list(cell) for cell in cells.items()]


def _show_labels(labels: Mapping[str, Any], console: Console) -> None:
    console.print(
        f"Annotator: {percent(labels['accuracy_human'])} of {labels['n']} hidden human labels "
        f"(length alone: {percent(labels['length_only_accuracy'])}), "
        f"mean confidence {number(labels['mean_confidence'])}.",
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
