"""GRA at matched KL, and with β tuned for each method: shown when methods were run at several β."""

from collections.abc import Sequence

from app.components.frame import layout, tables
from app.components.frame.chart import show_chart
from app.components.frame.export import of_columns, show_export
from cwpo.compare.matched_kl import FrontierRow, MatchedRow
from cwpo.compare.questions.tuned import TunedRow
from cwpo.report import columns
from cwpo.report.document.meanings import glossary
from cwpo.report.under_table import under_further_table


def show_matched(lines: Sequence[FrontierRow], matched: Sequence[MatchedRow]) -> None:
    """Curves on the left, paired differences along the KL that both methods reach on the right."""
    if not lines:
        return
    left, right = layout.two_columns()
    with left:
        show_chart("gra_kl_frontier", lines, key="frontier", title="Who gets further for the same distance?",
                   caption=_curves(lines))  # fmt: skip
    with right:
        layout.small("Differences at matched KL", meanings=glossary(columns.MATCHED))
        if matched:
            tables.show_report(
                columns.MATCHED, matched, alt="Differences at matched KL", is_real=lambda row: row.is_real, narrow=True
            )
        else:
            layout.note(
                "A difference needs two methods at several β in one setting: CW and weak labels, or a reference."
            )
        if any(row.curve is not None for row in matched):
            show_chart("matched_gap", matched, key="matched_gap", alt="Differences along KL")
        for row in matched:
            if row.reason:
                layout.note(f"{row.label}: {row.reason}.")
        if any(row.estimate is not None for row in matched):
            layout.note(
                "Averaged over the KL that every seed of both methods reaches, in the table, and along it, in the "
                "picture; between two β the outcome of each prompt is interpolated linearly in √KL. The error of the "
                "KL estimates is in neither."
            )
            layout.note(under_further_table(matched))


def show_tuned(rows: Sequence[TunedRow]) -> None:
    """Each method at its own β: what it was, and who is better on the prompts that did not choose it."""
    if not rows:
        return
    layout.small("Differences with β tuned for each method", meanings=glossary(columns.TUNED))
    tables.show_report(columns.TUNED, rows, alt="Differences with tuned β", is_real=lambda row: row.is_real)
    layout.note(
        _tried(rows)
        + "A third of the held-out prompts, whole clusters by a hash, chose; the figures are of the others. "
        "The models are the same on both, so a β whose seeds were lucky may be chosen for it, which no interval knows."
    )
    under = under_further_table(rows)
    if under:
        layout.note(under)
    notes = [under] if under else []
    show_export([of_columns("differences with tuned beta", columns.TUNED, rows, notes=notes)], key="export_tuned")


def _tried(rows: Sequence[TunedRow]) -> str:
    """What was chosen among: one budget for all that stand beside each other."""
    labels: dict[str, list[str]] = {}
    for row in rows:
        if row.tried:
            labels.setdefault(", ".join(f"{beta:g}" for beta in row.tried), []).append(row.label)
    words = [f"All methods chose among β {betas}. " for betas in labels]
    if len(labels) > 1:
        words = [f"Chosen among β {betas}: {'; '.join(named)}. " for betas, named in labels.items()]
    if any(row.objective != row.second_objective for row in rows):
        words.append("Objectives of one method had the same values too, though β is not the same thing under each. ")
    return "".join(words)


def _curves(lines: Sequence[FrontierRow]) -> str:
    without = [f"{line.label}: {line.reason}" for line in lines if line.reason]
    words = "A point is a β, averaged over seeds; a band is 95 % over seeds and prompts, where every seed has a curve."
    return " ".join([words, *(f"{one}." for one in without)])
