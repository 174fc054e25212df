"""Examples: how many pairs hold the text that is searched for, counted when somebody asks."""

from collections.abc import Callable

import streamlit as st

from app.components.frame.formats import counted

MOST = 100_000  # pairs whose texts are read


def show_count(count: Callable[[], tuple[int, int]]) -> None:
    """`count`: pairs that hold the text, and those that were looked at, of which there are `MOST` at most."""
    if st.button("Count them", key="count_them", type="tertiary"):
        st.caption(in_words(*count()), width="content")


def in_words(found: int, searched: int) -> str:
    """60 pairs with this text of 2,100."""
    more = " at least, in the first" if searched == MOST else " of"
    return f"{counted(found, 'pair')} with this text{more} {searched:,}"
