"""What nobody needs on the disk: looked for on a click, deleted on a second one after its size was said."""

from collections.abc import Sequence

import streamlit as st

from app import allowed
from app.components.frame import layout, tables
from app.components.frame.formats import counted
from app.components.frame.tables import Column
from cwpo.errors import CwpoError
from cwpo.report.listings import fields_of
from cwpo.report.numbers import size
from db.errors import DatabaseError
from workers.api import disk
from workers.api.people.access import Role

FOUND, SAID = "leftovers_found", "leftovers_said"  # in the session: looking takes long on a large disk
COLUMNS = (
    Column(label="not needed"),
    Column(label="to delete", figures=True),
    Column(label="size", figures=True),
    Column(label="in use or young", figures=True),
)


def show_leftovers(files: list[tables.Drawn]) -> None:
    """A button to look, then the sizes by kind and a button to delete; the same as `cwpo gc`."""
    st.button("Look for what nobody needs", key="leftovers_look", on_click=_look)
    if said := st.session_state.get(SAID):
        layout.note(said)
    found: Sequence[disk.Leftover] | None = st.session_state.get(FOUND)
    if found is None:
        return
    sums = disk.sums(found)
    if not sums:
        layout.note("Nothing lies here that nobody needs.")
        return
    rows = [(one.kind, f"{one.number:,}", size(one.bytes), f"{one.held:,}") for one in sums]
    tables.show_with_file(files, COLUMNS, rows, alt="Not needed, by kind", numbers=lambda: fields_of(sums))
    layout.note("; ".join(f"{one.kind}: {disk.MEANINGS[one.kind]}" for one in sums) + ".")
    going = [one for one in found if not one.held and one.kind != disk.UNNAMED]
    why = allowed.may_not(Role.ADMIN)
    with st.popover("Delete …", disabled=not going or bool(why), help=why or None, key="leftovers_ask"):
        st.text(f"Frees {size(sum(one.bytes for one in going))} in {counted(len(going), 'folder')}.", width=320)
        layout.note("There is no way back. What a stage needs that waits or is computed stays, and so does unnamed.")
        st.button("Delete", key="leftovers_delete", type="primary", on_click=_delete)
    layout.note("`cwpo gc` says the same in a terminal, `cwpo gc --delete --unnamed` deletes unnamed artifacts too.")


def _look() -> None:
    st.session_state.pop(SAID, None)
    try:
        st.session_state[FOUND] = disk.look()
    except (CwpoError, DatabaseError) as error:
        st.session_state[SAID] = str(error)


def _delete() -> None:
    try:
        gone = disk.delete(st.session_state.get(FOUND) or ())
    except (CwpoError, DatabaseError) as error:
        st.session_state[SAID] = str(error)
        return
    st.session_state[SAID] = f"Deleted {counted(len(gone), 'folder')}, {size(sum(one.bytes for one in gone))}."
    st.session_state.pop(FOUND, None)
