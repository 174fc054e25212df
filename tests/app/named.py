"""Runs and annotators by their names, and the page of an annotator."""

from streamlit.testing.v1 import AppTest

from db import queries
from db.records import NamedAnnotatorRow
from tests.app.visits import Computed, visit
from workers.machine.database import reading


def run_of(computed: Computed, method: str) -> int:
    return next(row.id for row in computed.rows() if row.method == method)


def named(name: str) -> NamedAnnotatorRow:
    with reading() as session:
        return queries.find_annotator(session, name)


def annotator_page(run: int) -> AppTest:
    with reading() as session:
        labels = next(stage for stage in queries.run_stages(session, run) if stage.slot == "labels")
    return visit("annotators", annotator=str(labels.stage_id))
