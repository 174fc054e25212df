"""Back from another page is the list that was left. On the way to another page the browser writes that page's
parameters beside the address of this one first, and Back ends there."""

from dataclasses import fields
from typing import NoReturn

import streamlit as st

from app.components.frame.address import RunsView
from app.components.frame.filters import RUN_DEFAULTS
from app.components.frame.leaving import Target, leave

LEFT = "runs_left"  # the address of the list when it was left
OURS = frozenset(field.name for field in fields(RunsView))


def go(target: Target) -> NoReturn:
    """Leave the list, and know what it was."""
    st.session_state[LEFT] = {name: st.query_params.get_all(name) for name in st.query_params if name in OURS}
    leave(target)


def come_back() -> None:
    """An address with parameters of another page is that of the list that was left."""
    others = [name for name in st.query_params if name not in OURS]
    if others:
        st.query_params.from_dict(st.session_state.get(LEFT, {}))  # no widget of this page is drawn yet
        for name in RUN_DEFAULTS:
            st.session_state.pop(name, None)
        st.rerun()
