"""Who may do what, and what was done: roles, the end of sessions, and the log, each read when it is opened."""

from collections.abc import Callable, Sequence

import streamlit as st

from app import allowed, untrusted
from app.components.frame import layout, tables
from app.components.frame.formats import ago
from app.components.frame.tables import Cell, Column
from app.reads import results, timing
from cwpo.errors import CwpoError
from db import queries
from db.errors import DatabaseError
from db.records import AuditEvent, PersonRow
from workers.access.doing import bound
from workers.api.people import access
from workers.api.people.access import MEANINGS, Role

SAID, BEFORE = "people_said", "log_before"  # in the session
SHOWN = 25  # events on a page of the log
READ_AT_ONCE = 20_000  # events that are verified while somebody waits for the page
PEOPLE_COLUMNS = (
    Column(label="name", whole=True),
    Column(label="role"),
    Column(label="first here"),
    Column(label="last here"),
    Column(label="sessions ended"),
)
LOG_COLUMNS = (
    Column(label="event", figures=True),
    Column(label="when", whole=True),
    Column(label="who"),
    Column(label="by"),
    Column(label="action"),
    Column(label="on"),
    Column(label="said", limit=160),
)
NOBODY = "Nobody has signed in yet. Whoever has this installation, or the link with its start token, may do everything."
EVERYBODY = "everybody"


@layout.fragment
def show_people() -> None:
    """Two folded parts below what is redrawn all the time."""
    people = st.expander("People", key="system_people", on_change="rerun")
    if people.open:
        with people:
            _people()
    done = st.expander("What was done", key="system_log", on_change="rerun")
    if done.open:
        with done:
            _log()


def _people() -> None:
    if why := access.why_not(Role.ADMIN):
        layout.note(why)
        return
    with results.reading() as session:
        found = queries.people(session)
    if found:
        tables.show(PEOPLE_COLUMNS, [_person(one) for one in found], alt="People")
    else:
        layout.note(NOBODY)
    layout.note("; ".join(f"{role}: {meaning}" for role, meaning in MEANINGS.items()) + ".")
    _role()
    if found:
        _sessions(found)
    if said := st.session_state.pop(SAID, ""):
        layout.note(said)


def _person(one: PersonRow) -> list[object]:
    return [
        one.name, one.role, Cell(text=ago(one.first_seen_at), muted=True), Cell(text=ago(one.last_seen_at), muted=True),
        ago(one.sessions_valid_from) if one.sessions_valid_from else None,
    ]  # fmt: skip


def _role() -> None:
    with st.form("people_role", border=False):
        left, middle, right = st.columns([3, 2, 1], vertical_alignment="bottom")
        left.text_input("Person", key="people_name", max_chars=200, placeholder="as the login names them")
        middle.selectbox("Role", [str(role) for role in Role], key="people_new_role")
        right.form_submit_button("Give the role", key="people_give", on_click=_give)


def _sessions(found: Sequence[PersonRow]) -> None:
    with st.form("people_sessions", border=False):
        left, right = st.columns([5, 1], vertical_alignment="bottom")
        left.selectbox(
            "End the sessions of", [one.name for one in found], index=None, key="people_ended",
            format_func=lambda name: untrusted.plain(name, 80), placeholder="nobody",
        )  # fmt: skip
        right.form_submit_button("End them", key="people_end", on_click=_end)


def _give() -> None:
    _do(lambda: access.set_role(str(st.session_state.get("people_name") or ""), st.session_state["people_new_role"]))


def _end() -> None:
    name = st.session_state.get("people_ended")
    if name:
        _do(lambda: access.revoke(name))


def _do(command: Callable[[], str]) -> None:
    try:
        st.session_state[SAID] = command()
    except (CwpoError, DatabaseError) as error:
        st.session_state[SAID] = str(error)


def _log() -> None:
    before: int | None = st.session_state.get(BEFORE)
    who = st.session_state.get("log_of") or EVERYBODY
    who = "" if who == EVERYBODY else who
    with results.reading() as session:
        page = queries.audit_page(session, who=who, before=before, limit=SHOWN)
    st.selectbox(
        "Done by", [EVERYBODY, *page.people], key="log_of", on_change=_newest, width=320,
        format_func=lambda name: untrusted.plain(name, 80),
    )  # fmt: skip
    if not page.events:
        layout.note("Nothing was done yet." if before is None else "Nothing earlier was done.")
    else:
        tables.show(LOG_COLUMNS, [_event(one) for one in page.events], alt="What was done")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if before is not None:
            st.button("Newest", key="log_newest", on_click=_newest)
        if page.next is not None:
            st.button("Earlier", key="log_earlier", on_click=_earlier, args=(page.next,))
        why = allowed.may_not(Role.ADMIN)
        st.download_button(
            "Download as JSONL", bound(lambda: "".join(access.log_file(who))), file_name="what-was-done.jsonl",
            mime="application/x-ndjson", key="log_jsonl", type="tertiary", on_click="ignore",
            disabled=bool(why), help=why or "All of it, the oldest first.",
        )  # fmt: skip
        if page.newest > READ_AT_ONCE and not st.button("Verify the chain", key="log_verify", type="tertiary"):
            return
    found = access.check_log()
    (layout.problem if found.problems else layout.note)(found.said)


def _event(one: AuditEvent) -> list[object]:
    change = " → ".join(text for text in (one.before, one.after) if text)
    at = Cell(text=f"{timing.local(one.at):%Y-%m-%d %H:%M:%S}", muted=True)
    return [one.number, at, one.who, one.source, one.action, one.what, change or None]


def _newest() -> None:
    st.session_state.pop(BEFORE, None)


def _earlier(number: int) -> None:
    st.session_state[BEFORE] = number
