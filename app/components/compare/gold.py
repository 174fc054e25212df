"""The same answers under another gold reward: scored again on demand, then side by side with agreement."""

from collections.abc import Sequence

import streamlit as st

from app import allowed, untrusted
from app.components.frame import layout, tables
from app.components.frame.export import of_columns, show_export
from app.components.frame.formats import counted
from app.components.judging.card import offer_trial
from app.components.judging.judge_model import show_waiting
from app.reads import judges, results
from cwpo.compare.judges.card import is_whole
from cwpo.compare.two_judges import GoldRow
from cwpo.config import catalog
from cwpo.errors import ConfigError
from cwpo.report import columns
from cwpo.report.document.meanings import glossary
from cwpo.report.judges.cards import MODEL, cards_in_words
from cwpo.report.sentences import agreement_sentence
from cwpo.stages.graph import gold_key, is_judge_slot
from db import queries
from db.errors import DatabaseError
from db.records import RunRow
from db.status import DONE, LIVE
from workers import api
from workers.api.people.access import Role


def show_gold(rows: Sequence[RunRow]) -> None:
    """The table of a further gold reward that has judged, and the button that asks another one."""
    with results.reading() as session:
        found = [one for one in queries.rescorings(session, [row.id for row in rows]) if not is_judge_slot(one.slot)]
    configs = results.configs_of(rows)
    own = {str(config.evaluation.gold_reward) for config in configs.values()}
    done = list(dict.fromkeys(one.key for one in found if one.status == DONE))
    left, right = layout.two_columns()
    with left:
        key = _chosen(done)
        if not done:
            layout.note("Once another gold reward has scored these answers, its GRA stands here beside the first one.")
    with right:
        _ask(rows, own, sandbox=all(row.dataset == "sandbox" for row in rows))
    show_waiting(found, len(rows))
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
    may = allowed.only_for(Role.RUNNER, disabled=reason is not None, about=reason)
    if st.button(label, key="rescore", **may) and chosen:
        try:
            made = api.rescore(ready, chosen)
        except (ConfigError, DatabaseError) as error:
            layout.problem(error)
            return
        layout.flash(f"{counted(len(made), 'run')} queued for scoring; no answer is generated again.")
        st.rerun()


def _table(rows: Sequence[RunRow], key: str, own: str) -> None:
    table = results.gold_table_of(rows, key)
    if not table:
        layout.note("None of the runs shown has been judged by both.")
        return
    layout.small("The same answers under both gold rewards", meanings=glossary(columns.GOLD))
    tables.show_report(columns.GOLD, table, alt="GRA under two gold rewards")
    said = (
        f"Own: {own}; further: {key}. Same side: prompts that both call won, lost or tied; κ is "
        "Cohen's. Gain: mean score over the baseline's, in SD of the baseline's scores."
    )
    layout.note(said)
    show_export([of_columns("two gold rewards", columns.GOLD, table, notes=[said])], key="export_gold")
    sentence = agreement_sentence(table)
    if sentence:
        layout.note(sentence)
    _believed(rows, key, table)


def _believed(rows: Sequence[RunRow], key: str, table: Sequence[GoldRow]) -> None:
    """The further gold reward's agreement with people and its GRA without its errors, or the way to them."""
    cards = judges.cards_of(rows, further=key)
    if cards:
        found = judges.further_card_table_of(rows, key, table, cards)
        layout.small("Further GRA with its judge's errors", meanings=glossary(columns.CARD))
        tables.show_report(columns.CARD, found, alt="Further GRA with its judge's errors")
        said = [MODEL, *cards_in_words(cards, {row.id: row.seed for row in rows})]
        for sentence in said:
            layout.note(sentence)
        show_export([of_columns("further judge's cards", columns.CARD, found, notes=said)], key="export_further_cards")
    missing = [row for row in rows if not is_whole(cards.get(row.id))]
    named = next((name for name in catalog.GOLD_REWARDS if gold_key(name) == key), None)
    if missing and named is not None:
        offer_trial(missing, key="try_further", gold_reward=named)
    elif missing:
        layout.note(f"Nobody tried {key} on pairs with human labels yet; cwpo card RUN… --gold NAME does.")
