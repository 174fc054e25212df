"""Deleting runs: what it frees and what stays is said before."""

from collections.abc import Sequence

import streamlit as st

from app import untrusted
from app.components.frame.formats import counted
from cwpo.report.numbers import size
from db.records.keeping import KeptRun, Loss
from db.status import LIVE
from workers.api import keeping


def ask_deletion(runs: Sequence[KeptRun], place: str) -> bool:
    """Say what deleting these runs means; whether the button is pressed."""
    finished = [run for run in runs if run.status not in LIVE]
    st.text(loss_sentence(keeping.loss([run.id for run in finished]), len(finished)), width=320)
    if finished:
        st.caption("After a reload, and for others, the way back is on System: Deleted lately.")
    if len(finished) < len(runs):
        st.caption(untrusted.label(f"{counted(len(runs) - len(finished), 'run')} still live: cancel first to delete."))
    name = "Delete" if len(finished) < 2 else f"Delete {counted(len(finished), 'run')}"
    return st.button(name, key=f"{place}_delete", type="primary", disabled=not finished)


def loss_sentence(loss: Loss, runs: int) -> str:
    """What goes and what stays."""
    if not runs:
        return "A run that is queued or running cannot be deleted: cancel it first."
    frees = f"Frees {size(loss.bytes)} in {counted(loss.artifacts, 'artifact')}" if loss.artifacts else "Frees nothing"
    used = f"; {counted(loss.kept, 'artifact')} {_form(loss.kept, 'is', 'are')} used by other runs and"
    kept = f"{used} {_form(loss.kept, 'stays', 'stay')}" if loss.kept else ""
    names = len(loss.named)
    because = f"{_form(names, 'stays, because it has', 'stay, because they have')} a name. " if names else ""
    named = f"{', '.join(loss.named)} {because}" if names else ""
    return f"{frees}{kept}. {named}Undo brings everything back for ten minutes."


def _form(number: int, one: str, many: str) -> str:
    return one if number == 1 else many
