"""Runs: what have I got, what is going on?"""

from typing import Any

import streamlit as st

from app.components.frame import layout
from app.components.frame.address import CompareView, NewRunView, RunsView, RunView
from app.components.frame.export import show_export
from app.components.frame.filters import RUN_DEFAULTS, run_filters
from app.components.frame.leaving import leave
from app.components.run.card_waits import show_card_waits
from app.components.runs import table as runs_table
from app.components.runs.bulk import show_bulk
from app.components.runs.table import Line
from app.reads import results
from db import queries
from db.records import Cursor, GroupPage, RunFilters

PAGE = 40  # settings
REFRESH = "3s"


def page() -> None:
    layout.heading("Runs", "one line per setting, pooled over its seeds; tick lines to compare them")
    layout.show_flash()
    layout.service_notice()
    left, right = layout.filters_and_list()
    with left:
        view = run_filters()
    with right:
        groups = _read(view)
        if not groups.groups:
            show_bulk(())
            _nothing(view)
            return
        live = any(row.status in runs_table.LIVE for group in groups.groups for row in group.rows)
        layout.fragment(_table, run_every=REFRESH if live else None)(view)


def _read(view: RunsView) -> GroupPage:
    filters = RunFilters(
        status=view.status,
        method=view.method,
        objective=view.objective,
        dataset=(view.dataset,) if view.dataset else (),
        text=view.q,
        archived=view.archived,
    )
    with results.reading() as session:
        after = Cursor.decode(view.after, value=None, key=int)
        return queries.list_groups(session, filters=filters, after=after, limit=PAGE)


def _nothing(view: RunsView) -> None:
    if view == RunsView():
        layout.empty_state(
            "A small model learns from a few human labels, labels the remaining pairs and says how sure it is of each: "
            "a confidence C from 0 to 1. A larger model is then aligned with every pair weighted by its C. Whether "
            "that beats human labels alone, or weak labels without weights, is measured by GRA, gold reward accuracy: "
            "how often a gold reward model prefers the aligned model's answer to the answer from before. "
            "Your runs will be listed here with their GRA and its interval over seeds.",
            "Set up the first comparison",
            "screens/new_run.py",
        )
    else:
        layout.nothing_fits("No run fits these filters.", "Show all runs", RUN_DEFAULTS)


def _table(view: RunsView) -> None:
    page = _read(view)
    opened = RunsView.from_params(st.query_params).open
    names = results.configs_of([group.rows[0] for group in page.groups])
    table = runs_table.lines(page.groups, results.results_of(page.groups), opened, names)
    bar = st.container(horizontal=True, vertical_alignment="center")
    marks = st.container()
    chosen = _grid(table)
    _bar(bar, page, chosen)
    with marks:
        show_bulk(tuple(dict.fromkeys(run_id for line in chosen for run_id in line.run_ids)))
    configs = results.configs_of(runs_table.evaluated(page.groups))
    show_export([runs_table.export(page.groups, table, configs)])
    show_card_waits([row.id for group in page.groups for row in group.rows if row.status in runs_table.LIVE])
    layout.note(runs_table.caption(page.groups, configs))
    with st.container(horizontal=True):
        if view.after:
            layout.turn("Newest settings", "newest", after="", open="")
        if page.next is not None:
            layout.turn("Older settings", "older", after=page.next.encode(), open="")


def _grid(table: list[Line]) -> list[Line]:
    """The grid; the button of a line opens it, ticked lines are given back."""
    place = hash(tuple(line.key for line in table))  # selection is by position: another list, another grid
    frame = runs_table.frame(table)
    event: Any = st.dataframe(
        frame.style.apply(lambda _: runs_table.inks(table, layout.look()), axis=None),
        hide_index=True,
        height="content",
        key=f"runs_{place}",
        on_select="rerun",
        selection_mode="multi-row",
        column_config=_columns(f"runs_open_{place}"),
        alt="Runs by setting",
    )
    pressed = st.session_state.get(f"runs_open_{place}")
    if pressed is not None and pressed["row"] < len(table):
        _open(table[pressed["row"]])
    return [table[row] for row in event.selection.rows if row < len(table)]


def _columns(key: str) -> dict[str, Any]:
    """Text, and the button that opens a line: nothing else of the grid does."""
    texts = {
        name: st.column_config.TextColumn(
            name,
            width=width,
            alignment="right" if name in runs_table.FIGURES else "left",
            help=runs_table.HELP.get(name),
        )
        for name, width in runs_table.COLUMNS.items()
    }
    button = st.column_config.ButtonColumn("", width=runs_table.OPEN_WIDTH, type="tertiary", alignment="left", key=key)
    return {**texts, runs_table.OPEN: button}


def _open(line: Line) -> None:
    """One run has a page; a setting with several seeds shows them, or hides them again."""
    if len(line.run_ids) == 1:
        leave(RunView(run=line.run_ids[0]))
    opened = list(RunsView.from_params(st.query_params).open)
    if line.key in opened:
        opened.remove(line.key)
    else:
        opened.append(line.key)
    layout.set_params(open=",".join(opened))
    st.rerun()


def _bar(bar: Any, page: GroupPage, chosen: list[Line]) -> None:
    run_ids = tuple(dict.fromkeys(run_id for line in chosen for run_id in line.run_ids))
    with bar:
        # On the left: the grid's own tools come up on the right, over whatever stands there.
        new = st.button("New run", type="primary", key="new_run")
        compare = st.button(
            f"Compare {len(chosen)} lines" if len(chosen) > 1 else "Compare",
            disabled=len(chosen) < 2,
            help=None if len(chosen) > 1 else "Tick at least two lines.",
            key="compare",
        )
        # The way of a keyboard: Shift and Space tick the line that has the focus.
        opened = st.button(
            "Open",
            disabled=len(chosen) != 1,
            help=None if len(chosen) == 1 else "Tick one line.",
            key="open_ticked",
        )
        st.space("small")
        st.caption(runs_table.headline(page.groups, page.total), width="content")
    if opened:
        _open(chosen[0])
    if compare:
        leave(CompareView(runs=run_ids))
    if new:
        leave(NewRunView())


with layout.guarded():
    page()
