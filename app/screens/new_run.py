"""New run: what will this cost and reuse?"""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.components.form.plan_panel import show_plan
from app.components.form.session import open_form
from app.components.form.show_form import show_form
from app.components.form.yaml_file import show_yaml
from app.components.frame import layout
from app.reads import results
from db import queries


def page() -> None:
    form = open_form(_configuration)
    source = form.start.source
    facts = f"starts from run {source}" if source is not None else "starts from the defaults of the dataset"
    layout.heading("New run", facts, "any field takes several values, such as 0.1, 0.5; each combination is one run")
    layout.show_flash()
    left, right = st.columns([4, 3], gap="medium")
    with left:
        checked = show_form(form)
        show_yaml(form, checked)
    with right:
        show_plan(checked)


def _configuration(run_id: int) -> Mapping[str, Any]:
    """Of the run to duplicate."""
    with results.reading() as session:
        return queries.get_run(session, run_id).config


with layout.guarded():
    page()
