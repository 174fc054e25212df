"""Blocks of text of models, data and users on a page, cut until the reader asks for all of it."""

import streamlit as st

from app.untrusted import SHOWN_AT_FIRST, SHOWN_AT_MOST, capped, visible


def show_text(text: object, *, key: str, limit: int = SHOWN_AT_FIRST) -> None:
    """A paragraph in the page's own font, line breaks kept."""
    st.text(_shortened(text, key, limit), width="stretch")
    _show_all_button(text, key, limit)


def show_block(text: object, *, key: str, limit: int = SHOWN_AT_FIRST) -> None:
    """A monospace block, wrapped."""
    shown = _shortened(text, key, limit)
    st.code(shown if shown.strip() else "(empty)", language=None, wrap_lines=True)
    _show_all_button(text, key, limit)


def _shortened(text: object, key: str, limit: int) -> str:
    whole = visible(text)
    if st.session_state.get(_state_key(key)):
        return whole if len(whole) <= SHOWN_AT_MOST else f"{whole[:SHOWN_AT_MOST]}…"
    start, hidden = capped(whole, limit)
    return f"{start}…" if hidden else start


def _show_all_button(text: object, key: str, limit: int) -> None:
    whole = visible(text)
    hidden = capped(whole, limit)[1]
    if not hidden or st.session_state.get(_state_key(key)):
        return
    shown = min(len(whole), SHOWN_AT_MOST)
    name = "Show all" if shown == len(whole) else "Show the first"
    st.button(
        f"{name} {shown:,} characters",
        key=f"{_state_key(key)}_button",
        type="tertiary",
        on_click=st.session_state.__setitem__,
        args=(_state_key(key), True),
    )


def _state_key(key: str) -> str:
    return f"all_of_{key}"
