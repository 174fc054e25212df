"""Compare: what is better, and is it real?"""

import streamlit as st

from app.components.compare import configurations, evidence, tables
from app.components.compare.answer import show_gra_cards, show_verdict
from app.components.compare.choice import choose_runs, chosen_reference
from app.components.compare.evidence import show_top_share
from app.components.compare.facts import absences, facts
from app.components.compare.further import show_further
from app.components.compare.handing_on import show_copy, show_report_buttons
from app.components.compare.matched import show_matched, show_tuned
from app.components.compare.tables import rows_shown, show_differences_table, show_gra_table
from app.components.frame import layout
from app.components.frame.address import CompareView
from app.components.frame.chart import show_chart
from app.components.frame.export import show_bundle, show_export
from app.components.frame.formats import GAVE_UP
from app.components.frame.painting import let_paint
from app.components.judging.along import show_along
from app.components.judging.card import show_cards
from app.reads import compare, results
from app.reads.compare import ChosenRuns
from cwpo.compare.gra import DifferenceRow, GraRow, setting_keys
from cwpo.compare.reference import PLANNED_PAIRS
from cwpo.report.document.meanings import GRA_IN_WORDS
from cwpo.report.under_table import equivalence_out_of_reach, expected_of_losses, under_table
from cwpo.report.verdict import verdict
from db.records import RunRow


def page() -> None:
    view = CompareView.from_params(st.query_params)
    with results.reading() as session:
        shown = compare.chosen(session, view.runs) if view.runs else compare.newest(session)
    if not shown.rows:
        layout.heading("Compare")
        for sentence in absences((), shown.gone):
            layout.note(sentence)
        layout.empty_state(
            "Runs stand side by side here: GRA with intervals over seeds, and what differs, prompt by prompt.",
            "Choose runs",
            "screens/runs.py",
        )
        return
    table, differences, reference = _answer(shown)
    show_further(list(shown.rows), table, differences, reference, view)


def _answer(shown: ChosenRuns) -> tuple[list[GraRow], list[DifferenceRow], str]:
    """First screen: the verdict, estimates, intervals, paired differences. Gives back all that is held against what."""
    rows = list(shown.rows)
    evaluated = [row for row in rows if row.evaluation is not None]
    table = results.table_of(evaluated)
    configs = results.configs_of(evaluated)
    left, right = st.columns([9, 2], vertical_alignment="center")
    with left:
        layout.heading("Compare", *facts(rows, table, configs))
    with right:
        choose_runs(rows)
    layout.show_flash()
    said = [shown.left_out, *absences(rows, shown.gone), *results.unreadable(evaluated)]
    if not table:
        _notes(said)
        layout.empty_state(
            "None of these runs is evaluated: they failed or were cancelled before. A retry, on a run's page, goes on."
            if all(row.status in GAVE_UP for row in rows)
            else "None of these runs is evaluated yet; their GRA appears here as soon as the first one is."
        )
        return [], [], ""
    reference = chosen_reference(table)
    against = "" if reference == PLANNED_PAIRS else reference
    differences = results.differences_of(evaluated, against, setting_keys(evaluated, configs))
    lines, matched = results.frontiers_of(evaluated, against)
    found = verdict(table, differences, against, matched)
    show_verdict(found)
    _notes(said)
    show_gra_cards(table, against)
    let_paint("compare", *(row.id for row in rows))
    most = rows_shown(table)
    left, right = layout.two_columns()
    with left:
        show_chart("gra_forest", table, key="forest", title="GRA against the baseline", caption=GRA_IN_WORDS)
    under = under_table(rows, shown.siblings, sum(row.estimate is not None for row in differences))
    with right:
        show_differences_table(table, differences, most, note=under)
        _notes([expected_of_losses(configs.values()), equivalence_out_of_reach(differences, *_size(evaluated))])
    show_matched(lines, matched)
    show_tuned(results.tuned_of(evaluated, against) if lines else [])
    show_gra_table(table, list(configs.values()), most)
    show_along(evaluated, key="compared_runs")
    show_cards(evaluated, table)
    files = tables.exports(table, differences, matched, runs=evaluated, configs=configs, under=under)
    files = [*files, *configurations.exports(rows, against), *evidence.exports(rows)]
    offers = st.grid(6, min_column_width=120)
    with offers.cell():
        show_export(files)
    with offers.cell():
        show_copy(files)
    with offers.cell():
        show_report_buttons(shown, table, differences, matched, found, against)
    with offers.cell():
        show_bundle([row.id for row in evaluated], against)
    show_top_share(table, distance=not lines)
    return table, differences, against


def _size(evaluated: list[RunRow]) -> tuple[int, int]:
    """How many held-out prompts these runs have, related ones as one, and the answers to each."""
    configs = results.configs_of(evaluated).values()
    return results.unrelated_of(evaluated), min((config.evaluation.samples for config in configs), default=1)


def _notes(said: list[str]) -> None:
    for sentence in filter(None, said):
        layout.note(sentence)


with layout.guarded():
    page()
