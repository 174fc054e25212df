"""Which table of the paper, and what can be started for it."""

from collections.abc import Sequence

import streamlit as st

from app.components.form.presets import address_of
from app.components.frame.address import CompareView, FilledForm
from app.components.frame.formats import counted
from app.components.frame.leaving import link
from cwpo.paper import published
from cwpo.paper.presets import PaperPreset, presets_of


def choose_table(first: str) -> published.Table:
    """The table of the address, else the first."""
    names = list(published.TABLES)
    chosen = st.selectbox(
        "Table or figure",
        names,
        index=names.index(first),
        format_func=lambda name: published.TABLES[name].label,
        key="table",
        bind="query-params",
        width=460,
    )
    return published.TABLES[chosen or first]


def show_presets(table: published.Table) -> None:
    """Links to New run, with the sweep filled in."""
    own, tiny = presets_of(table.name, sandbox=False), presets_of(table.name, sandbox=True)
    for preset in tiny:
        first = preset.tables[0]
        of = "" if first == table.name else f" of {published.TABLES[first].label.split(' · ')[0]}"
        _link(f"Queue the sandbox version{of}", preset)
    for preset in own:
        _link(f"Set up {preset.label.rsplit(' · ', 1)[-1]}", preset)


def show_asking(run_ids: Sequence[int]) -> None:
    """Link to the comparison of runs that ask the table's question and answer no cell."""
    link(CompareView(runs=tuple(run_ids)), f"Compare the {counted(len(run_ids), 'run')} here that ask this")


def _link(words: str, preset: PaperPreset) -> None:
    link(FilledForm(params=address_of(preset)), words, about=preset.label)
