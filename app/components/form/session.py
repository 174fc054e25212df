"""What a session remembers of New run: its form, which the address names, and what was queued from it a moment ago."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.components.form.address import Address, address_of, form_from
from app.components.form.beside.changes import folded_tabs
from app.components.form.beside.failure import Failure, failure_of
from app.components.form.drafts.keeping import PARAMETER, keep, open_draft, opened
from app.components.form.form import Form, Start
from app.components.frame.address import RunsView, RunView, text
from app.components.frame.leaving import came_by_history, parameters, readdress, tell
from db.errors import UnknownDraft

FORM = "new_run.form"
OPEN = "new_run.open"
MORE, TAB = "new_run.more", "new_run.tab"  # the folded settings, and the tab of them that is looked at
QUEUED, FAILURE = "new_run.queued", "new_run.failure"
NOTHING = object()


def open_form(load: Callable[[int], Mapping[str, Any]]) -> Form:
    """The form as it was left. An address that says otherwise fills it whole, if it is one that the user went to: while
    the page is open, the browser may still send the address of a moment ago. The address names the draft; it says all
    of a form that has none yet."""
    told: Address = parameters()
    form: Form | None = st.session_state.get(FORM)
    came = not st.session_state.get(OPEN)
    if form is None or (told != form.address and (came_by_history() or (came and told))):
        form = show(_told(told, load))
    st.session_state[OPEN] = True
    keep(form)
    form.address = {PARAMETER: [form.kept.draft]} if form.kept.draft else address_of(form)
    if told != form.address and came:
        readdress(form.address, instead=True)
    if told != form.address:
        tell(form.address)
    return form


def show(form: Form) -> Form:
    """This form from now on; folded settings that it changes are unfolded, else those that its run failed by."""
    st.session_state[FORM] = form
    failure = st.session_state[FAILURE] = None if form.start.source is None else failure_of(form.start.source)
    folded = folded_tabs(form) or ([failure.tab] if failure is not None and failure.tab else [])
    if folded:
        st.session_state[MORE], st.session_state[TAB] = True, folded[0]
    return form


def failure() -> Failure | None:
    """What the run that the form starts from failed by."""
    found: Failure | None = st.session_state.get(FAILURE)
    return found


def show_new() -> None:
    """An empty form; what was there stays in its draft."""
    show(opened(Form.begun(Start())))


def _told(told: Address, load: Callable[[int], Mapping[str, Any]]) -> Form:
    """What an address says: a draft whole, else a form that nobody has changed yet."""
    if draft := text(told, PARAMETER):
        try:
            return open_draft(draft)
        except UnknownDraft as error:
            form = opened(form_from(told, load))
            form.kept.said = f"{error} The form starts anew."
            return form
    return opened(form_from(told, load))


def put_aside() -> None:
    """Another page is shown; the form stays as it is."""
    st.session_state.pop(OPEN, None)


def view(form: Form, name: str, draw: Callable[..., Any], first: Mapping[str, Any] | None) -> None:
    """Draw the widget of one value of the form: a key that no other page has, and where a change goes.

    `first` tells a widget its value. A widget that this session has not drawn yet is told and not set: what is typed
    while it is drawn, or while the server is away, is in the browser then, and the form takes it. It is told again
    later: a browser that missed the first drawing, because the next one was ahead, would begin with an empty choice and
    send that. None: it can only be set.
    """
    key = f"new_run.{name}"
    value = form.state[name]
    held = st.session_state.get(key, NOTHING)
    told = dict(first or {}) if held is NOTHING or held == value else {}
    if not told and held != value:
        st.session_state[key] = list(value) if isinstance(value, list) else value
    draw(**told, key=key, on_change=take_from, args=(form, name, key))
    if held is NOTHING and told and st.session_state.to_dict()[key] != value:
        take_from(form, name, key)
        st.rerun()


def take_from(form: Form, name: str, key: str) -> None:
    """The form takes what a widget holds now. Any other way to ask the session for it lets the next change, where that
    is here already, interrupt this one, and Streamlit then takes the two in the wrong order."""
    form.take(name, st.session_state.to_dict()[key])


@dataclass
class Queued:
    """Plain memory, so that a second click, which ends the run of the script between any two calls of Streamlit, finds
    what the first one did."""

    said: str = ""  # of what was queued a moment ago
    then: RunView | RunsView | None = None  # the page that shows it

    def add(self, run_ids: Sequence[int], said: str) -> None:
        """Runs were queued: the page of one run is next, the list of several."""
        self.said = said
        self.then = RunView(run=run_ids[0]) if len(run_ids) == 1 else RunsView()

    def forget(self) -> None:
        """The way to the page has begun."""
        self.then = None


def queued_here() -> Queued:
    """The memory of this session."""
    found: Queued = st.session_state.setdefault(QUEUED, Queued())
    return found
