"""The button, where runs of the form exist already: what exists is said, and what to do about it is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from app.components.frame import layout
from app.components.frame.address import CompareView, RunsView, RunView, compact
from app.components.frame.formats import counted
from db import status
from db.records import RunLike

Answer = Literal["all", "new", "open"]


@dataclass(frozen=True, kw_only=True)
class Question:
    """How many runs the form makes, and those of them that exist."""

    runs: int
    existing: tuple[RunLike, ...]

    @property
    def new(self) -> int:
        return self.runs - len(self.existing)


def question_of(existing: Sequence[RunLike | None]) -> Question:
    return Question(runs=len(existing), existing=tuple(run for run in existing if run is not None))


def sentence(asked: Question) -> str:
    """8 of these 12 runs exist already: run 3–10, done."""
    runs = asked.existing
    these = "This run exists" if asked.runs == 1 else f"These {asked.runs:,} runs exist"
    if asked.new:
        these = f"{len(runs):,} of these {asked.runs:,} runs {'exists' if len(runs) == 1 else 'exist'}"
    states = ((status.DONE, "done"), (status.RUNNING, "running"), (status.QUEUED, "queued"))
    parts = []
    for state, word in states:
        ids = tuple(sorted({run.run_id for run in runs if run.status == state}))
        if ids:
            parts.append(
                f"{'run' if len(ids) == 1 else 'runs'} {compact(ids).replace('-', '–').replace(',', ', ')}, {word}"
            )
    archived = " Some of them are archived." if any(run.archived for run in runs) else ""
    return f"{these} already: {'; '.join(parts)}.{archived}"


def ask(asked: Question, *, reason: str) -> Answer | None:
    """What was answered, if anything was pressed."""
    layout.note(sentence(asked))
    runs = counted(asked.runs, "run")
    again = f"Queue {'it' if asked.runs == 1 else f'all {asked.runs:,}'} again"
    see = "Open it" if len(asked.existing) == 1 else f"Open these {len(asked.existing):,}"
    options: list[tuple[Answer, str, Literal["primary", "secondary", "tertiary"]]] = [("open", see, "primary")]
    if asked.new:
        new = f"Queue the new {'one' if asked.new == 1 else f'{asked.new:,}'}"
        options = [("new", new, "primary"), ("open", see, "tertiary")]
    options.insert(1, ("all", again, "secondary"))
    pressed: Answer | None = None
    with st.container(horizontal=True):
        for answer, label, kind in options:
            off = bool(reason) and answer != "open"
            help_ = reason if off else f"{runs}: what is computed already is reused." if answer == "all" else None
            if st.button(label, type=kind, key=f"queue_{answer}", disabled=off, help=help_) and not off:
                pressed = answer
    return pressed


def page_of(asked: Question) -> RunView | CompareView | RunsView:
    """Where they are seen: one alone, finished ones side by side, else the list."""
    ids = tuple(sorted({run.run_id for run in asked.existing}))
    if len(ids) == 1:
        return RunView(run=ids[0])
    if all(run.status == status.DONE for run in asked.existing):
        return CompareView(runs=ids)
    return RunsView()
