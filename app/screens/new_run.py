"""New run: what will this cost and reuse?"""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.components.form.form import show_form
from app.components.form.plan_panel import show_plan
from app.components.form.yaml_file import show_yaml
from app.components.frame import layout
from app.components.frame.address import integer
from app.reads import results
from db import queries


def page() -> None:
    source, run_id = _source()
    facts = f"starts from run {run_id}" if source else "starts from the defaults of the dataset"
    layout.heading("New run", facts, "any field takes several values, such as 0.1, 0.5; each combination is one run")
    layout.show_flash()
    left, right = st.columns([4, 3], gap="medium")
    with left:
        filled = show_form(source, key=f"f{run_id}." if source else "")
        show_yaml(filled)
    with right:
        show_plan(filled)


def _source() -> tuple[Mapping[str, Any] | None, int | None]:
    """The configuration of the run to duplicate, if the address names one."""
    run_id = integer(st.query_params, "from")
    if run_id is None:
        return None, None
    with results.reading() as session:
        run = queries.get_run(session, run_id)
    return (run.config, run_id) if run else (None, None)


with layout.guarded():
    page()
