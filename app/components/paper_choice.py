"""Which table of the paper, and what can be started for it."""

from collections.abc import Sequence

import streamlit as st

from app.components import layout
from cwpo import paper
from cwpo.paper_presets import NOT_IN_SANDBOX, PaperPreset, presets_of


def choose_table(first: str) -> paper.Table:
    """The table of the address, else the first."""
    names = list(paper.TABLES)
    chosen = st.selectbox(
        "Table or figure",
        names,
        index=names.index(first),
        format_func=lambda name: paper.TABLES[name].label,
        key="table",
        bind="query-params",
        width=460,
    )
    return paper.TABLES[chosen or first]


def show_presets(table: paper.Table) -> None:
    """Links to New run, with the sweep filled in."""
    own, tiny = presets_of(table.name, sandbox=False), presets_of(table.name, sandbox=True)
    _links("Queue the sandbox version", tiny)
    _links("Set up", own)
    if table.name in NOT_IN_SANDBOX:
        layout.note(NOT_IN_SANDBOX[table.name])


def _links(verb: str, presets: Sequence[PaperPreset]) -> None:
    for preset in presets:
        words = verb if preset.sandbox else f"{verb} {preset.label.rsplit(' · ', 1)[-1]}"
        st.page_link(
            "screens/new_run.py", label=words, query_params={"preset": preset.name}, help=preset.label, width="content"
        )
