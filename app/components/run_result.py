"""One run's answer: GRA with the interval that one seed allows, and what must stand beside it."""

import streamlit as st

from db.records import RunRow
from workers.report import interval, number, percent


def show_result(row: RunRow) -> None:
    """Nothing before the evaluation is published."""
    found = row.evaluation
    if found is None:
        return
    first, second, third, fourth = st.columns(4, gap="small")
    _figure(first, "GRA", percent(found.gra), f"95 % {interval(found.ci_low, found.ci_high)}, prompts only")
    _figure(second, "wins · ties · losses", f"{found.wins:g} · {found.ties:g} · {found.losses:g}",
            f"{found.prompts:,} prompts × {found.samples:,}")  # fmt: skip
    _figure(third, "KL, nats", number(found.kl), "from the reference")
    _figure(fourth, "tokens", number(found.mean_tokens, 1),
            "" if found.baseline_mean_tokens is None else f"baseline {found.baseline_mean_tokens:.1f}")  # fmt: skip


def _figure(column: st.delta_generator.DeltaGenerator, label: str, value: str, below: str) -> None:
    with column, st.container(gap="xxsmall"):
        st.metric(label, value)
        if below:
            st.caption(below)
