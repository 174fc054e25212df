"""Runs: what have I got, what is going on?"""

from typing import Any

import streamlit as st

from app.components.frame import layout
from app.components.frame.address import CompareView, RunsView, RunView
from app.components.frame.export import show_export
from app.components.frame.filters import RUN_DEFAULTS, run_filters
from app.components.runs import table as runs_table
from app.components.runs.table import Line
from app.reads import results
from db import queries
from db.records import Cursor, GroupPage, RunFilters

PAGE = 40  # settings
REFRESH = "3s"


def page() -> None:
    layout.heading(
        "Runs", "one line per setting, pooled over its seeds; open a line for its seeds, tick lines to compare"
    )
    layout.show_flash()
    layout.service_notice()
    left, right = layout.filters_and_list()
    with left:
        view = run_filters()
    with right:
        groups = _read(view)
        if not groups.groups:
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
            "Your runs will be listed here: status, method, objective and GRA with its interval over seeds.",
            "Set up the first comparison",
            "screens/new_run.py",
        )
    else:
        layout.nothing_fits("No run fits these filters.", "Show all runs", RUN_DEFAULTS)


def _table(view: RunsView) -> None:
    page = _read(view)
    opened = RunsView.from_params(st.query_params).open
    table = runs_table.lines(page.groups, results.results_of(page.groups), opened)
    bar = st.container(horizontal=True, vertical_alignment="center")
    chosen = _grid(table)
    _bar(bar, page, chosen)
    configs = results.configs_of(runs_table.evaluated(page.groups))
    show_export([runs_table.export(page.groups, table, configs)])
    layout.note(runs_table.caption(page.groups, configs))
    with st.container(horizontal=True):
        if view.after:
            layout.turn("Newest settings", "newest", after="", open="")
        if page.next is not None:
            layout.turn("Older settings", "older", after=page.next.encode(), open="")


def _grid(table: list[Line]) -> list[Line]:
    """The grid; a click on a line opens it, ticked lines are given back."""
    key = f"runs_{hash(tuple(line.key for line in table))}"  # selection is by position: another list, another grid
    frame = runs_table.frame(table)
    event: Any = st.dataframe(
        frame.style.apply(lambda _: runs_table.inks(table, layout.look()), axis=None),
        hide_index=True,
        height="content",
        key=key,
        on_select="rerun",
        selection_mode=["multi-row", "single-cell"],
        column_config={
            name: st.column_config.TextColumn(
                name, width=width, alignment="right" if name in runs_table.FIGURES else "left"
            )
            for name, width in runs_table.COLUMNS.items()
        },
        alt="Runs by setting",
    )
    if event.selection.cells:
        _open(table[event.selection.cells[0][0]])
    return [table[place] for place in event.selection.rows if place < len(table)]


def _open(line: Line) -> None:
    """One run has a page; a setting with several seeds shows them, or hides them again."""
    if len(line.run_ids) == 1:
        st.switch_page("screens/run.py", query_params=RunView(run=line.run_ids[0]).to_params())
    opened = list(RunsView.from_params(st.query_params).open)
    if line.key in opened:
        opened.remove(line.key)
    else:
        opened.append(line.key)
    if opened:
        st.query_params["open"] = ",".join(opened)
    else:
        st.query_params.pop("open", None)
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
        st.space("small")
        st.caption(runs_table.headline(page.groups, page.total), width="content")
    if compare:
        st.switch_page("screens/compare.py", query_params=CompareView(runs=run_ids).to_params())
    if new:
        st.switch_page("screens/new_run.py")


with layout.guarded():
    page()
