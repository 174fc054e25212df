"""From a run to its pairs: those that its annotator is least sure of, and those that people should vote on."""

from collections.abc import Sequence

import streamlit as st

from app.components.frame.address import ExamplesView
from app.components.frame.leaving import link
from app.components.frame.relabel_address import RelabelView
from db.records import StageRow
from db.status import DONE

SHOWN = 50


def show_pair_links(run_id: int, stages: Sequence[StageRow]) -> None:
    """Once its annotator has labeled."""
    if not any(stage.slot == "labels" and stage.status == DONE for stage in stages):
        return
    examples, relabel = ExamplesView(run=run_id, size=SHOWN), RelabelView(run=run_id)
    with st.container(horizontal=True, gap="small"):
        link(examples, f"{SHOWN} least confident pairs")
        link(relabel, "Vote on pairs")
