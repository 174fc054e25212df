"""Two aligned models against each other, whomever each was aligned against."""

from collections.abc import Sequence

import streamlit as st

from app import untrusted
from app.components.frame import layout, tables
from app.components.frame.address import CompareView
from app.components.frame.export import of_columns, show_export
from app.reads import results
from cwpo.compare.configured_run import DIFFERENT_BASELINES
from cwpo.compare.gra import DifferenceRow, GraRow
from cwpo.report import columns
from cwpo.report.document.meanings import glossary
from cwpo.report.under_table import under_pair
from db.records import RunRow

SHORT = 12  # characters of a group key in the address


def show_pair(rows: Sequence[RunRow], table: Sequence[GraRow], differences: Sequence[DifferenceRow]) -> None:
    """The pair of the address, else one that GRA cannot compare, else the first difference."""
    if len(table) < 2:
        layout.note("Head to head needs two evaluated settings; choose another one above.")
        return
    labels = {row.group_key[:SHORT]: row.label for row in table}
    first, second = _start(labels, differences)
    left, right = layout.two_columns()
    keys = (f"pair_first_{first}", f"pair_second_{second}")  # another pair of the address, other widgets
    with left:
        first = _choice("First", labels, first, keys[0], keys)
    with right:
        second = _choice("Second", labels, second, keys[1], keys)
    if first == second:
        layout.note("Choose two different settings.")
        return
    sides = [[row for row in rows if row.group_key.startswith(key)] for key in (first, second)]
    found = results.head_to_head_of(sides[0], sides[1], (labels[first], labels[second]))
    layout.small("Answer against answer", meanings=glossary(columns.HEAD_TO_HEAD))
    tables.show_report(columns.HEAD_TO_HEAD, [found], alt="Head to head", is_real=lambda row: row.is_real)
    if found.reason:
        layout.note(f"{found.reason.capitalize()}: no share is shown.")
        return
    notes = [under_pair(len(table))]
    show_export([of_columns("head to head", columns.HEAD_TO_HEAD, [found], notes=notes)], key="export_pair")
    layout.note(
        "Stored answers of both to the same prompts, sample against sample, by the gold reward that scored both; ties "
        "count half. 50 % means that neither is better; detectable: points away from it."
        + (f" {found.note.capitalize()}." if found.note else "")
    )
    layout.note(under_pair(len(table)))


def _start(labels: dict[str, str], differences: Sequence[DifferenceRow]) -> tuple[str, str]:
    chosen = CompareView.from_params(st.query_params).pair
    if len(chosen) == 2 and all(key in labels for key in chosen):
        return chosen[0], chosen[1]
    ordered = sorted(differences, key=lambda row: row.reason != DIFFERENT_BASELINES)
    known = [(row.first[:SHORT], row.second[:SHORT]) for row in ordered]
    keys = list(labels)
    return next((pair for pair in known if set(pair) <= set(keys)), (keys[-1], keys[0]))


def _choice(label: str, labels: dict[str, str], start: str, key: str, both: Sequence[str]) -> str:
    chosen = st.selectbox(label, list(labels), index=list(labels).index(start), key=key,
                          on_change=_remember, args=(both,),
                          format_func=lambda value: untrusted.plain(labels[value], 80))  # fmt: skip
    return str(chosen)


def _remember(both: Sequence[str]) -> None:
    layout.set_params(pair=",".join(str(st.session_state[key]) for key in both))
