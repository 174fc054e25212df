"""One bar for what is done to the ticked runs; below it what was done last, with the way back."""

from collections.abc import Collection, Sequence

import streamlit as st

from app.components.frame import layout
from app.components.keeping.deletion import ask_deletion
from app.components.keeping.marks import edit_name, edit_note, edit_tags, kept
from app.components.keeping.undo import act, is_said, show_last
from app.components.runs import ticks
from db.records.keeping import KeptRun
from db.status import CANCELLED, FAILED, LIVE
from workers.api import keeping
from workers.api.people.access import Role, why_not

PLACE = "bulk"
HINT = "Ticked lines can be tagged, renamed, pinned, archived or deleted here."


def show_bulk(runs: Sequence[KeptRun], *, paused: bool, hint: bool) -> None:
    """Verbs for these runs; where none is ticked their place is kept, so that the first tick moves no line from under
    the pointer, and a `hint` says what it is for. What was done last stands there in any case."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="bulk_bar"):
        if runs and (why := why_not(Role.RUNNER)):
            layout.note(why)
        elif runs:
            _marks(runs)
            _switches(runs)
            _queue(runs)
            _delete(runs)
        elif hint and not is_said():
            st.caption(HINT, width="content")
        show_last(PLACE)
    if paused:
        layout.note("The queue is paused: no stage is started until it is resumed on the System page.")


def _marks(runs: Sequence[KeptRun]) -> None:
    for label, edit in (("Tag", edit_tags), ("Rename", edit_name), ("Note", edit_note)):
        form = st.popover(label, key=f"bulk_{label.lower()}", on_change="rerun")
        if form.open:
            with form:
                edit(runs, PLACE)


def _switches(runs: Sequence[KeptRun]) -> None:
    loose = [run.id for run in runs if not run.pinned]
    _verb("Pin" if loose else "Unpin", loose or _ids(runs), place="pin")
    shown = [run.id for run in runs if not run.archived and run.status not in LIVE]
    hidden = [run.id for run in runs if run.archived]
    if hidden and not shown:
        _verb("Restore", hidden, place="archive")
    else:
        _verb("Archive", shown, "Only finished runs are archived: cancel first.", place="archive")


def _queue(runs: Sequence[KeptRun]) -> None:
    live = [run.id for run in runs if run.status in LIVE]
    going = [run.id for run in runs if run.status in LIVE and not run.paused]
    stopped = [run.id for run in runs if run.status in (FAILED, CANCELLED)]
    if live:
        _verb("Pause" if going else "Resume", going or live, place="pause")
        _verb("Cancel", live, place="cancel")
    if stopped:
        _verb("Retry", stopped, place="retry")


def _delete(runs: Sequence[KeptRun]) -> None:
    form = st.popover("Delete…", key="bulk_delete_form", on_change="rerun")
    if form.open:
        with form:
            if ask_deletion(runs, PLACE):
                act(lambda: keeping.delete(_ids(runs)))
                ticks.set_ticked([run.id for run in kept(_ids(runs))])  # what is gone is not ticked
                st.rerun()


def _verb(label: str, run_ids: Collection[int], reason: str = "", *, place: str) -> None:
    """A button for those of the ticked runs that it concerns; off, with a reason, where there is none. A verb and what
    undoes it are one button in one `place`: the browser would at times keep the other beside it."""
    st.button(
        label, key=f"bulk_{place}_them", disabled=not run_ids, help=None if run_ids else reason or None,
        on_click=_do, args=(label, tuple(run_ids)),
    )  # fmt: skip


def _do(label: str, run_ids: tuple[int, ...]) -> None:
    commands = {
        "Pin": keeping.pin, "Unpin": keeping.unpin, "Archive": keeping.archive, "Restore": keeping.restore,
        "Pause": keeping.pause, "Resume": keeping.resume, "Cancel": keeping.cancel, "Retry": keeping.retry,
    }  # fmt: skip
    act(lambda: commands[label](run_ids))


def _ids(runs: Sequence[KeptRun]) -> tuple[int, ...]:
    return tuple(run.id for run in runs)
