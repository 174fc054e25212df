"""The first batch of each training as its model reads it: every token, and which of them the loss counts."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import untrusted
from app.components.frame import layout, text_blocks
from app.reads import results
from cwpo.report.numbers import count, number
from cwpo.stages.graph import slot_name
from db import queries

NAME = "first_batch"
COUNTS = {
    "answers": "The loss counts the blue tokens: each is predicted from what stands in front of it.",
    "scores": "The blue token is where the score of a response is read; the loss compares the two scores of a pair.",
}


def show_first_batch(run_id: int) -> None:
    """One training at a time; which one stands in the address."""
    with results.reading() as session:
        found = queries.looked_at(session, run_id, NAME)
    if not found:
        layout.empty_state(
            "The first pairs of each training are shown here token by token, with what its loss counts, as soon as it "
            "begins. Stages that were computed before, or by cwpo run, have left none."
        )
        return
    slots = list(found)
    chosen = st.segmented_control(
        "Training", slots, key="batch_of", default=slots[0], format_func=slot_name, required=True,
        bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    data = found.get(str(chosen), found[slots[0]])
    layout.note(_sentence(data))
    layout.note(f"{COUNTS.get(data['counts'], '')} Template markers and other control tokens are bold; · is a space, "
                "⏎ the end of a line.")  # fmt: skip
    for row in data["rows"]:
        _pair(row)


def _sentence(data: Mapping[str, Any]) -> str:
    return (
        f"The first step reads {count(data['pairs'])} pairs, {count(data['tokens'])} tokens; its loss counts "
        f"{count(data['counted'])} of them. Here are the first {count(len(data['rows']))}."
    )


def _pair(row: Mapping[str, Any]) -> None:
    with st.container(border=True):
        weight = row.get("weight")
        weighted = "" if weight is None else f" · w = {number(weight, 3)}"
        st.caption(untrusted.label(f"pair {row['pair_id']}{weighted}"))
        prompt, *responses = row["parts"]
        _part(prompt)
        for column, part in zip(st.columns(len(responses), gap="small"), responses, strict=True):
            with column:
                _part(part)


def _part(part: Mapping[str, Any]) -> None:
    """A text as chips, the counted ones blue."""
    left_out = f" · {count(part['left_out'])} more not shown" if part["left_out"] else ""
    size = count(len(part["tokens"]) + part["left_out"])
    words = f"{part['name']} · {size} tokens, {count(part['counted_in_all'])} counted"
    st.caption(untrusted.label(words + left_out, 160))
    text_blocks.show_tokens(part["tokens"], part["counted"], part["markers"])
