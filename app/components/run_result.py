"""One run's answer: GRA with the interval that one seed allows, and what must stand beside it."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from db.records import RunRow
from workers.report import interval, number, percent


def show_result(row: RunRow) -> None:
    """Nothing before the evaluation is published."""
    found = row.evaluation
    if found is None:
        return
    grid = st.grid(4, min_column_width=110)
    first, second, third, fourth = (grid.cell() for _ in range(4))
    _figure(first, "GRA", percent(found.gra), f"95 % {interval(found.ci_low, found.ci_high)}, prompts only")
    counts = f"{found.wins:g} wins, {found.ties:g} ties, {found.losses:g} losses"
    _figure(second, "ties as losses", percent(found.gra_strict), counts)
    _figure(third, "KL, nats", number(found.kl), "from the reference")
    _figure(fourth, "tokens", number(found.mean_tokens, 1),
            "" if found.baseline_mean_tokens is None else f"baseline {found.baseline_mean_tokens:.1f}")  # fmt: skip


def _figure(column: DeltaGenerator, label: str, value: str, below: str) -> None:
    with column, st.container(gap="xxsmall"):
        st.metric(label, value)
        if below:
            st.caption(below)
