"""The queue, run by run and page by page: what is next, what it waits for, and how to change it."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app import allowed, untrusted
from app.components.frame import address, layout, tables
from app.components.frame.formats import counted
from app.components.keeping.undo import act, forget, show_last
from app.reads import results, timing
from cwpo.config.catalog import objective_label
from cwpo.report.listings import fields_of
from cwpo.report.numbers import duration
from cwpo.stages.graph import slot_name
from db import queries
from db.records.keeping import QueuedRun, QueuePage
from workers.api import keeping
from workers.api.people.access import Role
from workers.plan.eta import Eta

SHOWN = 25  # runs of a page
FROM = "queue_from"  # in the address: the place of the first run of the page
TICKED = "queue_ticked"  # runs, in the session: what is ticked follows its run when the run moves
COLUMNS = {"place": 50, "run": 230, "status": 80, "now": 150, "left": 70, "done in": 80, "priority": 62}
FIGURES = ("place", "left", "done in", "priority")
HELP = {
    "place": "Workers look at the run on place 1 first.",
    "run": "Its number, method, objective and seed, and its name where it has one.",
    "status": "running: a stage of it is computed. queued: none is yet. paused: none is started for it.",
    "now": "What of the run is computed, or starts next; else the stage of another run that it waits for.",
    "left": "Stages that are not finished yet, of all stages of the run.",
    "done in": "Until the run has ended, by the measured pace of such stages; a dash where none was measured.",
    "priority": "Higher goes first; of equal ones the older run.",
}


def show_queue_panel(files: list[tables.Drawn]) -> None:
    """Every live run in its order, and the verbs that change the order."""
    page, first = _page()
    layout.small("Queue")
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="queue_bar"):
        bar = st.container(horizontal=True, vertical_alignment="center", gap="small")
        _whole(page)
    if page.paused:
        layout.note("The queue is paused: running stages end as usual, and none is started until it is resumed.")
    show_last("queue")
    if not page.rows:
        layout.note("No run is queued or running.")
        return
    with st.container(key="queue_list"):
        ticked = _grid(page.rows)
    with bar:
        _verbs(ticked)
    files.append(_drawn(page.rows))
    _turns(page, first)


def _page() -> tuple[QueuePage, int]:
    """The page of the address and the place of its first run; the last page where the queue ends before."""
    skip = max(0, (address.integer(st.query_params, FROM) or 1) - 1)
    with results.reading() as session:
        page = queries.queued_runs(session, limit=SHOWN, skip=skip)
        if page.total and not page.rows:
            skip = (page.total - 1) // SHOWN * SHOWN
            page = queries.queued_runs(session, limit=SHOWN, skip=skip)
    return page, skip + 1


def _turns(page: QueuePage, first: int) -> None:
    """Where in the queue the page stands, and the ways to others."""
    last = first + len(page.rows) - 1
    if first == 1 and last == page.total:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="queue_pages"):
        if first > 1:
            before = first - SHOWN
            layout.turn("First page", "queue_first", **{FROM: ""})
            layout.turn("Previous", "queue_previous", **{FROM: str(before) if before > 1 else ""})
        if last < page.total:
            layout.turn("Next", "queue_next", **{FROM: str(last + 1)})
        st.caption(layout.span(first, len(page.rows), counted(page.total, "run")), width="content")


def _whole(page: QueuePage) -> None:
    label = "Resume the queue" if page.paused else "Pause the queue"
    command = keeping.resume_queue if page.paused else keeping.pause_queue
    why = allowed.may_not(Role.ADMIN)
    st.button(
        label, key="queue_whole", type="primary" if page.paused else "secondary", on_click=_switch, args=(command,),
        disabled=bool(why), help=why or None,
    )  # fmt: skip


def _verbs(ticked: Sequence[QueuedRun]) -> None:
    """For the ticked runs, as one block."""
    ids = tuple(run.id for run in ticked)
    may_not = allowed.may_not(Role.RUNNER)
    why = may_not or (None if ids else "Tick runs in the list: with the mouse, or with Shift and Space.")
    off = bool(why)
    for label, where in (("To the front", "front"), ("Up", "up"), ("Down", "down")):
        st.button(label, key=f"queue_{where}", disabled=off, help=why, on_click=_move, args=(ids, where))
    going = tuple(run.id for run in ticked if not run.paused)
    label, command = ("Resume", keeping.resume) if ids and not going else ("Pause", keeping.pause)
    st.button(label, key="queue_pause", disabled=off, help=why, on_click=_do, args=(command, going or ids))
    st.button("Cancel", key="queue_cancel", disabled=off, help=why, on_click=_do, args=(keeping.cancel, ids))


def _grid(rows: Sequence[QueuedRun]) -> list[QueuedRun]:
    """The list; the runs that are ticked."""
    before = st.session_state.get(TICKED, ())
    ticked = [place for place, run in enumerate(rows) if run.id in before]
    # A selection is one of positions: another order of runs is another grid, ticked where the same runs are now.
    key = f"queue_{hash(tuple(run.id for run in rows))}"
    event: Any = st.dataframe(
        pd.DataFrame(_lines(rows), columns=list(COLUMNS)),
        hide_index=True, key=key, on_select="rerun", selection_mode="multi-row", alt="Queue", height="content",
        column_config={
            name: st.column_config.TextColumn(
                name, width=width, alignment="right" if name in FIGURES else "left", help=HELP[name]
            )
            for name, width in COLUMNS.items()
        },
        selection_default={"selection": {"rows": ticked, "columns": [], "cells": []}},
    )  # fmt: skip
    chosen = [rows[place] for place in event.selection.rows if place < len(rows)]
    st.session_state[TICKED] = tuple(run.id for run in chosen)
    return chosen


def _lines(rows: Sequence[QueuedRun]) -> list[list[str]]:
    times = timing.etas()
    return [cells_of(run, times.get(run.id)) for run in rows]


def cells_of(run: QueuedRun, eta: Eta | None) -> list[str]:
    """Text that is ready to be read."""
    name = f"{run.id} · {run.method_label} · {objective_label(run.objective)} · seed {run.seed}"
    expected = "–" if eta is None or eta.done_in is None else duration(eta.done_in)
    return [
        str(run.place),
        untrusted.plain(f"{name} · {run.name}" if run.name else name, 100),
        "paused" if run.paused else run.status,
        _now(run),
        f"{run.stages_left} / {run.stages}",
        expected,
        str(run.priority),
    ]


def _now(run: QueuedRun) -> str:
    if run.running:
        return ", ".join(slot_name(slot) for slot in run.running)
    if run.next_slot:
        return f"next: {slot_name(run.next_slot)}"
    return f"waits for {slot_name(run.waits_for)}" if run.waits_for else "–"


def _drawn(rows: Sequence[QueuedRun]) -> tables.Drawn:
    columns = tuple(tables.Column(label=name, figures=name in FIGURES) for name in COLUMNS)
    return tables.Drawn(name="Queue", columns=columns, rows=_lines(rows), numbers=lambda: fields_of(rows))


def _switch(command: Callable[[], keeping.Done]) -> None:
    """The button says how it is, and takes itself back: no line is needed for it."""
    act(command)
    forget()


def _move(run_ids: tuple[int, ...], where: keeping.Where) -> None:
    act(lambda: keeping.move(run_ids, where))


def _do(command: Any, run_ids: tuple[int, ...]) -> None:
    act(lambda: command(run_ids))
