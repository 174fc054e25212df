"""Runs: what have I got, what is going on?"""

from typing import Any

import streamlit as st

from app.components.frame import layout
from app.components.frame.address import CompareView, NewRunView, RunsView, RunView
from app.components.frame.export import show_export
from app.components.frame.filters import RUN_DEFAULTS, run_filters
from app.components.frame.formats import counted
from app.components.frame.leaving import leave
from app.components.keeping.marks import kept
from app.components.run.card_waits import show_card_waits
from app.components.runs import listed, ticks, views
from app.components.runs import table as runs_table
from app.components.runs.bulk import show_bulk
from app.components.runs.controls import show_controls
from app.components.runs.grid import draw_anew, show_grid
from app.components.runs.listed import Shown
from app.components.runs.table import Line
from app.components.runs.watch import watch
from app.reads import runs as reads
from cwpo.report.document.meanings import GRA_IN_WORDS
from db.records.listing import Around, Version

REFRESH = "3s"


def page() -> None:
    layout.heading("Runs", "pooled over seeds, one by one, or by any field; tick lines to compare them")
    layout.show_flash()
    layout.service_notice()
    around = reads.around()
    views.open_default(around.views)
    left, right = layout.filters_and_list()
    with left, st.container(key="runs_all_filters"):
        above = st.container()
        with st.container(key="runs_filters"):
            view = run_filters(around.tags)
        with above:
            views.show_views(view, around.views)
    with right:
        layout.fragment(_table, run_every=REFRESH if around.version.is_live else None)(view, around)
        watch(around.version)


def _nothing(view: RunsView) -> None:
    if all(not getattr(view, name) for name in RUN_DEFAULTS):
        layout.empty_state(
            "CW-PO, confidence-weighted preference optimization: a small model learns from a few human labels, labels "
            "the remaining pairs and says how sure it is of each: a confidence C from 0 to 1. A larger model is then "
            "aligned with every pair weighted by its C. Whether that beats human labels alone, or weak labels without "
            "weights, is measured by GRA, gold reward accuracy: how often a gold reward model prefers the aligned "
            "model's answer to the answer from before. "
            "Your runs will be listed here with their GRA and its interval over seeds.",
            "Set up the first comparison",
            "screens/new_run.py",
        )
    else:
        layout.nothing_fits("No run fits these filters.", "Show all runs", RUN_DEFAULTS)


def _table(filtered: RunsView, around: Around) -> None:
    """The list. Its filters stand outside and are those of the page; all else is in the address by now."""
    view = filtered.placed(RunsView.from_params(st.query_params))
    shown = listed.read(view)
    if not shown.lines:
        show_bulk((), paused=around.version.paused, hint=False)
        _nothing(view)
        return
    bar = st.container(horizontal=True, vertical_alignment="center")
    acted = st.container()
    show_controls(view, around.keys, shown.columns)
    pressed = show_grid(shown.lines, shown.columns, view.sort)
    run_ids = ticks.ticked()
    runs = kept(run_ids) if run_ids else []  # the address may still name some that are gone
    with acted:
        show_bulk(runs, paused=around.version.paused, hint=True)
    _bar(bar, shown, tuple(run.id for run in runs), around.version)
    if pressed is not None:
        _open(pressed)
    show_export([runs_table.export(shown.groups, shown.lines, shown.configs, shown.columns)])
    show_card_waits(shown.waiting)
    layout.note(f"{GRA_IN_WORDS} {shown.note}")
    with st.container(horizontal=True, vertical_alignment="center"):
        layout.turns(shown.page.next, shown.page.previous, placed=bool(view.after or view.before), open="")
        if view.after or view.before or shown.page.next is not None:
            st.caption(shown.place, width="content")


def _open(line: Line) -> None:
    """A run has a page; a line of several runs shows them, or hides them again."""
    if len(line.run_ids) == 1 and line.button == runs_table.OPEN_RUN:
        leave(RunView(run=line.run_ids[0]))
    opened = list(RunsView.from_params(st.query_params).open)
    if line.key in opened:
        opened.remove(line.key)
    else:
        opened.append(line.key)
    layout.set_params(open=",".join(opened))
    st.rerun()


def _bar(bar: Any, shown: Shown, run_ids: tuple[int, ...], seen: Version) -> None:
    lines = [shown.lines[row] for row in ticks.rows_of(shown.lines, run_ids)]
    elsewhere = set(run_ids) - {run_id for line in shown.lines for run_id in line.run_ids}
    comparable = len(run_ids) > 1 and (len(lines) > 1 or bool(elsewhere))
    with bar:
        # On the left: the grid's own tools come up on the right, over whatever stands there.
        new = st.button("New run", type="primary", key="new_run")
        compare = st.button(
            f"Compare {counted(len(run_ids), 'run')}" if comparable else "Compare",
            disabled=not comparable,
            help=None if comparable else "Tick at least two lines.",
            key="compare",
        )
        # The way of a keyboard: Shift and Space tick the line that has the focus.
        opened = st.button(
            "Open",
            disabled=len(lines) != 1 or bool(elsewhere),
            help=None if len(lines) == 1 else "Tick one line.",
            key="open_ticked",
        )
        st.space("small")
        if run_ids:
            st.caption(f"{counted(len(run_ids), 'run')} ticked", width="content")
            st.button("Clear", key="runs_clear", type="tertiary", on_click=_clear)
        if said := ticks.refused():
            st.caption(said, width="content")
        st.caption(_headline(shown, seen), width="content")
    if opened:
        _open(lines[0])
    if compare:
        leave(CompareView(runs=run_ids))
    if new:
        leave(NewRunView())


def _clear() -> None:
    ticks.set_ticked(())
    draw_anew()


def _headline(shown: Shown, seen: Version) -> str:
    live = [f"{number:,} {name}" for number, name in ((seen.running, "running"), (seen.queued, "queued")) if number]
    return layout.MIDDLE_DOT.join([shown.headline, *live])


with layout.guarded():
    page()
