"""Data page: which part of a dataset of the hub is looked at: a subset of it, and a revision."""

from dataclasses import replace

import streamlit as st

from app.components.frame.data_address import DataView
from app.components.frame.leaving import tell

SUBSET = "A configuration or a folder of a dataset of the hub; empty: its usual one."
REVISION = "A branch, a tag or a commit of a dataset of the hub; empty: its usual one, which is main for most."


def part_fields(key: str, subset: str = "", revision: str = "") -> tuple[str, str]:
    """Two fields of a form: what they hold."""
    left, right = st.columns(2)
    return (
        left.text_input("Subset", subset, key=f"{key}_subset", placeholder="of a hub dataset", help=SUBSET),
        right.text_input("Revision", revision, key=f"{key}_revision", placeholder="of a hub dataset", help=REVISION),
    )


def show_part(view: DataView) -> None:
    """Another part of the same dataset. Columns that were said are those of a subset."""
    key = f"data_part_{abs(hash((view.source, view.subset, view.revision))) % 10**8}"
    with st.form(key, border=False):
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        with left:
            subset, revision = (text.strip() for text in part_fields(key, view.subset, view.revision))
        if not right.form_submit_button("Look at this part"):
            return
    columns = view.columns if subset == view.subset else None
    tell(replace(view, subset=subset, revision=revision, columns=columns).to_params())
    st.rerun()
