"""One table as text with a button that copies it: for a paper, a chat or a spreadsheet."""

from collections.abc import Sequence

import streamlit as st

from app import untrusted
from app.components.frame import layout
from app.components.frame.export import Exported, text_of

FORMATS = ("Markdown", "LaTeX", "CSV")


@layout.fragment
def show_copy(exported: Sequence[Exported]) -> None:
    """Nothing is written before the list is opened; the icon on the text copies all of it."""
    folded = st.popover("Copy", key="copy", on_change="rerun", type="tertiary")
    if not folded.open:
        return
    with folded:
        names = [one.name for one in exported]
        name = st.selectbox("Table", names, key="copy_table", format_func=untrusted.plain) or names[0]
        kind = st.segmented_control("Format", FORMATS, default=FORMATS[0], key="copy_format", required=True)
        chosen = next(one for one in exported if one.name == name)
        st.code(untrusted.visible(text_of(chosen, kind or FORMATS[0])), language=None, height=260)
