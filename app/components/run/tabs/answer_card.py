"""The same prompt answered by two or more models, side by side with gold scores and token counts."""

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import untrusted
from app.components.frame import text_blocks
from app.word_diff import difference
from cwpo.report.numbers import number
from db.records import Answer, AnswerRow

OUTCOMES = {1.0: "aligned wins", 0.5: "tie", 0.0: "baseline wins"}


def show_answers(row: AnswerRow, *, compare: bool = False) -> None:
    """One prompt: aligned on the left, baseline on the right, every sample; with `compare` what differs stands out."""
    with st.container(border=True):
        left, right = st.columns([5, 2], vertical_alignment="center")
        with left:
            text_blocks.show_text(row.prompt, key=f"answer_prompt_{row.run_id}_{row.prompt_id}")
        right.caption(_decided(row), text_alignment="right")
        for place in range(max(len(row.aligned), len(row.baseline))):
            columns = st.columns(2, gap="small")
            if compare and place < min(len(row.aligned), len(row.baseline)):
                _compared(row.aligned[place], row.baseline[place], columns)
                continue
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


def change(row: AnswerRow) -> float | None:
    """The mean gold score of the aligned answers minus that of the baseline's."""
    sides = [[answer.score for answer in side if answer.score is not None] for side in (row.aligned, row.baseline)]
    if not all(sides):
        return None
    aligned, baseline = (sum(scores) / len(scores) for scores in sides)
    return aligned - baseline


def _decided(row: AnswerRow) -> str:
    """aligned wins, gold score +0.42."""
    by = change(row)
    if by is None:
        return outcome(row.outcome)
    return f"{outcome(row.outcome)}, gold score {'+' if by > 0 else ''}{number(by)}"


def _compared(aligned: Answer, baseline: Answer, columns: Sequence[DeltaGenerator]) -> None:
    """Both answers with the words that only they have; the colour names the side, not what is good."""
    found = difference(aligned.text, baseline.text)
    unit = "words" if found.by_words else "words, in paragraphs that differ"
    sides = (("aligned", aligned, found.first, found.first_own), ("baseline", baseline, found.second, found.second_own))
    inks: tuple[text_blocks.Ink, ...] = ("blue", "gray")
    for column, ink, (name, answer, pieces, own) in zip(columns, inks, sides, strict=True):
        with column:
            st.caption(f"{_facts(name, answer)} · {own:,} own {unit}")
            with st.container(border=True):
                text_blocks.show_marked([(piece.text, ink if piece.own else None) for piece in pieces])


def _answer(name: str, answers: Sequence[Answer], place: int, *, key: str) -> None:
    if place >= len(answers):
        st.caption(f"{untrusted.label(name)} · no answer yet")
        return
    answer = answers[place]
    st.caption(_facts(name, answer))
    text_blocks.show_block(answer.text, key=f"{key}_{place}")


def _facts(name: str, answer: Answer) -> str:
    facts = [untrusted.label(name)]
    if answer.score is not None:
        facts.append(f"score {number(answer.score)}")
    facts.append(f"{answer.tokens:,} tokens")
    if answer.ungrammatical:
        facts.append("ungrammatical")
    return " · ".join(facts)
