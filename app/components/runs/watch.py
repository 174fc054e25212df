"""Runs that somebody else queued, or that ended, are seen without a reload."""

import streamlit as st

from app.components.frame import layout
from app.reads import runs as reads
from db.records.listing import Version

LIVE, IDLE = "3s", "4s"  # how often a list of live runs is drawn again, and an idle one asked after


def watch(seen: Version) -> None:
    """Ask a few counts now and then; another answer draws the page anew. A live list is drawn again anyway."""
    layout.fragment(_ask, run_every=LIVE if seen.is_live else IDLE)(seen)


def _ask(seen: Version) -> None:
    if reads.version() != seen:
        st.rerun()
