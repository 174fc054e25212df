"""Compare: what is better, and is it real?"""

import streamlit as st

from app.components.compare import evidence, tables
from app.components.compare.answers import show_same_prompt
from app.components.compare.choice import choose_runs, chosen_reference
from app.components.compare.evidence import show_annotators, show_config_differences, show_curves, show_top_share
from app.components.compare.facts import facts
from app.components.compare.further import show_further
from app.components.compare.gra_cards import show_gra_cards
from app.components.compare.matched import show_matched
from app.components.compare.tables import show_differences_table, show_gra_table
from app.components.frame import layout
from app.components.frame.address import CompareView
from app.components.frame.chart import show_chart
from app.components.frame.export import show_bundle, show_export
from app.reads import compare, results
from cwpo.compare.gra import DifferenceRow, GraRow, setting_keys
from cwpo.compare.matched_kl import FrontierRow
from db.records import RunRow

BESIDE = 4  # settings whose configurations fit into half of the page


def page() -> None:
    view = CompareView.from_params(st.query_params)
    with results.reading() as session:
        shown = compare.chosen(session, view.runs) if view.runs else compare.newest(session)
    rows = list(shown.rows)
    if not rows:
        layout.heading("Compare")
        layout.empty_state(
            "Runs stand side by side here: GRA with intervals over seeds, and what differs, prompt by prompt.",
            "Choose runs",
            "screens/runs.py",
        )
        return
    table, differences, lines = _answer(rows, shown.left_out)
    _evidence(rows, table, differences, lines, view)


def _answer(rows: list[RunRow], left_out: str) -> tuple[list[GraRow], list[DifferenceRow], list[FrontierRow]]:
    """First screen: estimates, intervals, paired differences. Gives all of them back, and the frontiers."""
    evaluated = [row for row in rows if row.evaluation is not None]
    table = results.table_of(evaluated)
    configs = results.configs_of(evaluated)
    left, right = st.columns([9, 2], vertical_alignment="center")
    with left:
        layout.heading("Compare", *facts(rows, table, configs))
        if left_out:
            layout.note(left_out)
    with right:
        choose_runs(rows)
    layout.show_flash()
    for sentence in results.unreadable(evaluated):
        layout.note(sentence)
    if not table:
        layout.empty_state("None of these runs is evaluated yet; their GRA appears here as soon as the first one is.")
        return [], [], []
    show_gra_cards(table)
    layout.let_paint("compare", *(row.id for row in rows))
    settings = setting_keys(evaluated, configs)
    reference = chosen_reference(table)
    differences = results.differences_of(evaluated, reference, settings)
    lines, matched = results.frontiers_of(evaluated, reference)
    left, right = layout.two_columns()
    with left:
        show_chart("gra_forest", table, key="forest", title="GRA against the baseline")
    with right:
        show_differences_table(table, differences, matched)
    show_matched(lines, matched)
    show_gra_table(table, list(configs.values()), len(rows) - len(evaluated))
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        files = tables.exports(table, differences, matched, runs=evaluated, configs=configs)
        show_export([*files, *evidence.exports(rows)])
        show_bundle([row.id for row in evaluated], reference)
    return table, differences, lines


def _evidence(
    rows: list[RunRow],
    table: list[GraRow],
    differences: list[DifferenceRow],
    lines: list[FrontierRow],
    view: CompareView,
) -> None:
    """Why: another judge, cost, the annotator, the distance moved, the configuration, the curves, the answers."""
    if table:
        show_further(rows, table, differences)
    show_annotators(rows)
    show_top_share(table, distance=not lines)
    narrow = len({row.group_key for row in rows}) <= BESIDE
    left, right = layout.two_columns() if narrow else (st.container(), st.container())
    with left:
        show_config_differences(rows)
    with right:
        show_curves(rows)
    show_same_prompt(rows, view)


with layout.guarded():
    page()
