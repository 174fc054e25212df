"""What the list of runs reads: a page of its lines, the runs of those that are open, and what can be chosen."""

from collections.abc import Mapping, Sequence

import streamlit as st

from app.reads.results import reading
from db.queries import list_runs
from db.queries.people import keeping
from db.queries.people import listing as queries
from db.records import RunFilters, RunRow
from db.records.listing import EACH_RUN, Figure, LinePage, Listing, Place, SavedViewRow, Version
from workers.machine.database import database_url

SECONDS = 10  # another session's saved view, or a new kind of figure, is seen after this long
PAGE = 40  # lines


def page_of(listing: Listing, after: str, before: str, keys: Sequence[str]) -> LinePage:
    """One page of the list, behind one place or in front of another."""
    behind, in_front = Place.decode(after), Place.decode(before)
    with reading() as session:
        return queries.list_lines(session, listing, after=behind, before=in_front, limit=PAGE, keys=keys)


def runs_below(
    run_ids: Sequence[int], keys: Sequence[str], *, archived: bool
) -> tuple[dict[int, RunRow], dict[str, Mapping[str, Figure]]]:
    """These runs as rows, and their own fields and figures by their numbers."""
    if not run_ids:
        return {}, {}
    filters = RunFilters(ids=tuple(run_ids), archived=archived)
    with reading() as session:
        rows = list_runs(session, filters=filters, limit=len(run_ids)).rows
        alone = Listing(filters=filters, grouping=EACH_RUN)
        figures = queries.figures_of(session, alone, list(run_ids), keys)
    return {row.id: row for row in rows}, {str(line): its for line, its in figures.items()}


def version() -> Version:
    """Whether the list may have changed."""
    with reading() as session:
        return queries.version(session)


def value_keys() -> list[str]:
    """The fields and figures that can be columns."""
    return _value_keys(database_url())


def saved_views() -> list[SavedViewRow]:
    """The lists that people kept."""
    return _saved_views(database_url())


def all_tags() -> list[str]:
    """The tags that any run has, the most used first."""
    return _all_tags(database_url())


def marks_of(run_ids: Sequence[int]) -> dict[int, str]:
    """What people put on these runs: a pin, and tags."""
    with reading() as session:
        tags, pinned = keeping.tags_of(session, run_ids), keeping.pinned_among(session, run_ids)
    words = {run_id: (("pinned",) if run_id in pinned else ()) + tags.get(run_id, ()) for run_id in run_ids}
    return {run_id: ", ".join(its) for run_id, its in words.items() if its}


def forget_saved_views() -> None:
    """Read them anew: one was changed."""
    _saved_views.clear()


@st.cache_data(ttl=SECONDS, max_entries=4, show_spinner=False)
def _value_keys(url: str) -> list[str]:
    with reading() as session:
        return queries.value_keys(session)


@st.cache_data(ttl=2, max_entries=4, show_spinner=False)
def _all_tags(url: str) -> list[str]:
    with reading() as session:
        return [one.tag for one in keeping.all_tags(session)]


@st.cache_data(ttl=SECONDS, max_entries=4, show_spinner=False)
def _saved_views(url: str) -> list[SavedViewRow]:
    with reading() as session:
        return queries.saved_views(session)
