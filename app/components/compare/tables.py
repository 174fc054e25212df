"""The tables of Compare: paired differences, and GRA with everything that must stand beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.components.compare.choice import reference_widget
from app.components.frame import layout, tables
from app.components.frame.export import Exported
from app.components.frame.tables import Cell, Column
from cwpo.compare.gra import DIFFERENT_OPPONENTS
from cwpo.report import report
from cwpo.report.report import DifferenceRow, GraRow, MatchedRow
from db.records import RunRow

DIFFERENCE_COLUMNS = (
    Column(label="pair"),
    Column(label="Δ points", figures=True),
    Column(label="95 %", figures=True),
    Column(label="p, Holm", figures=True),
    Column(label="detectable", figures=True),
)
GRA_COLUMNS = (
    Column(label="setting", whole=True),
    Column(label="GRA, %", figures=True),
    Column(label="95 %", figures=True),
    Column(label="ties lose, %", figures=True),
    Column(label="no ties, %", figures=True),
    Column(label="ungrammatical, %", figures=True),
    Column(label="baseline's, %", figures=True),
    Column(label="prompts", figures=True),
    Column(label="seeds", figures=True),
)
DRIFT_COLUMNS = (
    Column(label="setting", whole=True),
    Column(label="KL, nats", figures=True),
    Column(label="chosen, nats", figures=True),
    Column(label="rejected, nats", figures=True),
    Column(label="tokens", figures=True),
    Column(label="baseline's", figures=True),
    Column(label="ratio", figures=True),
    Column(label="GRA at equal length, %", figures=True),
    Column(label="95 %", figures=True),
)


def show_differences_table(
    table: Sequence[GraRow], differences: Sequence[DifferenceRow], matched: Sequence[MatchedRow] = ()
) -> None:
    """Differences, paired on prompts. Strong only where the interval leaves out 0, also after correction."""
    left, right = st.columns([3, 2], vertical_alignment="center")
    with left:
        layout.small("Differences, paired on prompts")
    with right:
        reference_widget(table)
    if differences:
        tables.show(DIFFERENCE_COLUMNS, [difference_cells(row) for row in differences], alt="Paired differences")
    else:
        layout.note(
            "A difference needs two settings with seeds, prompts, opponent and gold reward in common; "
            "choose a reference."
        )
    reasons = dict.fromkeys(row.reason for row in differences if row.reason)
    for reason in reasons:
        offer = "; see head to head below" if reason == DIFFERENT_OPPONENTS else ""
        layout.note(f"{reason.capitalize()}: no paired difference is shown{offer}.")
    layout.note(report.verdict_sentence(table, differences, matched))


def show_gra_table(table: Sequence[GraRow], configs: Sequence[Mapping[str, Any]], waiting: int) -> None:
    """One line per setting; under it what the seed moved."""
    layout.small("GRA and what stands beside it")
    tables.show(GRA_COLUMNS, [gra_cells(row) for row in table], alt="GRA by setting")
    tables.show(DRIFT_COLUMNS, [drift_cells(row) for row in table], alt="Distance and length by setting")
    layout.note(
        "KL on the policy's own answers; chosen and rejected: mean log-ratio of the training pairs over the last tenth "
        "of alignment. GRA at equal length: what a logistic model of outcome on length difference gives at none."
    )
    words = [report.what_the_seed_moved(configs)]
    words += dict.fromkeys(f"{row.label}: {row.note}." for row in table if row.note)
    if waiting:
        words.append(f"{waiting} of the runs chosen {'is' if waiting == 1 else 'are'} not evaluated yet.")
    layout.note(" ".join(words))


def exports(
    table: Sequence[GraRow],
    differences: Sequence[DifferenceRow],
    matched: Sequence[MatchedRow] = (),
    *,
    runs: Sequence[RunRow],
    configs: Mapping[int, Mapping[str, Any]],
) -> list[Exported]:
    """The tables as files; the one of GRA with its terms and what the seeds moved."""
    terms = report.terms_by_setting(runs, configs)
    found = [
        Exported(
            name="GRA",
            numbers=lambda: report.gra_numbers(table, terms),
            cells=lambda: report.gra_cells(table, terms, report.table_notes(runs, configs)),
        ),
        Exported(
            name="Differences",
            numbers=lambda: report.difference_numbers(differences),
            cells=lambda: report.difference_cells(differences),
        ),
    ]
    if matched:
        found.append(
            Exported(
                name="Differences at matched KL",
                numbers=lambda: report.matched_numbers(matched),
                cells=lambda: report.matched_cells(matched),
            )
        )
    return found


def difference_cells(row: DifferenceRow) -> list[Cell]:
    """Muted until it is real: an interval may leave out 0 while the corrected p does not."""
    muted = not row.is_real
    return [
        Cell(text=row.label, muted=muted),
        Cell(text=report.points(row.estimate), muted=muted, strong=row.is_real),
        Cell(text=row.reason or report.points_interval(row.low, row.high), muted=muted),
        Cell(text=report.p_value(row.p_holm), muted=True),
        Cell(text=report.number(None if row.detectable is None else 100 * row.detectable, 1), muted=True),
    ]


def gra_cells(row: GraRow) -> list[Cell]:
    """Estimate and interval in ink, what stands beside them muted."""
    return [
        Cell(text=row.label),
        Cell(text=_share(row.estimate)),
        Cell(text=report.interval(row.low, row.high)),
        Cell(text=_share(row.strict), muted=True),
        Cell(text=_share(row.ties_dropped), muted=True),
        Cell(text=_share(row.ungrammatical)),
        Cell(text=_share(row.baseline_ungrammatical), muted=True),
        Cell(text=report.count(row.n_prompts), muted=True),
        Cell(text="1, prompts only" if row.n_seeds == 1 else report.count(row.n_seeds), muted=row.n_seeds > 1),
    ]


def drift_cells(row: GraRow) -> list[Cell]:
    """How far it moved and how long it became: a gain that comes with either is another finding."""
    return [
        Cell(text=row.label),
        Cell(text=report.number(row.kl)),
        Cell(text=report.number(row.chosen_logratio), muted=True),
        Cell(text=report.number(row.rejected_logratio), muted=True),
        Cell(text=report.number(row.tokens, 1)),
        Cell(text=report.number(row.baseline_tokens, 1), muted=True),
        Cell(text=report.number(row.length_ratio)),
        Cell(text=_share(row.length_controlled)),
        Cell(text=report.interval(row.length_low, row.length_high), muted=True),
    ]


def _share(value: float | None) -> str:
    return report.number(None if value is None else 100 * value, 1)
