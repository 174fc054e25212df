"""How the list is ordered, grouped, and which columns it has; each choice goes to the address at once."""

from collections.abc import Collection, Sequence
from typing import Any

import streamlit as st

from app.components.frame import layout, leaving
from app.components.frame.address import RunsView
from app.components.runs import columns
from app.components.runs.columns import Column
from db.records.listing import EACH_RUN, SETTING

SORT, GROUP, COLUMNS = "runs_sort_by", "runs_group_by", "runs_columns"
GROUPINGS = {SETTING: "setting, without seed", EACH_RUN: "nothing: one line per run"}
MOST_COLUMNS = 24


def show_controls(view: RunsView, known: Collection[str], shown: Sequence[Column]) -> None:
    """One quiet line: sort by, its direction, group by, columns."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _sort(view, known, shown)
        _group(view, known)
        _columns(view, known, shown)


def _sort(view: RunsView, known: Collection[str], shown: Sequence[Column]) -> None:
    key = view.sort.removeprefix("-")
    offered = list(dict.fromkeys(["", *(one.key for one in shown), *columns.offered(known), key]))
    _choice(
        "Sort by", SORT, offered, key, _chose_sort, 190,
        lambda name: f"Sort by {columns.name_of(name) if name else 'newest'}",
    )  # fmt: skip
    down = view.sort.startswith("-") or not view.sort
    st.button(
        "↓" if down else "↑",
        key="runs_direction",
        type="tertiary",
        disabled=not key,
        help="The largest, or the last of the alphabet, come first." if down else "The smallest come first.",
        on_click=_turn_round,
    )


def _group(view: RunsView, known: Collection[str]) -> None:
    group = view.group or SETTING
    fields = [key for key in columns.offered(known) if key in known and not columns.is_figure(key)]
    offered = list(dict.fromkeys([*GROUPINGS, *fields, group]))
    _choice(
        "Group by", GROUP, offered, group, _chose_group, 220,
        lambda name: f"Group by {GROUPINGS.get(name) or columns.name_of(name)}",
    )  # fmt: skip


def _columns(view: RunsView, known: Collection[str], shown: Sequence[Column]) -> None:
    now = [one.key for one in shown if one.key != "setting"]
    with st.popover("Columns", type="tertiary", key="runs_columns_folded"):
        own = layout.key_of(COLUMNS, now)
        st.multiselect(
            "Columns, in their order",
            [key for key in dict.fromkeys([*columns.offered(known, view.group), *now]) if key != "setting"],
            key=own,
            format_func=columns.name_of,
            on_change=_chose_columns,
            args=(own, now),
            max_selections=MOST_COLUMNS,
            wrap=True,
            help="Any field of the configuration, and any figure of a stage.",
        )
        st.button("Usual columns", key="runs_usual_columns", on_click=layout.set_params, kwargs={"columns": ""},
                  disabled=not view.columns)  # fmt: skip


def _choice(label: str, name: str, offered: Sequence[str], chosen: str, on_change: Any, width: int, words: Any) -> None:
    """A list to choose from that always shows what the address says."""
    own = layout.key_of(name, chosen)
    st.selectbox(
        label, offered, key=own, format_func=words, on_change=on_change, args=(own, chosen), width=width,
        label_visibility="collapsed",
    )  # fmt: skip


def _chose_sort(own: str, shown: str) -> None:
    if (key := layout.chosen_in(own, shown)) is not None:
        layout.set_params(sort=columns.sorted_by("", key) if key else "", after="", before="")


def _turn_round() -> None:
    sort = leaving.here(RunsView).sort
    layout.set_params(sort=columns.sorted_by(sort, sort.removeprefix("-")) if sort else "", after="", before="")


def _chose_group(own: str, shown: str) -> None:
    if (group := layout.chosen_in(own, shown)) is not None:
        layout.set_params(group="" if group == SETTING else group, after="", before="", open="", columns="")


def _chose_columns(own: str, shown: Sequence[str]) -> None:
    if (keys := layout.chosen_in(own, shown)) is not None:
        usual = [one.key for one in columns.chosen(leaving.here(RunsView).group, ()) if one.key != "setting"]
        layout.set_params(columns="" if keys == usual else ",".join(keys))
