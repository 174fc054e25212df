"""The grid of runs: a heading sorts the whole list, a tick stays where it is, a button opens; nothing else does."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from app.components.frame import layout, leaving
from app.components.frame.address import RunsView
from app.components.runs import table as runs_table
from app.components.runs import ticks
from app.components.runs.columns import Column, sorted_by, width_for
from app.components.runs.table import Line

UP, DOWN = " ↑", " ↓"
TICKED = "runs_ticked_in"  # (grid, its ticked rows): what a click changed is seen beside what was there
EARLIER = "runs_ticked_earlier"  # the same of grids before it: a browser that waits for an answer still shows them
MOST_EARLIER = 8
# (grid, heading) of the last click: a browser that shows that grid still says it again when it asks for news, and what
# the server has forgotten with the grid counts as a click.
SORTED = "runs_sorted_in"


def show_grid(table: Sequence[Line], shown: Sequence[Column], sort: str) -> Line | None:
    """Draw the lines; the line whose button was pressed, if any was."""
    chosen = ticks.rows_of(table, ticks.ticked())
    key, button = _keys(table)
    grid, before, _ = st.session_state.get(TICKED, ("", [], 0))
    if grid == key and before != chosen:
        draw_anew()  # the address says so, and no click: Back, Forward
        key, button = _keys(table)
    if grid != key:
        earlier = [*st.session_state.get(EARLIER, {}).items(), (grid, before)]
        st.session_state[EARLIER] = dict(earlier[-MOST_EARLIER:])
        st.session_state[TICKED] = (key, chosen, st.session_state.get(TICKED, ("", [], 0))[2])
    frame = runs_table.frame(table, shown)
    st.dataframe(
        frame.style.apply(lambda _: runs_table.inks(table, layout.look(), shown), axis=None),
        hide_index=True,
        height="content",
        key=key,
        on_select=partial(_selected, key, [line.run_ids for line in table], shown),
        selection_mode=["multi-row", "single-column"],
        selection_default={"selection": {"rows": chosen, "columns": []}},
        column_config=_columns(button, table, shown, sort),
        alt="Runs",
    )
    pressed = st.session_state.get(button)
    return table[pressed["row"]] if pressed is not None and pressed["row"] < len(table) else None


def _keys(table: Sequence[Line]) -> tuple[str, str]:
    """Of the grid and of its buttons: clicks are by position, so another list is another grid."""
    place = hash((tuple(line.key for line in table), st.session_state.get(TICKED, ("", [], 0))[2]))
    return f"runs_grid_{place}", f"runs_open_{place}"


def draw_anew() -> None:
    """Let the grid show what the address says is ticked, and not what was clicked in it."""
    grid, rows, anew = st.session_state.get(TICKED, ("", [], 0))
    st.session_state[TICKED] = (grid, rows, anew + 1)


def _selected(key: str, lines: Sequence[Sequence[int]], shown: Sequence[Column]) -> None:
    """A click in the grid goes to the address: a heading orders the list, a tick ticks runs."""
    selection: Any = st.session_state[key]["selection"]
    by_label = {column.label: column for column in shown}
    if selection["columns"]:
        if st.session_state.get(SORTED) == (key, selection["columns"][0]):
            return
        st.session_state[SORTED] = (key, selection["columns"][0])
        column = by_label.get(selection["columns"][0])
        if column is not None and column.order:
            sort = leaving.here(RunsView).sort
            draw_anew()
            layout.set_params(sort=sorted_by(sort, column.key), after="", before="")
        draw_anew()
        return
    grid, before, anew = st.session_state.get(TICKED, ("", [], 0))
    now = sorted(selection["rows"])
    if grid != key:
        before = st.session_state.get(EARLIER, {}).get(key, [])
        st.session_state[EARLIER] = {**st.session_state.get(EARLIER, {}), key: now}
    if not ticks.set_ticked(ticks.after_click(ticks.ticked(), lines, before, now)):
        draw_anew()
        return
    if grid == key:
        st.session_state[TICKED] = (key, now, anew)
    if ticks.rows_of_ids(lines, ticks.ticked()) != now:
        draw_anew()  # another line has the same runs


def _columns(button: str, table: Sequence[Line], shown: Sequence[Column], sort: str) -> dict[str, Any]:
    """Text, and the button that opens a line."""
    texts = {
        column.label: st.column_config.TextColumn(
            column.label + _arrow(column, sort),
            width=width_for(column, (line.cells.get(column.label, "") for line in table)),
            alignment="right" if column.figures else "left",
            help=column.help or None,
        )
        for column in shown
    }
    opening = st.column_config.ButtonColumn(
        "", width=runs_table.OPEN_WIDTH, type="tertiary", alignment="left", key=button
    )
    return {**texts, runs_table.OPEN: opening}


def _arrow(column: Column, sort: str) -> str:
    if sort.removeprefix("-") != column.key:
        return ""
    return DOWN if sort.startswith("-") else UP
