"""The list of drafts: which there are, when each was changed, what it differs in; open, name, delete, begin anew."""

from collections.abc import Callable

import streamlit as st

from app import allowed, untrusted
from app.components.form.drafts.keeping import form_from_row
from app.components.form.form import Form
from app.components.form.session import show, show_new
from app.components.frame import layout
from app.components.frame.formats import ago
from app.reads import results
from db import queries
from db.errors import DatabaseError
from db.records import DraftRow
from workers.api.people import drafts
from workers.api.people.access import Role

DELETED = "new_run.deleted_draft"
HEIGHT = 420  # px
NAMELESS = "without a name"


def show_drafts(form: Form) -> None:
    """Folded away beside the title; nothing is read before it is opened."""
    folded = st.popover("Drafts", key="new_run.drafts", on_change="rerun")
    if not folded.open:
        return
    with folded, layout.guarded():
        st.button("Start a new one", key="new_run.draft_new", on_click=show_new, width="stretch")
        deleted: DraftRow | None = st.session_state.get(DELETED)
        if deleted is not None:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.caption(untrusted.label(f"{_name(deleted)} is deleted.", 120))
                st.button(
                    "Put it back", key="new_run.draft_back", type="tertiary", on_click=_put_back, args=(deleted,),
                    **allowed.only_for(Role.ANNOTATOR),
                )  # fmt: skip
        with results.reading() as session:
            rows = queries.list_drafts(session)
        if not rows:
            st.caption("A form that you change is kept here, whatever becomes of this window.")
            return
        with st.container(height=HEIGHT if len(rows) > 3 else "content", border=False):
            for row in rows:
                _line(row, form)
        st.caption("Drafts without a name go after 30 days, or when there are 200 newer ones.")


def _line(row: DraftRow, form: Form) -> None:
    here = row.id == form.kept.draft
    name, key = str(row.content["state"].get("name", "")), _name_key(row)
    if st.session_state.get(key, name) != name:  # it got another one elsewhere
        st.session_state[key] = name
    with st.container(key=f"new_run.draft_line_{row.id}", border=True, gap="small"):
        st.text_input(
            "Name of this draft",
            value=name if key not in st.session_state else "",
            max_chars=200,
            placeholder=NAMELESS,
            key=key,
            label_visibility="collapsed",
            on_change=_rename,
            args=(row,),
            **allowed.only_for(Role.ANNOTATOR),
        )
        st.caption(untrusted.label(f"{_when(row)}{' · shown here' if here else ''}", 120))
        st.caption(untrusted.label(_differs(row), 300))
        with st.container(horizontal=True):
            st.button("Open", key=f"new_run.draft_open_{row.id}", disabled=here, on_click=_open, args=(row,))
            st.button(
                "Delete",
                key=f"new_run.draft_delete_{row.id}",
                type="tertiary",
                on_click=_delete,
                args=(row, here),
                **allowed.only_for(Role.ANNOTATOR),
            )


def _name_key(row: DraftRow) -> str:
    """The same after each change: a field that becomes another one moves what stands below it from under a click."""
    return f"new_run.draft_name_{row.id}"


def _name(row: DraftRow) -> str:
    return str(row.content["state"].get("name", "")) or f"The draft {NAMELESS}"


def _when(row: DraftRow) -> str:
    changed = f"changed {ago(row.updated_at)}"
    if row.queued_at is None:
        return changed
    return f"queued {ago(row.queued_at)}" + (f" · {changed} since" if row.updated_at > row.queued_at else "")


def _differs(row: DraftRow) -> str:
    """As it was worded when it was written."""
    said, more = row.content.get("said", ()), row.content.get("more", 0)
    source = row.content["start"]["source"]
    front = [f"from run {source}"] if source is not None else []
    return " · ".join([*front, *said, *([f"and {more} more"] if more else [])]) or "as it starts"


@layout.told
def _open(row: DraftRow) -> None:
    show(form_from_row(row))


def _rename(row: DraftRow) -> None:
    """The name of a draft is that of its comparison; a form that shows it takes it over."""
    name = st.session_state.to_dict()[_name_key(row)]
    content = {**row.content, "state": {**row.content["state"], "name": name}}
    _written(lambda: drafts.save_draft(row.id, name=name, content=content, revision=row.revision))


def _delete(row: DraftRow, here: bool) -> None:
    """With the one that is shown its form goes; the next thing in the list puts it back."""
    if _written(lambda: drafts.delete_draft(row.id)):
        st.session_state[DELETED] = row
        if here:
            show_new()


def _put_back(row: DraftRow) -> None:
    if _written(lambda: drafts.save_draft(row.id, name=row.name, content=row.content, revision=row.revision)):
        st.session_state.pop(DELETED, None)


def _written(write: Callable[[], object]) -> bool:
    try:
        write()
    except DatabaseError as error:
        layout.flash(str(error))
        return False
    return True
