"""Blocks of text of models, data and users on a page, cut until the reader asks for all of it."""

from collections.abc import Sequence
from typing import Literal

import streamlit as st

from app.untrusted import SHOWN_AT_FIRST, SHOWN_AT_MOST, capped, marked, visible

Ink = Literal["blue", "gray"]
NO_BREAK = "\u00a0"
MAY_BREAK = "\u200b"  # of no width


def show_text(text: object, *, key: str, limit: int = SHOWN_AT_FIRST) -> None:
    """A paragraph in the page's own font, line breaks kept."""
    st.text(_shortened(text, key, limit), width="stretch")
    _show_all_button(text, key, limit)


def show_block(text: object, *, key: str, limit: int = SHOWN_AT_FIRST) -> None:
    """A monospace block, wrapped."""
    shown = _shortened(text, key, limit)
    st.code(shown if shown.strip() else "(empty)", language=None, wrap_lines=True)
    _show_all_button(text, key, limit)


def show_marked(pieces: Sequence[tuple[str, Ink | None]]) -> None:
    """A text in pieces, some of them on a ground of their own; cut where it is very long."""
    lines: list[list[str]] = [[]]
    left = SHOWN_AT_MOST
    for text, ink in pieces:
        for place, line in enumerate(text[:left].split("\n")):
            if place:
                lines.append([])
            said = _inked(line, ink) if ink else marked(line)
            lines[-1].append(said if lines[-1] else _indented(said))
        left -= len(text)
        if left <= 0:
            lines[-1].append("…")
            break
    st.markdown("  \n".join("".join(line) or NO_BREAK for line in lines))


def show_tokens(tokens: Sequence[str], counted: Sequence[bool], markers: Sequence[bool]) -> None:
    """Tokens side by side, those that count on blue, markers bold; spaces and line ends as signs. A narrow page breaks
    the line between tokens."""
    chips = []
    for token, own, marker in zip(tokens, counted, markers, strict=True):
        said = marked(token.replace(" ", "·").replace("\n", "⏎").replace("\t", "⇥"))
        chips.append(f":{'blue' if own else 'gray'}-background[{f'**{said}**' if marker else said}]")
        if "\n" in token:
            chips.append("  \n")
    st.markdown(MAY_BREAK.join(chips))


def _indented(line: str) -> str:
    """Spaces at the start of a line, which Markdown would take for code."""
    return NO_BREAK * (len(line) - len(line.lstrip(" \t"))) + line.lstrip(" \t")


def _inked(line: str, ink: Ink) -> str:
    """Spaces at the ends stay outside: Markdown would drop them."""
    inner = line.strip()
    if not inner:
        return line
    start = len(line) - len(line.lstrip())
    return f"{line[:start]}:{ink}-background[{marked(inner)}]{line[start + len(inner) :]}"


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
