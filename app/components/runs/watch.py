"""Runs that somebody else queued, or that ended, are seen without a reload."""

import streamlit as st

from app.components.frame import layout
from app.reads import runs as reads
from db.records.listing import Version

EVERY = "4s"
DRAWN = "runs_drawn_now"  # the page was drawn in this very run, from what it saw


def watch(seen: Version) -> None:
    """Ask a few counts now and then; another answer draws the page anew."""
    st.session_state[DRAWN] = True
    layout.fragment(_ask, run_every=EVERY)(seen)


def _ask(seen: Version) -> None:
    if not st.session_state.pop(DRAWN, False) and reads.version() != seen:
        st.rerun()
