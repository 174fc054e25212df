"""Can the judge be believed? A folded section beside a GRA: agreement with people, and what that leaves of it."""

from collections.abc import Sequence

import streamlit as st

from app import allowed
from app.components.frame import layout, tables
from app.components.frame.export import of_columns, show_export
from app.components.frame.formats import counted
from app.components.judging.order import show_order
from app.reads import judges, results
from cwpo.compare.gra import GraRow
from cwpo.compare.judges.card import CardRow, gaps_of
from cwpo.errors import CwpoError
from cwpo.report import columns
from cwpo.report.document.meanings import glossary
from cwpo.report.numbers import number, percent
from cwpo.report.sentences import believed, card_sentences
from db.errors import DatabaseError
from db.records import RunRow
from db.status import LIVE
from workers import api
from workers.api.people.access import Role

TITLE = "Can the judge be believed?"
MODEL = (
    "If the judge is right with probability q whichever model is better, GRA = q·g + (1 − q)(1 − g), and "
    "g = (GRA + q − 1)/(2q − 1) is the GRA without its errors; the interval carries the errors of both. q is the "
    "agreement with single human labels, so this holds if the labels are right; noise in them moves g too far from "
    "50 %. Where g leaves 0 to 100 %, the judge's errors favour one of the models, or the labels are noisy. The "
    "sandbox's oracle is the truth: nothing to correct, and q is the labels' noise."
)


def show_card(row: RunRow) -> None:
    """Of one run, folded; nothing is read before it is opened."""
    if row.evaluation is None:
        return
    folded = st.expander(TITLE, key="judge_card", on_change="rerun")
    if not folded.open:
        return
    with folded:
        known = judges.cards_of([row])
        (found,) = judges.card_table_of([row], results.table_of([row]), known)
        card = known.get(row.id)
        for sentence in (believed(found), *card_sentences(card), *_answers(row, found)):
            layout.note(sentence)
        if card is None:
            _try([row], key="try_judge")


@layout.fragment
def show_cards(rows: Sequence[RunRow], table: Sequence[GraRow]) -> None:
    """One row per setting, folded."""
    folded = st.expander(TITLE, key="judge_cards", on_change="rerun")
    if not folded.open:
        return
    with folded:
        known = judges.cards_of(rows)
        found = judges.card_table_of(rows, table, known)
        layout.small("GRA with its judge's errors", meanings=glossary(columns.CARD))
        tables.show_report(columns.CARD, found, alt="GRA with its judge's errors")
        layout.note(MODEL)
        show_export([of_columns("judge cards", columns.CARD, found, notes=[MODEL])], key="export_cards")
        show_order(rows)
        missing = [row for row in rows if row.id not in known]
        if missing:
            _try(missing, key="try_judges")


def _answers(row: RunRow, found: CardRow) -> list[str]:
    """What the verdicts on this run's own answers look like."""
    gaps = gaps_of(results.outcomes_of([row.id]))
    said = [f"On this run's answers {percent(found.ties)} of the prompts tie"]
    if found.longer_won is not None:
        said[0] += f", and the longer answer won {percent(found.longer_won)} of those with different lengths"
    said[0] += "."
    if gaps:
        low, quarter, middle, three, high = (number(value) for value in gaps)
        said.append(
            f"Gaps between both scores in SD of the baseline's: median {middle}, half of them {quarter} to {three}, "
            f"four in five {low} to {high}."
        )
    return said


def _try(rows: Sequence[RunRow], *, key: str) -> None:
    """The gold reward on pairs with human labels, as a further stage."""
    ready = [row.id for row in rows if row.status not in LIVE]
    reason = None if ready else "Every run shown is queued or running."
    if st.button(
        "Try it on pairs with human labels",
        key=key,
        **allowed.only_for(Role.RUNNER, disabled=reason is not None, about=reason),
    ):
        try:
            made = api.check_judge(ready)
        except (CwpoError, DatabaseError) as error:
            layout.problem(error)
            return
        layout.flash(f"{counted(len(made), 'run')} queued for trying the judge; no answer is generated again.")
        st.rerun()
