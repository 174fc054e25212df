"""Annotators: can its confidence be trusted?"""

import streamlit as st

from app.components.annotators.cards import show_annotator_cards
from app.components.annotators.choice import choose_annotator, choose_judge
from app.components.annotators.evidence import show_annotators, show_figures, show_parts, show_reweighting, show_unsure
from app.components.annotators.naming import show_named, show_naming
from app.components.annotators.scaling import show_scaling
from app.components.frame import layout, tables
from app.components.frame.address import AnnotatorsView, ExamplesView, Judge
from app.components.frame.chart import show_chart
from app.components.frame.export import show_tables
from app.components.frame.formats import counted, dataset_name, share
from app.components.frame.leaving import link
from app.components.frame.painting import let_paint
from app.reads import results
from cwpo.report.labels.annotators import annotator_name, verdict
from cwpo.report.numbers import count
from db import queries
from db.records import AnnotatorRow, Judged, LabelSummary

NOTHING = "Annotators are listed here once one has labeled: how often it is right, and whether its confidence says so."
MISSING = "There is no annotator {}; its runs may have been deleted."
TOO_OLD = "These labels were made before calibration was kept; run it again with another salt to see it here."


def page() -> None:
    layout.show_flash()
    view = AnnotatorsView.from_params(st.query_params)
    rows = _listed(view)
    chosen = next((row for row in rows if view.annotator in (None, row.stage_id)), None)
    files: list[tables.Drawn] = []
    if chosen is None:
        _nothing(view, bool(rows))
    else:
        _annotator(rows, chosen, files)
    show_named(files)
    show_tables(files, key="export_annotators")


def _nothing(view: AnnotatorsView, others: bool) -> None:
    layout.heading("Annotators")
    what = MISSING.format(view.annotator) if others else NOTHING
    layout.empty_state(what, "Set up a run with an annotator", "screens/new_run.py")


def _annotator(rows: list[AnnotatorRow], chosen: AnnotatorRow, files: list[tables.Drawn]) -> None:
    with results.reading() as session:
        summary = queries.label_summary(session, chosen.run_id)
    if summary is not None:
        judge = _answer(rows, chosen, summary)
        _evidence(rows, chosen, summary, judge, files)


def _listed(view: AnnotatorsView) -> list[AnnotatorRow]:
    """The newest annotators, and the one of the address behind them where it is older."""
    rows = results.annotators()
    if view.annotator is None or any(row.stage_id == view.annotator for row in rows):
        return rows
    older = results.annotator(view.annotator)
    return rows if older is None else [*rows, older]


def _answer(rows: list[AnnotatorRow], chosen: AnnotatorRow, summary: LabelSummary) -> Judge:
    """First screen: how often it is right, whether confidence says so, and whether it sorts. Gives the judge back."""
    left, right = st.columns([2, 1], vertical_alignment="center")
    with left:
        layout.heading("Annotators", *_facts(chosen, summary))
    with right:
        choose_annotator(rows, chosen)
        judge = choose_judge(summary)
    judged = summary.truth if judge == "truth" else summary.human
    if judged is None:
        layout.empty_state(TOO_OLD if summary.accuracy_human is not None else "No label is known to judge these by.")
        return judge
    show_annotator_cards(summary, judged, judge)
    layout.note(verdict(summary, judge))
    let_paint("annotators", chosen.stage_id)
    _pictures(chosen, judged, judge)
    return judge


def _pictures(chosen: AnnotatorRow, judged: Judged, judge: str) -> None:
    lines = [("raw", judged)]
    scaled = results.scaling_of(chosen) if judge == "human" else None
    if scaled is not None:
        lines.append((f"scaled, T = {scaled.temperature:.2f}", scaled.scaled.judged))
    left, right = layout.two_columns()
    with left:
        caption = (
            f"Each point is about {counted(judged.bins[0].n, 'pair')} of similar confidence, with its 95 % interval."
        )
        show_chart("reliability", lines, key=f"reliability_{judge}", title="Is confidence right?", caption=caption)
    with right:
        caption = (
            f"Area under the curve (AURC) {judged.aurc:.3f}, under errors over all pairs (AUGRC) {judged.augrc:.3f}; "
            "a temperature changes neither."
        )
        show_chart("risk_coverage", [("by confidence", judged)], key=f"risk_{judge}",
                   title="Does confidence sort right from wrong?", caption=caption)  # fmt: skip


def _evidence(
    rows: list[AnnotatorRow], chosen: AnnotatorRow, summary: LabelSummary, judge: Judge, files: list[tables.Drawn]
) -> None:
    """What confidence does to the loss, where it is wrong, what scaling changes, and what else there is."""
    _confidently_wrong(chosen)
    show_reweighting(summary, judge, files)
    show_parts(summary.sources, files, title="By source", axis="source", key="sources")
    show_parts(
        summary.lengths, files, title="By difference in length", axis="difference in length, characters", key="lengths"
    )
    show_unsure(summary, files)
    left, right = layout.two_columns()
    with left:
        show_figures(summary, files)
    with right:
        show_scaling(chosen, results.scaling_of(chosen), files)
    show_naming(chosen.run_id)
    show_annotators(rows, chosen, files)


def _confidently_wrong(chosen: AnnotatorRow) -> None:
    """The way to the texts."""
    pairs = ExamplesView(run=chosen.run_id, order="confident_wrong")
    link(pairs, "Pairs where it is confident and the human disagrees")


def _facts(row: AnnotatorRow, summary: LabelSummary) -> list[str]:
    return [
        annotator_name(row),
        dataset_name(row.dataset),
        f"{share(row.label_fraction)} labels",
        f"{counted(summary.n, 'pair')} labeled{_part_judged(summary)}",
        f"used by {counted(row.runs, 'run')}",
    ]


def _part_judged(summary: LabelSummary) -> str:
    """Of very many labels, whole prompts drawn by a hash are judged; an existing annotator by those of prompts that it
    was not trained on."""
    fewer = summary.judged is not None and summary.judged < summary.n
    judged = f", {counted(summary.judged or 0, 'pair')} judged" if fewer else ""
    if summary.trained_on is None:
        return f"{judged}, its own data not here: it may have been trained on some"
    return f"{judged}, {count(summary.trained_on)} left out that it was trained on" if summary.trained_on else judged


with layout.guarded():
    page()
