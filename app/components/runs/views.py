"""Saved views of the list: its filters, order, grouping and columns under a name; one of them may be what Runs opens
with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from app import allowed, untrusted
from app.components.frame import layout
from app.components.frame.address import RunsView
from app.components.frame.leaving import become, leave
from db.errors import DatabaseError
from db.records.listing import SavedViewRow
from workers.api.people import views as commands
from workers.api.people.access import Role

ALL = "all"  # in the address: all runs, though another view is the one that Runs opens with
NAME, NEW_NAME = "runs_view_name", "runs_view_new_name"
GONE = "runs_view_gone"  # the view that was deleted last


def open_default(kept: Sequence[SavedViewRow]) -> None:
    """An address that says nothing is that of the view that people chose for it."""
    first = next((row for row in kept if row.is_default), None)
    if first is not None and not st.query_params:
        become(_view(first.params, first.id))


def show_views(view: RunsView, kept: Sequence[SavedViewRow]) -> None:
    """What can be opened, what can be done to the view that is open, and a name for what is shown now."""
    current = next((row for row in kept if str(row.id) == view.view), None)
    with st.popover(untrusted.label(current.name, 22) if current else "Views", key="runs_views", width="stretch"):
        for row in kept:
            st.button(
                untrusted.label(row.name) + (" · opens first" if row.is_default else ""),
                key=f"runs_view_{row.id}", type="tertiary", on_click=_open, args=(row.params, row.id),
            )  # fmt: skip
        if kept:
            st.button("All runs", key="runs_view_all", type="tertiary", on_click=_open, args=({}, ALL))
        if current is not None:
            _show_current(current, view)
        _show_gone()
        with st.form("runs_view_save", border=False, clear_on_submit=True):
            name = st.text_input("Save what is shown as", key=NAME, placeholder="name", max_chars=80)
            if st.form_submit_button("Save view", **allowed.only_for(Role.ANNOTATOR)):
                _do(lambda: _save(name, view))


def parameters(view: RunsView) -> dict[str, Any]:
    """What a view keeps: which list it is, and not where in it somebody is."""
    return replace(view, after="", before="", open=(), ticked=(), view="").to_params()


def _show_current(row: SavedViewRow, view: RunsView) -> None:
    st.divider()
    changed = parameters(view) != row.params
    with st.container(horizontal=True, gap="small"):
        about = "Keep what is shown now under this name."
        if st.button(
            "Replace", key="runs_view_replace", **allowed.only_for(Role.ANNOTATOR, disabled=not changed, about=about)
        ):
            _do(lambda: commands.replace_view(row.id, parameters(view)))
        if st.button("Do not open first" if row.is_default else "Open first", key="runs_view_first",
                     **allowed.only_for(Role.RUNNER, about="What Runs opens with.")):  # fmt: skip
            _do(lambda: commands.set_default_view(None if row.is_default else row.id))
        if st.button("Delete", key="runs_view_delete", **allowed.only_for(Role.ANNOTATOR, about="The runs stay.")):
            _do(lambda: _delete(row))
    with st.form("runs_view_rename", border=False):
        name = st.text_input("Rename", value=row.name, key=f"{NEW_NAME}_{row.id}", max_chars=80)
        if st.form_submit_button("Rename", **allowed.only_for(Role.ANNOTATOR)):
            _do(lambda: commands.rename_view(row.id, name))


def _do(change: Any) -> None:
    """Change something and show it; one sentence where it cannot be."""
    try:
        change()
    except DatabaseError as error:
        layout.problem(error)
        return
    st.rerun()


def _save(name: str, view: RunsView) -> None:
    layout.set_params(view=str(commands.save_view(name, parameters(view))))


def _delete(row: SavedViewRow) -> None:
    commands.delete_view(row.id)
    st.session_state[GONE] = row
    layout.set_params(view="")


def _show_gone() -> None:
    """The way back, as long as the session lasts."""
    row: SavedViewRow | None = st.session_state.get(GONE)
    if row is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(untrusted.label(f"{row.name} is deleted."), width="content")
        if st.button("Put it back", key="runs_view_back", type="tertiary", **allowed.only_for(Role.ANNOTATOR)):
            _do(lambda: _put_back(row))


def _put_back(row: SavedViewRow) -> None:
    view_id = commands.save_view(row.name, row.params)
    st.session_state.pop(GONE)
    if row.is_default:
        commands.set_default_view(view_id)
    layout.set_params(view=str(view_id))


def _open(params: Mapping[str, Any], view_id: int | str) -> None:
    leave(_view(params, view_id))


def _view(params: Mapping[str, Any], view_id: int | str) -> RunsView:
    """A saved view; what is ticked stays."""
    ticked = RunsView.from_params(st.query_params).ticked
    return replace(RunsView.from_params(params), view=str(view_id), after="", before="", open=(), ticked=ticked)
