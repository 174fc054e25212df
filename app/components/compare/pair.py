"""Two aligned models against each other, whomever each was aligned against."""

from collections.abc import Sequence

import streamlit as st

from app import untrusted
from app.components.frame import layout, tables
from app.components.frame.address import CompareView
from app.components.frame.export import Exported, show_export
from app.components.frame.tables import Cell, Column
from app.reads import results
from cwpo.compare.gra import DIFFERENT_OPPONENTS
from cwpo.report import report
from cwpo.report.report import DifferenceRow, GraRow, HeadToHead
from db.records import RunRow

SHORT = 12  # characters of a group key in the address
COLUMNS = (
    Column(label="pair"),
    Column(label="won, %", figures=True),
    Column(label="95 %", figures=True),
    Column(label="p", figures=True),
    Column(label="detectable", figures=True),
    Column(label="wins", figures=True),
    Column(label="ties", figures=True),
    Column(label="losses", figures=True),
    Column(label="tokens", figures=True),
    Column(label="second's", figures=True),
    Column(label="prompts", figures=True),
    Column(label="seeds", figures=True),
)


def show_pair(rows: Sequence[RunRow], table: Sequence[GraRow], differences: Sequence[DifferenceRow]) -> None:
    """The pair of the address, else one that GRA cannot compare, else the first difference."""
    if len(table) < 2:
        layout.note("Head to head needs two evaluated settings; choose another one above.")
        return
    labels = {row.group_key[:SHORT]: row.label for row in table}
    first, second = _start(labels, differences)
    left, right = layout.two_columns()
    with left:
        first = _choice("First", labels, first, "pair_first")
    with right:
        second = _choice("Second", labels, second, "pair_second")
    if first == second:
        layout.note("Choose two different settings.")
        return
    sides = [[row for row in rows if row.group_key.startswith(key)] for key in (first, second)]
    found = results.head_to_head_of(sides[0], sides[1], (labels[first], labels[second]))
    tables.show(COLUMNS, [head_to_head_row(found)], alt="Head to head")
    if found.reason:
        layout.note(f"{found.reason.capitalize()}: no share is shown.")
        return
    exported = Exported(
        name="head to head",
        numbers=lambda: report.head_to_head_numbers([found]),
        cells=lambda: report.head_to_head_cells([found]),
    )
    show_export([exported], key="export_pair")
    layout.note(
        "Stored answers of both to the same prompts, sample against sample, by the gold reward that scored both; ties "
        "count half. 50 % means that neither is better; detectable: points away from it."
        + (f" {found.note.capitalize()}." if found.note else "")
    )


def head_to_head_row(row: HeadToHead) -> list[Cell]:
    """Muted unless the interval leaves out one half."""
    muted = not row.is_real
    return [
        Cell(text=f"{row.first_label} against {row.second_label}", muted=muted),
        Cell(text=report.number(None if row.share is None else 100 * row.share, 1), muted=muted, strong=row.is_real),
        Cell(text=report.interval(row.low, row.high), muted=muted),
        Cell(text=report.p_value(row.p), muted=True),
        Cell(text=report.number(None if row.detectable is None else 100 * row.detectable, 1), muted=True),
        *(Cell(text=report.count(number), muted=True) for number in (row.wins, row.ties, row.losses)),
        Cell(text=report.number(row.tokens, 1), muted=True),
        Cell(text=report.number(row.second_tokens, 1), muted=True),
        Cell(text=report.count(row.n_prompts), muted=True),
        Cell(text=report.count(row.n_seeds), muted=True),
    ]


def _start(labels: dict[str, str], differences: Sequence[DifferenceRow]) -> tuple[str, str]:
    chosen = CompareView.from_params(st.query_params).pair
    if len(chosen) == 2 and all(key in labels for key in chosen):
        return chosen[0], chosen[1]
    ordered = sorted(differences, key=lambda row: row.reason != DIFFERENT_OPPONENTS)
    known = [(row.first[:SHORT], row.second[:SHORT]) for row in ordered]
    keys = list(labels)
    return next((pair for pair in known if set(pair) <= set(keys)), (keys[-1], keys[0]))


def _choice(label: str, labels: dict[str, str], start: str, key: str) -> str:
    chosen = st.selectbox(label, list(labels), index=list(labels).index(start), key=key, on_change=_remember,
                          format_func=lambda value: untrusted.plain(labels[value], 80))  # fmt: skip
    return str(chosen)


def _remember() -> None:
    layout.set_params(pair=f"{st.session_state['pair_first']},{st.session_state['pair_second']}")
