"""The same answers under another gold reward: scored again on demand, then side by side with agreement."""

from collections.abc import Mapping, Sequence

import streamlit as st

from app import untrusted
from app.components.frame import layout, tables
from app.components.frame.export import Exported, show_export
from app.components.frame.formats import counted
from app.components.frame.tables import Cell, Column
from app.reads import results
from cwpo.config import catalog
from cwpo.errors import ConfigError
from cwpo.report import report
from cwpo.report.report import GoldRow
from db import queries
from db.errors import DatabaseError
from db.records import RescoringRow, RunRow
from db.status import DONE, LIVE
from workers import api

COLUMNS = (
    Column(label="setting", whole=True),
    Column(label="own: GRA, %", figures=True),
    Column(label="95 %", figures=True),
    Column(label="further: GRA, %", figures=True),
    Column(label="95 %", figures=True),
    Column(label="same side, %", figures=True),
    Column(label="κ", figures=True),
    Column(label="95 %", figures=True),
    Column(label="own gain, SD", figures=True),
    Column(label="further gain, SD", figures=True),
    Column(label="ρ baseline", figures=True),
    Column(label="ρ aligned", figures=True),
)


def show_gold(rows: Sequence[RunRow]) -> None:
    """The table of a further gold reward that has judged, and the button that asks another one."""
    with results.reading() as session:
        found = queries.rescorings(session, [row.id for row in rows])
    configs = results.configs_of(rows)
    own = {str(configs[row.id]["evaluation"]["gold_reward"]) for row in rows}
    done = list(dict.fromkeys(one.key for one in found if one.status == DONE))
    left, right = layout.two_columns()
    with left:
        key = _chosen(done)
        if not done:
            layout.note("Once another gold reward has scored these answers, its GRA stands here beside the first one.")
    with right:
        _ask(rows, own, sandbox=all(row.dataset == "sandbox" for row in rows))
    _waiting(found, rows)
    if key:
        _table(rows, key, ", ".join(sorted(own)))


def _chosen(done: Sequence[str]) -> str:
    if not done:
        return ""
    return st.selectbox("Beside the own gold reward", done, key="gold", bind="query-params",
                        format_func=lambda key: untrusted.plain(key, 40)) or done[0]  # fmt: skip


def _ask(rows: Sequence[RunRow], own: set[str], *, sandbox: bool) -> None:
    """Scores stored answers; generates nothing."""
    names = {name: row for name, row in catalog.GOLD_REWARDS.items() if name not in own}
    offered = [name for name, row in names.items() if sandbox or row.kind != "oracle"]
    chosen = st.selectbox(
        "Another gold reward",
        offered,
        index=None,
        placeholder="from the catalog, a hub id or a folder",
        accept_new_options=True,
        format_func=lambda name: names[name].label if name in names else untrusted.plain(name, 80),
        key="further_gold",
    )
    ready = [row.id for row in rows if row.status not in LIVE]
    label = (
        f"Score these answers with {names[chosen].label if chosen in names else 'it'}"
        if chosen
        else "Score these answers"
    )
    reason = (
        None if chosen and ready else "Every run shown is queued or running." if chosen else "Choose a gold reward."
    )
    if st.button(label, key="rescore", disabled=reason is not None, help=reason) and chosen:
        try:
            made = api.rescore(ready, chosen)
        except (ConfigError, DatabaseError) as error:
            layout.problem(error)
            return
        layout.flash(f"{counted(len(made), 'run')} queued for scoring; no answer is generated again.")
        st.rerun()


def _waiting(found: Sequence[RescoringRow], rows: Sequence[RunRow]) -> None:
    """What is on its way, or failed."""
    open_ones: Mapping[str, int] = {
        f"{one.key}: {one.status}": sum(o.key == one.key and o.status == one.status for o in found)
        for one in found
        if one.status != DONE
    }
    for words, count in open_ones.items():
        layout.note(f"{words} for {count} of {counted(len(rows), 'run')}.")


def _table(rows: Sequence[RunRow], key: str, own: str) -> None:
    table = results.gold_table_of(rows, key)
    if not table:
        layout.note("None of the runs shown has been judged by both.")
        return
    tables.show(COLUMNS, [gold_row_cells(row) for row in table], alt="GRA under two gold rewards")
    layout.note(
        f"Own: {own}; further: {key}. Same side: prompts that both call won, lost or tied; κ is "
        "Cohen's. Gain: mean score over the baseline's, in SD of the baseline's scores."
    )
    exported = Exported(
        name="two gold rewards", numbers=lambda: report.gold_numbers(table), cells=lambda: report.gold_cells(table, key)
    )
    show_export([exported], key="export_gold")
    sentence = report.agreement_sentence(table)
    if sentence:
        layout.note(sentence)


def gold_row_cells(row: GoldRow) -> list[Cell]:
    """Estimates in ink, what judges them muted."""
    kappa = "–" if row.kappa is None else f"{report.number(row.kappa_low)} to {report.number(row.kappa_high)}"
    return [
        Cell(text=row.label),
        Cell(text=report.number(100 * row.estimate, 1)),
        Cell(text=report.interval(row.low, row.high), muted=True),
        Cell(text=report.number(100 * row.further, 1)),
        Cell(text=report.interval(row.further_low, row.further_high), muted=True),
        Cell(text=report.number(100 * row.same_side, 1)),
        Cell(text=report.number(row.kappa)),
        Cell(text=kappa, muted=True),
        Cell(text=report.number(row.gain)),
        Cell(text=report.number(row.further_gain)),
        Cell(text=report.number(row.rank_baseline)),
        Cell(text=report.number(row.rank_aligned)),
    ]
