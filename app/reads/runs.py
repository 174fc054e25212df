"""What the list of runs reads: a page of its lines, the runs of those that are open, and what can be chosen."""

from collections.abc import Mapping, Sequence

from app.reads.results import reading
from db.queries import list_runs
from db.queries.people import listing as queries
from db.records import RunFilters, RunRow
from db.records.listing import EACH_RUN, Around, Figure, LinePage, Listing, Place, Version

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


def around() -> Around:
    """What stands around the list: how it is filtered, ordered and saved, and whether anything is going on."""
    with reading() as session:
        return queries.around(session)
