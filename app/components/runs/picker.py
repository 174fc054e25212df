"""Choose another run by its settings; the choice goes to the address."""

import streamlit as st

from app import untrusted
from app.components.frame.leaving import parameters, readdress
from app.reads import results
from cwpo.config.catalog import objective_label
from db import queries
from db.records import RunRow

OFFERED = 60  # newest first
PLACES = ("after", "before", "pair")  # in the list of one run; filters hold for any


def run_name(row: RunRow) -> str:
    """run 14 · CW · DPO · seed 2."""
    return untrusted.plain(f"run {row.id} · {row.method_label} · {objective_label(row.objective)} · seed {row.seed}")


def pick_run(current: RunRow) -> None:
    """Runs with an annotator; the one looked at is always among them."""
    with results.reading() as session:
        newest = queries.newest_labeled(session, limit=OFFERED)
    offered = {row.id: row for row in newest} | {current.id: current}
    ids = sorted(offered, reverse=True)
    chosen = st.selectbox(
        "Run",
        ids,
        index=ids.index(current.id),
        format_func=lambda run_id: run_name(offered[run_id]),
        key=f"pick_{current.id}",
    )
    if chosen != current.id:
        now = parameters()
        readdress(
            {"run": str(chosen), **{name: now[name] for name in now if name not in ("run", *PLACES)}}, instead=False
        )
