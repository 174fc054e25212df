"""The same prompt answered by two or more models, side by side with gold scores and token counts."""

from collections.abc import Sequence

import streamlit as st

from app import untrusted
from app.components.frame import text_blocks
from cwpo.report.numbers import number
from db.records import Answer, AnswerRow

OUTCOMES = {1.0: "aligned wins", 0.5: "tie", 0.0: "baseline wins"}


def show_answers(row: AnswerRow) -> None:
    """One prompt: aligned on the left, baseline on the right, every sample."""
    with st.container(border=True):
        left, right = st.columns([5, 2], vertical_alignment="center")
        with left:
            text_blocks.show_text(row.prompt, key=f"answer_prompt_{row.run_id}_{row.prompt_id}")
        right.caption(outcome(row.outcome), text_alignment="right")
        for place in range(max(len(row.aligned), len(row.baseline))):
            columns = st.columns(2, gap="small")
            for column, name, answers in zip(
                columns, ("aligned", "baseline"), (row.aligned, row.baseline), strict=True
            ):
                with column:
                    _answer(name, answers, place, key=f"{row.run_id}_{row.prompt_id}_{name}")


def show_side_by_side(
    prompt: str, answers: Sequence[tuple[str, Sequence[Answer]]], *, key: str, per_line: int = 3
) -> None:
    """One prompt answered in several runs; the first sample of each."""
    text_blocks.show_text(prompt, key=f"{key}_prompt")
    for start in range(0, len(answers), per_line):
        columns = st.columns(per_line, gap="small")
        for column, (name, samples) in zip(columns, answers[start : start + per_line], strict=False):
            with column:
                _answer(name, samples, 0, key=f"{key}_{name}")


def outcome(value: float | None) -> str:
    """What the gold reward decided; the mean where there are several samples."""
    if value is None:
        return "not evaluated yet"
    return OUTCOMES.get(value, f"aligned wins {100 * value:.0f} % of the samples")


def _answer(name: str, answers: Sequence[Answer], place: int, *, key: str) -> None:
    if place >= len(answers):
        st.caption(f"{untrusted.label(name)} · no answer yet")
        return
    answer = answers[place]
    facts = [untrusted.label(name)]
    if answer.score is not None:
        facts.append(f"score {number(answer.score)}")
    facts.append(f"{answer.tokens:,} tokens")
    if answer.ungrammatical:
        facts.append("ungrammatical")
    st.caption(" · ".join(facts))
    text_blocks.show_block(answer.text, key=f"{key}_{place}")
