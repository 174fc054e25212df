"""The grid of runs: a heading sorts the whole list, a tick stays where it is, a button opens; nothing else does."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.components.frame import layout
from app.components.frame.address import RunsView
from app.components.runs import table as runs_table
from app.components.runs import ticks
from app.components.runs.columns import Column, sorted_by
from app.components.runs.table import Line

UP, DOWN = " ↑", " ↓"


def show_grid(table: Sequence[Line], shown: Sequence[Column], sort: str) -> Line | None:
    """Draw the lines; the line whose button was pressed, if any was."""
    place = hash((tuple(line.key for line in table), sort, ticks.generation()))  # selection is by position
    key = f"runs_{place}"
    chosen = ticks.rows_of(table, ticks.ticked())
    if st.session_state.get(ticks.SHOWN, ("", []))[0] != key:
        st.session_state[ticks.SHOWN] = (key, chosen)
    frame = runs_table.frame(table, shown)
    st.dataframe(
        frame.style.apply(lambda _: runs_table.inks(table, layout.look(), shown), axis=None),
        hide_index=True,
        height="content",
        key=key,
        on_select=lambda: _selected(key, [line.run_ids for line in table], shown),
        selection_mode=["multi-row", "single-column"],
        selection_default={"selection": {"rows": chosen, "columns": []}},
        column_config=_columns(f"runs_open_{place}", shown, sort),
        alt="Runs",
    )
    pressed = st.session_state.get(f"runs_open_{place}")
    return table[pressed["row"]] if pressed is not None and pressed["row"] < len(table) else None


def _selected(key: str, lines: Sequence[Sequence[int]], shown: Sequence[Column]) -> None:
    """A click in the grid goes to the address: a heading orders the list, a tick ticks runs."""
    selection: Any = st.session_state[key]["selection"]
    by_label = {column.label: column for column in shown}
    if heading := [by_label[label] for label in selection["columns"] if label in by_label]:
        sort = RunsView.from_params(st.query_params).sort
        layout.set_params(sort=sorted_by(sort, heading[0].key), after="")
    if selection["columns"]:
        ticks.draw_anew()
        return
    grid, before = st.session_state.get(ticks.SHOWN, (key, []))
    now = list(selection["rows"])
    run_ids = ticks.after_click(ticks.ticked(), lines, before if grid == key else [], now)
    ticks.set_ticked(run_ids)
    st.session_state[ticks.SHOWN] = (key, now)
    chosen = set(run_ids)
    if [row for row, ids in enumerate(lines) if ids and chosen.issuperset(ids)] != sorted(now):
        ticks.draw_anew()  # another line has the same runs


def _columns(key: str, shown: Sequence[Column], sort: str) -> dict[str, Any]:
    """Text, and the button that opens a line."""
    texts = {
        column.label: st.column_config.TextColumn(
            column.label + _arrow(column, sort),
            width=column.width,
            alignment="right" if column.figures else "left",
            help=column.help or None,
        )
        for column in shown
    }
    button = st.column_config.ButtonColumn("", width=runs_table.OPEN_WIDTH, type="tertiary", alignment="left", key=key)
    return {**texts, runs_table.OPEN: button}


def _arrow(column: Column, sort: str) -> str:
    if sort.removeprefix("-") != column.key:
        return ""
    return DOWN if sort.startswith("-") else UP
