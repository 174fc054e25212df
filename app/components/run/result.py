"""One run's answer: GRA with the interval that one seed allows, and what must stand beside it."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.components.frame import layout
from app.components.frame.formats import counted
from app.reads import results
from cwpo.compare.gra import GraRow
from cwpo.report import columns
from cwpo.report.document.meanings import GRA_IN_WORDS, MEANINGS
from cwpo.report.gra_terms import terms
from cwpo.report.numbers import NOTHING, interval, number, percent
from cwpo.report.under_table import held_by_single_runs
from db.records import RunRow

# What the figures and the line under them say already.
IN_CARDS = (
    "estimate", "interval", "n_prompts", "n_seeds", "strict", "kl", "chosen_logratio", "rejected_logratio", "tokens",
    "baseline_tokens", "length_ratio", "length_controlled", "length_interval",
)  # fmt: skip


def show_result(row: RunRow) -> None:
    """Nothing before the evaluation is published. Under the figures the terms on which they were counted."""
    found = row.evaluation
    if found is None:
        return
    table = results.table_of([row])[0]
    grid = st.grid(4, min_column_width=110)
    first, second, third, fourth = (grid.cell() for _ in range(4))
    _figure(first, "estimate", percent(found.gra), f"95 % {interval(found.ci_low, found.ci_high)}, prompts only")
    counts = f"{found.wins:g} wins, {found.ties:g} ties, {found.losses:g} losses"
    _figure(second, "strict", percent(found.gra_strict), counts)
    _figure(third, "kl", number(found.kl), _log_ratios(table))
    _figure(fourth, "tokens", number(found.mean_tokens, 1), _length(table))
    size = f"{counted(found.prompts, 'prompt')}, 1 seed"
    layout.note(GRA_IN_WORDS)
    layout.note(layout.MIDDLE_DOT.join((size, *terms([row], results.configs_of([row])).words)))
    for sentence in results.unreadable([row]):
        layout.note(sentence)
    layout.note(layout.MIDDLE_DOT.join(_further(table)))
    if said := held_by_single_runs([found.gra]):
        layout.note(said)


def _further(row: GraRow) -> list[str]:
    """Every other figure of the GRA table that this run has."""
    kept = [column for place in columns.ON_PAGES for column in columns.part(columns.GRA, place)[1:]]
    own = [column for column in kept if column.name not in IN_CARDS and column.cell(row) != NOTHING]
    return [column.in_a_sentence(row) for column in own]


def _log_ratios(row: GraRow) -> str:
    """The end of alignment on its own pairs: both falling is another way to move than chosen rising."""
    if row.chosen_logratio is None or row.rejected_logratio is None:
        return "from the reference"
    return f"log-ratios: chosen {number(row.chosen_logratio)}, rejected {number(row.rejected_logratio)}"


def _length(row: GraRow) -> str:
    if row.baseline_tokens is None:
        return ""
    words = f"baseline {number(row.baseline_tokens, 1)}, ratio {number(row.length_ratio)}"
    if row.length_controlled is None:
        return words
    even = f"GRA at equal length {percent(row.length_controlled)}, 95 % {interval(row.length_low, row.length_high)}"
    return f"{words}; {even}"


def _figure(column: DeltaGenerator, name: str, value: str, below: str) -> None:
    """A figure of the GRA table; a percentage carries its unit."""
    label = columns.heading(name) if value.endswith("%") else columns.title(name)
    with column, st.container(gap="xxsmall"):
        st.metric(label, value, help=MEANINGS[columns.heading(name)])
        if below:
            st.caption(below)
