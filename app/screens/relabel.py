"""Relabel: which pairs are worth a person's minute?"""

from dataclasses import replace

import streamlit as st

from app.components.frame import layout
from app.components.frame.formats import counted, dataset_name, models
from app.components.frame.leaving import become
from app.components.frame.relabel_address import LOOKS, MOST_PEOPLE, QUEUES, RelabelView
from app.components.relabel.agreeing import show_agreement
from app.components.relabel.sets import show_sets
from app.components.relabel.voting import progress, show_voting
from app.components.runs.picker import pick_run
from app.reads import examples, results
from db import queries
from workers.api.people import votes

WHAT = "People vote here on pairs that an annotator labeled, blind, and their votes become human labels of other runs."


def page() -> None:
    address = RelabelView.from_params(st.query_params)
    layout.show_flash()
    found = examples.labeled_run(address.run)
    if found is None or found.labels is None:
        _without_labels(address)
        return
    row = found.row
    with results.reading() as session:
        counts = queries.vote_counts(session, row.id)
    voted = f"{counted(counts.votes, 'vote')} of {counted(len(counts.people), 'person', 'people')}"
    voted = voted if counts.votes else "no votes yet"
    layout.heading("Relabel", f"run {row.id}", models(row.annotator, row.policy), dataset_name(row.dataset), voted)
    left, right = layout.filters_and_list(240)
    with left:
        pick_run(row)
        view = _asked(address)
        progress(view, dict(counts.people))
    with right:
        if view.look == "vote":
            show_voting(view)
        elif view.look == "agreement":
            show_agreement(row.id)
        else:
            show_sets(row, view.person)


def _asked(address: RelabelView) -> RelabelView:
    """Who asks, for which pairs, and what is looked at."""
    look = st.segmented_control(
        "Look at", list(LOOKS), key="look", bind="query-params", default="vote", required=True,
        format_func=lambda name: LOOKS[name],
    )  # fmt: skip
    person = _signed()
    queue = st.selectbox(
        "Pairs", list(QUEUES), key="pairs_from", bind="query-params", format_func=lambda name: QUEUES[name],
        help="Mixed takes half of its pairs from the least confident, a fifth each from the contradicted ones and at "
        "random, and the rest from those that annotators disagree on. Random pairs say how right the labels are.",
    )  # fmt: skip
    people = st.selectbox(
        "People on each pair", list(range(1, MOST_PEOPLE + 1)), key="people", bind="query-params", format_func=str,
        help="With 1, two people never get the same pair; agreement needs 2.",
    )  # fmt: skip
    return RelabelView(
        run=address.run, person=person, queue=queue or "mixed", people=int(people or 1), look=look or "vote"
    )


def _signed() -> str:
    """How the votes are signed: by whoever signed in; who has the installation types a name."""
    if signed_in := votes.voter(""):
        st.text_input("Your name", value=signed_in, disabled=True, key="signed_in", help="As you signed in.")
        return signed_in
    typed = st.text_input(
        "Your name", key="person", bind="query-params", max_chars=40, placeholder="how your votes are signed"
    )
    return typed or ""


def _without_labels(address: RelabelView) -> None:
    newest = None if address.run is not None else results.newest_labeled_run()
    if newest is not None:
        become(replace(address, run=newest))
    layout.heading("Relabel")
    if address.run is None:
        layout.empty_state(WHAT, "Set up a run with an annotator", "screens/new_run.py")
    else:
        layout.empty_state(
            f"Run {address.run} has no weak labels: it was deleted, has no annotator, or is not that far.",
            "Choose a run", "screens/runs.py",
        )  # fmt: skip


with layout.guarded():
    page()
