"""New run: what will this cost and reuse?"""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import untrusted
from app.components.form.beside.first_rows import show_first_rows
from app.components.form.drafts.popover import show_drafts
from app.components.form.plan_panel import show_plan
from app.components.form.session import failure, open_form
from app.components.form.show_form import CheckedForm, show_form
from app.components.form.yaml_file import show_yaml
from app.components.frame import layout
from app.reads import results
from cwpo.config.stored import as_stored
from db import queries


def page() -> None:
    form = open_form(_configuration)
    source = form.start.source
    facts = f"starts from run {source}" if source is not None else "starts from the defaults of the dataset"
    title, list_of_drafts = st.columns([6, 1], vertical_alignment="bottom")
    with title:
        layout.heading(
            "New run", facts, "any field takes several values, such as 0.1, 0.5; each combination is one run"
        )
    with list_of_drafts.container(horizontal_alignment="right"):
        show_drafts(form)
    layout.show_flash()
    if failed := failure():
        st.warning(untrusted.label(failed.said, 600))
    if form.kept.said:
        st.info(untrusted.label(form.kept.said, 400))
    left, right = st.columns([4, 3], gap="medium")
    with left:
        checked = show_form(form)
        show_first_rows(form.start.dataset, _columns(checked))
        show_yaml(form, checked)
    with right:
        show_plan(form, checked)


def _columns(checked: CheckedForm) -> Mapping[str, str] | None:
    """What the columns of the file hold, where the form says it once for all runs."""
    told = checked.values.get("data", {}).get("columns")
    return told if isinstance(told, Mapping) else None


def _configuration(run_id: int) -> Mapping[str, Any]:
    """Of the run to duplicate."""
    with results.reading() as session:
        return as_stored(queries.get_run(session, run_id).config)


with layout.guarded():
    page()
