"""What can be done to a run: verbs, disabled with a reason; and what somebody wrote on it."""

from collections.abc import Callable

import streamlit as st

from app import allowed
from app.components.frame import layout
from app.components.frame.address import NewRunView, RunsView
from app.components.frame.leaving import leave
from app.components.keeping.deletion import ask_deletion
from app.components.keeping.marks import edit_name, edit_note, edit_tags, show_note, show_tags
from app.components.keeping.undo import act, show_last
from db.records import RunRecord
from db.records.keeping import KeptRun
from db.status import LIVE
from workers import api
from workers.api import keeping
from workers.api.people.access import Role

PRIORITIES = {"Urgent": 10, "Normal": 0, "Later": -10}
PLACE = "run"
LIVE_HELP = "Cancel it first: it is queued or running."


def show_actions(run: RunRecord) -> None:
    """Verbs on the right, below them the tags and the note. Duplicate & edit comes first on a run that failed."""
    row, live = run.row, run.status in LIVE
    why = allowed.may_not(Role.RUNNER, row.owner)
    one = KeptRun(
        id=row.id, name=row.name, status=row.status, pinned=row.pinned, paused=row.paused, archived=row.archived,
        tags=row.tags, note=run.note,
    )  # fmt: skip
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Duplicate & edit", key="duplicate", type="primary" if run.status == "failed" else "secondary"):
            leave(NewRunView(source=run.id))
        if live:
            _verb("Cancel", keeping.cancel, run.id, reason=why)
        elif run.status in ("failed", "cancelled"):
            _verb("Retry", keeping.retry, run.id, reason=why)
        _more(run, one, live, why)
    _written(one, why)
    if live:
        _say_paused(one, whole=run.queue_paused)
    show_last(PLACE)


def _written(run: KeptRun, why: str) -> None:
    """Tags as chips and the note; the ways to change them stand beside."""
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="small"):
        if run.pinned:
            st.badge("pinned", color="primary")
        show_tags(run)
        tags = st.popover("Tags", type="tertiary", key="run_tags", on_change="rerun")
        if tags.open:  # all tags that there are, are read for it
            with tags:
                edit_tags([run], PLACE, why)
        with st.popover("Note", type="tertiary", key="run_note"):
            edit_note([run], PLACE, why)
    show_note(run)


def _more(run: RunRecord, one: KeptRun, live: bool, why: str) -> None:
    with st.popover("More", key="run_more"):
        edit_name([one], PLACE, why)
        with st.container(horizontal=True):
            _verb("Unpin" if one.pinned else "Pin", keeping.unpin if one.pinned else keeping.pin, run.id, reason=why)
            if live:
                _verb(
                    "Resume" if one.paused else "Pause", keeping.resume if one.paused else keeping.pause, run.id,
                    reason=why,
                )  # fmt: skip
            archived = run.row.archived
            _verb(
                "Restore" if archived else "Archive", keeping.restore if archived else keeping.archive, run.id,
                reason=why or (LIVE_HELP if live else ""),
            )  # fmt: skip
        _priority(run, live, why)
    why = why or (LIVE_HELP if live else "")
    form = st.popover("Delete…", disabled=bool(why), help=why or None, key="run_delete_form", on_change="rerun")
    if not why and form.open:
        with form:
            if ask_deletion([one], PLACE) and act(lambda: keeping.delete([run.id])):
                leave(RunsView())


def _say_paused(run: KeptRun, *, whole: bool) -> None:
    if run.paused:
        layout.note("Paused: no further stage is started for this run until it is resumed; a running one ends.")
    elif whole:
        layout.note("The queue is paused: no stage is started until it is resumed on the System page.")


def _priority(run: RunRecord, live: bool, why: str) -> None:
    names = list(PRIORITIES)
    current = next((name for name, value in PRIORITIES.items() if value == run.row.priority), None)
    key = layout.key_of(f"priority_{run.id}", current)
    st.segmented_control(
        "Priority",
        names,
        key=key,
        disabled=not live or bool(why),
        help=why or (None if live else "Only a queued or running run has a place in the queue."),
        on_change=layout.told(_reprioritise),
        args=(run.id, key, current),
    )


def _reprioritise(run_id: int, key: str, shown: str | None) -> None:
    """Another place in the queue; where it cannot be had, the next widget shows the one that the run has."""
    if chosen := layout.chosen_in(key, shown):
        api.reprioritise(run_id, PRIORITIES[chosen])


def _verb(label: str, command: Callable[[list[int]], keeping.Done], run_id: int, *, reason: str = "") -> None:
    st.button(
        label, key=f"run_{label.lower()}", disabled=bool(reason), help=reason or None, on_click=_do,
        args=(command, run_id),
    )  # fmt: skip


def _do(command: Callable[[list[int]], keeping.Done], run_id: int) -> None:
    act(lambda: command([run_id]))
