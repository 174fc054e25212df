"""The same held-out prompt, answered in every run shown."""

from collections.abc import Sequence

import streamlit as st

from app import untrusted
from app.components.frame import layout
from app.components.frame.address import CompareView
from app.components.run.tabs.answer_card import show_side_by_side
from app.components.runs.table import first_seeds
from app.reads import results
from db import queries
from db.records import Answer, RunRow

OFFERED = 40  # prompts in the list


def show_same_prompt(rows: Sequence[RunRow], view: CompareView) -> None:
    """One run per setting, and the baseline first."""
    firsts = first_seeds([row for row in rows if row.evaluation is not None])
    with results.reading() as session:
        prompts = queries.shared_prompts(session, [row.id for row in firsts], limit=OFFERED) if firsts else []
    if not prompts:
        layout.note("Appears once every setting shown has answered the held-out prompts.")
        return
    known = {prompt.prompt_id: prompt.prompt for prompt in prompts}
    start = view.prompt if view.prompt in known else prompts[0].prompt_id
    key = f"prompt_choice_{start}"  # another prompt of the address, another widget
    chosen = st.selectbox("Prompt", list(known), index=list(known).index(start), key=key,
                          on_change=lambda: layout.set_params(prompt=st.session_state[key]),
                          format_func=lambda prompt_id: untrusted.plain(known[prompt_id], 110))  # fmt: skip
    with results.reading() as session:
        found = {row.run_id: row for row in queries.same_prompt_answers(session, [row.id for row in firsts], chosen)}
    labels = results.labels_of(rows)
    answers: list[tuple[str, Sequence[Answer]]] = []
    for row in firsts:
        if row.id in found:
            if not answers:
                answers.append(("baseline", found[row.id].baseline))
            answers.append((f"{labels[row.group_key]} · seed {row.seed}", found[row.id].aligned))
    show_side_by_side(known[chosen], answers, key=f"same_{chosen}")
    if len({row.baseline for row in firsts}) > 1:
        layout.note("Different opponents: the baseline shown is that of the first setting.")
