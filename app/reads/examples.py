"""What Examples and Relabel read: a run with its labels, and pages of the pairs that its annotator labeled."""

import streamlit as st

from app.reads.results import reading
from db import queries
from db.records import AnnotationPage, Cursor, LabeledRun, LabelsOfRun
from workers.machine.database import database_url

MOST_VIEWS = 4_000

View = tuple[int, float, float, str, str]  # published attempt, range of C, agreement, order


def labeled_run(run_id: int | None) -> LabeledRun | None:
    """The run of the address with its labels; None where it names none."""
    if not run_id:
        return None
    with reading() as session:
        return queries.labeled_run(session, run_id)


def page_of(
    run_id: int,
    labels: LabelsOfRun,
    *,
    c: tuple[float, float],
    agreement: str,
    text: str,
    order: str,
    after: Cursor | None,
    before: Cursor | None,
    limit: int,
) -> AnnotationPage:
    """A page of the pairs. How many there are in a view is counted once: labels that are published never change."""
    kept, view = _totals(database_url()), (labels.attempt_id, *c, agreement, order)
    with reading() as session:
        page = queries.annotations(
            session, run_id, c_low=c[0], c_high=c[1], agreement=agreement, text=text, order=order, after=after,
            before=before, limit=limit, known=labels, total=kept.get(view),
        )  # fmt: skip
    if page.total is not None:
        kept[view] = page.total
    while len(kept) > MOST_VIEWS:
        kept.pop(next(iter(kept)), None)
    return page


@st.cache_resource(show_spinner=False)
def _totals(url: str) -> dict[View, int]:
    """Pairs in views that were looked at; the oldest go first."""
    return {}
