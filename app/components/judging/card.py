"""Can the judge be believed? A folded section beside a GRA: agreement with people, and what that leaves of it."""

from collections.abc import Mapping, Sequence

import streamlit as st

from app import allowed, untrusted
from app.components.frame import layout, tables
from app.components.frame.export import of_columns, show_export
from app.components.frame.formats import counted
from app.components.judging.order import show_order
from app.reads import judges, results
from cwpo.compare.gra import GraRow
from cwpo.compare.judges.card import Card, CardRow, gaps_of, is_whole
from cwpo.config import catalog
from cwpo.errors import CwpoError
from cwpo.report import columns
from cwpo.report.document.meanings import glossary
from cwpo.report.judges.cards import MODEL, TITLE, agreement_in_words, cards_in_words, judges_in_words
from cwpo.report.numbers import number, percent
from cwpo.report.sentences import believed, card_sentences
from db.errors import DatabaseError
from db.records import RunRow
from db.status import LIVE
from workers import api
from workers.api.people.access import Role

UNTRIED = (
    "How often the oracle agrees is known without a trial; a trial adds agreement by length and source, and the gaps "
    "between its scores."
)
FURTHER = "Tried beside it"


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
        for further in judges.further_cards_of([row]).values():
            own = [*further.values()]
            for sentence in (f"{FURTHER}: {agreement_in_words(own)}.", *card_sentences(own[0])):
                layout.note(sentence)
        _offer([row], known, key="try_judge")


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
        said = cards_in_words(known, {row.id: row.seed for row in rows})
        further = judges.further_cards_of(rows)
        said += [f"{FURTHER}: {judges_in_words(cards, {})}" for cards in further.values()]
        for sentence in said:
            layout.note(sentence)
        show_export([of_columns("judge cards", columns.CARD, found, notes=[MODEL, *said])], key="export_cards")
        show_order(rows)
        _offer(rows, known, key="try_judges")


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


def _offer(rows: Sequence[RunRow], known: Mapping[int, Card], *, key: str) -> None:
    """A trial for the runs whose judge was not tried: of the sandbox's oracle something is known without."""
    missing = [row for row in rows if not is_whole(known.get(row.id))]
    if not missing:
        return
    if any(row.id in known for row in missing):
        layout.note(UNTRIED)
    offer_trial(missing, key=key)


def offer_trial(rows: Sequence[RunRow], *, key: str, gold_reward: str | None = None) -> None:
    """A gold reward, the runs' own where none of the catalog is named, on pairs with human labels, as a further
    stage."""
    ready = [row.id for row in rows if row.status not in LIVE]
    reason = None if ready else "Every run shown is queued or running."
    what = "it" if gold_reward is None else untrusted.label(catalog.GOLD_REWARDS[gold_reward].label)
    if st.button(
        f"Try {what} on pairs with human labels",
        key=key,
        **allowed.only_for(Role.RUNNER, disabled=reason is not None, about=reason),
    ):
        try:
            made = api.check_judge(ready, gold_reward)
        except (CwpoError, DatabaseError) as error:
            layout.problem(error)
            return
        layout.flash(f"{counted(len(made), 'run')} queued for trying the judge; no answer is generated again.")
        st.rerun()
