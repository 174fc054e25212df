"""Messages to webhooks: whether runs that end are told, and a message to try it."""

import streamlit as st

from app import allowed, untrusted
from app.components.frame import layout
from app.reads import results
from cwpo.errors import CwpoError
from db.errors import DatabaseError
from db.queries.people.keeping import notice_counts
from workers.api import webhooks
from workers.api.people.access import Role

LAST = "last_message"


def show_messages() -> None:
    """Where messages go, how they fared, and a button to send one."""
    layout.small("Messages")
    try:
        targets = webhooks.targets()
    except CwpoError as error:
        layout.problem(error)
        return
    if not targets:
        layout.note("Nobody is told when runs end: set CWPO_WEBHOOK to the address of a webhook to change that.")
        return
    for target in targets:
        with results.reading() as session:
            counts = notice_counts(session, target.hash)
        words = [f"{counts.sent:,} sent in 24 h"]
        words += [f"{counts.waiting:,} waiting"] if counts.waiting else []
        words += [f"{counts.given_up:,} given up"] if counts.given_up else []
        st.text(f"{untrusted.plain(target.shown)} · {', '.join(words)}")
        if counts.error and (counts.waiting or counts.given_up):
            layout.note(counts.error)
    why = allowed.may_not(Role.ADMIN)
    st.button("Send a test message", key="send_test", on_click=_test, disabled=bool(why), help=why or None)
    for sentence in st.session_state.get(LAST, ()):
        layout.note(sentence)


def _test() -> None:
    try:
        st.session_state[LAST] = tuple(one.said for one in webhooks.send_test())
    except (CwpoError, DatabaseError) as error:
        st.session_state[LAST] = (str(error),)
