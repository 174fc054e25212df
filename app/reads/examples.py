"""What Examples and Relabel read: a run with its labels, and pages of the pairs that its annotator labeled."""

from typing import Any

import streamlit as st

from app.reads.results import reading
from db import queries
from db.records import AnnotationPage, Cursor, LabeledRun, LabelsOfRun
from workers.machine.database import database_url

MOST_VIEWS = 4_000

View = tuple[int, float, float, str, str]  # published attempt, range of C, agreement, order
Place = tuple[View, Cursor | None, Cursor | None, int]  # the page behind one cursor, or that long in front of another


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
    """A page of the pairs. How many there are in a view, and where a page stands in it, is counted once, and from page
    to page not at all: labels that are published never change."""
    kept, view = _totals(database_url()), (labels.attempt_id, *c, agreement, order)
    places = _places(database_url())
    place: Place = (view, after, before, limit if before else 0)
    with reading() as session:
        page = queries.annotations(
            session, run_id, c_low=c[0], c_high=c[1], agreement=agreement, text=text, order=order, after=after,
            before=before, limit=limit, known=labels, total=kept.get(view), ahead=places.get(place),
        )  # fmt: skip
    if page.total is not None:
        kept[view] = page.total
    if page.rows and page.first is not None and not text.strip():
        front = page.first - 1
        places[place] = front
        if page.next is not None:
            places[view, page.next, None, 0] = front + len(page.rows)
        if page.previous is not None:
            places[view, None, page.previous, limit] = max(0, front - limit)
    _forget_oldest(kept)
    _forget_oldest(places)
    return page


def _forget_oldest(known: dict[Any, int]) -> None:
    while len(known) > MOST_VIEWS:
        known.pop(next(iter(known)), None)


@st.cache_resource(show_spinner=False)
def _totals(url: str) -> dict[View, int]:
    """Pairs in views that were looked at; the oldest go first."""
    return {}


@st.cache_resource(show_spinner=False)
def _places(url: str) -> dict[Place, int]:
    """Pairs in front of pages that were looked at, and of those beside them; the oldest go first."""
    return {}
