"""What was done last, with the way back: it stands there until it is used or something else is done."""

from collections.abc import Callable
from typing import NamedTuple

import streamlit as st

from app import untrusted
from db.errors import DatabaseError
from workers.api import keeping
from workers.api.keeping import Done, Undo

LAST = "last_done"


class Last(NamedTuple):
    """The sentence of the last command, and how it is taken back."""

    sentence: str
    undo: Undo | None


def act(command: Callable[[], Done]) -> bool:
    """Do it and keep what it says for `show_last`; False where it could not be done at all."""
    try:
        done = command()
    except DatabaseError as error:
        remember(str(error), None)
        return False
    remember(done.said, done.undo)
    return bool(done.run_ids)


def remember(sentence: str, undo: Undo | None) -> None:
    """Keep it instead of what was there."""
    st.session_state[LAST] = Last(sentence, undo)


def is_said() -> bool:
    """Whether something stands there."""
    return LAST in st.session_state


def show_last(place: str) -> None:
    """One quiet line: what was done, and Undo. `place`: the page, for the names of its buttons."""
    last: Last | None = st.session_state.get(LAST)
    if last is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"{place}_last"):
        st.caption(untrusted.label(last.sentence, 600), width="content")
        if last.undo is not None:
            st.button("Undo", key=f"{place}_undo", type="tertiary", on_click=_undo, args=(last.undo,))
        st.button("Hide", key=f"{place}_hide", type="tertiary", on_click=forget, help="Hide this line.")


def _undo(way_back: Undo) -> None:
    try:
        remember(keeping.undo(way_back), None)
    except DatabaseError as error:
        remember(str(error), None)


def forget() -> None:
    """Nothing stands there any more."""
    st.session_state.pop(LAST, None)
