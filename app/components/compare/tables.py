"""The tables of Compare: paired differences, and GRA with everything that must stand beside it."""

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from app.components.compare.choice import reference_widget
from app.components.frame import layout, tables
from app.components.frame.export import Exported, of_columns
from cwpo.compare.configured_run import DIFFERENT_BASELINES, Configs
from cwpo.compare.gra import DifferenceRow, GraRow
from cwpo.compare.matched_kl import MatchedRow
from cwpo.config.run import RunConfig
from cwpo.report import columns as report_columns
from cwpo.report.document.meanings import glossary
from cwpo.report.gra_terms import difference_notes, table_notes, terms_by_setting
from cwpo.report.sentences import what_the_seed_moved
from cwpo.report.under_table import held_by_intervals, paired_over, under_further_table
from db.records import RunRow

FEW = 15  # settings that a table shows at first
LONG_NAME = 36  # characters of a difference
LESS_REFERENCE = "setting − reference"


def show_differences_table(
    table: Sequence[GraRow], differences: Sequence[DifferenceRow], most: int, *, note: str
) -> None:
    """Differences, paired on prompts, strong only where the interval leaves out 0; under them of which runs."""
    left, right = st.columns(2, vertical_alignment="center")
    with left:
        layout.small("Differences, paired on prompts", meanings=glossary(report_columns.DIFFERENCE))
    with right:
        reference_widget(table)
    if differences:
        columns, shown = _short_names(differences[:most])
        tables.show_report(columns, shown, alt="Paired differences", is_real=lambda row: row.is_real, narrow=True)
        if said := paired_over(table, differences):
            layout.note(said)
    else:
        layout.note(
            "A difference needs two settings with seeds, prompts, opponent and gold reward in common; "
            "choose a reference."
        )
    layout.note(note)
    for reason in dict.fromkeys(row.reason for row in differences if row.reason):
        offer = "; see head to head below" if reason == DIFFERENT_BASELINES else ""
        layout.note(f"{reason.capitalize()}: no paired difference is shown{offer}.")


def _short_names(
    rows: Sequence[DifferenceRow],
) -> tuple[tuple[report_columns.Column, ...], list[DifferenceRow]]:
    """Columns and rows. Long names of one reference, which stands above the table, need not stand in every line."""
    columns = report_columns.DIFFERENCE
    if any(row.is_interaction for row in rows) or len({row.second for row in rows}) > 1:
        return columns, list(rows)
    if all(len(row.label) <= LONG_NAME for row in rows):
        return columns, list(rows)
    first = replace(columns[0], heading=LESS_REFERENCE)
    return (first, *columns[1:]), [replace(row, label=row.first_label) for row in rows]


def show_gra_table(table: Sequence[GraRow], configs: Sequence[RunConfig], most: int) -> None:
    """One line per setting; under it what the seed moved, and how far the intervals are known to hold."""
    columns = report_columns.gra_columns()
    layout.small("GRA and what stands beside it", meanings=glossary(columns, "main"))
    tables.show_report(columns, table[:most], alt="GRA by setting")
    layout.small("Distance and length", meanings=glossary(columns, "distance"))
    tables.show_report(columns, table[:most], alt="Distance and length by setting", place="distance")
    layout.note(
        "KL on the policy's own answers; chosen and rejected: mean log-ratio of the training pairs over the last tenth "
        "of alignment. GRA at equal length: what a logistic model of outcome on length difference gives at none."
    )
    words = [what_the_seed_moved(configs), held_by_intervals(table)]
    words += dict.fromkeys(f"{row.label}: {row.note}." for row in table if row.note)
    layout.note(" ".join(filter(None, words)))


def rows_shown(table: Sequence[GraRow]) -> int:
    """How many lines the tables of this page have: of many settings the first, and all of them on demand."""
    if len(table) <= FEW:
        return len(table)
    whole = st.toggle(f"All {len(table)} settings in the tables", key="all_settings", bind="query-params")
    return len(table) if whole else FEW


def exports(
    table: Sequence[GraRow],
    differences: Sequence[DifferenceRow],
    matched: Sequence[MatchedRow] = (),
    *,
    runs: Sequence[RunRow],
    configs: Configs,
    under: str = "",
) -> list[Exported]:
    """The tables as files; the one of GRA with its terms and what the seeds moved, those of differences with what
    stands `under` the first of them."""
    columns = report_columns.gra_columns(table, terms_by_setting(runs, configs))
    notes = difference_notes(runs, configs)
    found = [
        of_columns("GRA", columns, table, notes=_said(*table_notes(runs, configs), held_by_intervals(table))),
        of_columns("Differences", report_columns.DIFFERENCE, differences, notes=_said(*notes, under)),
    ]
    if matched:
        further = _said(*notes, under_further_table(matched))
        found.append(of_columns("Differences at matched KL", report_columns.MATCHED, matched, notes=further))
    return found


def _said(*notes: str) -> list[str]:
    return [note for note in notes if note]
