"""Runs that were deleted lately: whoever looks brings them back, also where nothing of the session is left that deleted
them."""

from collections.abc import Sequence

import streamlit as st

from app import allowed, untrusted
from app.components.frame import layout
from app.components.frame.formats import ago, counted
from app.reads import results
from cwpo.config.catalog import objective_label
from cwpo.errors import CwpoError
from db import queries
from db.errors import DatabaseError
from db.records.keeping import LatelyDeleted
from workers.api import keeping
from workers.api.people.access import Role

SHOWN = 10
ALL, SAID = "deleted_all", "deleted_said"  # in the session: whether each run has its line; what was done last


@layout.fragment
def show_deleted() -> None:
    """A folded part, which is read when it is opened."""
    folded = st.expander("Deleted lately", key="system_deleted", on_change="rerun")
    if folded.open:
        with folded:
            _deleted()


def _deleted() -> None:
    if said := st.session_state.pop(SAID, ""):
        layout.note(said)
    with results.reading() as session:
        found = queries.deleted_lately(session)
    if not found:
        layout.note("No deleted run is left to bring back: ten minutes after it was deleted, a run is gone for good.")
        return
    layout.note("A deleted run comes back whole, until it is removed for good ten minutes later.")
    shown = found if st.session_state.get(ALL) else found[:SHOWN]
    for run in shown:
        _line(run)
    with st.container(horizontal=True, gap="small"):
        if len(found) > len(shown):
            st.button(f"Show all {counted(len(found), 'run')}", key="deleted_show", on_click=_show_all)
        if len(found) > 1:
            why = allowed.may_not(Role.RUNNER)
            st.button(
                f"Bring back all {counted(len(found), 'run')}", key="deleted_back_all", on_click=_bring_back,
                args=([run.id for run in found],), disabled=bool(why), help=why or None,
            )  # fmt: skip


def _line(run: LatelyDeleted) -> None:
    name = f"{run.id} · {run.method_label} · {objective_label(run.objective)} · seed {run.seed}"
    why = allowed.may_not(Role.RUNNER, run.owner)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.text(untrusted.plain(f"{name} · {run.name}" if run.name else name, 100), width="content")
        st.caption(f"deleted {ago(run.deleted_at)}", width="content")
        st.button(
            "Bring back", key=f"deleted_back_{run.id}", on_click=_bring_back, args=([run.id],), disabled=bool(why),
            help=why or None,
        )  # fmt: skip


def _bring_back(run_ids: Sequence[int]) -> None:
    try:
        st.session_state[SAID] = keeping.undelete(run_ids).said
    except (CwpoError, DatabaseError) as error:
        st.session_state[SAID] = str(error)


def _show_all() -> None:
    st.session_state[ALL] = True
