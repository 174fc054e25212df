"""The end of a run's log."""

import streamlit as st

from app import untrusted
from app.components.frame import layout
from app.reads import results
from cwpo.stages.graph import slot_name
from db import queries

LINES = 200


def show_log(run_id: int) -> None:
    """Newest lines last, in a box that stays at its end."""
    with results.reading() as session:
        lines = queries.log_tail(session, run_id, limit=LINES)
    if not lines:
        layout.empty_state("What the stages report is listed here once the first one runs.")
        return
    words = "\n".join(
        f"{line.at:%H:%M:%S}  {slot_name(line.slot):<20} {untrusted.plain(line.text, 400)}" for line in lines
    )
    with st.container(height=420, border=False, autoscroll=True):
        st.code(words, language=None, wrap_lines=True)
