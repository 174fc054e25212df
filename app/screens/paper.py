"""Paper: does it hold here?"""

from collections import Counter

import streamlit as st

from app.components.frame import layout, tables
from app.components.frame.chart import show_chart
from app.components.frame.export import show_tables
from app.components.frame.formats import counted
from app.components.paper.choice import choose_table, show_asking, show_presets
from app.components.paper.tables import (
    OF_CELLS,
    OF_SUMMARY,
    show_cells,
    show_conflicts,
    show_departures,
    show_gaps,
    show_other_conflicts,
    show_rule,
    show_summary,
)
from app.reads.paper import PaperView, paper_view
from cwpo.paper import published
from cwpo.paper.answers import NO_VERDICT, PAIRED
from cwpo.paper.names import METRICS, shared
from cwpo.report.document.meanings import GRA_IN_WORDS

FIRST = "T1"
EXACT = ("F3 left", "F3 right", "F4", "F5")  # figures whose points could be measured to a tenth
MEANING = {"gra": GRA_IN_WORDS}  # of a metric, beside the title of its picture
DOTS = "Hollow: the paper, with the interval that its number of prompts or pairs implies. Filled: ours, 95 %."
SUMMARY = "Paper: mean over its cells, in points. Ours: verdicts of the cells that runs answer."
SANDBOX = "The sandbox is another world: only the sign of its paired difference is shown, after correction."


def page() -> None:
    heading, choice = st.container(), st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    with choice:
        table = choose_table(FIRST)
        show_presets(table)
    numbers = published.numbers_of(table.name)
    with heading:
        read = published.READ[numbers[0].read] + (", ±0.1 points" if numbers[0].table in EXACT else "")
        facts = (*shared(numbers), counted(len(numbers), "number"), read, "single runs")
        layout.heading("Paper", "CW-PO, arXiv 2603.04968", *facts)
    view = paper_view(table)
    files: list[tables.Drawn] = []
    _answer(table, view, files)
    _evidence(table, view, files)
    show_tables(files, key="export_paper")


def _answer(table: published.Table, view: PaperView, files: list[tables.Drawn]) -> None:
    """First screen: the table's question, the paper's numbers beside ours, what its differences say."""
    st.markdown(f"**{table.question}** {_state(table, view)}")
    if view.asking:
        show_asking(view.asking)
    left, right = layout.two_columns()
    with left:
        if any(cell.low is not None for cell in view.cells):
            show_chart("paper_cells", view.cells, key="cells", title=_title(view), caption=DOTS,
                       about=MEANING.get(view.cells[0].number.metric, ""))  # fmt: skip
        else:
            show_conflicts(table.name)
    with right:
        if view.summaries:
            layout.small("What its differences say", meanings=OF_SUMMARY)
            signs = published.numbers_of(table.name)[0].metric in PAIRED
            show_summary(view.summaries, files, signs=signs)
            layout.note(f"{SUMMARY} {SANDBOX}" if signs else SUMMARY)
        if any(cell.low is not None for cell in view.cells):
            show_conflicts(table.name)


def _title(view: PaperView) -> str:
    metric = METRICS[view.cells[0].number.metric]
    return f"{metric[:1].upper()}{metric[1:]}: the paper's and ours"


def _evidence(table: published.Table, view: PaperView, files: list[tables.Drawn]) -> None:
    """Cell by cell, then what to know before a number is quoted."""
    if view.gaps:
        layout.small("Differences, cell by cell", meanings=OF_CELLS)
        show_gaps(view.gaps, view.cells, files)
    layout.small(f"Every number of {table.label.split(' · ')[0]}", meanings=OF_CELLS)
    show_cells(view.cells, files)
    if any(cell.number.metric in PAIRED for cell in view.cells):
        layout.note(GRA_IN_WORDS)
    for note in (*view.notes, *view.reasons):
        layout.note(note)
    show_departures(view.cells)
    for note in dict.fromkeys(cell.number.note for cell in view.cells if cell.number.note):
        layout.note(f"{note[:1].upper()}{note[1:]}.")
    show_other_conflicts(table.name)
    show_rule()


def _state(table: published.Table, view: PaperView) -> str:
    """How many cells are answered and with what verdicts."""
    if table.unanswered:
        return table.unanswered
    answered = [cell for cell in view.cells if cell.ours is not None]
    if not answered:
        return f"No run here answers a cell yet; ours will stand beside the paper's here. {table.aside}".strip()
    says = Counter("without a verdict" if cell.says == NO_VERDICT else cell.says for cell in answered)
    words = ", ".join(f"{count} {name}" for name, count in says.items())
    return f"{len(answered)} of {len(view.cells)} cells answered by runs here: {words}. {table.aside}".strip()


with layout.guarded():
    page()
