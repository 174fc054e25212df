"""`cwpo watch`: runs in the terminal until they end. A table that is drawn over where the output is a terminal, else a
line whenever something changed."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cwpo.errors import ConfigError
from cwpo.report.numbers import duration, interval, percent
from cwpo.stages.graph import slot_name
from db import queries
from db.errors import UnknownRun
from db.queries.people.keeping import queued_runs
from db.records import RunFilters, RunRow
from db.records.keeping import QueuedRun
from db.status import DONE, LIVE
from workers.cli.console import make_console
from workers.machine.database import reading
from workers.plan import queue_times
from workers.plan.eta import Eta

LOOK_EVERY = 1.0  # seconds
SAY_EVERY = 15.0  # seconds between lines that say only how far a stage is
MOST = 200


@dataclass(frozen=True, kw_only=True)
class Look:
    """The runs at one moment; `left`: those in the queue, `times`: when those end."""

    rows: tuple[RunRow, ...]
    left: Mapping[int, QueuedRun]
    times: Mapping[int, Eta]
    paused: bool

    @property
    def over(self) -> bool:
        """Whether every run ended."""
        return all(row.status not in LIVE for row in self.rows)


def main(run_ids: Sequence[int], *, console: Console | None = None) -> int:
    """Follow these runs, or all that are live now; 0 when each of them is done at the end."""
    ids = list(dict.fromkeys(run_ids)) or _live()
    console = console or make_console()
    last = _follow_live(ids, console) if console.is_terminal else _follow_lines(ids, console)
    return 0 if all(row.status == DONE for row in last.rows) else 1


def _live() -> list[int]:
    with reading() as session:
        page = queued_runs(session, limit=MOST)
    if not page.rows:
        raise ConfigError("run", "none is queued or running; name the runs to look at: `cwpo watch 7`.")
    return [run.id for run in page.rows]


def look(run_ids: Sequence[int]) -> Look:
    """How the runs are now; UnknownRun for the first that is not there."""
    with reading() as session:
        rows: list[RunRow] = []
        for archived in (False, True):
            filters = RunFilters(ids=tuple(run_ids), archived=archived)
            rows += queries.list_runs(session, filters=filters, after=None, limit=len(run_ids)).rows
        page, times = queued_runs(session, limit=MOST), queue_times.etas(session)
    there = {row.id: row for row in rows}
    gone = [run_id for run_id in run_ids if run_id not in there]
    if gone:
        raise UnknownRun(f"There is no run {gone[0]}: it was deleted, or the number is wrong.")
    return Look(
        rows=tuple(there[run_id] for run_id in run_ids),
        left={run.id: run for run in page.rows},
        times=times,
        paused=page.paused,
    )


def _follow_live(run_ids: Sequence[int], console: Console) -> Look:
    now = look(run_ids)
    with Live(_drawn(now), console=console, refresh_per_second=4) as live:
        while not now.over:
            time.sleep(LOOK_EVERY)
            now = look(run_ids)
            live.update(_drawn(now))
    for row in now.rows:
        if row.error:
            console.print(f"run {row.id}: {row.error}", markup=False, highlight=False)
    return now


def _follow_lines(run_ids: Sequence[int], console: Console) -> Look:
    """A line for each run at the start and whenever its status or stages change; how far a stage is, seldom."""
    said: dict[int, str] = {}
    said_at: dict[int, float] = {}
    while True:
        now = look(run_ids)
        for row in now.rows:
            mark = f"{row.status} {row.stages_done} {row.current_slot} {_is_paused(now, row)}"
            late = row.status in LIVE and time.monotonic() - said_at.get(row.id, 0.0) >= SAY_EVERY
            if mark != said.get(row.id) or late:
                console.print(f"run {row.id}: {', '.join(_words(now, row))}", markup=False, highlight=False)
                said[row.id], said_at[row.id] = mark, time.monotonic()
        if now.over:
            return now
        time.sleep(LOOK_EVERY)


def _drawn(now: Look) -> Group:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("run", "setting", "status", "stages", "now", "left"):
        table.add_column(heading, no_wrap=heading != "setting")
    for row in now.rows:
        setting = " · ".join(filter(None, (row.method_label, row.objective, f"seed {row.seed}", row.name)))
        table.add_row(str(row.id), *map(escape, (setting, *_cells(now, row))))
    ended = sum(row.status not in LIVE for row in now.rows)
    words = f"{ended} of {len(now.rows)} ended" + (". The queue is paused: cwpo queue resume" if now.paused else "")
    return Group(table, Text(words))


def _cells(now: Look, row: RunRow) -> list[str]:
    status = "paused" if _is_paused(now, row) else row.status
    return [status, f"{row.stages_done}/{row.stages}", _result(row) or _progress(now, row), _time_left(now, row)]


def _words(now: Look, row: RunRow) -> list[str]:
    """One line: status and stages, what is computed or came of it, what is expected."""
    status = f"paused ({row.status})" if _is_paused(now, row) else row.status
    parts = [f"{status} {row.stages_done}/{row.stages}", _result(row) or _progress(now, row)]
    left = _time_left(now, row)
    return [*filter(None, parts), *([f"about {left} left"] if left else []), *([row.error] if row.error else [])]


def _is_paused(now: Look, row: RunRow) -> bool:
    return row.status in LIVE and (row.paused or now.paused)


def _progress(now: Look, row: RunRow) -> str:
    if row.status not in LIVE:
        return ""
    if row.current_slot:
        share = f" {100 * (row.current_done or 0) // row.current_total} %" if row.current_total else ""
        return f"{slot_name(row.current_slot)}{share}"
    queued = now.left.get(row.id)
    return f"place {queued.place} in the queue" if queued else ""


def _result(row: RunRow) -> str:
    found = row.evaluation
    if found is None or row.status != DONE:
        return ""
    return f"GRA {percent(found.gra)} ({interval(found.ci_low, found.ci_high)})"


def _time_left(now: Look, row: RunRow) -> str:
    eta = now.times.get(row.id)
    return duration(eta.done_in) if eta and eta.done_in else ""
