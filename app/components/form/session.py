"""What a session remembers of New run: its form, which the address names, and what was queued from it a moment ago."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.components.form.address import Address, address_of, form_from
from app.components.form.beside.changes import folded_tabs, tabs_named_in
from app.components.form.drafts.keeping import PARAMETER, keep, open_draft, opened
from app.components.form.form import Form, Start
from app.components.frame.address import RunsView, RunView, text
from db.errors import UnknownDraft

FORM = "new_run.form"
OPEN = "new_run.open"
MORE, TAB = "new_run.more", "new_run.tab"  # the folded settings, and the tab of them that is looked at
QUEUED = "new_run.queued"
NOTHING = object()
# On the way to another page Streamlit notes its parameters beside the path of this one: Back may come with them.
OF_A_RUN = tuple(RunView(run=0).to_params())


def open_form(load: Callable[[int], Mapping[str, Any]], error: Callable[[int], str]) -> Form:
    """The form as it was left. An address that says otherwise fills it whole, if it is one that the user went to: while
    the page is open, the browser may still send the address of a moment ago. `load` and `error` read the configuration
    of a run and what it failed by."""
    given: Address = {name: st.query_params.get_all(name) for name in st.query_params}
    told = {name: values for name, values in given.items() if name not in OF_A_RUN}
    form: Form | None = st.session_state.get(FORM)
    came = not st.session_state.get(OPEN)
    went_back = getattr(get_script_run_ctx(), "is_history_navigation", False)
    if form is None or (came and told and told != form.address) or (went_back and not came and told != form.address):
        form = _told(told, load)
        show(form, tabs_named_in(error(form.start.source)) if form.start.source is not None else ())
    st.session_state[OPEN] = True
    keep(form)
    write_address(form, given)
    return form


def show(form: Form, first: Sequence[str] = ()) -> Form:
    """This form from now on; folded settings that it changes are unfolded, and the tabs in `first` before them."""
    st.session_state[FORM] = form
    if folded := [*first, *folded_tabs(form)]:
        st.session_state[MORE], st.session_state[TAB] = True, folded[0]
    return form


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


def write_address(form: Form, given: Address) -> None:
    """The address names the draft; it says all of a form that has none yet."""
    form.address = {PARAMETER: [form.kept.draft]} if form.kept.draft else address_of(form)
    if given != form.address:
        st.query_params.from_dict(form.address)


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


def queued_here() -> Queued:
    """The memory of this session."""
    found: Queued = st.session_state.setdefault(QUEUED, Queued())
    return found
