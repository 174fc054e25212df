"""What can be done to a run: verbs, disabled with a reason."""

from collections.abc import Callable

import streamlit as st

from app.components.frame import layout
from app.components.frame.address import NewRunView, RunsView
from app.components.frame.leaving import leave
from db.errors import DatabaseError
from db.records import RunRecord
from db.status import LIVE
from workers import api

PRIORITIES = {"Urgent": 10, "Normal": 0, "Later": -10}


def show_actions(run: RunRecord) -> None:
    """Duplicate & edit comes first on a run that failed."""
    live = run.status in LIVE
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Duplicate & edit", key="duplicate", type="primary" if run.status == "failed" else "secondary"):
            leave(NewRunView(source=run.id))
        if live:
            _button("Cancel", lambda: api.cancel_run(run.id), "Run cancelled; finished stages are kept.")
        elif run.status in ("failed", "cancelled"):
            _button("Retry", lambda: api.retry_run(run.id), "Queued again; finished stages are reused.")
        with st.popover("More"):
            _priority(run, live)
            archive = "Restore" if run.row.archived else "Archive"
            _button(archive, lambda: api.archive_run(run.id, not run.row.archived), f"{archive}d.")
            sure = st.checkbox("Delete this run and what no other run uses", key=f"sure_{run.id}", disabled=live)
            if st.button("Delete", key="delete", disabled=live or not sure, help="Cancel it first." if live else None):
                layout.flash(_deleted(run.id, api.delete_run(run.id)))
                leave(RunsView())


def _deleted(run_id: int, deleted: api.Deleted) -> str:
    if not deleted.kept_annotators:
        return f"Run {run_id} deleted."
    return f"Run {run_id} deleted; its annotator stays, because it is {', '.join(deleted.kept_annotators)}."


def _priority(run: RunRecord, live: bool) -> None:
    names = list(PRIORITIES)
    current = next((name for name, value in PRIORITIES.items() if value == run.row.priority), None)
    chosen = st.segmented_control(
        "Priority",
        names,
        default=current,
        key=f"priority_{run.row.priority}",
        disabled=not live,
        help=None if live else "Only a queued or running run has a place in the queue.",
    )
    if chosen and chosen != current:
        api.reprioritise(run.id, PRIORITIES[chosen])
        st.rerun()


def _button(label: str, act: Callable[[], object], done: str) -> None:
    if not st.button(label, key=label.lower()):
        return
    try:
        act()
    except DatabaseError as error:
        layout.flash(str(error))
    else:
        layout.flash(done)
    st.rerun()
